//! `limen verify receipt`: offline, with the kept receipts of the evidence crate.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors").join(name)
}

/// A folder with a receipt made of a kept vector.
fn receipt(name: &str, spoil: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let digits: String = std::fs::read_to_string(vector(name)).unwrap().split_whitespace().collect();
    let mut bytes = hex::decode(digits).unwrap();
    spoil(&mut bytes);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("receipt"), bytes).unwrap();
    folder
}

fn verify(folder: &tempfile::TempDir, trust: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
    command.args(["verify", "receipt"]).arg(folder.path().join("receipt")).arg("--trust").arg(trust).args(more);
    // neither cluster nor configuration is needed
    command.current_dir(folder.path()).env_remove("LIMEN_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_receipt_is_told_in_words() {
    let output = verify(&receipt("receipt-ecdsa-secp256k1.hex", |_| {}), &vector("trust.toml"), &[]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in [
        "this receipt is final",
        "alice as \"order-1\"",
        "treasury (2-of-3, epoch 4)",
        "transfer of 500000000000000000 eip155:1/slip44:60",
        "to 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "allowed by   signer-1, signer-3",
        "with at most 1 corrupt, 1 of these are honest at least",
        "cosigned by  signer-1, signer-2, witness-1 (3 needed)",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    assert!(!said.contains("LOWERED"), "{said}");
}

#[test]
fn a_receipt_is_told_as_json() {
    for name in ["receipt-eddsa-ed25519.hex", "receipt-schnorr-bip340.hex"] {
        let output = verify(&receipt(name, |_| {}), &vector("trust.toml"), &["--output", "json", "--require-final"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&said["verified"], &said["final"], &said["quorum"]), (&true.into(), &true.into(), &3.into()));
        assert_eq!(said["effects"][0]["class"], "message");
        assert_eq!(said["effects_agree"], true);
        assert_eq!(said["authorizations"][1]["node"], "signer-3");
        assert_eq!(said["authorizations"][1]["approvals"].as_array().unwrap().len(), 2);
        assert_eq!((&said["max_corrupt"], &said["max_corrupt_lowered"]), (&1.into(), &false.into()));
        assert_eq!(said["log"]["origin"], "limen/test/log");
    }
}

#[test]
fn not_final_yet_is_an_answer_and_an_error_only_where_it_is_asked_for() {
    let folder = receipt("receipt-not-final.hex", |_| {});
    let output = verify(&folder, &vector("trust.toml"), &[]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("NOT FINAL YET: 1 of 3"), "{}", text(&output.stdout));
    let output = verify(&folder, &vector("trust.toml"), &["--require-final"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert!(error.contains("1 of the 3") && error.contains("not_final") && error.contains("newer receipt"), "{error}");
}

#[test]
fn a_spoiled_receipt_proves_nothing() {
    type Spoil = fn(&mut Vec<u8>);
    let spoils: [(Spoil, &str); 4] = [
        (|bytes| bytes[0] = 0, "does not begin as a receipt"),
        (|bytes| bytes.truncate(700), "the bytes end inside"),
        (|bytes| bytes.push(b'\n'), "1 bytes follow"),
        (|bytes| *bytes.get_mut(150).unwrap() ^= 1, "proves nothing"),
    ];
    for (spoil, words) in spoils {
        let output =
            verify(&receipt("receipt-ecdsa-secp256k1.hex", spoil), &vector("trust.toml"), &["--output", "json"]);
        assert_eq!(output.status.code(), Some(5));
        assert!(output.stdout.is_empty());
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "not_verified");
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
}

#[test]
fn a_trust_file_that_says_something_else_is_not_believed_and_one_that_says_nothing_is_named() {
    let folder = receipt("receipt-ecdsa-secp256k1.hex", |_| {});
    let trust = folder.path().join("trust.toml");
    let good = std::fs::read_to_string(vector("trust.toml")).unwrap();
    for (find, put, code, words) in [
        ("cluster = \"test\"", "cluster = \"prod\"", 5, "the trust file is for prod"),
        ("quorum = 3", "quorum = 2", 2, "two different logs can become final"),
        ("[committee]", "[comittee]", 2, "comittee"),
        ("p256:026f", "p256:02", 2, "public_key of node signer-1"),
    ] {
        std::fs::write(&trust, good.replacen(find, put, 1)).unwrap();
        let output = verify(&folder, &trust, &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(words) && error.contains("remedy"), "{words}: {error}");
    }
    let output = verify(&folder, &folder.path().join("absent.toml"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("could not read"), "{}", text(&output.stderr));
}
