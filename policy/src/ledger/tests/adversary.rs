//! A hostile sequencer with one corrupt member of four: it shows anything to anybody in any order, loses answers, kills
//! members before and after they write, moves time, and keeps every certificate. After every step a reference that knows
//! nothing of the book judges what could be signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::ids::{EntryHash, IntentId};
use limen_wire::pb;

use super::kit::*;
use crate::ledger::*;

const BOUND: u64 = 100;
const CORRUPT: usize = 3;
const WINDOW_MS: u64 = WINDOW_SECS * 1000;

/// SplitMix64 (Steele, Lea, Flood 2014): the seed is the schedule.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }
}

/// What the members are like.
#[derive(Clone, Copy, PartialEq)]
enum Members {
    Sound,
    /// They come back from a crash without what they had written.
    Forgetful,
    /// They do not look at limits.
    Careless,
}

struct World {
    chance: Chance,
    members: Members,
    committee: Arc<Committee>,
    guard: Guard,
    requests: Vec<Claim>,
    nodes: Vec<Node>,
    now: u64,
    entries: Vec<Entry>,
    honest: BTreeMap<EntryHash, BTreeSet<usize>>,
    certificates: Vec<Certificate>,
    closings: Vec<(usize, Closing, pb::Envelope)>,
}

/// Twelve requests of a quarter to a half of the bound; 1 to 3 spend one nonce, of which 3 replaces 1 by name.
fn requests() -> Vec<Claim> {
    let mut all: Vec<Claim> = (4..13).map(|number| claim(number, 10 + 3 * number)).collect();
    all.push(spending(1, 40, &[nonce(5)], None));
    all.push(spending(2, 50, &[nonce(5)], None));
    all.push(spending(3, 60, &[nonce(5)], Some(1)));
    all
}

impl World {
    fn new(seed: u64, members: Members) -> Self {
        let committee = committee();
        let requests = requests();
        let bound = if members == Members::Careless { 1_000_000 } else { BOUND };
        Self {
            chance: Chance(seed),
            members,
            guard: Guard::new(&requests, bound, 100),
            nodes: Node::all(&committee).into_iter().take(CORRUPT).collect(),
            committee,
            requests,
            now: NOW,
            entries: vec![],
            honest: BTreeMap::new(),
            certificates: vec![],
            closings: vec![],
        }
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..40 => self.propose(),
            40..62 => self.replay(),
            62..70 => self.close(),
            70..84 => self.settle(),
            84..90 => self.teach(),
            90..97 => self.crash(),
            _ => self.now += self.chance.next() % (WINDOW_MS / 3),
        }
    }

    fn propose(&mut self) {
        let base = if self.chance.one_in(8) { None } else { self.latest_or_any() };
        let time_ms = self.now + self.chance.next() % (2 * MAX_SKEW_MS) - MAX_SKEW_MS * 3 / 4;
        let mut claims: BTreeMap<IntentId, Claim> = BTreeMap::new();
        for _ in 0..=self.chance.below(2) {
            let claim = self.chance.pick(&self.requests).unwrap().clone();
            claims.insert(claim.intent, claim);
        }
        let claims: Vec<Claim> = claims.into_values().collect();
        let entry = entry(&self.committee, base.as_ref(), time_ms, &claims);
        self.show(entry);
    }

    fn latest_or_any(&mut self) -> Option<Certificate> {
        let latest = self.certificates.iter().max_by_key(|certificate| certificate.entry().number);
        let any = self.chance.one_in(6);
        if any { self.chance.pick(&self.certificates).cloned() } else { latest.cloned() }
    }

    fn replay(&mut self) {
        if let Some(entry) = self.chance.pick(&self.entries).cloned() {
            self.show(entry);
        }
    }

    /// Shows the entry to some of the honest members. The corrupt one signs everything.
    fn show(&mut self, entry: Entry) {
        let base = self.certificates.iter().find(|certificate| certificate.entry().hash() == entry.previous).cloned();
        let Ok(proposal) = Proposal::check(entry.clone(), base.as_ref(), &self.committee) else { return };
        for index in 0..CORRUPT {
            if self.chance.one_in(4) {
                continue;
            }
            if let Some(base) = &base {
                let _ = self.nodes[index].learn(base);
            }
            let Ok(step) = self.nodes[index].member.acknowledge(&proposal, self.now, &self.guard) else { continue };
            if self.chance.one_in(10) {
                continue; // died before it was written
            }
            let answer = self.nodes[index].member.commit(step);
            if !self.chance.one_in(10) {
                self.honest.entry(answer.hash()).or_default().insert(index);
            }
        }
        if !self.entries.contains(&entry) {
            self.entries.push(entry.clone());
        }
        self.certify(&entry);
    }

    fn certify(&mut self, entry: &Entry) {
        let mut signers = self.honest.get(&entry.hash()).cloned().unwrap_or_default();
        signers.insert(CORRUPT);
        let known = self.certificates.iter().any(|certificate| certificate.entry() == entry);
        if signers.len() >= self.committee.quorum() && !known {
            let envelope = signed_by(entry, signers);
            self.certificates.push(Certificate::verify(&envelope, &self.committee).unwrap());
        }
    }

    fn close(&mut self) {
        let highest = self.entries.iter().map(|entry| entry.number).max().unwrap_or(0);
        let through = if self.chance.one_in(6) { highest + 1 } else { highest };
        for index in 0..CORRUPT {
            if self.chance.one_in(3) {
                continue;
            }
            if let Ok(envelope) = self.nodes[index].close(through) {
                let (_, closing) = Closing::verify(&envelope, &self.committee).unwrap();
                self.closings.push((index, closing, envelope));
            }
        }
        // The corrupt member denies everything, or names something.
        let some = self.chance.pick(&self.entries).filter(|entry| entry.counts() && entry.number <= through);
        let acknowledged = some.map(|entry| (entry.number, entry.hash())).into_iter().collect();
        let closing = Closing { after: 0, through, acknowledged, successor: None };
        let envelope = closing.sign(&self.committee, &node(CORRUPT), &key(CORRUPT));
        self.closings.push((CORRUPT, closing, envelope));
    }

    /// Settles through some number with any q closings of different members, on any base.
    fn settle(&mut self) {
        let Some(through) = self.chance.pick(&self.closings).map(|(_, closing, _)| closing.through) else { return };
        let base = if self.chance.one_in(2) { None } else { self.latest_or_any() };
        let number = base.as_ref().map_or(0, |base| base.entry().number);
        let mut chosen: BTreeMap<usize, (Closing, pb::Envelope)> = BTreeMap::new();
        for _ in 0..30 {
            let (index, closing, envelope) = self.chance.pick(&self.closings).unwrap().clone();
            if closing.through == through && closing.after <= number {
                chosen.insert(index, (closing, envelope));
            }
        }
        while chosen.len() > self.committee.quorum() {
            let drop = *self.chance.pick(&chosen.keys().copied().collect::<Vec<_>>()).unwrap();
            chosen.remove(&drop);
        }
        let named: BTreeSet<_> = chosen.values().flat_map(|(closing, _)| closing.acknowledged.clone()).collect();
        let mut carried: Vec<Entry> = self.entries.clone();
        carried.retain(|entry| entry.number > number && named.contains(&(entry.number, entry.hash())));
        if self.chance.one_in(5) {
            carried.pop(); // to see whether it is missed
        }
        let latest = carried.iter().map(|entry| entry.time_ms).max().unwrap_or(0);
        let envelopes: Vec<_> = chosen.into_values().map(|(_, envelope)| envelope).collect();
        if !envelopes.is_empty() {
            let body = settling(&self.committee, base.as_ref(), self.now.max(latest), &envelopes, &carried);
            if let Ok(entry) = Entry::new(body) {
                self.show(entry);
            }
        }
    }

    fn teach(&mut self) {
        if let Some(certificate) = self.chance.pick(&self.certificates).cloned() {
            let index = self.chance.below(CORRUPT);
            let _ = self.nodes[index].learn(&certificate);
        }
    }

    /// Dies and comes back with what its disk has.
    fn crash(&mut self) {
        let index = self.chance.below(CORRUPT);
        let mut durable = self.nodes[index].member.durable().clone();
        if self.members == Members::Forgetful {
            durable.acknowledged.clear();
            durable.closed_through = durable.head.number;
        }
        self.nodes[index].member = Member::new(self.committee.clone(), durable);
    }

    /// What is wrong with the certificates, if anything.
    fn violation(&self) -> Option<String> {
        let mut values: BTreeMap<u64, EntryHash> = BTreeMap::new();
        for entry in self.certificates.iter().map(Certificate::entry) {
            if *values.entry(entry.number).or_insert(entry.hash()) != entry.hash() {
                return Some(format!("two certificates at number {}", entry.number));
            }
        }
        let entries = self.certificates.iter().map(Certificate::entry);
        let reserved: Vec<(&Entry, &Claim)> =
            entries.flat_map(|entry| entry.claims.iter().map(move |claim| (entry, claim))).collect();
        let has = |number| reserved.iter().any(|(_, claim)| claim.intent == id(number));
        if has(2) && (has(1) || has(3)) {
            return Some("a nonce went to two requests of which none replaces the other".to_owned());
        }
        reserved.iter().find_map(|(last, _)| exceeded(&reserved, last.expires_at_ms))
    }
}

/// The most that can be signed in the window that begins with the last moment of some reservation.
fn exceeded(reserved: &[(&Entry, &Claim)], from_ms: u64) -> Option<String> {
    let mut groups: BTreeMap<IntentId, u64> = BTreeMap::new();
    for (entry, claim) in reserved {
        if entry.expires_at_ms >= from_ms && entry.time_ms <= from_ms + WINDOW_MS {
            let value = claim.charges[&daily()].to_u64().unwrap();
            let largest = groups.entry(claim.replaces.unwrap_or(claim.intent)).or_insert(0);
            *largest = (*largest).max(value);
        }
    }
    let sum: u64 = groups.values().sum();
    (sum > BOUND).then(|| format!("{sum} of {BOUND} in one window"))
}

/// Plays a schedule; what it came to, or what went wrong.
fn play(seed: u64, members: Members) -> Result<(usize, usize), String> {
    let mut world = World::new(seed, members);
    for step in 0..120 {
        world.step();
        if let Some(violation) = world.violation() {
            return Err(format!("seed {seed}, step {step}: {violation}"));
        }
    }
    let settled = world.certificates.iter().filter(|certificate| certificate.entry().settles()).count();
    Ok((world.certificates.len(), settled))
}

#[test]
fn no_schedule_exceeds_a_limit() {
    let (mut certified, mut settled) = (0, 0);
    for seed in 0..100 {
        let (all, settling) = play(seed, Members::Sound).unwrap_or_else(|violation| panic!("{violation}"));
        certified += all;
        settled += settling;
    }
    // The schedules go somewhere.
    assert!(certified > 200 && settled > 50, "{certified} certificates, {settled} of them settling");
}

#[test]
fn the_schedules_find_members_that_forget() {
    assert!((0..100).any(|seed| play(seed, Members::Forgetful).is_err()));
}

#[test]
fn the_schedules_find_members_that_do_not_count() {
    assert!((0..100).any(|seed| play(seed, Members::Careless).is_err()));
}

/// Whether this signer set, chosen by the coordinator, signs the request.
trait Cluster {
    fn signs(&mut self, set: [usize; 2], claim: &Claim) -> bool;
}

/// Each signer counts what it has seen itself.
struct Counters {
    seen: [u64; 3],
    corrupt: Option<usize>,
}

impl Cluster for Counters {
    fn signs(&mut self, set: [usize; 2], claim: &Claim) -> bool {
        let value = claim.charges[&daily()].to_u64().unwrap();
        let honest: Vec<usize> = set.into_iter().filter(|signer| Some(*signer) != self.corrupt).collect();
        let fits = honest.iter().all(|signer| self.seen[*signer] + value <= BOUND);
        if fits {
            honest.iter().for_each(|signer| self.seen[*signer] += value);
        }
        fits
    }
}

/// Each signer asks for the certificate of signers 0 to 2 and witness 3; the corrupt signer takes part in anything.
struct Certified {
    nodes: Vec<Node>,
    guard: Guard,
    corrupt: Option<usize>,
    base: Option<Certificate>,
}

impl Cluster for Certified {
    fn signs(&mut self, set: [usize; 2], claim: &Claim) -> bool {
        let committee = self.nodes[0].member.committee().clone();
        let entry = entry(&committee, self.base.as_ref(), NOW, std::slice::from_ref(claim));
        let mut signers: BTreeSet<usize> = self.corrupt.into_iter().collect();
        for node in self.nodes.iter_mut().filter(|node| Some(node.index) != self.corrupt) {
            if node.acknowledge(&entry, self.base.as_ref(), NOW, &self.guard).is_ok() {
                signers.insert(node.index);
            }
        }
        if signers.is_empty() {
            return false;
        }
        let Ok(certificate) = Certificate::verify(&signed_by(&entry, signers), &committee) else { return false };
        let mut honest = set.into_iter().filter(|signer| Some(*signer) != self.corrupt);
        let signs = honest.all(|_| certificate.covers(claim, &CHARTER, NOW).is_ok());
        self.base = Some(certificate);
        signs
    }
}

/// What 64 requests come to when the coordinator rotates these signer sets.
fn rotate(cluster: &mut dyn Cluster, sets: &[[usize; 2]], requests: &[Claim]) -> u64 {
    let mut total = 0;
    for (index, claim) in requests.iter().enumerate() {
        if (0..sets.len()).any(|turn| cluster.signs(sets[(index + turn) % sets.len()], claim)) {
            total += claim.charges[&daily()].to_u64().unwrap();
        }
    }
    total
}

#[test]
fn independent_counters_leak_and_the_ledger_does_not() {
    let requests: Vec<Claim> = (0..64).map(|number| claim(number, 5)).collect();
    let all: &[[usize; 2]] = &[[0, 1], [1, 2], [0, 2]];
    // (n − f) / (t − f): 1.5 times the bound, and twice with a corrupt signer in every set.
    for (corrupt, sets, leak) in [(None, all, 150), (Some(2), &all[1..], 200)] {
        let naive = rotate(&mut Counters { seen: [0; 3], corrupt }, sets, &requests);
        assert!(naive >= leak, "naive counters let {naive} of {BOUND} through");
        let nodes = Node::all(&committee());
        let guard = Guard::new(&requests, BOUND, 100);
        let certified = rotate(&mut Certified { nodes, guard, corrupt, base: None }, sets, &requests);
        assert_eq!(certified, BOUND);
    }
}
