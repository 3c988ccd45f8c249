//! Approvals: one encoding, one digest over every field, and what is not well formed.

use bytes::Bytes;
use limen_wire::approval::{Approval, Assertion, Proof, SignedApproval, Verdict};
use limen_wire::envelope::PayloadType;
use limen_wire::ids::{ApprovalId, FreezeEpoch, IntentId, SliceHash};
use limen_wire::intent::IntentError;
use limen_wire::{limits, pb};
use prost::Message as _;

fn sample() -> Approval {
    Approval {
        cluster: "test".parse().unwrap(),
        intent_id: IntentId::new([1; 32]),
        effects_digest: [2; 32],
        decoder_version: 1,
        slice: SliceHash::new([3; 32]),
        freeze_epoch: FreezeEpoch::new([4; 32]),
        person: "alice".parse().unwrap(),
        credential: "alice-token".parse().unwrap(),
        preceding: None,
        expires_at_secs: 1_800_000_000,
        verdict: Verdict::Approve,
        reason: String::new(),
        nonce: [5; 32],
    }
}

fn rejection() -> Approval {
    let preceding = Some(sample().digest());
    Approval { verdict: Verdict::Reject, reason: "wrong amount".to_owned(), preceding, ..sample() }
}

fn assertion() -> Assertion {
    Assertion {
        authenticator_data: Bytes::from_static(&[6; 37]),
        client_data: Bytes::from_static(b"{}"),
        signature: Bytes::from_static(&[7; 70]),
    }
}

fn signed(approval: Approval) -> SignedApproval {
    SignedApproval { approval, proof: Proof::Signature([7; 64]) }
}

#[test]
fn what_is_written_reads_back() {
    let withdrawal = Approval { verdict: Verdict::Withdraw, ..sample() };
    for approval in [sample(), rejection(), withdrawal] {
        for proof in [Proof::Signature([7; 64]), Proof::Assertion(assertion())] {
            let written = SignedApproval { approval: approval.clone(), proof };
            assert_eq!(SignedApproval::open(&written.to_envelope()), Ok(written));
        }
    }
}

#[test]
fn the_digest_never_changes() {
    // Computed apart from this code, from docs/approvals.md and SHA-256 alone.
    assert_eq!(sample().digest().to_string(), "31e0c434e32a345ea1408a3359b10b5d2581ab2b46d7661041b423ab2a07f3c9");
    assert_eq!(rejection().digest().to_string(), "487c3e4839799d84aec39ae5df64cd1caf877118659f3e1303ae2a305e7a51b8");
    let withdrawal = Approval { verdict: Verdict::Withdraw, reason: String::new(), ..rejection() };
    assert_eq!(withdrawal.digest().to_string(), "883dbf26343dbec3de6a5aa09a28f6b5ba11fc7113135ce302acfd3c376e1c20");
}

#[test]
fn the_encoding_never_changes() {
    let payload = "0a800208011204746573741a200101010101010101010101010101010101010101010101010101010101010101222002\
                   020202020202020202020202020202020202020202020202020202020202022801322003030303030303030303030303\
                   030303030303030303030303030303030303033a20040404040404040404040404040404040404040404040404040404\
                   04040404044205616c6963654a0b616c6963652d746f6b656e522031e0c434e32a345ea1408a3359b10b5d2581ab2b46\
                   d7661041b423ab2a07f3c95880a4a7da0660026a0c77726f6e6720616d6f756e74722005050505050505050505050505\
                   050505050505050505050505050505050505051240070707070707070707070707070707070707070707070707070707\
                   07070707070707070707070707070707070707070707070707070707070707070707070707";
    assert_eq!(hex::encode(&signed(rejection()).to_envelope().payload), payload);
}

#[test]
fn every_field_is_part_of_the_digest() {
    let changes: [&dyn Fn(&mut Approval); 13] = [
        &|a| a.cluster = "other".parse().unwrap(),
        &|a| a.intent_id = IntentId::new([9; 32]),
        &|a| a.effects_digest = [9; 32],
        &|a| a.decoder_version = 2,
        &|a| a.slice = SliceHash::new([9; 32]),
        &|a| a.freeze_epoch = FreezeEpoch::new([9; 32]),
        &|a| a.person = "bob".parse().unwrap(),
        &|a| a.credential = "alice-phone".parse().unwrap(),
        &|a| a.preceding = Some(ApprovalId::new([9; 32])),
        &|a| a.expires_at_secs += 1,
        &|a| a.verdict = Verdict::Withdraw,
        &|a| a.reason = "why".to_owned(),
        &|a| a.nonce = [9; 32],
    ];
    let mut seen = std::collections::BTreeSet::from([sample().digest()]);
    for (index, change) in changes.iter().enumerate() {
        let mut approval = sample();
        change(&mut approval);
        assert!(seen.insert(approval.digest()), "change {index} leaves the digest as it is");
    }
}

/// Opens the rejection above after a change to its wire form.
fn spoiled(change: impl FnOnce(&mut pb::SignedApproval)) -> IntentError {
    let mut envelope = signed(rejection()).to_envelope();
    let mut raw = pb::SignedApproval::decode(envelope.payload.as_ref()).unwrap();
    change(&mut raw);
    envelope.payload = raw.encode_to_vec().into();
    SignedApproval::open(&envelope).unwrap_err()
}

#[test]
fn every_field_out_of_shape_is_refused_by_name() {
    let short = || Bytes::from_static(&[1; 31]);
    let changes: [(&str, &dyn Fn(&mut pb::Approval)); 16] = [
        ("version", &|a| a.version = 2),
        ("cluster", &|a| a.cluster = "Test".to_owned()),
        ("intent_id", &|a| a.intent_id = short()),
        ("effects_digest", &|a| a.effects_digest = short()),
        ("slice_hash", &|a| a.slice_hash = short()),
        ("freeze_epoch", &|a| a.freeze_epoch = short()),
        ("person", &|a| a.person = String::new()),
        ("credential", &|a| a.credential = "a b".to_owned()),
        ("preceding", &|a| a.preceding = short()),
        ("expires_at_secs", &|a| a.expires_at_secs = 0),
        ("verdict", &|a| a.verdict = 0),
        ("verdict", &|a| a.verdict = 4),
        ("reason", &|a| a.reason = " ".to_owned()),
        ("reason", &|a| a.reason = "x".repeat(limits::NOTE_BYTES + 1)),
        ("reason", &|a| a.reason = "\u{1b}[2J".to_owned()),
        ("nonce", &|a| a.nonce = short()),
    ];
    for (field, change) in changes {
        let error = spoiled(|raw| change(raw.approval.as_mut().unwrap()));
        assert!(error.to_string().starts_with(&format!("field {field}: ")), "{field}: {error}");
    }
    let reason = spoiled(|raw| raw.approval.as_mut().unwrap().verdict = pb::Verdict::Approve as i32);
    assert!(reason.to_string().starts_with("field reason"), "{reason}");
}

#[test]
fn proofs_out_of_shape_are_refused_by_name() {
    use pb::signed_approval::Proof as Raw;
    let wire = || pb::Assertion {
        authenticator_data: assertion().authenticator_data,
        client_data: assertion().client_data,
        signature: assertion().signature,
    };
    let long = |limit: usize| Bytes::from(vec![1; limit + 1]);
    let none = Bytes::new;
    let (data, client, signature) =
        (limits::AUTHENTICATOR_DATA_BYTES, limits::CLIENT_DATA_BYTES, limits::ASSERTION_SIGNATURE_BYTES);
    for (field, proof) in [
        ("signature", Raw::Signature(long(64))),
        ("signature", Raw::Signature(Bytes::from_static(&[7; 63]))),
        ("authenticator_data", Raw::Assertion(pb::Assertion { authenticator_data: none(), ..wire() })),
        ("authenticator_data", Raw::Assertion(pb::Assertion { authenticator_data: long(data), ..wire() })),
        ("client_data", Raw::Assertion(pb::Assertion { client_data: none(), ..wire() })),
        ("client_data", Raw::Assertion(pb::Assertion { client_data: long(client), ..wire() })),
        ("signature", Raw::Assertion(pb::Assertion { signature: none(), ..wire() })),
        ("signature", Raw::Assertion(pb::Assertion { signature: long(signature), ..wire() })),
    ] {
        let error = spoiled(|raw| raw.proof = Some(proof));
        assert!(error.to_string().starts_with(&format!("field {field}: ")), "{field}: {error}");
    }
    assert!(spoiled(|raw| raw.proof = None).to_string().starts_with("field proof"));
    assert!(spoiled(|raw| raw.approval = None).to_string().starts_with("field approval"));
}

#[test]
fn only_one_encoding_and_one_envelope_are_read() {
    let good = signed(sample()).to_envelope();
    let open = |envelope: &pb::Envelope| SignedApproval::open(envelope).unwrap_err();
    // An unknown field behind the message.
    let payload = [good.payload.as_ref(), &[0x78, 0x01]].concat().into();
    assert!(matches!(open(&pb::Envelope { payload, ..good.clone() }), IntentError::Envelope(_)));
    let payload_type = PayloadType::Cancellation.as_str().to_owned();
    assert!(matches!(open(&pb::Envelope { payload_type, ..good.clone() }), IntentError::Envelope(_)));
    let signature = pb::EnvelopeSignature { signer: "alice".to_owned(), signature: Bytes::from_static(&[7; 64]) };
    let error = open(&pb::Envelope { signatures: vec![signature], ..good });
    assert!(error.to_string().starts_with("field signatures"), "{error}");
}

#[test]
fn a_freeze_epoch_is_the_set_of_live_freezes() {
    let freeze = |byte: u8| IntentId::new([byte; 32]);
    let epoch = FreezeEpoch::of([freeze(1), freeze(2)]);
    assert_eq!(epoch, FreezeEpoch::of([freeze(2), freeze(1), freeze(2)]));
    assert_ne!(epoch, FreezeEpoch::of([freeze(1)]));
    assert_ne!(FreezeEpoch::of([freeze(1)]), FreezeEpoch::of([]));
    assert_eq!(FreezeEpoch::of([]), FreezeEpoch::NONE);
    // Computed apart from this code.
    assert_eq!(epoch.to_string(), "d8fcda6cefbffc467f3c54826cc84fc59be3042d8b91ec9d4c8d345341b8ddc5");
}
