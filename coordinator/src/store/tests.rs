use std::collections::BTreeMap;
use std::path::PathBuf;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, CredentialId, FreezeEpoch, KeyId, PersonId, RequesterId, SessionId, SliceHash};
use limen_wire::pb;

use super::*;
use crate::lifecycle::{HeldApproval, OpenSession, Opinion, State};

fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

fn approval(number: u8) -> HeldApproval {
    use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
    let approval = Approval {
        cluster: cluster(),
        intent_id: IntentId::new([number; 32]),
        effects_digest: [1; 32],
        decoder_version: 1,
        slice: SliceHash::new([2; 32]),
        freeze_epoch: FreezeEpoch::new([3; 32]),
        person: PersonId::new("anna").unwrap(),
        credential: CredentialId::new("anna-laptop").unwrap(),
        preceding: None,
        expires_at_secs: 9,
        verdict: Verdict::Reject,
        reason: "no".to_owned(),
        nonce: [4; 32],
    };
    let signed = SignedApproval { approval, proof: Proof::Signature([5; 64]) };
    HeldApproval::open(&signed.to_envelope()).unwrap()
}

fn record(number: u8, name: &str) -> Record {
    let node = NodeId::new("signer-1").unwrap();
    let opinion = Opinion {
        requirements: vec![pb::RequirementStatus { rule: "much".to_owned(), wait_ms: 5, ..Default::default() }],
        freeze_epoch: vec![3; 32].into(),
        seen: 1,
        said_at_ms: 4,
        ..Opinion::from_refusal(&ApiError::new(Code::Stopped, "stopped"))
    };
    Record {
        id: IntentId::new([number; 32]),
        requester: RequesterId::new("backend").unwrap(),
        idempotency_key: name.to_owned(),
        key_id: KeyId::new(if number.is_multiple_of(2) { "even" } else { "odd" }).unwrap(),
        envelope: pb::Envelope { payload_type: "x".to_owned(), ..Default::default() },
        expires_at_secs: 5,
        state: State::Signing,
        effects: vec![pb::EffectView { text: "moves".to_owned(), ..Default::default() }],
        decision: Some(pb::Decision { allowed: true, ..Default::default() }),
        opinions: BTreeMap::from([(node, opinion)]),
        approvals: vec![approval(number)],
        checks: Vec::new(),
        checks_taken: 0,
        created_at_ms: 6,
        updated_at_ms: 7,
        version: 8,
        sessions: 2,
        session: Some(OpenSession { id: SessionId::new([9; 32]), signers: vec![1, 3] }),
        exposed: true,
        salvaged: true,
        stop: Some(pb::Envelope::default()),
        result: Some(pb::SignatureResult { recovery_id: 1, ..Default::default() }),
        error: Some(ApiError::new(Code::SessionTimeout, "late")),
    }
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("coordinator.redb")
    }
    /// Opens the store; waits until the writer of the one before has let go of the file.
    fn open(&self) -> Store {
        loop {
            match Store::open(&self.path(), &cluster()) {
                Err(StoreError::Engine(error)) if matches!(*error, redb::Error::DatabaseAlreadyOpen) => {
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
    }
}

#[tokio::test]
async fn what_is_stored_comes_back_whole_after_a_restart() {
    let disk = Disk::new();
    let store = disk.open();
    let Inserted::New(entry) = store.insert(record(1, "one")).await.unwrap() else { panic!("new") };
    assert_eq!((entry.number, entry.sequence), (1, 1));
    drop(store);
    let store = disk.open();
    assert_eq!(store.request(&entry.record.id).unwrap().unwrap(), *entry);
    assert_eq!(store.open_requests().unwrap(), [*entry]);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_the_first_bytes_for_ever() {
    let disk = Disk::new();
    let store = disk.open();
    store.insert(record(1, "one")).await.unwrap();
    assert!(matches!(store.insert(record(1, "one")).await.unwrap(), Inserted::Same(_)));
    let Inserted::Taken(holder) = store.insert(record(2, "one")).await.unwrap() else { panic!("taken") };
    assert_eq!(holder.record.id, IntentId::new([1; 32]));
    assert!(store.request(&IntentId::new([2; 32])).unwrap().is_none());
    let mut ended = record(1, "one");
    ended.state = State::Denied;
    store.update(ended).await.unwrap();
    drop(store);
    let store = disk.open();
    assert!(matches!(store.insert(record(3, "one")).await.unwrap(), Inserted::Taken(_)));
}

#[tokio::test]
async fn racing_inserts_have_one_winner() {
    let disk = Disk::new();
    let store = disk.open();
    let racers: Vec<_> = (1..=50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.insert(record(number, "same")).await.unwrap() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(matches!(racer.await.unwrap(), Inserted::New(_)));
    }
    assert_eq!(winners, 1);
    assert_eq!(store.counts().unwrap(), (1, 0));
}

#[tokio::test]
async fn changes_hold_one_row_for_each_request_in_order() {
    let disk = Disk::new();
    let store = disk.open();
    let mut live = store.subscribe();
    for (number, name) in [(1, "a"), (2, "b")] {
        store.insert(record(number, name)).await.unwrap();
    }
    let mut ended = record(1, "a");
    ended.state = State::Signed;
    store.update(ended).await.unwrap();
    let ids =
        |entries: Vec<Entry>| entries.iter().map(|entry| (entry.record.id.as_bytes()[0], entry.sequence)).collect();
    let after: Vec<(u8, u64)> = ids(store.changed_after(0, 10).unwrap());
    assert_eq!(after, [(2, 2), (1, 3)]);
    let after: Vec<(u8, u64)> = ids(store.changed_after(2, 10).unwrap());
    assert_eq!(after, [(1, 3)]);
    for sequence in 1..=3 {
        assert_eq!(live.recv().await.unwrap().entry.sequence, sequence);
    }
    assert_eq!(store.counts().unwrap(), (1, 1));
    assert_eq!(store.sequence().unwrap(), 3);
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_without_gaps() {
    let disk = Disk::new();
    let store = disk.open();
    for number in 1..=7 {
        store.insert(record(number, &format!("k{number}"))).await.unwrap();
    }
    let (mut seen, mut below) = (Vec::new(), None);
    loop {
        let page = store.list(below, 3, &Filter::default()).unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.record.id.as_bytes()[0]));
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let even = Filter { key_id: Some(KeyId::new("even").unwrap()), ..Filter::default() };
    assert_eq!(store.list(None, 10, &even).unwrap().entries.len(), 3);
    let none = Filter { states: vec![State::Signed], ..Filter::default() };
    assert!(store.list(None, 10, &none).unwrap().entries.is_empty());
}

#[tokio::test]
async fn keys_keep_their_names() {
    let disk = Disk::new();
    let store = disk.open();
    let key = KeyRecord::ordered(KeyId::new("treasury").unwrap(), pb::Envelope::default());
    store.insert_key(key.clone()).await.unwrap().unwrap();
    let mut other = key.clone();
    other.attempts = 3;
    assert_eq!(*store.insert_key(other.clone()).await.unwrap().unwrap_err(), key);
    store.update_key(other.clone()).await.unwrap();
    assert_eq!(store.keys().unwrap(), [other]);
}

#[test]
fn a_newer_store_and_another_clusters_store_are_refused() {
    let disk = Disk::new();
    drop(disk.open());
    let other = ClusterId::new("other").unwrap();
    let refused = loop {
        match Store::open(&disk.path(), &other) {
            Err(StoreError::Engine(_)) => std::thread::yield_now(),
            result => break result,
        }
    };
    assert!(matches!(refused, Err(StoreError::OtherCluster { .. })));
    let database = redb::Database::create(disk.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(META_SCHEMA, schema::SCHEMA_VERSION + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(&disk.path(), &cluster()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
}

#[tokio::test]
async fn a_store_of_the_first_version_is_taken_over() {
    let disk = Disk::new();
    let store = disk.open();
    let first = Record { approvals: Vec::new(), opinions: BTreeMap::new(), ..record(1, "one") };
    store.insert(first.clone()).await.unwrap();
    drop(store);
    let edit = || loop {
        match redb::Database::create(disk.path()) {
            Ok(database) => break database,
            Err(_) => std::thread::yield_now(),
        }
    };
    let database = edit();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(META_SCHEMA, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(disk.open().request(&first.id).unwrap().unwrap().record, first);
    let transaction = edit().begin_write().unwrap();
    let version =
        redb::ReadableTable::get(&transaction.open_table(META).unwrap(), META_SCHEMA).unwrap().unwrap().value();
    assert_eq!(version, schema::SCHEMA_VERSION, "an older binary must not write it any more");
}

#[tokio::test]
async fn damaged_bytes_are_noticed() {
    let disk = Disk::new();
    let store = disk.open();
    store.insert(record(1, "one")).await.unwrap();
    drop(store);
    let database = loop {
        match redb::Database::create(disk.path()) {
            Ok(database) => break database,
            Err(_) => std::thread::yield_now(),
        }
    };
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(REQUESTS).unwrap();
        let mut bytes = redb::ReadableTable::get(&table, &[1; 32]).unwrap().unwrap().value().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        table.insert(&[1; 32], bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = disk.open().request(&IntentId::new([1; 32])).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}
