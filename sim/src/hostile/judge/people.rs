//! Who has said yes, by trying everything: docs/approvals.md written down sentence by sentence.

use std::collections::BTreeSet;

use crate::hostile::plan::Formula;
use crate::hostile::program::{Label, Verdict};

/// One verdict as the judge knows it.
#[derive(Debug, Clone)]
pub(crate) struct Ballot {
    /// Its number.
    pub label: Label,
    /// Who.
    pub person: usize,
    /// By their terminal.
    pub terminal: bool,
    /// Having seen which other.
    pub after: Option<Label>,
    /// What they said.
    pub verdict: Verdict,
    /// It holds for the charter as it stands, and has not expired.
    pub holds: bool,
}

/// One person wanted, at one stage.
#[derive(Debug, Clone, Copy)]
struct Slot {
    stage: usize,
    terminal: bool,
    group: usize,
}

/// Every way to meet a formula, each with the first stage after it.
fn ways(formula: &Formula, first: usize) -> Vec<(Vec<Slot>, usize)> {
    match formula {
        Formula::Of(count, terminal, group) => {
            vec![(vec![Slot { stage: first, terminal: *terminal, group: *group }; *count], first + 1)]
        }
        Formula::Or(one, other) => [ways(one, first), ways(other, first)].concat(),
        Formula::And(one, other) => both(one, other, first, |_| first),
        Formula::Then(one, other) => both(one, other, first, |next| next),
    }
}

fn both(one: &Formula, other: &Formula, first: usize, start: impl Fn(usize) -> usize) -> Vec<(Vec<Slot>, usize)> {
    let mut all = Vec::new();
    for (way, next) in ways(one, first) {
        for (more, after) in ways(other, start(next)) {
            all.push(([way.as_slice(), &more].concat(), next.max(after)));
        }
    }
    all
}

/// Whether the ballots meet the formula. People in `excluded` do not count.
pub(crate) fn met(formula: &Formula, groups: &[Vec<usize>], excluded: &[usize], ballots: &[Ballot]) -> bool {
    let count = Count { groups, excluded, ballots };
    let all: Vec<&Ballot> = ballots.iter().collect();
    ways(formula, 0).iter().any(|(way, _)| count.fills(way, way, &all, &mut BTreeSet::new()))
}

struct Count<'a> {
    groups: &'a [Vec<usize>],
    excluded: &'a [usize],
    ballots: &'a [Ballot],
}

impl Count<'_> {
    fn seen_by(&self, ballot: &Ballot) -> Vec<&Ballot> {
        let (mut seen, mut next) = (Vec::new(), ballot.after);
        while let Some(found) = next.and_then(|label| self.ballots.iter().find(|other| other.label == label)) {
            if seen.iter().any(|other: &&Ballot| other.label == found.label) {
                break;
            }
            seen.push(found);
            next = found.after;
        }
        seen
    }

    fn is_live(&self, ballot: &Ballot) -> bool {
        let seen = self.seen_by(ballot);
        let taken_back = |other: &Ballot| {
            other.verdict == Verdict::Withdraw
                && other.person == ballot.person
                && !seen.iter().any(|one| one.label == other.label)
        };
        ballot.verdict == Verdict::Approve
            && ballot.holds
            && !self.excluded.contains(&ballot.person)
            && !self.ballots.iter().any(taken_back)
    }

    fn counts(&self, ballot: &Ballot, slot: Slot, way: &[Slot]) -> bool {
        let earlier: Vec<Slot> = way.iter().filter(|other| other.stage < slot.stage).copied().collect();
        self.is_live(ballot)
            && self.groups[slot.group].contains(&ballot.person)
            && (!slot.terminal || ballot.terminal)
            && self.fills(&earlier, way, &self.seen_by(ballot), &mut BTreeSet::new())
    }

    /// Whether different people fill all these slots from among these ballots.
    fn fills(&self, slots: &[Slot], way: &[Slot], among: &[&Ballot], used: &mut BTreeSet<usize>) -> bool {
        let Some((slot, rest)) = slots.split_first() else { return true };
        for ballot in among {
            if !used.contains(&ballot.person) && self.counts(ballot, *slot, way) {
                used.insert(ballot.person);
                if self.fills(rest, way, among, used) {
                    return true;
                }
                used.remove(&ballot.person);
            }
        }
        false
    }
}
