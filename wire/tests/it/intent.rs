use bytes::Bytes;
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::handover::{EpochSwitched, KeyHandover};
use limen_wire::ids::Epoch;
use limen_wire::intent::{self, Cancellation, Intent, IntentError, KeyGeneration};
use limen_wire::keys::SigningKey;
use limen_wire::{limits, pb};
use prost::Message as _;

pub(crate) fn sample() -> pb::Intent {
    pb::Intent {
        version: 1,
        cluster: "test".into(),
        requester: "alice".into(),
        idempotency_key: "order-1".into(),
        vault: "hot".into(),
        key_id: "treasury".into(),
        path: vec![0, 7],
        chain: "eip155:1".into(),
        payload: Some(pb::intent::Payload::EvmTransaction(Bytes::from_static(b"\x02\xc0"))),
        expires_at_secs: 1_800_000_000,
        replaces: Bytes::new(),
        note: "rent".into(),
    }
}

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[1; 32].into())
}

fn refused(change: impl FnOnce(&mut pb::Intent)) -> IntentError {
    let mut raw = sample();
    change(&mut raw);
    let envelope = envelope::seal(PayloadType::Intent, raw.encode_to_vec(), "alice", &key());
    Intent::open(&envelope).expect_err("must be refused")
}

#[test]
fn a_good_intent_goes_round() {
    let (id, envelope) = intent::seal_intent(&sample(), &key()).unwrap();
    let (checked, opened) = Intent::open(&envelope).unwrap();
    opened.verify("alice", &key().public_key()).unwrap();
    assert_eq!((checked.id, checked.to_wire()), (id, sample()));
}

#[test]
fn every_field_has_bounds() {
    use pb::intent::Payload::{EvmMessage, Message, RawDigest};
    let bad: Vec<(&str, Box<dyn FnOnce(&mut pb::Intent)>)> = vec![
        ("version", Box::new(|i| i.version = 2)),
        ("version", Box::new(|i| i.version = 0)),
        ("cluster", Box::new(|i| i.cluster = "No Spaces".into())),
        ("cluster", Box::new(|i| i.cluster = String::new())),
        ("requester", Box::new(|i| i.requester = "-x".into())),
        ("idempotency_key", Box::new(|i| i.idempotency_key = String::new())),
        ("idempotency_key", Box::new(|i| i.idempotency_key = "a b".into())),
        ("idempotency_key", Box::new(|i| i.idempotency_key = "a".repeat(65))),
        ("vault", Box::new(|i| i.vault = "ä".into())),
        ("key_id", Box::new(|i| i.key_id = "k".repeat(65))),
        ("path", Box::new(|i| i.path = vec![1 << 31])),
        ("path", Box::new(|i| i.path = vec![0; limits::PATH_STEPS + 1])),
        ("chain", Box::new(|i| i.chain = String::new())),
        ("chain", Box::new(|i| i.chain = "ethereum".into())),
        ("chain", Box::new(|i| i.chain = "solana:main".into())),
        ("payload", Box::new(|i| i.payload = None)),
        ("payload", Box::new(|i| i.payload = Some(pb::intent::Payload::EvmTransaction(Bytes::new())))),
        ("payload", Box::new(|i| i.payload = Some(EvmMessage(vec![0; limits::INTENT_PAYLOAD_BYTES + 1].into())))),
        ("raw_digest", Box::new(|i| i.payload = Some(RawDigest(Bytes::from_static(&[0; 31]))))),
        ("expires_at_secs", Box::new(|i| i.expires_at_secs = 0)),
        ("replaces", Box::new(|i| i.replaces = Bytes::from_static(&[1; 31]))),
        ("note", Box::new(|i| i.note = "n".repeat(257))),
        ("note", Box::new(|i| i.note = "line\nbreak".into())),
    ];
    for (field, change) in bad {
        let error = refused(change).to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
    // A plain message needs no chain, and may be empty.
    let mut plain = sample();
    (plain.chain, plain.payload) = (String::new(), Some(Message(Bytes::new())));
    intent::seal_intent(&plain, &key()).unwrap();
}

#[test]
fn every_field_changes_the_id() {
    let (id, _) = intent::seal_intent(&sample(), &key()).unwrap();
    let changes: [fn(&mut pb::Intent); 11] = [
        |i| i.cluster = "other".into(),
        |i| i.requester = "bob".into(),
        |i| i.idempotency_key = "order-2".into(),
        |i| i.vault = String::new(),
        |i| i.key_id = "other".into(),
        |i| i.path = vec![0, 8],
        |i| i.chain = "eip155:10".into(),
        |i| i.payload = Some(pb::intent::Payload::EvmMessage(Bytes::from_static(b"\x02\xc0"))),
        |i| i.expires_at_secs += 1,
        |i| i.replaces = Bytes::from_static(&[1; 32]),
        |i| i.note = "food".into(),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut raw = sample();
        change(&mut raw);
        assert_ne!(intent::seal_intent(&raw, &key()).unwrap().0, id, "change {index}");
    }
}

fn order() -> pb::KeyGeneration {
    pb::KeyGeneration {
        version: 1,
        cluster: "test".into(),
        requester: "alice".into(),
        key_id: "treasury".into(),
        scheme: pb::Scheme::EcdsaSecp256k1 as i32,
        protocol: pb::Protocol::Dkls23 as i32,
        signers_required: 2,
        nodes: vec!["a".into(), "b".into(), "c".into()],
        expires_at_secs: 1_800_000_000,
        imported: None,
    }
}

#[test]
fn key_orders_are_checked() {
    let open = |raw: &pb::KeyGeneration| {
        let envelope = envelope::seal(PayloadType::KeyGeneration, raw.encode_to_vec(), "alice", &key());
        KeyGeneration::open(&envelope).map(|(order, _)| order)
    };
    assert_eq!(open(&order()).unwrap().to_wire(), order());
    let bad: [(&str, fn(&mut pb::KeyGeneration)); 9] = [
        ("scheme", |o| o.scheme = 0),
        ("scheme", |o| o.scheme = 99),
        ("protocol", |o| o.protocol = pb::Protocol::Frost as i32),
        ("signers_required", |o| o.signers_required = 1),
        ("signers_required", |o| o.signers_required = 4),
        ("signers_required", |o| o.nodes = (0..33).map(|i| format!("n{i}")).collect()),
        ("nodes", |o| o.nodes[1] = "a".into()),
        ("nodes", |o| o.nodes[1] = "A".into()),
        ("expires_at_secs", |o| o.expires_at_secs = 0),
    ];
    for (field, change) in bad {
        let mut raw = order();
        change(&mut raw);
        let error = open(&raw).expect_err("must be refused").to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}

/// The same for a key that was whole before.
fn import() -> pb::KeyGeneration {
    let imported = pb::ImportedKey {
        public_key: vec![2; 33].into(),
        chain_code: vec![3; 32].into(),
        commitments: vec![vec![2; 33].into(), vec![3; 33].into()],
    };
    pb::KeyGeneration { imported: Some(imported), ..order() }
}

#[test]
fn orders_of_imports_are_checked() {
    let open = |raw: &pb::KeyGeneration| {
        let envelope = envelope::seal(PayloadType::KeyGeneration, raw.encode_to_vec(), "alice", &key());
        KeyGeneration::open(&envelope).map(|(order, _)| order)
    };
    assert_eq!(open(&import()).unwrap().to_wire(), import());
    assert_ne!(open(&import()).unwrap().id, open(&order()).unwrap().id);
    let bad: [(&str, fn(&mut pb::ImportedKey)); 8] = [
        ("imported.public_key", |i| i.public_key = vec![2; 32].into()),
        ("imported.public_key", |i| i.public_key = Bytes::new()),
        ("imported.chain_code", |i| i.chain_code = vec![3; 31].into()),
        ("exactly 2", |i| i.commitments.truncate(1)),
        ("exactly 2", |i| i.commitments.clear()),
        ("exactly 2", |i| i.commitments.push(vec![2; 33].into())),
        ("compressed point", |i| i.commitments[1] = vec![3; 32].into()),
        ("compressed point", |i| i.commitments[0] = Bytes::new()),
    ];
    for (says, change) in bad {
        let (mut raw, mut imported) = (import(), import().imported.unwrap());
        change(&mut imported);
        raw.imported = Some(imported);
        let error = open(&raw).expect_err("must be refused").to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let held = pb::KeyGeneration {
        protocol: pb::Protocol::Hsm as i32,
        signers_required: 1,
        nodes: vec!["a".into()],
        ..import()
    };
    assert!(open(&held).unwrap_err().to_string().contains("never imported"));
}

fn handover() -> pb::KeyHandover {
    pb::KeyHandover {
        version: 1,
        cluster: "test".into(),
        requester: "alice".into(),
        key_id: "treasury".into(),
        first_epoch: 2,
        protocol: pb::Protocol::Dkls23 as i32,
        signers_required: 2,
        nodes: vec!["a".into(), "b".into(), "c".into()],
        expires_at_secs: 1_800_000_000,
        present: Bytes::from_static(&[7; 32]),
    }
}

#[test]
fn orders_of_new_shares_are_checked() {
    let open = |raw: &pb::KeyHandover| {
        let envelope = envelope::seal(PayloadType::KeyHandover, raw.encode_to_vec(), "alice", &key());
        KeyHandover::open(&envelope).map(|(order, _)| order)
    };
    assert_eq!(open(&handover()).unwrap().to_wire(), handover());
    let bad: [(&str, fn(&mut pb::KeyHandover)); 13] = [
        ("present", |o| o.present = Bytes::from_static(&[7; 31])),
        ("version", |o| o.version = 2),
        ("cluster", |o| o.cluster = String::new()),
        ("requester", |o| o.requester = "A".into()),
        ("key_id", |o| o.key_id = "a b".into()),
        ("first_epoch", |o| o.first_epoch = 1),
        ("first_epoch", |o| o.first_epoch = limits::LAST_EPOCH + 1),
        ("protocol", |o| o.protocol = pb::Protocol::Hsm as i32),
        ("protocol", |o| o.protocol = 0),
        ("signers_required", |o| o.signers_required = 1),
        ("signers_required", |o| o.signers_required = 4),
        ("nodes", |o| o.nodes[1] = "a".into()),
        ("expires_at_secs", |o| o.expires_at_secs = 0),
    ];
    for (field, change) in bad {
        let mut raw = handover();
        change(&mut raw);
        let error = open(&raw).expect_err("must be refused").to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}

#[test]
fn an_order_has_few_epochs() {
    let envelope = envelope::seal(PayloadType::KeyHandover, handover().encode_to_vec(), "alice", &key());
    let (order, _) = KeyHandover::open(&envelope).unwrap();
    let allowed: Vec<u64> = (0..20).filter(|epoch| order.allows(Epoch(*epoch))).collect();
    assert_eq!(allowed, (2..2 + limits::HANDOVER_ATTEMPTS).collect::<Vec<_>>());
    assert!(!order.allows(Epoch(u64::MAX)));
}

#[test]
fn words_of_switching_are_checked() {
    let switched = EpochSwitched {
        cluster: "test".parse().unwrap(),
        node: "a".parse().unwrap(),
        key_id: "treasury".parse().unwrap(),
        epoch: Epoch(2),
        statement_hash: [7; 32],
    };
    let open = |payload: Vec<u8>| {
        let envelope = envelope::seal(PayloadType::EpochSwitched, payload, "a", &key());
        EpochSwitched::open(&envelope).map(|(switched, _)| switched)
    };
    assert_eq!(open(switched.to_payload()).unwrap(), switched);
    let bad: [(&str, fn(&mut pb::EpochSwitched)); 5] = [
        ("version", |s| s.version = 0),
        ("cluster", |s| s.cluster = "A".into()),
        ("node", |s| s.node = String::new()),
        ("key_id", |s| s.key_id = String::new()),
        ("statement_hash", |s| s.statement_hash = Bytes::from_static(&[7; 31])),
    ];
    for (field, change) in bad {
        let mut raw = pb::EpochSwitched::decode(switched.to_payload().as_slice()).unwrap();
        change(&mut raw);
        let error = open(raw.encode_to_vec()).expect_err("must be refused").to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}

#[test]
fn words_of_destruction_are_checked() {
    let destroyed = KeyDestroyed {
        cluster: "test".parse().unwrap(),
        node: "a".parse().unwrap(),
        key_id: "treasury".parse().unwrap(),
        public_key: vec![2; 33],
        epochs: vec![Epoch(1), Epoch(3)],
        charter: limen_wire::ids::CharterHash::new([7; 32]),
        wrapping_keys_left: vec!["shares.00.e1.r1".parse().unwrap()],
        at_ms: 5,
    };
    let open = |payload: Vec<u8>| {
        let envelope = envelope::seal(PayloadType::KeyDestroyed, payload, "a", &key());
        KeyDestroyed::open(&envelope).map(|(destroyed, _)| destroyed)
    };
    assert_eq!(open(destroyed.to_payload()).unwrap(), destroyed);
    let bad: [(&str, fn(&mut pb::KeyDestroyed)); 10] = [
        ("version", |s| s.version = 2),
        ("cluster", |s| s.cluster = "A".into()),
        ("node", |s| s.node = String::new()),
        ("key_id", |s| s.key_id = String::new()),
        ("public_key", |s| s.public_key = Bytes::new()),
        ("epochs", |s| s.epochs = vec![3, 1]),
        ("epochs", |s| s.epochs = (0..2000).collect()),
        ("charter_hash", |s| s.charter_hash = Bytes::from_static(&[7; 31])),
        ("wrapping_keys_left", |s| s.wrapping_keys_left = vec!["b".into(), "a".into()]),
        ("wrapping_keys_left", |s| s.wrapping_keys_left = vec![String::new()]),
    ];
    for (field, change) in bad {
        let mut raw = pb::KeyDestroyed::decode(destroyed.to_payload().as_slice()).unwrap();
        change(&mut raw);
        let error = open(raw.encode_to_vec()).expect_err("must be refused").to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
    // A word of another kind is none of this.
    let other = envelope::seal(PayloadType::EpochSwitched, destroyed.to_payload(), "a", &key());
    assert!(KeyDestroyed::open(&other).is_err());
}

#[test]
fn cancellations_are_checked() {
    let raw = pb::Cancellation {
        version: 1,
        cluster: "test".into(),
        requester: "alice".into(),
        intent_id: Bytes::from_static(&[7; 32]),
        reason: "typo".into(),
    };
    let open = |raw: &pb::Cancellation| {
        let envelope = envelope::seal(PayloadType::Cancellation, raw.encode_to_vec(), "alice", &key());
        Cancellation::open(&envelope).map(|(cancellation, _)| cancellation)
    };
    assert_eq!(open(&raw).unwrap().intent_id.as_bytes(), &[7; 32]);
    open(&pb::Cancellation { intent_id: Bytes::from_static(&[7; 33]), ..raw.clone() }).unwrap_err();
    open(&pb::Cancellation { version: 2, ..raw.clone() }).unwrap_err();
    open(&pb::Cancellation { reason: "\u{7}".into(), ..raw }).unwrap_err();
}
