use limen_wire::ids::ClusterId;

use super::*;
use crate::clock::Uptime;
use crate::guard::tests::{charter, denied, examined, pin, sealed, transfer};
use crate::store::compaction;
use crate::store::{Options, Store};

const NOW: Millis = Millis(1_000_000_000);
const MOMENT: Now = Now { wall: NOW, uptime: Uptime(5_000) };

fn store(folder: &tempfile::TempDir) -> Store {
    let owner = (NodeId::new("signer-1").unwrap(), ClusterId::new("sample").unwrap());
    let store = Store::open(folder.path(), Options::new(owner.0, owner.1)).unwrap();
    pin(&store, &charter());
    store
}

/// A charter under which two denied requests are remembered.
fn narrow() -> Charter {
    let mut charter = charter();
    charter.bounds.max_denied = 2;
    charter
}

fn cancellation(intent: IntentId, requester: &str) -> Cancellation {
    let (cluster, requester) = (ClusterId::new("sample").unwrap(), RequesterId::new(requester).unwrap());
    Cancellation { id: IntentId::new([9; 32]), cluster, requester, intent_id: intent, reason: String::new() }
}

fn stop_it(store: &Store, intent: IntentId, requester: &str) -> Result<bool, ApiError> {
    let wish = cancellation(intent, requester);
    store.write_blocking(move |txn| stop(txn, &wish, b"record", NOW)).unwrap()
}

fn sign_it(store: &Store, raw: pb::Intent, session: u8) -> Verdict<SignToken> {
    let call = guard::sign_call(&[session; 32], &[1, 2]).unwrap();
    store
        .write_blocking(move |txn| {
            sign(txn, &narrow(), examined(&raw), call, (&sealed(&raw), Shown::default()), MOMENT)
        })
        .unwrap()
        .verdict
}

fn tally(store: &Store, what: Tally) -> u64 {
    store.write_blocking(move |txn| txn.tally(what, "backend")).unwrap()
}

#[test]
fn stops_ahead_are_bounded_and_count_for_their_requester_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (first, second) = (transfer(1, "a"), transfer(2, "b"));
    let id = |raw: &pb::Intent| examined(raw).intent().id;
    // a stranger's record comes first and does not count
    assert!(!stop_it(&store, id(&first), "security").unwrap());
    assert!(matches!(sign_it(&store, first.clone(), 1), Verdict::Allowed(_)));
    // the requester's own counts, also before the intent is seen
    assert!(!stop_it(&store, id(&second), "backend").unwrap());
    assert_eq!(tally(&store, Tally::StopsAhead), 1);
    assert!(matches!(sign_it(&store, second, 2), Verdict::Refused(error) if error.code == Code::Stopped));
    assert_eq!(tally(&store, Tally::StopsAhead), 0, "it is seen now");
    // what is seen is stopped by nobody else
    assert_eq!(stop_it(&store, id(&first), "security").unwrap_err().code, Code::NotPermitted);
    assert!(stop_it(&store, id(&first), "backend").unwrap(), "a signature may exist");
    // a repeat counts once, and the bound is each requester's own
    for _ in 0..2 {
        stop_it(&store, IntentId::new([1; 32]), "backend").unwrap();
    }
    assert_eq!(tally(&store, Tally::StopsAhead), 1);
    let fill = |txn: &mut Txn<'_>| (1..STOPS_AHEAD).try_for_each(|_| txn.count_up(Tally::StopsAhead, "backend"));
    store.write_blocking(fill).unwrap();
    assert_eq!(stop_it(&store, IntentId::new([3; 32]), "backend").unwrap_err().code, Code::Overloaded);
    assert!(stop_it(&store, IntentId::new([3; 32]), "security").is_ok(), "others have room of their own");
}

#[test]
fn what_no_rule_allows_is_counted_until_it_is_allowed_or_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let note_it = |examined: Examined, raw: &pb::Intent| {
        let envelope = sealed(raw);
        store.write_blocking(move |txn| note(txn, &narrow(), &examined, &envelope, MOMENT)).unwrap()
    };
    let (first, second, third) = (transfer(1, "a"), transfer(2, "b"), transfer(3, "c"));
    for raw in [&first, &first, &second] {
        note_it(denied(raw), raw).unwrap();
    }
    assert_eq!(tally(&store, Tally::Denied), 2);
    assert_eq!(note_it(denied(&third), &third).unwrap_err().code, Code::Overloaded);
    note_it(examined(&third), &third).unwrap();
    assert_eq!(tally(&store, Tally::Denied), 2, "what is allowed has no part in it");
    assert!(matches!(sign_it(&store, first, 2), Verdict::Allowed(_)), "another charter may allow it");
    assert_eq!(tally(&store, Tally::Denied), 1);
    let later = Millis(NOW.0 + 1_000_000);
    store.write_blocking(move |txn| compaction::step(txn, later, later)).unwrap();
    assert_eq!(tally(&store, Tally::Denied), 0, "what has expired is a tombstone");
}

#[test]
fn every_permission_leaves_a_leaf_and_so_does_its_signature() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let raw = transfer(1, "a");
    let id = examined(&raw).intent().id;
    let Verdict::Allowed(first) = sign_it(&store, raw.clone(), 1) else { panic!("allowed") };
    let Verdict::Allowed(second) = sign_it(&store, raw, 2) else { panic!("allowed") };
    let bodies = [&first, &second].map(|token| token.authorization(NOW).unwrap().to_body());
    let stored = StoredSignature { signature: vec![7; 64], recovery_id: 0, session: vec![2; 32], signers: vec![1, 2] };
    let leaf = signature_leaf(&charter(), &second, &stored, MOMENT).unwrap();
    let kept = (stored, Some(leaf.clone()));
    store.write_blocking(move |txn| keep(txn, id, kept, NOW)).unwrap();
    let pending = store.view().unwrap().pending_leaves().unwrap();
    let found: Vec<_> = pending.iter().map(|(_, leaf)| (leaf.bytes.clone(), leaf.whole, leaf.required)).collect();
    let [one, other] = bodies;
    assert_eq!(found, [(one, false, 2), (other, false, 2), (leaf.bytes, true, 2)]);
    assert!(pending.iter().all(|(_, leaf)| leaf.since == MOMENT.uptime.0));
}
