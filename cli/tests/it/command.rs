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
fn private_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    assert!(limen(&["dev", "up", "--prepare-only", "--dir", &dir]).status.success());
    for file in ["signer-1/node.key", "signer-1/share-wrapping.key", "ca/ca.key", "client/envelope.key"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
}
