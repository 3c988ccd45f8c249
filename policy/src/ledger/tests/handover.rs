use std::sync::Arc;

use super::kit::*;
use crate::ledger::*;

/// Committees of nodes 0..4 and 1..5, with 90 of 100 reserved in the first.
struct World {
    old: Arc<Committee>,
    new: Arc<Committee>,
    nodes: Vec<Node>,
    base: Certificate,
    guard: Guard,
}

fn world() -> World {
    let old = committee();
    let new = Arc::new(committee_of(1..5, (1, 3), Some(old.hash())).unwrap());
    let claims: Vec<Claim> = [(1, 90), (2, 10), (3, 11)].map(|(number, value)| claim(number, value)).into();
    let guard = Guard { successor: Some(new.hash()), ..Guard::new(&claims, 100, 10) };
    let mut nodes = Node::all(&old);
    let first = entry(&old, None, NOW, &claims[..1]);
    let base = run(&mut nodes, &first, None, NOW, &guard).unwrap();
    nodes.iter_mut().for_each(|node| node.learn(&base).unwrap());
    World { old, new, nodes, base, guard }
}

impl World {
    fn seal(&self) -> Seal {
        Seal { successor: self.new.hash(), book: self.nodes[0].member.durable().book.digest() }
    }

    fn sealing(&self) -> Entry {
        Entry::new(Body { seal: Some(self.seal()), ..body(&self.old, Some(&self.base), NOW, &[]) }).unwrap()
    }

    /// The new committee's members, from what the seal hands over.
    fn successors(&self, seal: &Certificate) -> Vec<Node> {
        let book = self.nodes[0].member.durable().book.clone();
        let start = |index| {
            let durable = Durable::succeed(&self.new, seal, book.clone()).unwrap();
            Node { index, member: Member::new(self.new.clone(), durable) }
        };
        (1..5).map(start).collect()
    }
}

#[test]
fn what_counts_is_carried_over_and_certified_by_both() {
    let mut world = world();
    let sealing = world.sealing();
    let seal = run(&mut world.nodes, &sealing, Some(&world.base), NOW, &world.guard).unwrap();
    let mut nodes = world.successors(&seal);
    let too_much = entry(&world.new, Some(&seal), NOW, &[claim(3, 11)]);
    assert_eq!((too_much.number, too_much.base, too_much.previous), (1, 0, seal.entry().hash()));
    assert!(matches!(run(&mut nodes, &too_much, Some(&seal), NOW, &world.guard), Err(Refusal::Misfit(_))));
    let rest = entry(&world.new, Some(&seal), NOW, &[claim(2, 10)]);
    let certificate = run(&mut nodes[..3], &rest, Some(&seal), NOW, &world.guard).unwrap();
    certificate.covers(&claim(2, 10), &CHARTER, NOW).unwrap();
    // The old committee is no other door.
    world.nodes.iter_mut().for_each(|node| node.learn(&seal).unwrap());
    assert!(world.nodes.iter_mut().all(|node| node.close(3) == Err(Refusal::Sealed)));
}

#[test]
fn a_successor_starts_from_its_predecessors_seal_and_nothing_else() {
    let mut world = world();
    let sealing = world.sealing();
    let seal = run(&mut world.nodes, &sealing, Some(&world.base), NOW, &world.guard).unwrap();
    let book = world.nodes[0].member.durable().book.clone();
    assert!(Durable::succeed(&world.new, &seal, Book::default()).is_none());
    assert!(Durable::succeed(&world.new, &world.base, book.clone()).is_none());
    assert!(Durable::succeed(&world.old, &seal, book.clone()).is_none());
    let unrelated = committee_of(1..5, (1, 3), None).unwrap();
    assert!(Durable::succeed(&unrelated, &seal, book).is_none());
    // Nor does it take a first entry from nothing, or on an entry that does not seal.
    let from_nothing = entry(&world.new, None, NOW, &[claim(2, 10)]);
    let refused = Proposal::check(from_nothing, None, &world.new);
    assert_eq!(refused, Err(ProposalError::NoBase { number: 1, base: 0 }));
    let on_base = entry(&world.new, Some(&world.base), NOW, &[claim(2, 10)]);
    let refused = Proposal::check(on_base, Some(&world.base), &world.new);
    assert_eq!(refused, Err(ProposalError::WrongBase { number: 1, base: 0 }));
}

#[test]
fn a_seal_that_may_be_certified_is_never_passed_over() {
    // One member acknowledges the seal at 2, the others give number 2 up: the seal might have been certified.
    let mut world = world();
    let base = world.base.clone();
    let sealing = world.sealing();
    world.nodes[0].acknowledge(&sealing, Some(&base), NOW, &world.guard).unwrap();
    let closings: Vec<_> = world.nodes[..3].iter_mut().map(|node| node.close(2).unwrap()).collect();
    let plain = settling(&world.old, Some(&base), NOW, &closings, &[]);
    let refused = Proposal::check(Entry::new(plain.clone()).unwrap(), Some(&base), &world.old);
    assert_eq!(refused, Err(ProposalError::SealDropped { number: 3, successor: world.new.hash() }));
    let sealed = Entry::new(Body { seal: Some(world.seal()), ..plain }).unwrap();
    let seal = run(&mut world.nodes, &sealed, Some(&base), NOW, &world.guard).unwrap();
    // Members that started from either seal go on together.
    let first_seal = certify(&sealing, &world.old);
    let mut nodes = world.successors(&first_seal);
    nodes.truncate(2);
    nodes.extend(world.successors(&seal).into_iter().skip(2));
    let next = entry(&world.new, Some(&seal), NOW, &[claim(2, 10)]);
    let certificate = run(&mut nodes, &next, Some(&seal), NOW, &world.guard).unwrap();
    nodes.iter_mut().for_each(|node| node.learn(&certificate).unwrap());
}

#[test]
fn a_seal_over_another_book_is_refused() {
    let mut world = world();
    let seal = Some(Seal { book: Book::default().digest(), ..world.seal() });
    let forgetful = Entry::new(Body { seal, ..body(&world.old, Some(&world.base), NOW, &[]) }).unwrap();
    let refused = run(&mut world.nodes, &forgetful, Some(&world.base), NOW, &world.guard);
    assert_eq!(refused, Err(Refusal::OtherBook));
}
