//! Versions of the charter that follow one another while signers run: what each changes is known because it was meant so.

use super::{Class, Plan, Rule, Verb, Version, Where, pick, rule};
use crate::Dice;

/// Where a version stands. The first one has no parents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The versions that it follows.
    pub parents: Vec<usize>,
    /// Those that it voids.
    pub voids: Vec<usize>,
    /// How long it waits, in seconds, if it loosens anything.
    pub waits_secs: Option<u64>,
}

/// What is changed in one go: it only tightens, or it only loosens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing goes to a place any more.
    Ban(usize),
    /// The largest sum of a rule that allows and asks for nothing goes down by one unit.
    Less,
    /// A rule that allows more.
    More(usize),
    /// Every delay is cut.
    Hurry,
    /// A rule that asks or denies is gone.
    Forget,
}

impl Plan {
    /// Puts versions in the place of the one that there is, of which operators and coordinators hand in some.
    pub(crate) fn with_line(mut self, dice: &mut Dice) -> Self {
        self.live = Some(pick(dice, &[0, 60, 600]));
        self.versions.truncate(1);
        for number in 1..=2 + dice.index(3).unwrap_or(0) {
            let newest = self.versions.len() - 1;
            let parent = if dice.chance(650) { newest } else { dice.index(newest + 1).unwrap_or(0) };
            let next = if dice.chance(200) { self.joined(dice) } else { None };
            let next = next.or_else(|| self.next(parent, number, dice));
            let same = |other: &Version, next: &Version| {
                other.rules == next.rules && other.place.parents == next.place.parents
            };
            self.versions.extend(next.filter(|next| self.versions.iter().all(|other| !same(other, next))));
        }
        self
    }

    /// Which number a version has there: one more than the highest that it follows.
    pub(super) fn number(&self, place: &Place) -> u64 {
        let parents = place.parents.iter().map(|parent| self.number(&self.versions[*parent].place));
        1 + parents.max().unwrap_or(0)
    }

    /// How long a version waits that loosens this one: its own delay, and every delay that is given up.
    fn waits_secs(&self, parent: &Version, rules: &[Rule]) -> u64 {
        let given_up = parent.rules.iter().filter(|rule| !rules.contains(rule)).map(|rule| rule.delay_secs);
        given_up.fold(self.live.unwrap_or(0), u64::max)
    }

    fn next(&self, parent: usize, number: usize, dice: &mut Dice) -> Option<Version> {
        let before = &self.versions[parent];
        let change = pick(
            dice,
            &[
                Change::Ban(number % 4),
                Change::Ban(2),
                Change::Less,
                Change::More(number),
                Change::More(number),
                Change::Hurry,
                Change::Forget,
            ],
        );
        let mut rules = before.rules.clone();
        change.apply(&mut rules);
        if rules == before.rules {
            return None;
        }
        let waits_secs = change.loosens().then(|| self.waits_secs(before, &rules));
        let siblings = |other: &usize| self.versions[*other].place.parents == [parent];
        let sibling = (1..self.versions.len()).find(siblings).filter(|_| dice.chance(200));
        let place = Place { parents: vec![parent], voids: sibling.into_iter().collect(), waits_secs };
        Some(Version { rules, place, ..before.clone() })
    }

    /// Two siblings, joined by a version that says what both of them had before, or what the one that tightens says.
    fn joined(&self, dice: &mut Dice) -> Option<Version> {
        let single = |version: &usize| self.versions[*version].place.parents.len() == 1;
        let all: Vec<usize> = (1..self.versions.len()).filter(single).collect();
        let one = pick(dice, &[all.first().copied()?, all.last().copied()?]);
        let parents = &self.versions[one].place.parents;
        let other = all.into_iter().find(|other| *other != one && self.versions[*other].place.parents == *parents)?;
        let (first, second) = (&self.versions[one], &self.versions[other]);
        let base = &self.versions[parents[0]];
        let (like, waits_secs) = match (first.place.waits_secs, second.place.waits_secs) {
            (Some(_), Some(_)) => (base, None),
            (None, Some(_)) => (first, None),
            (Some(_), None) => (second, None),
            (None, None) => {
                let waits = |parent: &Version| self.waits_secs(parent, &base.rules);
                (base, Some(waits(first).max(waits(second))))
            }
        };
        let place = Place { parents: vec![one, other], voids: Vec::new(), waits_secs };
        Some(Version { place, ..like.clone() })
    }
}

impl Change {
    const fn loosens(self) -> bool {
        matches!(self, Self::More(_) | Self::Hurry | Self::Forget)
    }

    fn apply(self, rules: &mut Vec<Rule>) {
        match self {
            Self::Ban(place) => {
                let name = format!("not to {place}");
                if rules.iter().all(|rule| rule.name != name) {
                    let mut deny = rule(&name, Verb::Deny, Class::Transfer, Some(super::Coin::Native));
                    deny.to = Where::Only(vec![place]);
                    rules.push(deny);
                }
            }
            Self::Less => {
                let plain = |rule: &&mut Rule| {
                    rule.verb == Verb::Allow
                        && rule.class == Class::Transfer
                        && rule.approvals.is_none()
                        && rule.delay_secs == 0
                        && rule.most.is_some_and(|most| most > 1)
                };
                let found = rules.iter_mut().find(plain);
                found.into_iter().for_each(|rule| rule.most = rule.most.map(|most| most - 1));
            }
            Self::More(number) => {
                let mut allow = rule(&format!("more {number}"), Verb::Allow, Class::Transfer, None);
                (allow.coin, allow.most) = (Some(super::Coin::Token), Some(9));
                rules.push(allow);
                let mut greet = rule(&format!("greet {number}"), Verb::Allow, Class::Message, None);
                greet.requesters = vec![0, 1];
                rules.push(greet);
            }
            // Something of it stays: a rule asks for something.
            Self::Hurry => {
                let long = rules.iter_mut().filter(|rule| rule.delay_secs >= 10);
                long.for_each(|rule| rule.delay_secs /= 10);
            }
            Self::Forget => {
                let last = rules.iter().rposition(|rule| rule.verb != Verb::Allow);
                last.into_iter().for_each(|at| drop(rules.remove(at)));
            }
        }
    }
}
