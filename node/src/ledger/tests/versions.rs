//! Entries across versions of the charter.

use limen_wire::ids::CharterHash;

use super::kit::{World, call};
use super::once::entry;
use super::*;

/// Has one member acknowledge an entry of its own for one request; the entry.
async fn promised(world: &World, member: usize, request: &pb::Envelope) -> Entry {
    let entry = entry(world, None, &[request]);
    let shown = pb::LedgerReserveRequest { requests: vec![world.requested(request)], ..call(&entry, None) };
    assert!(world.keeper(member).reserve(shown).await.unwrap().response.acknowledgement.is_some());
    entry
}

/// What is carried is judged by the charter that it names, and counts whatever is in force now.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_split_before_a_version_is_settled_after_it() {
    let mut world = World::claiming(2);
    let (one, two, three) = (world.request(1), world.request(2), world.request(3));
    let (first, second) = (promised(&world, 0, &one).await, promised(&world, 1, &two).await);
    let before = world.charter.hash();
    for member in 0..=WITNESS {
        drop(world.keeper(member));
    }
    // Under the version both requests would claim something else.
    world.adopt("per = \"all\"", "per = \"requester\"");
    let mut carrier = world.carrier();
    carrier.remember(&world, &one);
    carrier.remember(&world, &two);
    let certificate = world.reserve(&mut carrier, &three).await.expect("limits go on");
    assert_eq!(certificate.entry().charter, world.charter.hash());
    let settled = carrier.certified.iter().find(|one| one.entry().settles()).unwrap().entry();
    assert!(settled.carried.contains(&first) && settled.carried.contains(&second));
    assert_eq!((first.charter, second.charter), (before, before));
    // What was carried holds its number, and is not reserved.
    let rival = world.transfer("rival", 1, 1_000, None);
    assert!(world.reserve(&mut carrier, &rival).await.is_none());
    let shown: Vec<_> = carrier.certified.iter().map(|one| one.envelope().clone()).collect();
    assert!(world.sign(2, &one, &shown).await.is_err());
    assert!(world.sign(2, &three, &[certificate.envelope().clone()]).await.is_ok());
    // Whoever asks for it anew gets it, under the charter in force.
    assert!(world.reserve(&mut carrier, &one).await.is_some());
}

/// A charter that a member has never had in force proves nothing, and neither do other charges than the bytes had under it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_under_an_unknown_charter_is_refused() {
    let world = World::claiming(2);
    let request = world.request(1);
    let honest = entry(&world, None, &[&request]);
    let spoil = |change: &dyn Fn(&mut limen_policy::ledger::Body)| {
        let mut body = limen_policy::ledger::Body::clone(&honest);
        change(&mut body);
        Entry::new(body).unwrap()
    };
    let unknown = spoil(&|body| body.charter = CharterHash::new([7; 32]));
    let other = spoil(&|body| {
        body.claims[0].charges.pop_first();
    });
    let committee = world.charter.ledgers.values().next().unwrap();
    for (carried, says) in [(unknown, "which is not known here"), (other, "other charges")] {
        let closing = |index: usize| {
            let acknowledged = vec![(1, carried.hash())];
            let closing = Closing { after: 0, through: 1, acknowledged, successor: None };
            closing.sign(committee, &world.machines[index].id, &world.machines[index].key)
        };
        let body = limen_policy::ledger::Body {
            number: 2,
            claims: Vec::new(),
            closings: (0..3).map(closing).collect(),
            carried: vec![carried.clone()],
            ..limen_policy::ledger::Body::clone(&honest)
        };
        let settles = Entry::new(body).unwrap();
        let shown = pb::LedgerReserveRequest { requests: vec![world.requested(&request)], ..call(&settles, None) };
        let refusal = world.keeper(2).reserve(shown).await.unwrap().response.refusal.unwrap();
        let message = refusal.error.unwrap().message;
        assert!(message.contains(says), "{message}");
    }
}
