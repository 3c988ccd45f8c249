//! Rules: what a rule that allows gains, what one that asks or denies loses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::Direction::{Loosens, Tightens};
use super::{Changes, Direction, debug, shown};
use crate::charter::rule::{DelayFrom, Destinations, EntryAge, Needs, Rule, Verb};

pub(super) fn rules(changes: &mut Changes, old: &[Rule], new: &[Rule]) {
    let named = |rules: &[Rule]| -> BTreeMap<String, Rule> {
        rules.iter().map(|rule| (rule.name.clone(), rule.clone())).collect()
    };
    let (old, new) = (named(old), named(new));
    for (name, rule) in &new {
        match old.get(name) {
            None => {
                let direction = if rule.verb == Verb::Allow { Loosens } else { Tightens };
                changes.add(direction, format!("rule {name:?} is new: {}", does(rule)));
            }
            Some(before) => changed(changes, before, rule),
        }
    }
    for (name, rule) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let direction = if only_allows(rule) { Tightens } else { Loosens };
        changes.add(direction, format!("rule {name:?} is gone: {}", does(rule)));
    }
}

/// A rule that allows and asks for something asks it of all that it matches, also of what another rule allows.
fn only_allows(rule: &Rule) -> bool {
    rule.verb == Verb::Allow && rule.needs.is_empty()
}

fn does(rule: &Rule) -> String {
    format!("{} {}", rule.verb.as_str(), debug(&rule.class).to_lowercase())
}

fn changed(changes: &mut Changes, old: &Rule, new: &Rule) {
    let name = &new.name;
    if (old.verb, old.class) != (new.verb, new.class) || !is_about_the_same(old, new) {
        // Another rule under an old name.
        return changes.add(Loosens, format!("rule {name:?} is another one: {} instead of {}", does(new), does(old)));
    }
    let mut matches = |which: &str, reach: Reach, from: String, to: String| {
        if let Some(direction) = reach.direction(old) {
            changes.add(direction, format!("rule {name:?}: {which} changes from {from} to {to}"));
        }
    };
    let high = |rule: &Rule| rule.amount.max_amount.map_or_else(|| "any".to_owned(), |amount| amount.to_string());
    let low = |rule: &Rule| rule.amount.more_than.map_or_else(|| "nothing".to_owned(), |amount| amount.to_string());
    matches("the largest sum", Reach::of_highest(old, new), high(old), high(new));
    matches("the sum that it begins above", Reach::of_lowest(old, new), low(old), low(new));
    let assets = |rule: &Rule| rule.amount.assets.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
    matches("the group of assets", Reach::of_assets(old, new), assets(old), assets(new));
    let everything = "all";
    let mut list = |which: &str, reach: Reach, from: String, to: String| matches(which, reach, from, to);
    list("names", Reach::of_list(&old.names, &new.names), shown(&old.names, everything), shown(&new.names, everything));
    let (from, to) = (&old.requesters, &new.requesters);
    list("requesters", Reach::of_list(from, to), shown(from, everything), shown(to, everything));
    list("keys", Reach::of_list(&old.keys, &new.keys), shown(&old.keys, everything), shown(&new.keys, everything));
    let (from, to) = (&old.vaults, &new.vaults);
    list("vaults", Reach::of_list(from, to), shown(from, everything), shown(to, everything));
    let (from, to) = (&old.destinations, &new.destinations);
    list("destinations", Reach::of_destinations(from, to), where_to(from), where_to(to));
    let (from, to) = (&old.chains, &new.chains);
    list("chains", Reach::of_list(from, to), shown(from, everything), shown(to, everything));
    let (from, to) = (old.entry_age, new.entry_age);
    list("the age of the destination's entry", Reach::of_age(from, to), from.to_string(), to.to_string());
    let (from, to) = (&old.hours, &new.hours);
    list("hours", Reach::of_minutes(&from.week(), &to.week()), from.to_string(), to.to_string());
    needs(changes, name, &old.needs, &new.needs);
}

fn is_about_the_same(old: &Rule, new: &Rule) -> bool {
    if old.amount.currency != new.amount.currency {
        return false;
    }
    match (&old.amount.assets, &new.amount.assets) {
        (Some(old), Some(new)) => old.is_same_unit(new),
        (None, None) => true,
        _ => false,
    }
}

fn where_to(destinations: &Destinations) -> String {
    match destinations {
        Destinations::Anywhere => "anywhere".to_owned(),
        Destinations::Only(list) => shown(list, "nowhere"),
        Destinations::Except(list) => format!("anywhere but {}", shown(list, "nowhere")),
    }
}

fn needs(changes: &mut Changes, name: &str, old: &Needs, new: &Needs) {
    let words = |needs: &Needs| needs.approvals.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    if old.approvals != new.approvals {
        let direction = if old.approvals.is_none() { Tightens } else { Loosens };
        changes.add(direction, format!("rule {name:?} asks {} instead of {}", words(new), words(old)));
    }
    changes.most(&format!("the delay of rule {name:?} in seconds"), &old.delay_secs, &new.delay_secs);
    match (old.delay_from, new.delay_from) {
        (DelayFrom::FormulaMet, DelayFrom::FirstSight) => {
            changes.add(Loosens, format!("the delay of rule {name:?} runs from first sight, before people approve"));
        }
        (DelayFrom::FirstSight, DelayFrom::FormulaMet) => {
            changes.add(Tightens, format!("the delay of rule {name:?} runs from the approvals"));
        }
        _ => {}
    }
    let what = format!("the age of credentials that rule {name:?} asks for in seconds");
    changes.most(&what, &old.credentials_for_secs, &new.credentials_for_secs);
    let directions = (Tightens, Loosens);
    changes.members(&format!("checks of rule {name:?}"), (&old.checks, &new.checks), directions);
    match (old.not_by_requester, new.not_by_requester) {
        (true, false) => changes.add(Loosens, format!("rule {name:?} lets requesters approve what they ask for")),
        (false, true) => changes.add(Tightens, format!("rule {name:?} takes no approvals of its requesters")),
        _ => {}
    }
}

/// What a criterion matches now, against what it matched before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Same,
    Wider,
    Narrower,
    Other,
}

impl Reach {
    /// A rule that only allows loosens by matching more, one that only asks or denies by matching less, and one that does
    /// both either way.
    fn direction(self, old: &Rule) -> Option<Direction> {
        match (self, old.verb) {
            (Self::Same, _) => None,
            (Self::Narrower, Verb::Allow) if only_allows(old) => Some(Tightens),
            (Self::Wider, Verb::Require | Verb::Deny) => Some(Tightens),
            (Self::Wider | Self::Narrower | Self::Other, _) => Some(Loosens),
        }
    }

    fn of_sets<T: Ord>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> Self {
        match (new.is_superset(old), new.is_subset(old)) {
            (true, true) => Self::Same,
            (true, false) => Self::Wider,
            (false, true) => Self::Narrower,
            (false, false) => Self::Other,
        }
    }

    /// Lists of which the empty one matches everything.
    fn of_list<T: Ord + Display>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> Self {
        match (old.is_empty(), new.is_empty()) {
            (true, true) => Self::Same,
            (true, false) => Self::Narrower,
            (false, true) => Self::Wider,
            (false, false) => Self::of_sets(old, new),
        }
    }

    /// With one asset more or less in a group, what is left of a sum for the others changes as well: so either way it
    /// matches other requests than before.
    fn of_assets(old: &Rule, new: &Rule) -> Self {
        if old.amount.assets == new.amount.assets { Self::Same } else { Self::Other }
    }

    fn of_destinations(old: &Destinations, new: &Destinations) -> Self {
        match (old, new) {
            (Destinations::Anywhere, Destinations::Anywhere) => Self::Same,
            (Destinations::Anywhere, _) => Self::Narrower,
            (_, Destinations::Anywhere) => Self::Wider,
            (Destinations::Only(old), Destinations::Only(new)) => Self::of_sets(old, new),
            // More exceptions match less.
            (Destinations::Except(old), Destinations::Except(new)) => Self::of_sets(new, old),
            _ => Self::Other,
        }
    }

    fn of_age(old: EntryAge, new: EntryAge) -> Self {
        use EntryAge::{Any, AtLeast, LessThan};
        match (old, new) {
            (old, new) if old == new => Self::Same,
            (Any, _) => Self::Narrower,
            (_, Any) => Self::Wider,
            (AtLeast(old), AtLeast(new)) => {
                if new < old {
                    Self::Wider
                } else {
                    Self::Narrower
                }
            }
            (LessThan(old), LessThan(new)) => {
                if new > old {
                    Self::Wider
                } else {
                    Self::Narrower
                }
            }
            _ => Self::Other,
        }
    }

    /// Minutes of a week, one by one.
    fn of_minutes(old: &[bool], new: &[bool]) -> Self {
        let within = |inner: &[bool], outer: &[bool]| inner.iter().zip(outer).all(|(inner, outer)| !inner || *outer);
        match (within(old, new), within(new, old)) {
            (true, true) => Self::Same,
            (true, false) => Self::Wider,
            (false, true) => Self::Narrower,
            (false, false) => Self::Other,
        }
    }

    /// No upper end matches everything.
    fn of_highest(old: &Rule, new: &Rule) -> Self {
        match (old.amount.max_amount, new.amount.max_amount) {
            (old, new) if old == new => Self::Same,
            (None, _) => Self::Narrower,
            (_, None) => Self::Wider,
            (Some(old), Some(new)) if new > old => Self::Wider,
            _ => Self::Narrower,
        }
    }

    /// No lower end matches everything, also a sum of nothing.
    fn of_lowest(old: &Rule, new: &Rule) -> Self {
        match (old.amount.more_than, new.amount.more_than) {
            (old, new) if old == new => Self::Same,
            (None, _) => Self::Narrower,
            (_, None) => Self::Wider,
            (Some(old), Some(new)) if new < old => Self::Wider,
            _ => Self::Narrower,
        }
    }
}
