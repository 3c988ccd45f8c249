//! A small model explored to the end, over the real [`Member`]: N = 4, f = 1, q = 3, two or three numbers, two requests of
//! which the limit holds one. Members 0 to 2 are honest, member 3 signs everything and says anything. The sequencer shows any
//! entry that can exist to any member at any time. Signatures are assumed to be unforgeable: the adversary has a member's
//! signature exactly when that member has answered. What was written survives; a member that dies before it wrote has not
//! moved, so crashes are in the order of steps.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use limen_wire::ids::EntryHash;
use limen_wire::pb;

use super::kit::*;
use crate::ledger::*;

const HONEST: usize = 3;

/// One honest member, and every signature that it has given.
#[derive(Clone)]
struct Honest {
    durable: Durable,
    acknowledged: BTreeSet<EntryHash>,
    closings: Vec<Closing>,
    /// Equal for equal members, whoever they are.
    fingerprint: u128,
}

impl Honest {
    fn new(durable: Durable, acknowledged: BTreeSet<EntryHash>, closings: Vec<Closing>) -> Self {
        let part = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            let taken: Vec<_> = durable.acknowledged.values().map(Entry::hash).collect();
            (salt, &durable.head, durable.book.digest(), taken, durable.closed_through).hash(&mut hasher);
            (&acknowledged, &closings).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        let fingerprint = part(0) << 64 | part(1);
        Self { durable, acknowledged, closings, fingerprint }
    }
}

/// The honest members in order of their fingerprints: which is which does not matter.
#[derive(Clone)]
struct State([Arc<Honest>; HONEST]);

/// How far the exploration goes.
#[derive(Clone, Copy)]
struct Bounds {
    /// The numbers at which entries that claim are proposed.
    claims_at: &'static [u64],
    /// The last number that is given up: entries that settle are at the numbers up to the next one.
    closable: u64,
    /// The corrupt member names any one entry in its closings; else it denies everything.
    inventive: bool,
    /// Honest members may come back without what they had acknowledged and closed.
    forgetful: bool,
}

struct Model {
    committee: Arc<Committee>,
    guard: Guard,
    bounds: Bounds,
    /// Every entry ever made, by what makes it one.
    entries: HashMap<(EntryHash, u64, Vec<EntryHash>, u64), Entry>,
    by_hash: HashMap<EntryHash, Entry>,
}

impl Model {
    fn new(bounds: Bounds) -> Self {
        let guard = Guard::new(&[claim(1, 1), claim(2, 1)], 1, 1);
        Self { committee: committee(), guard, bounds, entries: HashMap::new(), by_hash: HashMap::new() }
    }

    fn start(&self) -> State {
        let durable = Durable::genesis(&self.committee);
        let honest = Arc::new(Honest::new(durable, BTreeSet::new(), vec![]));
        State([honest.clone(), honest.clone(), honest])
    }

    fn direct(&mut self, base: Option<&Certificate>, request: u64) -> Entry {
        let previous = base.map_or_else(|| self.committee.genesis(), |base| base.entry().hash());
        let make = || entry(&self.committee, base, NOW, &[claim(request, 1)]);
        let entry = self.entries.entry((previous, 0, vec![], request)).or_insert_with(make).clone();
        self.by_hash.insert(entry.hash(), entry.clone());
        entry
    }

    fn settling(&mut self, base: Option<&Certificate>, through: u64, named: &BTreeSet<(u64, EntryHash)>) -> Entry {
        let previous = base.map_or_else(|| self.committee.genesis(), |base| base.entry().hash());
        let hashes: Vec<EntryHash> = named.iter().map(|(_, hash)| *hash).collect();
        let make = || {
            let carried = hashes.iter().map(|hash| self.by_hash[hash].clone()).collect();
            // The closings are handed to the check beside the entry.
            let closings = vec![pb::Envelope::default()];
            Entry::new(Body { number: through + 1, closings, carried, ..body(&self.committee, base, NOW, &[]) })
                .unwrap()
        };
        let entry = self.entries.entry((previous, through, hashes.clone(), 0)).or_insert_with(make).clone();
        self.by_hash.insert(entry.hash(), entry.clone());
        entry
    }

    /// Everything with two honest acknowledgements is certified: the corrupt member adds the third.
    fn certificates(&self, state: &State) -> Vec<Certificate> {
        let mut count: BTreeMap<EntryHash, usize> = BTreeMap::new();
        for hash in state.0.iter().flat_map(|honest| &honest.acknowledged) {
            *count.entry(*hash).or_insert(0) += 1;
        }
        let certified = count.into_iter().filter(|(_, honest)| *honest >= 2);
        certified.map(|(hash, _)| Certificate::assumed(self.by_hash[&hash].clone())).collect()
    }

    /// Every proposal that passes the check every member makes, in this state.
    fn proposals(&mut self, state: &State) -> Vec<(Proposal, Option<Certificate>)> {
        let certificates = self.certificates(state);
        let bases: Vec<Option<Certificate>> = std::iter::once(None).chain(certificates.into_iter().map(Some)).collect();
        let mut proposals = Vec::new();
        for base in bases {
            let number = base.as_ref().map_or(0, |base| base.entry().number);
            let mut closings_of = Vec::new();
            if self.bounds.claims_at.contains(&(number + 1)) {
                closings_of.extend([1, 2].map(|request| (self.direct(base.as_ref(), request), vec![])));
            }
            for through in number + 1..=self.bounds.closable {
                for closings in self.closings(state, number, through) {
                    let named = closings.iter().flat_map(|(_, closing)| closing.acknowledged.iter().copied());
                    let named = named.filter(|(at, _)| *at > number).collect();
                    closings_of.push((self.settling(base.as_ref(), through, &named), closings));
                }
            }
            for (entry, closings) in closings_of {
                let proposal = Proposal::with_closings(entry, base.as_ref(), &closings, &self.committee);
                proposals.extend(proposal.ok().map(|proposal| (proposal, base.clone())));
            }
        }
        proposals
    }

    /// All sets of q closings: of three honest members, or of two and the corrupt one, who names any one entry or none.
    fn closings(&self, state: &State, base: u64, through: u64) -> Vec<Vec<(limen_wire::ids::NodeId, Closing)>> {
        let of = |index: usize| {
            let fits = move |closing: &&Closing| closing.through == through && closing.after <= base;
            state.0[index].closings.iter().filter(fits).map(move |closing| (node(index), closing.clone()))
        };
        let shown = |entry: &&Entry| entry.counts() && entry.number > base && entry.number <= through;
        let nothing = Closing { after: base, through, acknowledged: vec![], successor: None };
        let lie = |entry: &Entry| Closing { acknowledged: vec![(entry.number, entry.hash())], ..nothing.clone() };
        let seen: BTreeSet<EntryHash> = state.0.iter().flat_map(|honest| honest.acknowledged.iter().copied()).collect();
        let entries = seen.iter().map(|hash| &self.by_hash[hash]).filter(|_| self.bounds.inventive);
        let lies: Vec<Closing> = std::iter::once(nothing.clone()).chain(entries.filter(shown).map(lie)).collect();
        let mut sets: Vec<Vec<_>> = Vec::new();
        for (a, b, c) in [(0, 1, 2), (1, 2, 0), (0, 2, 1)] {
            for (first, second) in of(a).flat_map(|first| of(b).map(move |second| (first.clone(), second))) {
                let pair = [first, second];
                sets.extend(lies.iter().map(|lie| [pair.as_slice(), &[(node(HONEST), lie.clone())]].concat()));
                if (a, b) == (0, 1) {
                    sets.extend(of(c).map(|third| [pair.as_slice(), &[third]].concat()));
                }
            }
        }
        sets
    }

    /// Every state that one step leads to.
    fn next(&mut self, state: &State) -> Vec<State> {
        let (proposals, certificates) = (self.proposals(state), self.certificates(state));
        let mut next = Vec::new();
        for (index, honest) in state.0.iter().enumerate() {
            let twin = state.0[..index].iter().any(|other| Arc::ptr_eq(other, honest));
            if twin {
                continue;
            }
            let member = Member::new(self.committee.clone(), honest.durable.clone());
            let moved: Vec<Honest> = std::iter::empty()
                .chain(
                    proposals.iter().filter_map(|(proposal, base)| self.acknowledged(honest, proposal, base.as_ref())),
                )
                .chain(certificates.iter().filter_map(|certificate| learned(&member, honest, certificate)))
                .chain((1..=self.bounds.closable).filter_map(|through| closed(&member, honest, through)))
                .chain(self.bounds.forgetful.then(|| forgotten(honest)))
                .collect();
            next.extend(moved.into_iter().map(|moved| state.with(index, moved)));
        }
        next
    }

    fn acknowledged(&self, honest: &Honest, proposal: &Proposal, base: Option<&Certificate>) -> Option<Honest> {
        let mut member = Member::new(self.committee.clone(), honest.durable.clone());
        if let Some(base) = base {
            let step = member.learn(base).ok()?;
            member.commit(step);
        }
        let step = member.acknowledge(proposal, NOW, &self.guard).ok()?;
        if step.changes().is_empty() {
            return None;
        }
        let entry = member.commit(step);
        let mut acknowledged = honest.acknowledged.clone();
        acknowledged.insert(entry.hash());
        Some(Honest::new(member.durable().clone(), acknowledged, honest.closings.clone()))
    }

    /// At one number one value, and of the two requests one.
    fn violation(&self, state: &State) -> Option<&'static str> {
        let certificates = self.certificates(state);
        let entries = || certificates.iter().map(Certificate::entry);
        let numbers: BTreeSet<u64> = entries().map(|entry| entry.number).collect();
        if numbers.len() < certificates.len() {
            return Some("two values at one number");
        }
        let reserved: BTreeSet<_> = entries().flat_map(|entry| entry.claims.iter().map(|claim| claim.intent)).collect();
        (reserved.len() > 1).then_some("both requests are reserved, the limit holds one")
    }
}

fn learned(member: &Member, honest: &Honest, certificate: &Certificate) -> Option<Honest> {
    let mut member = member.clone();
    let step = member.learn(certificate).ok().filter(|step| !step.changes().is_empty())?;
    member.commit(step);
    Some(Honest::new(member.durable().clone(), honest.acknowledged.clone(), honest.closings.clone()))
}

fn closed(member: &Member, honest: &Honest, through: u64) -> Option<Honest> {
    let mut member = member.clone();
    let step = member.close(through).ok()?;
    let closing = member.commit(step);
    if honest.closings.contains(&closing) {
        return None;
    }
    let mut closings = honest.closings.clone();
    closings.push(closing);
    closings.sort_by_key(|closing| (closing.through, closing.after, closing.acknowledged.clone()));
    Some(Honest::new(member.durable().clone(), honest.acknowledged.clone(), closings))
}

impl State {
    fn with(&self, index: usize, moved: Honest) -> Self {
        let mut next = self.0.clone();
        next[index] = Arc::new(moved);
        next.sort_by_key(|honest| honest.fingerprint);
        // Equal members are one allocation, so that twins are seen at once.
        for index in 1..HONEST {
            if next[index].fingerprint == next[index - 1].fingerprint {
                next[index] = next[index - 1].clone();
            }
        }
        Self(next)
    }

    fn fingerprint(&self) -> [u128; HONEST] {
        [0, 1, 2].map(|index| self.0[index].fingerprint)
    }
}

fn forgotten(honest: &Honest) -> Honest {
    let mut durable = honest.durable.clone();
    durable.acknowledged.clear();
    durable.closed_through = durable.head.number;
    Honest::new(durable, honest.acknowledged.clone(), honest.closings.clone())
}

/// Breadth first from the start until nothing is new: how many states there are, or what is wrong with one.
fn explore(bounds: Bounds) -> Result<usize, &'static str> {
    let mut model = Model::new(bounds);
    let start = model.start();
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut queue = VecDeque::from([start]);
    while let Some(state) = queue.pop_front() {
        if let Some(violation) = model.violation(&state) {
            return Err(violation);
        }
        for next in model.next(&state) {
            if seen.insert(next.fingerprint()) {
                queue.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

const TWO_NUMBERS: Bounds = Bounds { claims_at: &[1, 2], closable: 1, inventive: true, forgetful: false };

#[test]
fn every_state_of_the_small_model_is_safe() {
    assert_eq!(explore(TWO_NUMBERS), Ok(5_941));
}

#[test]
fn every_state_with_a_settled_number_between_two_others_is_safe() {
    assert_eq!(explore(Bounds { claims_at: &[1, 3], ..TWO_NUMBERS }), Ok(12_789));
}

#[test]
fn the_model_finds_members_that_forget() {
    assert!(explore(Bounds { forgetful: true, ..TWO_NUMBERS }).is_err());
}
