//! Are there enough approvals? One person counts once in a whole formula, whatever they sign with and however often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use limen_wire::approval::Verdict;
use limen_wire::ids::{ApprovalId, PersonId};
use limen_wire::limits;

use super::matching::assign;
use super::verify::{Facts, Verified};
use crate::charter::people::{CredentialClass, Roster};
use crate::formula::{Formula, Leaf, MAX_LEAVES, Staged, Way};

/// What is asked about a set of approvals.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who has to approve.
    pub formula: &'a Formula,
    /// Who is in which group.
    pub roster: &'a Roster,
    /// Who does not count whatever they sign: the requester's own person, where the rule says so. They can still reject.
    pub excluded: &'a BTreeSet<PersonId>,
    /// What approvals must hold for.
    pub facts: &'a Facts,
    /// The time, in seconds since 1970.
    pub now_secs: u64,
}

/// The answer. It does not depend on the order of the approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// Enough.
    Met {
        /// One approval of each person who is needed.
        by: BTreeMap<PersonId, ApprovalId>,
    },
    /// Not enough yet.
    Wanting {
        /// What is missing.
        missing: Missing,
    },
    /// Somebody of the formula's groups said no: the end of the request.
    Rejected {
        /// Who.
        by: PersonId,
        /// Why.
        reason: String,
    },
    /// More approvals than are counted ([`limits::APPROVALS`]). A rejection among them is still heard.
    TooMany {
        /// How many.
        found: usize,
    },
}

/// What is missing: the ways to meet the formula that are nearest, each with the people lacking per leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    ways: Vec<Way>,
}

/// Ways named in words, of those that are equally near.
const WAYS_SHOWN: usize = 4;

impl Missing {
    /// The nearest ways, at most four; each leaf's count is how many people it lacks. None if nobody can meet the formula.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ways.is_empty() {
            return f.write_str("nobody can meet this formula");
        }
        for (index, way) in self.ways.iter().enumerate() {
            let separator = if index > 0 { ", or " } else { "" };
            f.write_str(separator)?;
            let mut before = None;
            for Staged { stage, leaf } in way {
                match before {
                    None => {}
                    Some(before) if before == stage => f.write_str(" and ")?,
                    Some(_) => f.write_str(", then ")?,
                }
                before = Some(stage);
                let class = if leaf.terminal { " terminal" } else { "" };
                write!(f, "{} more{class} of {}", leaf.count, leaf.group)?;
            }
        }
        Ok(())
    }
}

impl Question<'_> {
    /// Counts. Total, and bounded in time by [`limits::APPROVALS`] and the caps on formulas.
    pub fn tally(&self, approvals: &[Verified]) -> Tally {
        let ours = |verified: &&Verified| {
            let approval = verified.approval();
            approval.cluster == self.facts.cluster && approval.intent_id == self.facts.intent_id
        };
        if let Some((by, reason)) = self.rejection(approvals.iter().filter(ours)) {
            return Tally::Rejected { by, reason };
        }
        let by_id: BTreeMap<ApprovalId, &Verified> = approvals.iter().filter(ours).map(|v| (v.id(), v)).collect();
        if by_id.len() > limits::APPROVALS {
            return Tally::TooMany { found: by_id.len() };
        }
        let ballots = Ballots::new(self, by_id.into_values().collect());
        let ways = self.formula.ways().unwrap_or_default();
        let mut nearest = (usize::MAX, BTreeSet::new());
        for way in ways.iter().filter(|way| is_sound(way)) {
            let count = ballots.count(way);
            if count.lacking.is_empty() {
                return Tally::Met { by: count.by };
            }
            let lacks = count.lacking.iter().map(|staged| usize::from(staged.leaf.count)).sum();
            if lacks < nearest.0 {
                nearest = (lacks, BTreeSet::new());
            }
            if lacks == nearest.0 {
                nearest.1.insert(count.lacking);
            }
        }
        Tally::Wanting { missing: Missing { ways: nearest.1.into_iter().take(WAYS_SHOWN).collect() } }
    }

    /// The first rejection, by person and digest, of somebody whom the formula names through a group.
    fn rejection<'v>(&self, approvals: impl Iterator<Item = &'v Verified>) -> Option<(PersonId, String)> {
        let leaves = self.formula.leaves();
        let groups: Vec<_> = leaves.iter().filter_map(|leaf| self.roster.groups.get(&leaf.group)).collect();
        let heard = |verified: &&Verified| {
            let approval = verified.approval();
            approval.verdict == Verdict::Reject && groups.iter().any(|group| group.members.contains(&approval.person))
        };
        let first = approvals.filter(heard).min_by_key(|verified| (&verified.approval().person, verified.id()))?;
        Some((first.approval().person.clone(), first.approval().reason.clone()))
    }
}

/// A way that asks somebody of something: what no formula in text can say is never met.
fn is_sound(way: &Way) -> bool {
    (1..=MAX_LEAVES).contains(&way.len()) && way.iter().all(|staged| staged.leaf.count > 0)
}

/// A set of ballots, by position.
type Set = u128;
const _: () = assert!(limits::APPROVALS <= Set::BITS as usize && MAX_LEAVES <= u32::BITS as usize);

fn single(position: usize) -> Set {
    u32::try_from(position).ok().and_then(|position| 1u128.checked_shl(position)).unwrap_or(0)
}

/// What a way lacks, and who stands for the rest.
struct Count {
    lacking: Way,
    by: BTreeMap<PersonId, ApprovalId>,
}

/// Everything said about one intent, by digest.
struct Ballots<'a> {
    question: &'a Question<'a>,
    list: Vec<&'a Verified>,
    /// Who said something, and which ballots are theirs.
    people: Vec<(&'a PersonId, Set)>,
    /// For each ballot, everything that it descends from.
    ancestors: Vec<Set>,
    /// Approvals that count at all.
    live: Set,
}

impl<'a> Ballots<'a> {
    fn new(question: &'a Question<'a>, list: Vec<&'a Verified>) -> Self {
        let mut people: BTreeMap<&PersonId, Set> = BTreeMap::new();
        for (position, verified) in list.iter().enumerate() {
            *people.entry(&verified.approval().person).or_default() |= single(position);
        }
        let ancestors = ancestors(&list);
        let mut ballots = Self { question, list, people: people.into_iter().collect(), ancestors, live: 0 };
        ballots.live = ballots.select(|position, verified| ballots.is_live(position, verified));
        ballots
    }

    fn select(&self, mut keep: impl FnMut(usize, &'a Verified) -> bool) -> Set {
        let kept = self.list.iter().enumerate().filter(|(position, verified)| keep(*position, verified));
        kept.fold(0, |set, (position, _)| set | single(position))
    }

    fn is_live(&self, position: usize, verified: &Verified) -> bool {
        let (approval, question) = (verified.approval(), self.question);
        approval.verdict == Verdict::Approve
            && !question.excluded.contains(&approval.person)
            && verified.holds(question.facts, question.now_secs).is_ok()
            && !self.is_withdrawn(position, &approval.person)
    }

    /// A withdrawal takes back whatever its person approved, but for what they approved in sight of it.
    fn is_withdrawn(&self, position: usize, person: &PersonId) -> bool {
        let seen = self.ancestors(position);
        self.list.iter().enumerate().any(|(other, verified)| {
            let approval = verified.approval();
            approval.verdict == Verdict::Withdraw && approval.person == *person && seen & single(other) == 0
        })
    }

    fn ancestors(&self, position: usize) -> Set {
        self.ancestors.get(position).copied().unwrap_or(0)
    }

    fn qualifies(&self, verified: &Verified, leaf: &Leaf) -> bool {
        let group = self.question.roster.groups.get(&leaf.group);
        group.is_some_and(|group| {
            group.members.contains(&verified.approval().person)
                && (!leaf.terminal || verified.class() == CredentialClass::Terminal)
                && (group.synced_passkeys || !verified.is_backup_eligible())
        })
    }

    /// For each leaf, which of these ballots can stand for it as far as the leaf alone is concerned.
    fn count(&self, way: &Way) -> Count {
        let mut fit: Vec<Set> = Vec::new();
        for staged in way {
            fit.push(self.live & self.select(|_, verified| self.qualifies(verified, &staged.leaf)));
        }
        self.keep_stages(way, &mut fit);
        let taken = self.assign(way, &fit, self.live);
        let mut count = Count { lacking: Way::new(), by: BTreeMap::new() };
        for ((staged, standing), fit) in way.iter().zip(&taken).zip(&fit) {
            let lacks = usize::from(staged.leaf.count).saturating_sub(standing.len());
            if let Some(lacks) = u8::try_from(lacks).ok().filter(|lacks| *lacks > 0) {
                let leaf = Leaf { count: lacks, ..staged.leaf.clone() };
                count.lacking.push(Staged { leaf, ..staged.clone() });
            }
            for (person, own) in standing.iter().filter_map(|person| self.people.get(*person)) {
                let ballot = self.list.get((own & fit).trailing_zeros() as usize);
                count.by.extend(ballot.map(|ballot| ((*person).clone(), ballot.id())));
            }
        }
        count
    }

    /// Narrows what fits a later stage to ballots whose ancestors meet all stages before.
    fn keep_stages(&self, way: &Way, fit: &mut [Set]) {
        let stages: BTreeSet<u8> = way.iter().map(|staged| staged.stage).collect();
        for stage in stages.into_iter().skip(1) {
            let earlier: Way = way.iter().filter(|staged| staged.stage < stage).cloned().collect();
            let earlier_fit: Vec<Set> =
                way.iter().zip(fit.iter()).filter(|(staged, _)| staged.stage < stage).map(|(_, fit)| *fit).collect();
            let wanted = way.iter().zip(fit.iter()).filter(|(staged, _)| staged.stage == stage);
            let wanted = wanted.fold(0, |all, (_, fit)| all | fit);
            let mut kept = 0;
            for position in self.eldest_first() {
                let (own, seen) = (single(position), self.ancestors(position));
                // What saw a ballot that saw enough has seen enough.
                if wanted & own != 0 && (seen & kept != 0 || self.meets(&earlier, &earlier_fit, seen)) {
                    kept |= own;
                }
            }
            for (staged, fit) in way.iter().zip(fit.iter_mut()) {
                *fit &= if staged.stage == stage { kept } else { Set::MAX };
            }
        }
    }

    /// Positions by how much they descend from.
    fn eldest_first(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.list.len()).collect();
        positions.sort_by_key(|position| self.ancestors(*position).count_ones());
        positions
    }

    fn meets(&self, way: &Way, fit: &[Set], among: Set) -> bool {
        let needed: u32 = way.iter().map(|staged| u32::from(staged.leaf.count)).sum();
        if among.count_ones() < needed {
            return false;
        }
        let taken = self.assign(way, fit, among);
        way.iter().zip(&taken).all(|(staged, standing)| standing.len() == usize::from(staged.leaf.count))
    }

    /// Assigns people to leaves by what they approved among these ballots.
    fn assign(&self, way: &Way, fit: &[Set], among: Set) -> Vec<Vec<usize>> {
        let mut able = vec![0u32; self.people.len()];
        for (leaf, fit) in fit.iter().enumerate() {
            let bit = u32::try_from(leaf).ok().and_then(|leaf| 1u32.checked_shl(leaf)).unwrap_or(0);
            for (able, (_, own)) in able.iter_mut().zip(&self.people) {
                *able |= if own & fit & among != 0 { bit } else { 0 };
            }
        }
        let need: Vec<usize> = way.iter().map(|staged| usize::from(staged.leaf.count)).collect();
        assign(&able, &need)
    }
}

/// For each ballot the set of ballots that it descends from. A chain of digests has no cycle; the bound holds anyhow.
fn ancestors(list: &[&Verified]) -> Vec<Set> {
    let position: BTreeMap<ApprovalId, usize> = list.iter().enumerate().map(|(at, v)| (v.id(), at)).collect();
    let parent = |verified: &Verified| verified.approval().preceding.and_then(|id| position.get(&id).copied());
    let walk = |verified: &&Verified| {
        let first = parent(verified);
        let chain = std::iter::successors(first, |at| list.get(*at).and_then(|verified| parent(verified)));
        chain.take(list.len()).fold(0, |set, at| set | single(at))
    };
    list.iter().map(walk).collect()
}
