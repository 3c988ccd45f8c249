//! Whole keys dealt by the program.

use std::process::Command;

use limen_recover::age::x25519;

use crate::command::program;

/// 3 times the generator of secp256k1 has even y, its negative odd y.
const EVEN: &str = "0000000000000000000000000000000000000000000000000000000000000003";
const ODD: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd036413e";

fn deal(secret: &str, scheme: &str, more: &[&str]) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("whole"), secret).unwrap();
    let member = |n| format!("n{n}={}", x25519::Identity::generate().to_public());
    let (one, two) = (member(1), member(2));
    let fixed =
        ["deal", "whole", "--from", "scalar", "--cluster", "acme", "--key", "old", "--required", "2", "--out", "dealt"];
    let mut command = Command::new(program());
    command.args(fixed).args(["--scheme", scheme, "--member", &one, "--member", &two]).args(more);
    let output = command.current_dir(dir.path()).output().unwrap();
    match output.status.success() {
        true => Ok(std::fs::read_to_string(dir.path().join("dealt/import.public")).unwrap()),
        false => {
            assert!(!dir.path().join("dealt").exists(), "nothing is written");
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }
}

#[test]
fn an_x_only_key_of_odd_y_is_not_dealt_with_the_chain_code_of_its_children() {
    let code = "07".repeat(32);
    let old = ["--chain-code", &code];
    let even = deal(EVEN, "schnorr-bip340", &old).unwrap();
    assert!(even.contains(&code));
    let refused = deal(ODD, "schnorr-bip340", &old).unwrap_err();
    assert!(refused.contains("odd y") && refused.contains("--new-chain-code"), "{refused}");
    let point = |text: &str| text.lines().find(|line| line.starts_with("public_key: ")).unwrap().to_owned();
    let anew = deal(ODD, "schnorr-bip340", &["--new-chain-code"]).unwrap();
    assert_eq!(point(&anew), point(&even));
    assert!(!anew.contains(&code));
    // Its parity is part of an ECDSA key.
    assert!(deal(ODD, "ecdsa-secp256k1", &old).unwrap().contains(&code));
}
