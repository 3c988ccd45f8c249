//! Encodings that live longer than any release: a change here strands receipts that people keep.
//!
//! The files in `tests/vectors` are made here when they are missing, and must be the same for ever after.

use std::fs;
use std::path::{Path, PathBuf};

use limen_evidence::ceremony::GenesisProof;
use limen_evidence::receipt::{Finality, Receipt};
use limen_evidence::trust::Trust;
use limen_wire::ids::Scheme;

use crate::story::{SCHEMES, Story, trust_file};

/// Compares with the file of that name; makes it if there is none, and fails so that somebody looks at it.
fn frozen(name: &str, made: &str) {
    let file = vector(name);
    match fs::read_to_string(&file) {
        Ok(kept) => assert_eq!(kept, made, "{name} has changed"),
        Err(_) => {
            fs::write(&file, made).unwrap();
            panic!("{name} was missing and has been made: look at it and keep it");
        }
    }
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(48).map(|line| hex::encode(line) + "\n").collect()
}

fn from_hex_lines(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

#[test]
fn receipts_keep_their_bytes() {
    for scheme in SCHEMES {
        frozen(&format!("receipt-{scheme}.hex"), &hex_lines(&Story::new(scheme).receipt().encode()));
    }
    frozen("receipt-ecdsa-p256.hex", &hex_lines(&Story::held().receipt().encode()));
    let early = Story { cosigning: vec![2], ..Story::new(Scheme::EcdsaSecp256k1) };
    frozen("receipt-not-final.hex", &hex_lines(&early.receipt().encode()));
}

#[test]
fn leaves_keep_their_bytes() {
    let receipt = Story::new(Scheme::EcdsaSecp256k1).receipt();
    frozen("leaf-authorization.hex", &hex_lines(&receipt.authorizations[0].leaf));
    frozen("leaf-signature.hex", &hex_lines(&receipt.signature.leaf));
}

#[test]
fn checkpoints_and_trust_files_keep_their_text() {
    frozen("checkpoint.txt", &Story::new(Scheme::EcdsaSecp256k1).receipt().checkpoint.to_note());
    frozen("trust.toml", &trust_file());
}

fn kept(name: &str) -> Receipt {
    Receipt::decode(&from_hex_lines(&fs::read_to_string(vector(name)).unwrap())).unwrap()
}

#[test]
fn kept_receipts_verify_under_the_kept_trust_file() {
    let trust = Trust::from_toml(&fs::read_to_string(vector("trust.toml")).unwrap()).unwrap();
    let held = Story::held().statement;
    let naming = trust.clone().with_hsm_keys([(held.key_id, held.nodes[0].clone())]);
    let need = 3;
    for (name, finality) in [
        ("receipt-ecdsa-secp256k1.hex", Finality::Final),
        ("receipt-eddsa-ed25519.hex", Finality::Final),
        ("receipt-schnorr-bip340.hex", Finality::Final),
        ("receipt-not-final.hex", Finality::NotYet { have: 1, need }),
    ] {
        assert_eq!(kept(name).verify(&trust).unwrap().finality, finality);
    }
    assert_eq!(kept("receipt-ecdsa-p256.hex").verify(&naming).unwrap().finality, Finality::Final);
    assert!(kept("receipt-ecdsa-p256.hex").verify(&trust).is_err(), "a key in one token that nobody names");
}

/// Made once by the engine of that day, on throw-away keys. What is verified must not depend on rules that come later.
#[test]
fn a_record_of_a_genesis_holds_for_ever() {
    let bytes = fs::read(vector("genesis.record")).unwrap();
    let proof = GenesisProof::read(&bytes).unwrap();
    let name = "056af1ac5a4c5190e1f593c9c80144508f04c5cac59b6ed4f359001f41fc1e0f";
    assert_eq!(proof.name().map(|name| name.to_string()).as_deref(), Some(name));
    for machine in proof.charter().machines() {
        proof.admits(proof.charter().hash(), &machine.id, &machine.public_key).unwrap();
    }
}
