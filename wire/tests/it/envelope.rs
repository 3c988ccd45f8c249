use bytes::Bytes;
use limen_wire::envelope::{self, EnvelopeError, PayloadType};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::{limits, pb};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

fn sealed() -> (pb::Envelope, PublicKey) {
    (envelope::seal(PayloadType::Cancellation, b"payload".to_vec(), "alice", &key(1)), key(1).public_key())
}

fn verify(envelope: &pb::Envelope, key: &PublicKey) -> Result<(), EnvelopeError> {
    envelope::open(envelope, PayloadType::Cancellation)?.verify("alice", key)
}

#[test]
fn the_encoding_is_that_of_the_specification() {
    // Test vector of the DSSE v1 protocol document.
    let encoded = envelope::pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn what_was_signed_verifies() {
    let (envelope, key) = sealed();
    verify(&envelope, &key).unwrap();
}

#[test]
fn every_spoiled_part_is_refused() {
    let (good, alice) = sealed();
    let spoil = |change: &dyn Fn(&mut pb::Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        verify(&envelope, &alice).expect_err("must be refused")
    };
    let other = PayloadType::Intent.as_str();
    assert!(matches!(spoil(&|e| e.payload_type = other.to_owned()), EnvelopeError::WrongType { .. }));
    assert!(matches!(spoil(&|e| e.payload = Bytes::from_static(b"Payload")), EnvelopeError::BadSignature { .. }));
    assert!(matches!(spoil(&|e| e.signatures.clear()), EnvelopeError::NotSigned { .. }));
    assert!(matches!(spoil(&|e| e.signatures[0].signer = "bob".to_owned()), EnvelopeError::NotSigned { .. }));
    assert!(matches!(spoil(&|e| e.signatures.push(e.signatures[0].clone())), EnvelopeError::SignedTwice { .. }));
    assert!(matches!(spoil(&|e| e.signatures[0].signature = Bytes::new()), EnvelopeError::BadSignature { .. }));
    let long = vec![0; limits::SIGNATURE_BYTES + 1];
    assert!(matches!(spoil(&|e| e.signatures[0].signature = long.clone().into()), EnvelopeError::TooLarge { .. }));
    let many = vec![good.signatures[0].clone(); limits::ENVELOPE_SIGNATURES + 1];
    assert!(matches!(spoil(&|e| e.signatures = many.clone()), EnvelopeError::TooLarge { .. }));
    let big = vec![0; limits::ENVELOPE_PAYLOAD_BYTES + 1];
    assert!(matches!(spoil(&|e| e.payload = big.clone().into()), EnvelopeError::TooLarge { .. }));
    assert!(matches!(verify(&good, &key(2).public_key()), Err(EnvelopeError::BadSignature { .. })));
}

#[test]
fn one_kind_of_payload_is_never_taken_for_another() {
    // The same bytes signed as a cancellation must not verify as an intent, even when the type is swapped.
    let (mut envelope, alice) = sealed();
    envelope.payload_type = PayloadType::Intent.as_str().to_owned();
    let opened = envelope::open(&envelope, PayloadType::Intent).unwrap();
    assert!(matches!(opened.verify("alice", &alice), Err(EnvelopeError::BadSignature { .. })));
}

#[test]
fn only_the_canonical_encoding_is_read() {
    let canonical = [0x08, 0x01, 0x12, 0x01, b'c'];
    let decode = |payload: &[u8]| {
        let envelope = envelope::seal(PayloadType::Cancellation, payload.to_vec(), "alice", &key(1));
        envelope::open(&envelope, PayloadType::Cancellation).unwrap().decode::<pb::Cancellation>("cancellation")
    };
    decode(&canonical).unwrap();
    let refused: [&[u8]; 6] = [
        &[0x12, 0x01, b'c', 0x08, 0x01],                   // order of fields
        &[0x08, 0x01, 0x12, 0x01, b'c', 0x2a, 0x00],       // a default written out
        &[0x08, 0x81, 0x00, 0x12, 0x01, b'c'],             // a long form of 1
        &[0x08, 0x01, 0x12, 0x01, b'c', 0x78, 0x01],       // an unknown field
        &[0x08, 0x01, 0x12, 0x01, b'b', 0x12, 0x01, b'c'], // a field twice
        &[0x08, 0x01, 0x12, 0x05, b'c'],                   // cut short
    ];
    for payload in refused {
        assert!(matches!(decode(payload), Err(EnvelopeError::NotCanonical { .. })), "{payload:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Type and payload cannot be shifted against each other: the encoding is injective.
    #[test]
    fn the_encoding_is_injective(a in ".{0,12}", b in proptest::collection::vec(any::<u8>(), 0..12),
                                 c in ".{0,12}", d in proptest::collection::vec(any::<u8>(), 0..12)) {
        let same = envelope::pre_authentication_encoding(&a, &b) == envelope::pre_authentication_encoding(&c, &d);
        prop_assert_eq!(same, a == c && b == d);
    }

    /// No bytes make any reader panic.
    #[test]
    fn garbage_is_refused_quietly(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let envelope = envelope::seal(PayloadType::Intent, payload.clone(), "alice", &key(1));
        let _ = limen_wire::intent::Intent::open(&envelope);
        let envelope = envelope::seal(PayloadType::KeyGeneration, payload.clone(), "alice", &key(1));
        let _ = limen_wire::intent::KeyGeneration::open(&envelope);
        let envelope = envelope::seal(PayloadType::KeyStatement, payload, "alice", &key(1));
        let _ = limen_wire::statement::KeyStatement::decode(&envelope);
    }
}
