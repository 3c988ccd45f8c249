//! Proofs of custodians, well formed or not.

use limen_wire::backup::BackupProof;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[1; 32].into())
}

fn sample() -> pb::BackupProof {
    pb::BackupProof {
        version: 1,
        cluster: "test".to_owned(),
        key_id: "cold-1".to_owned(),
        epoch: 3,
        member: 2,
        backup: vec![4; 32].into(),
        person: "anna".to_owned(),
        credential: "anna-token".to_owned(),
        asked_by: "signer-2".to_owned(),
        nonce: vec![5; 32].into(),
        proof: vec![6; 64].into(),
        made_at_secs: 1_700_000_000,
    }
}

fn sealed(raw: &pb::BackupProof) -> pb::Envelope {
    seal(PayloadType::BackupProof, raw.encode_to_vec(), "anna-token", &key())
}

#[test]
fn a_proof_is_read_as_it_was_written() {
    let envelope = sealed(&sample());
    assert_eq!(envelope.payload_type, "application/vnd.limen.backup-proof.v1+protobuf");
    let (proof, opened) = BackupProof::open(&envelope).unwrap();
    opened.verify("anna-token", &key().public_key()).unwrap();
    assert_eq!((proof.member.as_u8(), proof.epoch.0, proof.asked_by.as_str()), (2, 3, "signer-2"));
    assert_eq!(proof.to_unsigned().sign("anna-token", &key()), envelope);
}

#[test]
fn a_field_that_is_missing_or_malformed_is_refused_by_name() {
    type Edit = fn(&mut pb::BackupProof);
    let edits: [(&str, Edit); 15] = [
        ("version", |raw| raw.version = 2),
        ("cluster", |raw| raw.cluster = "Test".to_owned()),
        ("key_id", |raw| raw.key_id.clear()),
        ("member", |raw| raw.member = 0),
        ("member", |raw| raw.member = 256),
        ("member", |raw| raw.member = 65_537),
        ("backup", |raw| raw.backup = vec![4; 31].into()),
        ("person", |raw| raw.person.clear()),
        ("credential", |raw| raw.credential = "a b".to_owned()),
        ("asked_by", |raw| raw.asked_by.clear()),
        ("nonce", |raw| raw.nonce = vec![5; 33].into()),
        ("nonce", |raw| raw.nonce.clear()),
        ("proof", |raw| raw.proof = vec![6; 63].into()),
        ("proof", |raw| raw.proof.clear()),
        ("made_at_secs", |raw| raw.made_at_secs = 0),
    ];
    for (name, edit) in edits {
        let mut raw = sample();
        edit(&mut raw);
        let refused = BackupProof::open(&sealed(&raw)).unwrap_err().to_string();
        assert!(refused.contains(name), "{name}: {refused}");
    }
    let other = seal(PayloadType::Check, sample().encode_to_vec(), "anna-token", &key());
    BackupProof::open(&other).unwrap_err();
    let mut longer = sample().encode_to_vec();
    longer.extend([0x78, 1]);
    BackupProof::open(&seal(PayloadType::BackupProof, longer, "anna-token", &key())).unwrap_err();
}
