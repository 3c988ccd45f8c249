//! A signed version of the charter on the wire: what is refused before anybody asks whether it is a charter.

use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::charter::SignedCharter;
use limen_wire::envelope::PayloadType;
use limen_wire::ids::{FreezeEpoch, IntentId, SliceHash};
use limen_wire::{limits, pb};
use prost::Message as _;

fn said(nonce: u8) -> SignedApproval {
    let approval = Approval {
        cluster: "test".parse().unwrap(),
        intent_id: IntentId::new([1; 32]),
        effects_digest: [2; 32],
        decoder_version: 1,
        slice: SliceHash::new([3; 32]),
        freeze_epoch: FreezeEpoch::NONE,
        person: "anna".parse().unwrap(),
        credential: "anna-terminal".parse().unwrap(),
        preceding: None,
        expires_at_secs: u64::MAX,
        verdict: Verdict::Approve,
        reason: String::new(),
        nonce: [nonce; 32],
    };
    SignedApproval { approval, proof: Proof::Signature([4; 64]) }
}

fn signed() -> SignedCharter {
    SignedCharter { text: "version = 1".to_owned(), approvals: vec![said(1), said(2)] }
}

fn of_raw(raw: &pb::SignedCharter) -> pb::Envelope {
    pb::Envelope { payload: raw.encode_to_vec().into(), ..signed().to_envelope() }
}

fn raw() -> pb::SignedCharter {
    pb::SignedCharter::decode(signed().to_envelope().payload).unwrap()
}

#[track_caller]
fn refused(envelope: &pb::Envelope, words: &str) {
    let error = SignedCharter::open(envelope).unwrap_err().to_string();
    assert!(error.contains(words), "{words:?} is missing in {error}");
}

#[test]
fn what_was_signed_comes_back() {
    assert_eq!(SignedCharter::open(&signed().to_envelope()).unwrap(), signed());
    assert_eq!(signed().to_envelope().payload_type, PayloadType::CharterVersion.as_str());
}

#[test]
fn what_is_no_signed_charter_is_refused() {
    refused(&pb::Envelope { payload_type: "other".to_owned(), ..signed().to_envelope() }, "is needed");
    let on_top = vec![pb::EnvelopeSignature { signer: "anna".to_owned(), signature: vec![0; 64].into() }];
    refused(&pb::Envelope { signatures: on_top, ..signed().to_envelope() }, "inside");
    refused(&pb::Envelope { payload: vec![0xff; 9].into(), ..signed().to_envelope() }, "charter version");
    refused(&of_raw(&pb::SignedCharter { version: 2, ..raw() }), "version");
    refused(&of_raw(&pb::SignedCharter { text: vec![0xff, 0xfe].into(), ..raw() }), "text");
    refused(&of_raw(&pb::SignedCharter { approvals: vec![pb::Envelope::default()], ..raw() }), "approval.v1");
    let mut unknown_field = raw().encode_to_vec();
    unknown_field.extend([0x7a, 0x01, 0x00]);
    refused(&pb::Envelope { payload: unknown_field.into(), ..signed().to_envelope() }, "canonical");
}

#[test]
fn sizes_are_bounded() {
    let text = |bytes: usize| pb::SignedCharter { text: vec![b'#'; bytes].into(), ..raw() };
    assert!(SignedCharter::open(&of_raw(&text(limits::CHARTER_BYTES))).is_ok());
    refused(&of_raw(&text(limits::CHARTER_BYTES + 1)), "text");
    let one = said(1).to_envelope();
    let approvals = |count: usize| pb::SignedCharter { approvals: vec![one.clone(); count], ..raw() };
    assert!(SignedCharter::open(&of_raw(&approvals(limits::APPROVALS))).is_ok());
    refused(&of_raw(&approvals(limits::APPROVALS + 1)), "approvals");
    refused(&of_raw(&text(limits::CHARTER_VERSION_BYTES + 1)), "payload");
}
