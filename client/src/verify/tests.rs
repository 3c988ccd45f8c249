use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, NodeId, Protocol};
use limen_wire::keys::SigningKey;
use limen_wire::{effects::sha256, intent::seal_intent};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;

use super::*;

fn secret() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn held() -> KeyStatement {
    KeyStatement {
        cluster: ClusterId::new("test").unwrap(),
        key_id: KeyId::new("papers").unwrap(),
        scheme: Scheme::EcdsaP256,
        protocol: Protocol::Hsm,
        epoch: Epoch::FIRST,
        size: CommitteeSize::ALONE,
        nodes: vec![NodeId::new("n1").unwrap()],
        public_key: secret().verifying_key().to_encoded_point(true).as_bytes().to_vec(),
        chain_code: [0; 32],
        verifying_shares_hash: [8; 32],
        generation_id: IntentId::new([9; 32]),
        was_whole: false,
    }
}

fn intent(chain: &str, path: Vec<u32>, payload: pb::intent::Payload) -> Intent {
    let raw = pb::Intent {
        version: 1,
        cluster: "test".to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: "a".to_owned(),
        key_id: "papers".to_owned(),
        chain: chain.to_owned(),
        path,
        expires_at_secs: 1,
        payload: Some(payload),
        ..pb::Intent::default()
    };
    let (_, envelope) = seal_intent(&raw, &SigningKey::ed25519_from_seed(&[1; 32].into())).unwrap();
    Intent::open(&envelope).unwrap().0
}

fn message(chain: &str, path: Vec<u32>) -> Intent {
    intent(chain, path, pb::intent::Payload::Message(b"paid in full".as_slice().into()))
}

/// `r ‖ s`, with the lower S or the greater one, and its recovery id.
fn signed(low: bool) -> ([u8; 64], u32) {
    let hash = sha256(b"paid in full");
    let (one, id) = secret().sign_prehash_recoverable(&hash).unwrap();
    let negated = p256::ecdsa::Signature::from_scalars(*one.r(), -*one.s()).unwrap();
    if one.normalize_s().is_none() == low {
        return (one.to_bytes().into(), id.to_byte().into());
    }
    (negated.to_bytes().into(), (id.to_byte() ^ 1).into())
}

fn result(signature: &[u8], recovery_id: u32) -> pb::SignatureResult {
    pb::SignatureResult { signature: signature.to_vec().into(), recovery_id, ..Default::default() }
}

#[test]
fn a_p256_signature_over_a_message_is_believed_as_far_as_it_verifies() {
    let (key, wanted) = (held(), message("", Vec::new()));
    let (bytes, id) = signed(true);
    let believed = verify(&wanted, &key, &result(&bytes, id)).unwrap();
    assert_eq!((believed.signature, u32::from(believed.recovery_id)), (bytes, id));
    assert_eq!(believed.address.as_str(), hex::encode(&key.public_key));
    let refused = |bytes: &[u8], id| assert!(verify(&wanted, &key, &result(bytes, id)).is_err());
    (0..=4).filter(|other| *other != id).for_each(|other| refused(&bytes, other));
    let (high, high_id) = signed(false);
    refused(&high, high_id);
    for half in [0..32, 32..64] {
        let mut zero = bytes;
        zero[half].fill(0);
        refused(&zero, id);
    }
    // By the same scalar on the other curve.
    let elsewhere = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let elsewhere: k256::ecdsa::Signature = elsewhere.sign_prehash(&sha256(b"paid in full")).unwrap();
    (0..=3).for_each(|id| refused(&elsewhere.to_bytes(), id));
}

#[test]
fn a_p256_key_has_neither_a_chain_nor_children() {
    let key = held();
    let (bytes, id) = signed(true);
    let transaction = intent("eip155:1", Vec::new(), pb::intent::Payload::EvmTransaction(vec![2, 0xc0].into()));
    for (wanted, because) in [(&transaction, "no address on chain"), (&message("", vec![1]), "no chain code")] {
        let error = verify(wanted, &key, &result(&bytes, id)).unwrap_err();
        let told = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let told: String = told.map(|error| format!("{error}; ")).collect();
        assert!(told.contains(because), "{told}");
    }
}
