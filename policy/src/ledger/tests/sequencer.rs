use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use limen_wire::ids::{CommitteeHash, IntentId};
use limen_wire::pb;

use super::kit::*;
use crate::ledger::*;

const PATIENCE: u64 = 1000;

/// A committee as a sequencer's driver sees it: some members down, some corrupt.
struct World {
    committee: Arc<Committee>,
    nodes: Vec<Node>,
    /// What each node's store has of certificates, by number.
    stores: Vec<BTreeMap<u64, pb::Envelope>>,
    guard: Guard,
    down: BTreeSet<usize>,
    /// Names an invention in every closing.
    liar: Option<usize>,
    now: u64,
    certified: Vec<Certificate>,
    dropped: BTreeSet<IntentId>,
    barred: Vec<CommitteeHash>,
    /// How often members were asked to close, and shown what others have.
    closed: usize,
    relayed: usize,
}

impl World {
    fn new(guard: Guard) -> Self {
        let committee = committee();
        let nodes = Node::all(&committee);
        let stores = vec![BTreeMap::new(); 4];
        let (down, dropped) = (BTreeSet::new(), BTreeSet::new());
        Self {
            committee,
            nodes,
            stores,
            guard,
            down,
            liar: None,
            now: NOW,
            certified: vec![],
            dropped,
            barred: Vec::new(),
            closed: 0,
            relayed: 0,
        }
    }

    fn sequencer(&self) -> Sequencer {
        Sequencer::new(self.committee.clone(), CHARTER, Durable::genesis(&self.committee), None, PATIENCE)
    }

    /// Lets time pass until nothing is left to do, at most this many ticks.
    fn run(&mut self, sequencer: &mut Sequencer, ticks: usize) {
        for _ in 0..ticks {
            let guard = self.guard.clone();
            let mut queue = VecDeque::from(sequencer.tick(self.now, &|scope, claims| guard.limit(scope, claims)));
            while let Some(output) = queue.pop_front() {
                queue.extend(self.carry_out(sequencer, output));
            }
            self.now += PATIENCE / 2;
        }
    }

    fn carry_out(&mut self, sequencer: &mut Sequencer, output: Output) -> Vec<Output> {
        let index_of = |to: &limen_wire::ids::NodeId| (0..4).find(|i| node(*i) == *to).unwrap();
        match output {
            Output::Certified(certificate) => {
                self.certified.push(*certificate);
                vec![]
            }
            Output::Dropped { intent, .. } => {
                self.dropped.insert(intent);
                vec![]
            }
            Output::Barred { successor } => {
                self.barred.push(successor);
                vec![]
            }
            Output::Propose { to, .. }
            | Output::Teach { to, .. }
            | Output::Relay { to, .. }
            | Output::Close { to, .. }
                if self.down.contains(&index_of(&to)) =>
            {
                vec![]
            }
            Output::Propose { to, entry, base } => {
                let index = index_of(&to);
                base.iter().for_each(|base| self.learn(index, base));
                match self.nodes[index].acknowledge(&entry, base.as_deref(), self.now, &self.guard) {
                    Ok(envelope) => sequencer.acknowledged(&to, envelope),
                    Err(refusal) => {
                        let known = || self.stores[index].range(entry.base + 1..).map(|(_, c)| c.clone()).collect();
                        sequencer.hinted(&to, Hint::of(&refusal, known), self.now)
                    }
                }
            }
            Output::Teach { to, certificates } => {
                certificates.iter().for_each(|certificate| self.learn(index_of(&to), certificate));
                vec![]
            }
            Output::Relay { to, after } => {
                self.relayed += 1;
                let (index, fullest) = (index_of(&to), self.stores.iter().max_by_key(|store| store.len()).unwrap());
                let page: Vec<_> = fullest.range(after + 1..).map(|(_, envelope)| envelope.clone()).collect();
                for envelope in page {
                    self.learn(index, &Certificate::verify(&envelope, &self.committee).unwrap());
                }
                vec![]
            }
            Output::Close { to, through } => {
                self.closed += 1;
                let index = index_of(&to);
                let Ok(honest) = self.nodes[index].close(through) else { return vec![] };
                let mut entries: Vec<_> = self.nodes[index].member.durable().acknowledged.values().cloned().collect();
                let mut envelope = honest;
                if self.liar == Some(index) {
                    let (_, closing) = Closing::verify(&envelope, &self.committee).unwrap();
                    let invented = entry(&self.committee, None, NOW, &[claim(999, 1)]);
                    let acknowledged = vec![(invented.number, invented.hash())];
                    entries = vec![invented];
                    let lie = Closing { acknowledged, ..closing };
                    envelope = lie.sign(&self.committee, &to, &key(index));
                }
                let entries = entries.iter().map(|entry| entry.payload().clone()).collect();
                sequencer.closed(&to, envelope, entries, self.now)
            }
        }
    }

    fn learn(&mut self, index: usize, certificate: &Certificate) {
        if self.nodes[index].learn(certificate).is_ok() {
            self.stores[index].insert(certificate.entry().number, certificate.envelope().clone());
        }
    }

    /// How often each request was certified.
    fn effects(&self) -> BTreeMap<IntentId, usize> {
        let mut effects = BTreeMap::new();
        for claim in self.certified.iter().flat_map(|certificate| &certificate.entry().claims) {
            *effects.entry(claim.intent).or_insert(0) += 1;
        }
        effects
    }
}

fn requests(count: u64, value: u64) -> Vec<Claim> {
    (0..count).map(|number| claim(number, value)).collect()
}

#[test]
fn requests_are_reserved_in_batches() {
    let claims = requests(200, 1);
    let mut world = World::new(Guard::new(&claims, 200, 200));
    let mut sequencer = world.sequencer();
    claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
    world.run(&mut sequencer, 10);
    assert_eq!(world.effects().len(), 200);
    assert!(world.effects().values().all(|times| *times == 1));
    assert!(world.certified.len() < 5, "{} round trips", world.certified.len());
}

#[test]
fn of_a_thousand_racing_requests_on_one_limit_one_has_an_effect() {
    let claims = requests(1000, 100);
    let mut world = World::new(Guard::new(&claims, 100, 1000));
    let mut sequencer = world.sequencer();
    claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
    world.run(&mut sequencer, 4);
    assert_eq!((world.effects().len(), world.dropped.len()), (1, 999));
}

#[test]
fn of_a_thousand_racing_requests_under_one_idempotency_key_one_has_an_effect() {
    let charges = |number: u64| Charges::from([(idempotency("the-one"), amount(0)), (daily(), amount(number))]);
    let claims: Vec<Claim> =
        (0..1000).map(|number| Claim { intent: id(number), replaces: None, charges: charges(number) }).collect();
    let mut world = World::new(Guard::new(&claims, 1_000_000, 1_000_000));
    // Two coordinators race for it.
    let mut sequencers = [world.sequencer(), world.sequencer()];
    for (index, claim) in claims.iter().enumerate() {
        sequencers[index % 2].submit(claim.clone());
    }
    for _ in 0..20 {
        sequencers.iter_mut().for_each(|sequencer| world.run(sequencer, 1));
    }
    let reserved: Vec<_> = world.effects().into_keys().collect();
    assert_eq!((reserved.len(), world.dropped.len()), (1, 999));
}

#[test]
fn one_of_four_may_be_down_and_two_may_not() {
    for down in 0..4 {
        let claims = requests(3, 1);
        let mut world = World::new(Guard::new(&claims, 200, 200));
        let mut sequencer = world.sequencer();
        world.down.insert(down);
        sequencer.submit(claims[0].clone());
        world.run(&mut sequencer, 3);
        assert_eq!(world.effects().len(), 1);
        world.down.insert((down + 1) % 4);
        sequencer.submit(claims[1].clone());
        world.run(&mut sequencer, 10);
        assert_eq!(world.effects().len(), 1);
        // They come back, and nothing is lost.
        world.down.clear();
        sequencer.submit(claims[2].clone());
        world.run(&mut sequencer, 10);
        assert_eq!(world.effects().into_values().collect::<Vec<_>>(), [1, 1, 1]);
    }
}

/// Two requests split number 1 before anybody drives: one member each.
fn split(guard: Guard) -> World {
    let mut world = World::new(guard);
    for (number, node) in (0..2).zip(&mut world.nodes) {
        let entry = entry(&world.committee, None, NOW, &[claim(number, 1)]);
        node.acknowledge(&entry, None, NOW, &world.guard).unwrap();
    }
    world
}

#[test]
fn a_split_number_is_settled_and_everybody_is_served() {
    let claims = requests(3, 1);
    let mut world = split(Guard::new(&claims, 200, 200));
    let mut sequencer = world.sequencer();
    claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
    world.run(&mut sequencer, 12);
    assert_eq!(world.effects().into_values().collect::<Vec<_>>(), [1, 1, 1]);
    assert!(world.certified[0].entry().settles());
}

#[test]
fn a_member_that_names_inventions_delays_and_no_more() {
    for liar in 0..4 {
        let claims = requests(3, 1);
        let mut world = split(Guard::new(&claims, 200, 200));
        world.liar = Some(liar);
        let mut sequencer = world.sequencer();
        claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
        world.run(&mut sequencer, 60);
        assert_eq!(world.effects().into_values().collect::<Vec<_>>(), [1, 1, 1], "liar {liar}");
    }
}

#[test]
fn a_sequencer_without_memory_catches_up() {
    let claims = requests(200, 1);
    let mut world = World::new(Guard::new(&claims, 200, 200));
    let mut first = world.sequencer();
    claims[..150].iter().for_each(|claim| first.submit(claim.clone()));
    world.run(&mut first, 8);
    let before = world.certified.len();
    assert!(before > 1);
    let mut second = world.sequencer();
    claims[150..].iter().for_each(|claim| second.submit(claim.clone()));
    world.run(&mut second, 12);
    assert_eq!(world.effects().len(), 200);
    // And one that was not told that it is no longer alone goes on too.
    first.submit(claim(0, 1));
    world.run(&mut first, 12);
    assert!(world.certified.last().unwrap().entry().number > before as u64);
}

#[test]
fn what_members_refuse_is_dropped_and_the_rest_goes_on() {
    let claims = requests(3, 1);
    let mut guard = Guard::new(&claims, 200, 200);
    guard.refused.insert(id(1));
    let mut world = World::new(guard);
    let mut sequencer = world.sequencer();
    claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
    world.run(&mut sequencer, 12);
    assert_eq!(world.dropped, BTreeSet::from([id(1)]));
    assert_eq!(world.effects().len(), 2);
}

#[test]
fn foreign_answers_are_dropped() {
    let claims = requests(2, 1);
    let mut world = World::new(Guard::new(&claims, 200, 200));
    let mut sequencer = world.sequencer();
    sequencer.submit(claims[0].clone());
    let guard = world.guard.clone();
    let outputs = sequencer.tick(NOW, &|scope, claims| guard.limit(scope, claims));
    let Output::Propose { entry: proposed, .. } = &outputs[0] else { panic!("{outputs:?}") };
    let other = entry(&world.committee, None, NOW, &[claim(1, 1)]);
    for index in 0..4 {
        assert!(sequencer.acknowledged(&node(index), other.acknowledge(&node(index), &key(index))).is_empty());
        assert!(sequencer.acknowledged(&node(index), proposed.acknowledge(&node(index), &key(9))).is_empty());
        assert!(sequencer.acknowledged(&node(index), proposed.acknowledge(&node(0), &key(0))).len() < 2);
        assert!(sequencer.hinted(&node(9), Hint::Other, NOW).is_empty());
    }
    assert!(world.certified.is_empty());
    world.run(&mut sequencer, 3);
    assert_eq!(world.effects().len(), 1);
}

/// Longer away than a page of certificates, which is all that a sequencer keeps.
#[test]
fn a_member_that_was_long_away_catches_up_from_the_others() {
    let claims = requests(limen_wire::limits::LEDGER_PAGE as u64 + 20, 1);
    let mut world = World::new(Guard::new(&claims, 200, 200));
    let mut sequencer = world.sequencer();
    world.down.insert(1);
    for claim in &claims[1..] {
        sequencer.submit(claim.clone());
        world.run(&mut sequencer, 1);
    }
    assert_eq!((world.effects().len(), world.relayed), (claims.len() - 1, 0));
    // It comes back, and another one goes.
    world.down = BTreeSet::from([2]);
    sequencer.submit(claims[0].clone());
    world.run(&mut sequencer, 4);
    assert_eq!(world.effects().len(), claims.len());
    assert!(world.relayed > 0);
}

#[test]
fn evidence_that_does_not_hold_costs_no_number() {
    let claims = requests(2, 1);
    let mut world = World::new(Guard::new(&claims, 200, 200));
    let mut sequencer = world.sequencer();
    sequencer.submit(claims[0].clone());
    world.run(&mut sequencer, 2);
    // Only one of the three signers that would have to has said that it will never allow the first.
    sequencer.release(void(&cluster(), &id(0), &node(0), &key(0)));
    sequencer.submit(claims[1].clone());
    world.run(&mut sequencer, 3);
    assert_eq!((world.effects().len(), world.closed), (2, 0));
    let last = world.certified.last().unwrap().entry();
    assert_eq!((last.number, last.releases.len()), (2, 0));
}

/// The members have gone over to another charter, and their coordinator has not heard of it yet: it waits, tick by tick.
#[test]
fn a_sequencer_under_another_charter_burns_no_numbers() {
    let claims = requests(2, 1);
    for stuck in [false, true] {
        let guard = Guard::new(&claims, 200, 200);
        let mut world = if stuck { split(guard) } else { World::new(guard) };
        let mut sequencer = world.sequencer();
        world.guard.charter = limen_wire::ids::CharterHash::new([8; 32]);
        claims.iter().for_each(|claim| sequencer.submit(claim.clone()));
        world.run(&mut sequencer, 20);
        assert!(world.effects().is_empty());
        assert!(world.closed <= if stuck { 4 * 20 } else { 0 }, "{} closings", world.closed);
        let far = world.nodes.iter().map(|node| node.member.durable().closed_through).max().unwrap();
        assert!(far <= if stuck { 20 } else { 0 }, "{far}");
        world.guard.charter = CHARTER;
        world.run(&mut sequencer, 20);
        assert_eq!(world.effects().into_values().collect::<Vec<_>>(), [1, 1]);
    }
}

/// The committee of nodes 0 to 3 ends, whoever of it is down or corrupt and whatever is on its way, and another goes on.
#[test]
fn a_sequencer_seals_for_the_committee_that_goes_on() {
    for (down, liar, split_before) in
        [(None, None, false), (Some(3), None, false), (None, Some(2), true), (Some(0), None, true)]
    {
        let claims = requests(4, 1);
        let guard = Guard::new(&claims, 2, 200);
        let mut world = if split_before { split(guard) } else { World::new(guard) };
        world.liar = liar;
        if !split_before {
            let mut sequencer = world.sequencer();
            sequencer.submit(claims[2].clone());
            world.run(&mut sequencer, 2);
        }
        let next = Arc::new(committee_of(0..5, (1, 4), Some(world.committee.hash())).unwrap());
        world.guard.successor = Some(next.hash());
        world.down.extend(down);
        // Two at once, and the first of them again.
        let mut sealing = [0, 1].map(|_| world.sequencer().sealing_for(next.hash()));
        sealing[0].submit(claims[3].clone());
        for _ in 0..40 {
            sealing.iter_mut().for_each(|sequencer| world.run(sequencer, 1));
        }
        let (book, seal) = sealing[0].sealed().unwrap();
        assert_eq!(seal.entry().claims.len(), 0, "nothing is reserved any more");
        assert!(!book.counts(&id(3)));
        let durable = Durable::succeed(&next, seal, book.clone()).expect("the seal is over this book");
        let (other_book, other) = sealing[1].sealed().unwrap();
        assert_eq!(book.digest(), other_book.digest());
        assert!(Durable::succeed(&next, other, book.clone()).is_some());
        // What was acknowledged or certified before counts in the next one, and it goes on.
        let counted = if split_before { [0, 1].iter().filter(|number| book.counts(&id(**number))).count() } else { 1 };
        assert!(counted >= usize::from(!split_before));
        let mut sequencer = Sequencer::new(next.clone(), CHARTER, durable, Some(seal.clone()), PATIENCE);
        (0..4).filter(|number| !book.counts(&id(*number))).for_each(|number| sequencer.submit(claim(number, 1)));
        let guard = world.guard.clone();
        let outputs = sequencer.tick(world.now, &|scope, claims| guard.limit(scope, claims));
        let dropped = outputs.iter().filter(|output| matches!(output, Output::Dropped { .. })).count();
        let proposed = outputs.iter().find_map(|output| match output {
            Output::Propose { entry, base, .. } => Some((entry.claims.len(), entry.previous, base.clone().unwrap())),
            _ => None,
        });
        assert_eq!(dropped, if counted == 2 { 2 } else { 0 });
        if counted < 2 {
            let (claims, previous, base) = proposed.unwrap();
            assert_eq!(
                (claims, previous, base.entry().hash()),
                (2 - counted, seal.entry().hash(), seal.entry().hash())
            );
        }
    }
}

/// Some have acknowledged a seal for a committee that the charter no longer names. With one of four that is passed over; with
/// two that seal may be certified by the other two, and nobody may pass it over.
#[test]
fn closings_for_another_successor_are_left_out_while_enough_others_are_there() {
    // With one of four, another may be away while the number is given up: it is asked again, and nobody is called barred.
    for (bound, away, goes_on) in [(1, vec![2, 3], true), (1, vec![3], true), (2, vec![2, 3], false)] {
        let mut world = World::new(Guard::new(&[], 2, 200));
        let next = |first| Arc::new(committee_of(first..5, (1, 3), Some(world.committee.hash())).unwrap());
        let (before, after) = (next(1), Arc::new(committee_of(0..5, (1, 4), Some(world.committee.hash())).unwrap()));
        world.guard.successor = Some(before.hash());
        world.down.extend(bound..4);
        let mut sequencer = world.sequencer().sealing_for(before.hash());
        world.run(&mut sequencer, 1);
        let promised = world.nodes.iter().filter(|node| !node.member.durable().acknowledged.is_empty()).count();
        assert_eq!(promised, bound);
        // A version names another committee; the others come when the number is given up already.
        world.guard.successor = Some(after.hash());
        world.down = away.into_iter().collect();
        let mut sequencer = world.sequencer().sealing_for(after.hash());
        world.run(&mut sequencer, 6);
        world.down.clear();
        world.run(&mut sequencer, 6);
        let sealed = sequencer.sealed().map(|(_, seal)| seal.entry().seal.unwrap().successor);
        assert_eq!(sealed, goes_on.then_some(after.hash()));
        assert_eq!(world.barred, if goes_on { vec![] } else { vec![before.hash()] }, "it is said once");
        // It is not over for good: the seal that was begun can be had.
        if !goes_on {
            world.guard.successor = Some(before.hash());
            let mut sequencer = world.sequencer().sealing_for(before.hash());
            world.run(&mut sequencer, 40);
            assert!(sequencer.sealed().is_some());
        }
    }
}
