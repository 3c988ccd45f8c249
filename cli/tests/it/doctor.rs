//! `limen doctor` and `limen support-bundle` where no cluster runs, and the sample client in deploy/.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use limen_client::ClientConfig;
use limen_policy::charter::Charter;
use serde_json::Value;

use crate::e2e::needles::Needles;

const IN_A_COMMENT: &str = "80417355";
const IN_THE_ENVIRONMENT: &str = "71930264";
const IN_AN_ADDRESS: &str = "rpc-password-5521";
const IN_A_BAD_LINE: &str = "pasted-by-mistake-9034";
const IN_A_BAD_FILE: &str = "not-a-certificate-6647";
const IN_ALL: [&str; 5] = [IN_A_COMMENT, IN_THE_ENVIRONMENT, IN_AN_ADDRESS, IN_A_BAD_LINE, IN_A_BAD_FILE];

fn limen(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
    command.arg("--config").arg(config).args(args).env("LIMEN_HSM_PIN", IN_THE_ENVIRONMENT).output().unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["findings"].as_array().unwrap().clone()
}

/// The weight and remedy of a check.
fn of<'a>(findings: &'a [Value], check: &str) -> (&'a str, &'a str) {
    let found = findings.iter().filter(|one| one["check"] == check).max_by_key(|one| one["weight"] == "bad");
    let found = found.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    (found["weight"].as_str().unwrap(), found["remedy"].as_str().unwrap())
}

/// The files of a cluster that does not run, with secrets in its client's configuration.
fn stage() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut prepare = Command::new(env!("CARGO_BIN_EXE_limen"));
    prepare.args(["dev", "up", "--prepare-only", "--dir"]).arg(folder.path()).stdout(Stdio::null());
    assert!(prepare.status().unwrap().success());
    let config = folder.path().join("client.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let planted = format!(
        "# the token's PIN is {IN_A_COMMENT}\n{text}\n[chains.\"eip155:5\"]\nrpc = \"http://me:{IN_AN_ADDRESS}@127.0.0.1:1/\"\n"
    );
    std::fs::write(&config, planted).unwrap();
    (folder, config)
}

/// What must be in no bundle: words, lines of PEM, and keys in every spelling.
fn check_bundle(bundle: &Path, keys: &[&Path]) -> Value {
    let content = std::fs::read(bundle).unwrap();
    assert_eq!(std::fs::metadata(bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let text = String::from_utf8(content.clone()).unwrap();
    for secret in IN_ALL {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let mut needles = Needles::default();
    for key in keys {
        let pem = std::fs::read_to_string(key).unwrap();
        let (body, der): (Vec<_>, _) = (pem.lines().filter(|line| !line.contains("--")).collect(), pem::parse(&pem));
        assert!(body.iter().all(|line| !text.contains(line)), "a line of {} is in {text}", key.display());
        let der = der.unwrap().into_contents();
        der.windows(32).for_each(|piece| needles.add(&key.display().to_string(), piece.try_into().unwrap()));
    }
    assert_eq!(needles.find(&content), None);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn where_nothing_runs_doctor_says_what_is_well_and_what_is_not() {
    let (_folder, config) = stage();
    let output = limen(&config, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = findings(&output);
    for check in ["configuration", "identity", "file key", "file envelope_key", "file cert", "file ca"] {
        assert_eq!(of(&found, check), ("ok", ""), "{found:#?}");
    }
    let (weight, remedy) = of(&found, "coordinator");
    assert!(weight == "bad" && remedy.contains("coordinator runs"), "{remedy}");
    assert_eq!(of(&found, "straight way signer-1").0, "warn");

    let client = ClientConfig::from_file(&config).unwrap();
    std::fs::set_permissions(&client.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&client.cert, IN_A_BAD_FILE).unwrap();
    let output = limen(&config, &["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("mode 644") && text.contains("-> chmod 600"), "{text}");
}

#[test]
fn a_support_bundle_holds_no_secret_whatever_is_broken() {
    let (folder, config) = stage();
    let client = ClientConfig::from_file(&config).unwrap();
    let original = client.key.with_extension("copy");
    std::fs::copy(&client.key, &original).unwrap();
    let keys = [&*original, &*client.envelope_key];
    let bundle = |name: &str| {
        let path = folder.path().join(name);
        let output = limen(&config, &["support-bundle", "--out", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        check_bundle(&path, &keys)
    };
    let plain = bundle("plain.json");
    assert_eq!(plain["client"]["cluster"], client.cluster.as_str());
    assert_eq!(plain["client"]["files"]["key"], "600");
    assert_eq!(plain["client"]["chains"], client.chains.len());
    assert_eq!(plain["doctor"]["worst"], "bad");
    assert!(plain["cluster"].is_null(), "no coordinator runs");

    // Files that hold something else, so that errors speak of their content.
    std::fs::write(&client.cert, format!("-----BEGIN {IN_A_BAD_FILE}-----\n{IN_A_BAD_FILE}\n")).unwrap();
    std::fs::write(&client.key, IN_A_BAD_FILE).unwrap();
    let broken = bundle("files.json");
    assert_eq!(of(broken["doctor"]["findings"].as_array().unwrap(), "identity").0, "bad");

    // A line that the configuration does not know: the parser's words show it.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("pin = \"{IN_A_BAD_LINE}\"\n{text}")).unwrap();
    let said = String::from_utf8(limen(&config, &["doctor"]).stdout).unwrap();
    assert!(said.contains(IN_A_BAD_LINE), "its owner sees the line: {said}");
    let unread = bundle("configuration.json");
    assert!(unread["client"].is_null());
    assert_eq!(of(unread["doctor"]["findings"].as_array().unwrap(), "configuration").0, "bad");

    // What is there already stays as it is.
    let taken = folder.path().join("plain.json").display().to_string();
    let again = limen(&config, &["support-bundle", "--out", &taken]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("not there yet"));
}

/// What deploy/sample says of clients fits its charter.
#[test]
fn the_sample_client_pins_the_signers_of_the_sample_charter() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/sample");
    let client = ClientConfig::from_file(&sample.join("client.toml")).unwrap();
    let charter = Charter::from_toml(&std::fs::read_to_string(sample.join("charter.toml")).unwrap()).unwrap();
    assert_eq!(client.cluster, charter.cluster);
    assert!(charter.requesters.contains_key(&client.requester));
    let pinned: Vec<_> =
        client.nodes.iter().map(|node| (&node.id, node.public_key, node.address.as_deref().unwrap())).collect();
    let charted: Vec<_> = charter.nodes.iter().map(|node| (&node.id, node.public_key, node.address.as_str())).collect();
    assert_eq!(pinned, charted);
}
