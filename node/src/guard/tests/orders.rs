//! Orders of keys: every refusal, and what is repeated.

use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::RequesterId;
use limen_wire::limits;
use prost::Message as _;

use super::*;

fn order() -> pb::KeyGeneration {
    pb::KeyGeneration {
        version: 1,
        cluster: "sample".to_owned(),
        requester: "security".to_owned(),
        key_id: "fresh".to_owned(),
        scheme: pb::Scheme::EcdsaSecp256k1 as i32,
        protocol: pb::Protocol::Dkls23 as i32,
        signers_required: 2,
        nodes: ["signer-1", "signer-2", "signer-3"].map(str::to_owned).to_vec(),
        expires_at_secs: NOW.as_secs() + 60,
        imported: None,
    }
}

fn examined(raw: &pb::KeyGeneration) -> Result<ExaminedOrder, Code> {
    let envelope = seal(PayloadType::KeyGeneration, raw.encode_to_vec(), &raw.requester, &key(2));
    examine_order(&charter(), &NodeId::new("signer-1").unwrap(), &envelope).map_err(|error| error.code)
}

fn admitted(view: &FakeView) -> KeygenVerdict {
    let Ok(verdict) = admit_keygen(view, &charter(), examined(&order()).unwrap(), SessionId::new([1; 32]), NOW);
    verdict
}

fn refused(view: &FakeView) -> Code {
    match admitted(view) {
        KeygenVerdict::Refused(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_is_allowed_once_and_its_share_is_never_made_again() {
    assert!(matches!(admitted(&FakeView::default()), KeygenVerdict::Allowed(_)));
    let id = examined(&order()).unwrap().order().id;
    let tried = FakeView { key_order: Some((id, false)), ..FakeView::default() };
    assert!(matches!(admitted(&tried), KeygenVerdict::Allowed(_)), "no share was stated: another try");
    let stated = FakeView { key_order: Some((id, true)), ..FakeView::default() };
    assert!(matches!(admitted(&stated), KeygenVerdict::Repeat));
    let other = FakeView { key_order: Some((IntentId::new([9; 32]), false)), ..FakeView::default() };
    assert_eq!(refused(&other), Code::KeyExists);
}

#[test]
fn names_of_keys_are_bounded() {
    let full = FakeView { key_names: limits::KEY_SHARES, ..FakeView::default() };
    assert_eq!(refused(&full), Code::Overloaded);
    let last = FakeView { key_names: limits::KEY_SHARES - 1, ..FakeView::default() };
    assert!(matches!(admitted(&last), KeygenVerdict::Allowed(_)));
    // whose name is taken already goes on
    let id = examined(&order()).unwrap().order().id;
    let known = FakeView { key_names: limits::KEY_SHARES, key_order: Some((id, false)), ..FakeView::default() };
    assert!(matches!(admitted(&known), KeygenVerdict::Allowed(_)));
}

#[test]
fn used_sessions_banned_peers_and_late_orders_are_refused() {
    let seen = FakeView { sessions: [SessionId::new([1; 32])].into(), ..FakeView::default() };
    assert_eq!(refused(&seen), Code::SessionDead);
    let banned = FakeView { banned: banned("signer-3", None), ..FakeView::default() };
    assert_eq!(refused(&banned), Code::PeerBanned);
    for (expires_at_secs, code) in [(NOW.as_secs(), Code::Expired), (NOW.as_secs() + 86_401, Code::ExpiryTooFar)] {
        let order = examined(&pb::KeyGeneration { expires_at_secs, ..order() }).unwrap();
        let view = FakeView::default();
        let Ok(verdict) = admit_keygen(&view, &charter(), order, SessionId::new([1; 32]), NOW);
        assert!(matches!(verdict, KeygenVerdict::Refused(error) if error.code == code));
    }
}

#[test]
fn orders_that_no_signer_looks_at_further() {
    let refused = |raw: pb::KeyGeneration| examined(&raw).unwrap_err();
    let nodes = |names: [&str; 3]| names.map(str::to_owned).to_vec();
    assert_eq!(refused(pb::KeyGeneration { cluster: "other".to_owned(), ..order() }), Code::WrongCluster);
    assert_eq!(refused(pb::KeyGeneration { requester: "nobody".to_owned(), ..order() }), Code::NotEnrolled);
    assert_eq!(refused(pb::KeyGeneration { requester: "backend".to_owned(), ..order() }), Code::BadSignature);
    let swapped = nodes(["signer-2", "signer-1", "signer-3"]);
    assert_eq!(refused(pb::KeyGeneration { nodes: swapped, ..order() }), Code::BadSignerSet);
    let stranger = nodes(["signer-1", "signer-2", "signer-9"]);
    assert_eq!(refused(pb::KeyGeneration { nodes: stranger, ..order() }), Code::BadSignerSet);
    let without_us = vec!["signer-2".to_owned(), "signer-3".to_owned()];
    assert_eq!(refused(pb::KeyGeneration { nodes: without_us, ..order() }), Code::BadSignerSet);
    assert_eq!(refused(pb::KeyGeneration { signers_required: 9, ..order() }), Code::Malformed);
    assert_eq!(RequesterId::new("security").unwrap(), examined(&order()).unwrap().order().requester);
}
