//! Freezes and what lifts them, well formed or not.

use limen_wire::envelope::{PayloadType, attach, pre_authentication_encoding, seal};
use limen_wire::freeze::{Freeze, FreezeScope, Unfreeze};
use limen_wire::ids::{FreezeEpoch, IntentId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[1; 32].into())
}

fn freeze() -> pb::Freeze {
    pb::Freeze {
        version: 1,
        cluster: "test".to_owned(),
        person: "carla".to_owned(),
        credential: "carla-token".to_owned(),
        scope: "vault:reserve".to_owned(),
        reason: "somebody is in our network".to_owned(),
        nonce: vec![7; 32].into(),
    }
}

fn unfreeze(ids: &[[u8; 32]]) -> pb::Unfreeze {
    pb::Unfreeze {
        version: 1,
        cluster: "test".to_owned(),
        person: "anna".to_owned(),
        credential: "anna-token".to_owned(),
        freezes: ids.iter().map(|id| id.to_vec().into()).collect(),
        reason: String::new(),
    }
}

fn refused(edit: impl FnOnce(&mut pb::Freeze)) -> String {
    let mut raw = freeze();
    edit(&mut raw);
    let envelope = seal(PayloadType::Freeze, raw.encode_to_vec(), "carla-token", &key());
    Freeze::open(&envelope).unwrap_err().to_string()
}

#[test]
fn a_freeze_reads_back_and_its_id_is_that_of_its_bytes() {
    let envelope = seal(PayloadType::Freeze, freeze().encode_to_vec(), "carla-token", &key());
    let (read, opened) = Freeze::open(&envelope).unwrap();
    opened.verify("carla-token", &key().public_key()).unwrap();
    assert_eq!((read.scope.to_string().as_str(), read.id), ("vault:reserve", opened.id()));
    let signature = key().sign(&pre_authentication_encoding(PayloadType::Freeze.as_str(), &read.to_payload()));
    assert_eq!(attach(PayloadType::Freeze, read.to_payload(), "carla-token", &signature), envelope);
}

#[test]
fn every_field_of_a_freeze_is_checked() {
    for (words, edit) in [
        ("version", (|f| f.version = 2) as fn(&mut pb::Freeze)),
        ("cluster", |f| f.cluster = "No".to_owned()),
        ("person", |f| f.person = String::new()),
        ("credential", |f| f.credential = String::new()),
        ("no scope", |f| f.scope = "everything".to_owned()),
        ("needs a reason", |f| f.reason = " ".to_owned()),
        ("at most 256", |f| f.reason = "r".repeat(257)),
        ("control characters", |f| f.reason = "a\nb".to_owned()),
        ("31 bytes", |f| f.nonce = vec![7; 31].into()),
    ] {
        let error = refused(edit);
        assert!(error.contains(words), "{words}: {error}");
    }
    let other = seal(PayloadType::Cancellation, freeze().encode_to_vec(), "carla-token", &key());
    assert!(Freeze::open(&other).is_err(), "another type of payload");
}

#[test]
fn scopes_have_one_spelling() {
    for text in [
        "cluster",
        "vault:reserve",
        "key:treasury",
        "asset:eip155:1/slip44:60",
        "asset:eip155:1/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "asset:eip155:1/nft:0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "chain:eip155:1",
        "requester:backend",
        "destination:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ] {
        assert_eq!(text.parse::<FreezeScope>().unwrap().to_string(), text);
    }
    for text in
        ["", "cluster:", "vault:", "vault", "key:A", "asset:eth", "chain:1", "person:anna", "destination:", "all"]
    {
        assert!(text.parse::<FreezeScope>().is_err(), "{text:?}");
    }
}

#[test]
fn an_unfreeze_names_exact_freezes_in_order() {
    let open = |ids: &[[u8; 32]]| {
        let envelope = seal(PayloadType::Unfreeze, unfreeze(ids).encode_to_vec(), "anna-token", &key());
        Unfreeze::open(&envelope).map(|(read, _)| read)
    };
    let read = open(&[[1; 32], [2; 32]]).unwrap();
    assert_eq!(read.to_payload(), unfreeze(&[[1; 32], [2; 32]]).encode_to_vec());
    assert!(open(&[]).is_err());
    assert!(open(&[[2; 32], [1; 32]]).is_err());
    assert!(open(&[[1; 32], [1; 32]]).is_err());
    let many: Vec<[u8; 32]> = (0..65).map(|byte| [byte; 32]).collect();
    assert!(open(&many[..64]).is_ok());
    assert!(open(&many).is_err());
    let mut short = unfreeze(&[[1; 32]]);
    short.freezes[0] = vec![1; 31].into();
    let envelope = seal(PayloadType::Unfreeze, short.encode_to_vec(), "anna-token", &key());
    assert!(Unfreeze::open(&envelope).is_err());
}

#[test]
fn a_freeze_that_was_lifted_leaves_its_mark_on_the_epoch() {
    let freeze = |byte: u8| IntentId::new([byte; 32]);
    let of = |live: &[u8], lifted: &[u8]| {
        FreezeEpoch::with_lifted(live.iter().copied().map(freeze), lifted.iter().copied().map(freeze))
    };
    assert_eq!(of(&[], &[]), FreezeEpoch::NONE);
    assert_eq!(of(&[1, 2], &[]), FreezeEpoch::of([freeze(1), freeze(2)]));
    assert_eq!(of(&[1], &[3, 2]), of(&[1], &[2, 3, 2]));
    let all = [of(&[], &[]), of(&[1], &[]), of(&[], &[1]), of(&[1], &[1]), of(&[1], &[2]), of(&[], &[1, 2])];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}
