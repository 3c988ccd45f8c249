//! `limen dev up --once --json`, checked by other people's libraries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{PATIENCE, binaries, prepare, repository};
use super::packages::or_offline;

/// `limen dev up --once --json` in a folder.
pub(crate) fn up_command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
    command.args(["dev", "up", "--once", "--json", "--dir"]).arg(dir).arg("--bin-dir").arg(binaries());
    command.arg("--dev-chain").arg(repository().join("cli/dev-chain"));
    command
}

/// Runs it to its end, and gives its report.
pub(crate) fn up(dir: &Path, more: &[&str]) -> Value {
    let output = up_command(dir).args(more).output().unwrap();
    let logs = || Command::new("tail").args(["-n", "20"]).arg(dir.join("logs/coordinator-1.log")).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&logs().stdout)
    );
    serde_json::from_slice(&std::fs::read(dir.join("up.json")).unwrap()).unwrap()
}

/// The folder where npm has installed viem.
pub(crate) fn viem() -> Option<PathBuf> {
    let folder = repository().join("chain/tests/differential");
    let found = folder.join("node_modules/viem").is_dir().then_some(folder);
    or_offline(found, "viem (npm packages of chain/tests/differential)")
}

/// viem recovers the address from each transaction, Node.js verifies the message: neither is ours.
fn check_independently(report: &Path) {
    let Some(folder) = viem() else { return };
    let output = Command::new("node")
        .arg(repository().join("cli/tests/it/e2e/check.mjs"))
        .arg(folder)
        .arg(report)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stdout));
}

fn check(report: &Value, has_chain: bool) {
    let moved = |withdrawal: &Value, key: usize| {
        assert_eq!(withdrawal["from"], report["keys"][key]["address"]);
        assert_eq!(withdrawal["block_number"].is_u64(), has_chain);
    };
    let withdrawals = report["withdrawals"].as_array().unwrap();
    assert_eq!(withdrawals.len(), 2);
    withdrawals.iter().for_each(|withdrawal| moved(withdrawal, 0));
    assert_eq!(report["keys"][1]["scheme"], "eddsa-ed25519");
    assert_eq!(report["messages"].as_array().unwrap().len(), 1);

    let acts = report["acts"].as_array().unwrap();
    let names: Vec<&str> = acts.iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!(names, ["limit_reached", "approved", "refused", "frozen"]);
    let [limit, approved, refused, frozen] = acts.as_slice() else { panic!("{acts:?}") };
    let places = ["hot-a-place-a-minute", "5", "4.8", "4.5"].map(Value::from);
    assert_eq!(["limit", "bound", "asked", "left"].map(|field| limit[field].clone()), places);
    let people: Vec<&Value> = approved["approvals"].as_array().unwrap().iter().map(|one| &one["person"]).collect();
    assert_eq!(people, ["anna", "carla"]);
    assert!(approved["waited_seconds"].as_f64() >= approved["delay_secs"].as_f64());
    moved(&approved["withdrawal"], 2);
    assert_eq!(refused["rule"], "cold: nowhere else");
    let signers = report["endpoints"]["signers"].as_array().unwrap().len();
    assert_eq!(refused["said"].as_object().unwrap().len(), signers);
    assert_eq!((&frozen["scope"], frozen["in_force"].as_u64()), (&"vault:hot".into(), Some(signers as u64)));
    assert!(frozen["waited_seconds"].as_f64() >= frozen["delay_secs"].as_f64());
    moved(&frozen["withdrawal"], 0);
}

/// Whether npm has installed anvil.
fn has_chain() -> bool {
    let folder = repository().join("cli/dev-chain/node_modules/@foundry-rs");
    or_offline(folder.is_dir().then_some(()), "anvil (npm packages of cli/dev-chain)").is_some()
}

/// The number of the hot account that a report burnt last.
fn last_nonce(report: &Value) -> u64 {
    report["acts"][3]["withdrawal"]["nonce"].as_u64().unwrap()
}

/// The account's numbers that a report's withdrawals burnt.
pub(crate) fn nonces(report: &Value) -> Vec<u64> {
    report["withdrawals"].as_array().unwrap().iter().map(|done| done["nonce"].as_u64().unwrap()).collect()
}

#[test]
fn value_moves_and_a_second_up_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = up(folder.path(), &[]);
    check(&first, has_chain());
    check_independently(&folder.path().join("up.json"));
    let started = Instant::now();
    let second = up(folder.path(), &[]);
    assert!(started.elapsed() < Duration::from_secs(60));
    check(&second, has_chain());
    assert_eq!(first["keys"], second["keys"], "keys are kept");
    assert_ne!(first["withdrawals"][0]["tx_hash"], second["withdrawals"][0]["tx_hash"]);
    check_independently(&folder.path().join("up.json"));
}

#[test]
fn three_of_five_sign_too() {
    let folder = tempfile::tempdir().unwrap();
    let report = up(folder.path(), &["--signers", "5", "--required", "3"]);
    check(&report, has_chain());
    assert_eq!(
        (report["keys"][0]["signers_required"].as_u64(), report["keys"][0]["signers_total"].as_u64()),
        (Some(3), Some(5))
    );
    check_independently(&folder.path().join("up.json"));
}

/// The whole story with a token under each signer, twice; and what lies on a signer's disk opens with its own token only.
#[test]
fn value_moves_with_a_token_under_each_signer() {
    if limen_hsm::conformance::softhsm().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let first = up(folder.path(), &["--hsm"]);
    check(&first, has_chain());
    check_independently(&folder.path().join("up.json"));
    for index in 1..=3 {
        let signer = folder.path().join(format!("signer-{index}"));
        assert!(!signer.join("share-wrapping.key").exists(), "nothing seals by software");
        assert!(!signer.join("node.key").exists() && !signer.join("node.crt").exists(), "its identity is in its token");
        let identity = std::fs::read_to_string(signer.join("hsm/identity")).unwrap();
        let charter = std::fs::read_to_string(folder.path().join("charter.toml")).unwrap();
        assert!(charter.contains(&format!("public_key = \"{identity}\"")), "{identity}");
        let log = std::fs::read_to_string(folder.path().join(format!("logs/signer-{index}.log"))).unwrap();
        assert!(log.contains("what seals the shares works") && !log.contains("DANGER: shares"), "{log}");
    }
    // A second one goes on, and takes the tokens for granted.
    let second = up(folder.path(), &[]);
    check(&second, has_chain());
    assert_eq!(first["keys"], second["keys"], "keys are kept");
    // Another signer's token opens nothing here.
    let tokens = |index: u32| folder.path().join(format!("signer-{index}/hsm/tokens"));
    let aside = folder.path().join("aside");
    std::fs::rename(tokens(1), &aside).unwrap();
    std::fs::rename(tokens(2), tokens(1)).unwrap();
    std::fs::rename(&aside, tokens(2)).unwrap();
    let mut running = up_command(folder.path()).spawn().unwrap();
    for index in 1..=2 {
        let log = folder.path().join(format!("logs/signer-{index}.log"));
        let started = Instant::now();
        let says = |words: &str| std::fs::read_to_string(&log).unwrap().contains(words);
        while !says("what seals the shares does not work: nothing is signed")
            || !says("ALARM: starting without the token of this node's identity")
        {
            assert!(started.elapsed() < PATIENCE, "{}", std::fs::read_to_string(&log).unwrap());
            std::thread::yield_now();
        }
    }
    assert!(Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap().success());
    assert!(!running.wait().unwrap().success());
}

#[test]
fn a_story_that_goes_otherwise_than_told_fails() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), 3, 2);
    let charter = folder.path().join("charter.toml");
    let text = std::fs::read_to_string(&charter).unwrap();
    let hasty = text.replace("delay_secs = 3\n", "delay_secs = 0\n");
    assert_ne!(hasty, text);
    std::fs::write(&charter, hasty).unwrap();
    let nowhere = folder.path().join("no-packages");
    let output = up_command(folder.path()).arg("--dev-chain").arg(nowhere).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("should be time-locked, but it is signed"), "{error}");
    assert!(!folder.path().join("up.json").exists());
}

#[test]
fn without_a_chain_it_signs_and_a_second_up_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = folder.path().join("cluster");
    let nowhere = folder.path().join("no-packages").display().to_string();
    let mut burnt = Vec::new();
    for _ in 0..2 {
        let report = up(&cluster, &["--dev-chain", &nowhere]);
        check(&report, false);
        check_independently(&cluster.join("up.json"));
        burnt.extend(nonces(&report));
        // That of the request which found no room in its limit was taken over.
        burnt.push(last_nonce(&report));
    }
    assert_eq!(burnt, [0, 1, 2, 3, 4, 5], "no number is used again");
    // A chain that comes later knows nothing of the numbers that were signed without it.
    if has_chain() {
        let report = up(&cluster, &[]);
        check(&report, true);
        assert_eq!(nonces(&report), [6, 7]);
    }
}
