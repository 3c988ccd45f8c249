use limen_evidence::leaf::Leaf;
use limen_wire::ids::ClusterId;
use limen_wire::keys::SigningKey;

use super::*;
use crate::clock::Uptime;
use crate::guard::tests::{charter, charter_text, denied, examined, examined_under, pin, sealed, transfer};
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

/// As many nodes as sign together must cosign a leaf, or as make the log final, where these are fewer.
#[test]
fn no_leaf_waits_for_more_cosignatures_than_make_the_log_final() {
    let one = "[[ledgers]]\nid = \"first\"\nmembers = [\"witness-1\"]\nquorum = 1\ncorrupt = 0\n\n[[coordinators]]";
    let text = charter_text().replacen("[[coordinators]]", one, 1);
    for (charter, quorum, required) in [(charter(), 3, 2), (Charter::from_toml(&text).unwrap(), 1, 1)] {
        assert_eq!(charter.log_committee().quorum, quorum);
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        pin(&store, &charter);
        let raw = transfer(1, "a");
        let (call, rules) = (guard::sign_call(&[1; 32], &[1, 2]).unwrap(), charter.clone());
        let signing = store.write_blocking(move |txn| {
            let examined = examined_under(&rules, &raw);
            sign(txn, &rules, examined, call, (&sealed(&raw), Shown::default()), MOMENT)
        });
        let Verdict::Allowed(token) = signing.unwrap().verdict else { panic!("allowed") };
        let pending = store.view().unwrap().pending_leaves().unwrap();
        assert_eq!(pending.iter().map(|(_, leaf)| leaf.required).collect::<Vec<_>>(), [required]);
        let stored =
            StoredSignature { signature: vec![7; 64], recovery_id: 0, session: vec![1; 32], signers: vec![1, 2] };
        assert_eq!(signature_leaf(&charter, &token, &stored, MOMENT).unwrap().required, required);
    }
}

/// A log that is given up may hold anything: only what this node itself has said is kept for the next one.
#[test]
fn of_a_log_that_is_given_up_only_its_own_words_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let key = |seed: u8| SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([seed; 32]));
    let raw = transfer(1, "a");
    let id = examined(&raw).intent().id;
    let Verdict::Allowed(token) = sign_it(&store, raw, 1) else { panic!("allowed") };
    let said = token.authorization(NOW).unwrap();
    let (own, others) = (said.clone().sign(&key(3)).encode(), said.sign(&key(4)).encode());
    let stored = StoredSignature { signature: vec![7; 64], recovery_id: 0, session: vec![1; 32], signers: vec![1, 2] };
    let signature = signature_leaf(&charter(), &token, &stored, MOMENT).unwrap();
    store.write_blocking(move |txn| keep(txn, id, (stored, None), NOW)).unwrap();
    let Ok(Leaf::Signature(told)) = Leaf::decode(&signature.bytes) else { panic!("a signature") };
    let altered = |change: fn(&mut limen_evidence::leaf::Signature)| {
        let mut leaf = told.clone();
        change(&mut leaf);
        leaf.encode()
    };
    let mut rubbish = vec![
        Vec::new(),
        b"rubbish".to_vec(),
        vec![0xff; 65_000],
        others,
        altered(|leaf| leaf.signature = [8; 64]),
        altered(|leaf| leaf.session = SessionId::new([9; 32])),
        altered(|leaf| leaf.intent = IntentId::new([9; 32])),
        own[..own.len() - 1].to_vec(),
        [&own[..], &[0]].concat(),
    ];
    rubbish.extend((0..own.len()).map(|place| {
        let mut spoiled = own.clone();
        spoiled[place] ^= 1;
        spoiled
    }));
    // Its own stand among the rest, and a signature before what allowed it is nobody's.
    let mut log = vec![signature.bytes.clone()];
    log.extend(rubbish.drain(..4));
    log.push(own.clone());
    log.append(&mut rubbish);
    log.push(signature.bytes.clone());
    let size = log.len() as u64;
    let waiting = store.view().unwrap().pending_leaves().unwrap();
    let append = move |txn: &mut Txn<'_>| {
        txn.settle_leaves(&waiting)?;
        let fresh: Vec<&[u8]> = log.iter().map(Vec::as_slice).collect();
        let grown = txn.grown_log(&fresh)?;
        txn.append_log(&fresh, &grown)
    };
    store.write_blocking(append).unwrap();
    assert_eq!(store.view().unwrap().log_size().unwrap(), size);
    let public = key(3).public_key();
    store.write_blocking(move |txn| txn.give_up_log(&public, 1, MOMENT)).unwrap();
    let view = store.view().unwrap();
    let kept: Vec<_> =
        view.pending_leaves().unwrap().into_iter().map(|(_, leaf)| (leaf.bytes, leaf.whole, leaf.required)).collect();
    assert_eq!(kept, [(own, true, 1), (signature.bytes, true, 1)]);
    assert_eq!(view.log_size().unwrap(), 0);
    let gone = view.records().unwrap().pop().unwrap().event;
    assert!(matches!(gone, Event::LogGivenUp { size: had, .. } if had == size), "{gone:?}");
}
