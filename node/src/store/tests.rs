use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use limen_wire::ids::{IntentId, SessionId};
use redb::{ReadableTable as _, StorageBackend};

use super::journal::Event;
use super::rows::{IntentRow, LiveIntent, StoredSignature};
use super::*;
use crate::clock::Millis;

/// A disk that forgets what was not synced: everything since the last sync is kept apart, and a power cut keeps any part
/// of it that the test chooses.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// An image per write and sync, with the number of answers given before it.
    images: Vec<(Vec<u8>, usize)>,
    answers: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => image.resize(usize::try_from(*length).unwrap(), 0),
        Change::Write(offset, bytes) => {
            let start = usize::try_from(*offset).unwrap();
            image[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
}

impl Disk {
    fn holding(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(DiskState { durable: image, ..DiskState::default() })))
    }
    fn state(&self) -> std::sync::MutexGuard<'_, DiskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn answered(&self) {
        self.state().answers += 1;
    }
}

impl DiskState {
    fn current(&self) -> Vec<u8> {
        let mut image = self.durable.clone();
        self.pending.iter().for_each(|change| apply(&mut image, change));
        image
    }
    /// The power fails now: nothing, every second change, or everything of what was not synced is on the disk.
    fn cut(&mut self) {
        for keep in [0, 1, 2] {
            let mut image = self.durable.clone();
            for (n, change) in self.pending.iter().enumerate() {
                let kept = match change {
                    Change::Length(_) => true,
                    Change::Write(..) => keep == 2 || (keep == 1 && n % 2 == 0),
                };
                if kept {
                    apply(&mut image, change);
                }
            }
            self.images.push((image, self.answers));
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.state().current().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let image = self.state().current();
        let start = usize::try_from(offset).unwrap();
        let part = image.get(start..start + out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.state().pending.push(Change::Length(len));
        Ok(())
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut state = self.state();
        state.cut();
        state.durable = state.current();
        state.pending.clear();
        state.cut();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.state().pending.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}

fn options() -> Options {
    let mut options = Options::new(NodeId::new("n1").unwrap(), ClusterId::new("test").unwrap());
    options.on_fatal = Box::new(|_| {});
    options
}

fn open_disk(disk: Disk) -> Result<Store, StoreError> {
    Store::open_on(disk, options())
}

fn intent(n: u8, first_seen_ms: u64) -> IntentRow {
    let live = LiveIntent {
        envelope: vec![n; 400],
        requester: "backend".to_owned(),
        counted: None,
        expires_at_secs: 10,
        sessions: 1,
        nonce_claim: None,
        first_seen_uptime: 0,
        approvals: Vec::new(),
        delays: rows::Delays::new(),
        rejected: None,
        metered: Vec::new(),
    };
    IntentRow {
        id: [n; 32],
        first_seen_ms,
        requester: rows::RequesterTag::of("backend"),
        allowed: true,
        stopped: false,
        result: None,
        live: Some(live),
    }
}

/// A decision as the guard records it: intent, session, claim and journal record at once.
fn decide(n: u8) -> impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError> {
    move |txn| {
        let sequence = txn.add_intent(&intent(n, n.into()))?;
        txn.put_session(&SessionId::new([n; 32]), sequence)?;
        txn.put_claim(rows::ClaimKey([n; 16]), sequence)?;
        txn.append(Millis(n.into()), Event::FirstSeen { intent: [n; 32] })
    }
}

#[test]
fn whatever_the_moment_of_a_power_cut_an_answered_decision_is_on_the_disk_and_whole() {
    let disk = Disk::default();
    let store = open_disk(disk.clone()).unwrap();
    // a fresh store's own writes are not the subject
    disk.state().images.clear();
    for n in 1..=6 {
        store.write_blocking(decide(n)).unwrap();
        disk.answered();
    }
    drop(store);
    let images = std::mem::take(&mut disk.state().images);
    assert!(images.len() > 30, "{} crash points", images.len());
    for (image, answers) in images {
        let store = open_disk(Disk::holding(image)).unwrap();
        let view = store.view().unwrap();
        let head = view.head().unwrap().length;
        assert!(head >= answers as u64, "{answers} answers were given, {head} records are left");
        // whole or not at all: as many intents as records, each with its session
        assert_eq!(view.intent_count().unwrap(), head);
        for n in 1..=u8::try_from(head).unwrap() {
            assert!(view.intent(&IntentId::new([n; 32])).unwrap().is_some());
            let seen = store.write_blocking(move |txn| txn.session_seen(&SessionId::new([n; 32]))).unwrap();
            assert!(seen, "decision {n} lost its session");
        }
    }
}

#[derive(Debug)]
struct FailingDisk(Disk, Arc<AtomicBool>);

impl StorageBackend for FailingDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        if self.1.load(Ordering::SeqCst) { Err(std::io::ErrorKind::Other.into()) } else { self.0.sync_data() }
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
}

#[test]
fn a_failed_sync_answers_nobody_and_ends_the_process() {
    let broken = Arc::new(AtomicBool::new(false));
    let fatal = Arc::new(AtomicBool::new(false));
    let mut options = options();
    let seen = Arc::clone(&fatal);
    options.on_fatal = Box::new(move |_| seen.store(true, Ordering::SeqCst));
    let store = Store::open_on(FailingDisk(Disk::default(), Arc::clone(&broken)), options).unwrap();
    store.write_blocking(decide(1)).unwrap();
    broken.store(true, Ordering::SeqCst);
    assert!(matches!(store.write_blocking(decide(2)), Err(StoreError::Stopped)));
    drop(store);
    assert!(fatal.load(Ordering::SeqCst), "the process would have been ended");
}

fn open_with_format(format: u32) -> StoreError {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), options()).unwrap());
    let db = Database::open(folder.path().join("limen-node.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(schema::META).unwrap().insert(schema::META_FORMAT, &format.to_be_bytes()[..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    Store::open(folder.path(), options()).unwrap_err()
}

#[test]
fn stores_of_other_formats_are_refused() {
    let newer = open_with_format(FORMAT + 1);
    assert!(matches!(newer, StoreError::Newer { found, known: FORMAT } if found == FORMAT + 1), "{newer}");
    let unreleased = open_with_format(FORMAT - 1);
    assert!(matches!(unreleased, StoreError::Unreleased { found, .. } if found == FORMAT - 1), "{unreleased}");
}

#[test]
fn a_store_of_another_node_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), options()).unwrap());
    let other = Options { node: NodeId::new("n2").unwrap(), ..options() };
    assert!(matches!(Store::open(folder.path(), other), Err(StoreError::OtherOwner { .. })));
}

#[test]
fn two_processes_do_not_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Store::open(folder.path(), options()).unwrap();
    assert!(matches!(Store::open(folder.path(), options()), Err(StoreError::InUse { .. })));
}

#[test]
fn a_journal_record_changed_on_disk_is_found_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    (1..=3).for_each(|n| store.write_blocking(decide(n)).unwrap());
    drop(store);
    let db = Database::open(folder.path().join("limen-node.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut journal = txn.open_table(schema::JOURNAL).unwrap();
        let record = journal.get(1).unwrap().unwrap().value().to_vec();
        let changed: Vec<u8> = record.iter().enumerate().map(|(n, b)| if n == 5 { b ^ 1 } else { *b }).collect();
        journal.insert(1, changed.as_slice()).unwrap();
    }
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(Store::open(folder.path(), options()), Err(StoreError::Damaged(_))));
}

#[test]
fn what_nobody_waits_for_is_applied_in_order_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write_later(|txn| decide(1)(txn)).unwrap();
    let seen = store.write_blocking(|txn| txn.session_seen(&SessionId::new([1; 32]))).unwrap();
    assert!(seen, "a later operation sees it");
    store.write_later(|txn| decide(2)(txn)).unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.view().unwrap().intent_count().unwrap(), 2);
}

fn finished(n: u64) -> IntentRow {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id[8..16].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let id = *IntentId::new(limen_wire::ids::tagged_hash("test", [&id[..]])).as_bytes();
    let result = StoredSignature { signature: vec![7; 64], recovery_id: 1, session: id.to_vec(), signers: vec![1, 2] };
    let live = LiveIntent {
        envelope: vec![1; 420],
        requester: "backend".to_owned(),
        counted: None,
        expires_at_secs: 10,
        sessions: 1,
        nonce_claim: None,
        first_seen_uptime: 0,
        approvals: Vec::new(),
        delays: rows::Delays::new(),
        rejected: None,
        metered: Vec::new(),
    };
    IntentRow {
        id,
        first_seen_ms: n,
        requester: rows::RequesterTag::of("backend"),
        allowed: true,
        stopped: false,
        result: Some(result),
        live: Some(live),
    }
}

/// Writes requests as they stand after signing: row, both claims, session, three journal records.
fn fill(store: &Store, count: u64) {
    for chunk in 0..count / 250 {
        let fill = move |txn: &mut Txn<'_>| {
            for n in chunk * 250 + 1..=(chunk + 1) * 250 {
                let row = finished(n);
                let half = |tag: &str| {
                    let hash = limen_wire::ids::tagged_hash(tag, [&row.id[..]]);
                    rows::ClaimKey(*hash.first_chunk().unwrap())
                };
                let sequence = txn.add_intent(&row)?;
                txn.put_claim(half("idempotency"), sequence)?;
                txn.put_claim(half("nonce"), sequence)?;
                txn.put_session(&SessionId::new(row.id), sequence)?;
                let allowed = journal::Allowed {
                    intent: row.id,
                    session: row.id,
                    key: "treasury".to_owned(),
                    epoch: 1,
                    signers: vec![1, 2],
                    charter: [3; 32],
                    effects: row.id,
                    replaces: None,
                    evidence: journal::Evidence::default(),
                };
                txn.append(Millis(n), Event::FirstSeen { intent: row.id })?;
                txn.append(Millis(n), Event::Allowed(Box::new(allowed)))?;
                txn.append(Millis(n), Event::Signed { intent: row.id, session: row.id, signature_hash: row.id })?;
            }
            Ok(())
        };
        store.write_blocking(fill).unwrap();
    }
}

fn compact_all(store: &Store, before: u64) -> compaction::Compacted {
    let mut total = compaction::Compacted::default();
    loop {
        let step = store.write_blocking(move |txn| compaction::step(txn, Millis(before), Millis(1_000_000))).unwrap();
        if step == compaction::Compacted::default() {
            return total;
        }
        total.intents += step.intents;
        total.records += step.records;
    }
}

#[test]
fn compaction_keeps_replay_protection_and_a_verifiable_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    fill(&store, 1000);
    let before = store.view().unwrap().head().unwrap();
    let done = compact_all(&store, 601);
    assert_eq!((done.intents, done.records), (600, 1800));
    drop(store);
    // opening follows the chain from the checkpoint
    let store = Store::open(folder.path(), options()).unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.head().unwrap(), before);
    assert_eq!(view.checkpoint().unwrap().length, 1800);
    let (rows, more) = view.intents_after(0, 2000).unwrap();
    assert!(!more);
    for (sequence, row) in rows {
        assert_eq!(row.live.is_none(), sequence <= 600);
        assert_eq!(row.result.as_ref().unwrap().signature, vec![7; 64], "the answer stays");
        assert_eq!(view.intent(&row.intent_id()).unwrap().unwrap().0, sequence, "the id stays known");
    }
    assert_eq!(compact_all(&store, 601), compaction::Compacted::default(), "nothing is done twice");
}

#[test]
fn an_intent_that_may_still_be_signed_is_not_shrunk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut row = intent(1, 1);
    row.live.as_mut().unwrap().expires_at_secs = 2_000;
    store.write_blocking(move |txn| txn.add_intent(&row)).unwrap();
    assert_eq!(compact_all(&store, 500).intents, 0);
}

/// Prints what "for ever" costs. Run with `--nocapture` to see it.
#[test]
fn a_compacted_request_takes_at_most_300_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let count = 20_000;
    fill(&store, count);
    let live = store.view().unwrap().stored_bytes().unwrap();
    compact_all(&store, u64::MAX);
    drop(store);
    let mut db = Database::open(folder.path().join("limen-node.redb")).unwrap();
    while db.compact().unwrap() {}
    drop(db);
    let file = std::fs::metadata(folder.path().join("limen-node.redb")).unwrap().len();
    let store = Store::open(folder.path(), options()).unwrap();
    let kept = store.view().unwrap().stored_bytes().unwrap();
    println!("bytes per request: {} live, {} compacted, {} of file", live / count, kept / count, file / count);
    let sizes: BTreeMap<_, _> = store.view().unwrap().table_bytes().unwrap().into_iter().collect();
    println!("by table: {sizes:?}");
    assert!(kept / count <= 300, "{} bytes", kept / count);
}

/// Numbers of own leaves are used again, so what was found to be safe is named by its bytes too.
#[test]
fn a_leaf_that_came_meanwhile_is_not_settled_by_the_number_of_another() {
    let leaf = |byte| log::PendingLeaf { bytes: vec![byte; 8], whole: true, since: 1, required: 2 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write_blocking(move |txn| txn.add_leaf(&leaf(1))).unwrap();
    let safe = store.view().unwrap().pending_leaves().unwrap();
    let again = safe.clone();
    store.write_blocking(move |txn| txn.settle_leaves(&safe)).unwrap();
    store.write_blocking(move |txn| txn.add_leaf(&leaf(2))).unwrap();
    store.write_blocking(move |txn| txn.settle_leaves(&again)).unwrap();
    let left = store.view().unwrap().pending_leaves().unwrap();
    assert_eq!(left.into_iter().map(|(_, leaf)| leaf.bytes).collect::<Vec<_>>(), [vec![2; 8]]);
}

/// After a power cut the running time goes on from no earlier moment than that since which a leaf is missing.
#[test]
fn what_a_leaf_is_missing_since_is_not_forgotten_with_the_running_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let leaf = log::PendingLeaf { bytes: vec![1], whole: true, since: 600_000, required: 2 };
    store.write_blocking(move |txn| txn.add_leaf(&leaf)).unwrap();
    assert_eq!(store.view().unwrap().uptime().unwrap().0, 600_000);
}

/// Two calls may have signed the same leaf, and a token's ECDSA differs each time: what was durable first is what leaves.
#[test]
fn a_leaf_that_was_signed_keeps_its_first_signature() {
    let body = log::PendingLeaf { bytes: b"body".to_vec(), whole: false, since: 1, required: 2 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write_blocking(move |txn| txn.add_leaf(&body)).unwrap();
    let number = store.view().unwrap().pending_leaves().unwrap()[0].0;
    let complete = |number, body: &'static [u8], whole: &'static [u8]| {
        store.write_blocking(move |txn| txn.complete_leaf(number, body, whole)).unwrap()
    };
    assert_eq!(complete(number, b"other", b"other, signed"), None, "another leaf has the number");
    assert_eq!(complete(number, b"body", b"body, first").unwrap(), b"body, first");
    assert_eq!(complete(number, b"body", b"body, second").unwrap(), b"body, first");
    assert_eq!(complete(number, b"other", b"other, signed"), None);
    assert_eq!(complete(number + 1, b"body", b"body, third"), None, "it has gone");
    let left = store.view().unwrap().pending_leaves().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].1.whole && left[0].1.bytes == b"body, first");
}
