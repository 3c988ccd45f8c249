//! What a signer says of itself, well formed or not.

use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::CharterHash;
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::standing::{ChainHead, JournalHead, Standing};
use prost::Message as _;

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[1; 32].into())
}

fn head() -> JournalHead {
    let head = ChainHead { length: 7, hash: [7; 32] };
    JournalHead { cluster: "test".parse().unwrap(), node: "n1".parse().unwrap(), head }
}

fn standing() -> Standing {
    Standing {
        cluster: "test".parse().unwrap(),
        node: "n1".parse().unwrap(),
        receiver: "n2".parse().unwrap(),
        nonce: [1; 32],
        clock_ms: 5,
        charter: CharterHash::new([2; 32]),
        stops: ChainHead { length: 3, hash: [3; 32] },
        journal: Some(seal(PayloadType::JournalHead, head().to_payload(), "n1", &key())),
        remembered: None,
        ledgers: vec![pb::LedgerHead { ledger: "main".to_owned(), sequence: 4, hash: vec![5; 32].into() }],
        log: Some(ChainHead { length: 7, hash: [6; 32] }),
        other_log: true,
    }
}

#[test]
fn a_standing_and_a_journal_head_read_back() {
    let envelope = seal(PayloadType::Standing, standing().to_payload(), "n1", &key());
    let (read, opened) = Standing::open(&envelope).unwrap();
    assert_eq!(read, standing());
    opened.verify("n1", &key().public_key()).unwrap();
    let (inner, _) = JournalHead::open(read.journal.as_ref().unwrap()).unwrap();
    assert_eq!(inner, head());
    assert!(JournalHead::open(&envelope).is_err() && Standing::open(read.journal.as_ref().unwrap()).is_err());
}

#[test]
fn every_field_of_a_standing_is_checked() {
    type Edit = fn(&mut pb::Standing);
    let edits: [(&str, Edit); 10] = [
        ("version", |s| s.version = 2),
        ("cluster", |s| s.cluster = "No".to_owned()),
        ("node", |s| s.node = String::new()),
        ("receiver", |s| s.receiver = "N".to_owned()),
        ("nonce", |s| s.nonce = vec![1; 31].into()),
        ("charter_hash", |s| s.charter_hash = vec![].into()),
        ("stops_head", |s| s.stops_head = vec![1; 33].into()),
        ("log_root", |s| s.log_root = vec![1; 33].into()),
        ("ledgers", |s| s.ledgers = vec![pb::LedgerHead::default(); 65]),
        ("", |_| {}),
    ];
    for (field, edit) in edits {
        let mut raw = pb::Standing::decode(standing().to_payload().as_slice()).unwrap();
        edit(&mut raw);
        let envelope = seal(PayloadType::Standing, raw.encode_to_vec(), "n1", &key());
        match Standing::open(&envelope) {
            Ok(_) => assert_eq!(field, ""),
            Err(error) => assert!(!field.is_empty() && error.to_string().contains(field), "{field}: {error}"),
        }
    }
    type Twist = fn(&mut pb::JournalHead);
    let twists: [Twist; 3] = [|h| h.version = 0, |h| h.node = "N".to_owned(), |h| h.hash = vec![1; 5].into()];
    for edit in twists {
        let mut raw = pb::JournalHead::decode(head().to_payload().as_slice()).unwrap();
        edit(&mut raw);
        let envelope = seal(PayloadType::JournalHead, raw.encode_to_vec(), "n1", &key());
        assert!(JournalHead::open(&envelope).is_err(), "{raw:?}");
    }
}
