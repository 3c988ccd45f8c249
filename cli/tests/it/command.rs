//! What needs no cluster: help, errors, exit codes.

use std::process::{Command, Output};

fn limen(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
    command.args(args).env_remove("LIMEN_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let output = limen(&["--help"]);
    let help = text(&output.stdout);
    assert!(output.status.success());
    for words in ["Examples:", "Exit codes:", "limen dev up", "completion", "--output"] {
        assert!(help.contains(words), "{words} is missing in {help}");
    }
}

#[test]
fn completion_scripts_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = limen(&["completion", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("limen"));
    }
}

#[test]
fn a_missing_configuration_says_what_to_do() {
    let output = limen(&["--config", "/nowhere/client.toml", "status"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("/nowhere/client.toml") && error.contains("limen dev up"), "{error}");
}

#[test]
fn a_cause_is_told_once() {
    let error = text(&limen(&["--config", "/nowhere/client.toml", "status"]).stderr);
    assert_eq!(error.matches("No such file").count(), 1, "{error}");
}

#[test]
fn words_that_cannot_be_meant_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    assert!(limen(&["dev", "up", "--prepare-only", "--dir", &dir]).status.success());
    let config = folder.path().join("client.toml").display().to_string();
    let good = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let pay =
        |to: &str, amount: &str| ["submit", "native", "--key", "k", "--to", to, "--amount", amount].map(str::to_owned);
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (args, words) in [
        (pay(good, "1.5x").to_vec(), "1.5x"),
        (pay(&good.to_lowercase(), "1").to_vec(), "checksum"),
        (pay(&good.replace("44C", "44c"), "1").to_vec(), "0x3C44c"),
        (list(&["key", "address", "k", "--chain", "ethereum"]), "eip155:1"),
        (list(&["key", "address", "k", "--path", "0/1"]), "m/0/7"),
        (list(&["key", "address", "k", "--path", "m/0'"]), "hardened"),
        (list(&["request", "list", "--state", "finished"]), "known are submitted"),
        (list(&["submit", "raw", "--key", "k", "--kind", "digest", "--hex", "zz"]), "hexadecimal"),
        (list(&["submit", "raw", "--key", "k", "--kind", "digest", "--hex", "00"]), "32 bytes"),
    ] {
        let args: Vec<&str> = ["--config", &config].into_iter().chain(args.iter().map(String::as_str)).collect();
        let output = limen(&args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(words) && error.contains("bad_usage") && error.contains("--help"), "{args:?}: {error}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let output = limen(&["--config", "/nowhere/client.toml", "--output", "json", "status"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "bad_configuration");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_committee_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster").display().to_string();
    let output = limen(&["dev", "up", "--prepare-only", "--dir", &dir, "--signers", "2", "--required", "3"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("--required"), "{}", text(&output.stderr));
}

#[test]
fn a_folder_is_prepared_once_and_keeps_its_shape() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster").display().to_string();
    let prepare = |more: &[&str]| limen(&[&["dev", "up", "--prepare-only", "--dir", &dir], more].concat());
    assert!(prepare(&["--signers", "5", "--required", "3"]).status.success());
    let charter = std::fs::read(folder.path().join("cluster/charter.toml")).unwrap();
    assert!(prepare(&[]).status.success());
    assert_eq!(charter, std::fs::read(folder.path().join("cluster/charter.toml")).unwrap());
    let other = prepare(&["--signers", "3"]);
    assert!(!other.status.success());
    assert!(text(&other.stderr).contains("3-of-5"), "{}", text(&other.stderr));
}

#[test]
fn a_folder_of_another_release_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    let state = "version = 1\nsigners = 3\nrequired = 2\n\n[ports]\nsigners = [1, 2, 3]\nchain = 4\n";
    std::fs::write(folder.path().join("dev.toml"), state).unwrap();
    let output = limen(&["dev", "up", "--prepare-only", "--dir", &dir]);
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(error.contains("has version 1") && error.contains("another --dir"), "{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join("dev.toml")).unwrap(), state);
    assert!(!folder.path().join("charter.toml").exists());
}

#[test]
fn private_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    assert!(limen(&["dev", "up", "--prepare-only", "--dir", &dir]).status.success());
    for file in
        ["signer-1/node.key", "signer-1/share-wrapping.key", "ca/ca.key", "client/envelope.key", "people/anna.pem"]
    {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
}
