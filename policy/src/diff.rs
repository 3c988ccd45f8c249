//! What changes from one charter to another, in sentences, and whether it loosens anything.
//!
//! Loosening is computed, never declared: every dimension is compared, and what is not understood as tightening loosens.
//! A version that only tightens binds at once; one that loosens anything waits out the delay of the charter before it.

mod backups;
mod drills;
mod governance;
mod key_states;
mod machines;
mod people;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

use crate::charter::Charter;
use crate::charter::assets::{AssetGroup, Assets};
use crate::charter::committee::KeyCommittee;
use crate::charter::import::KeyImport;
use crate::charter::rule::{Destination, Destinations, Rule, Verb};
use crate::charter::vault::{BookEntry, Limit};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Something is possible that was not, or nobody can tell.
    Loosens,
    /// Something is no longer possible, and nothing new is.
    Tightens,
    /// Neither: a matter of where machines are reached, or of words.
    Neutral,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// In words.
    pub sentence: String,
}

/// All changes, those that loosen first.
pub fn diff(old: &Charter, new: &Charter) -> Vec<Change> {
    let mut changes = Changes::default();
    leave(&mut changes, old, new);
    keepers(&mut changes, old, new);
    changes.0.sort();
    changes.0.dedup();
    changes.0
}

/// What the new charter gives requests more leave in: all that loosens, but who keeps machines, keys and backups, who the people are
/// and what is drilled. What is left out is what gets a cluster going again whose drills cannot be held as they stand.
pub fn raises(old: &Charter, new: &Charter) -> Vec<String> {
    let mut changes = Changes::default();
    leave(&mut changes, old, new);
    let loosens = changes.0.into_iter().filter(|change| change.direction == Direction::Loosens);
    loosens.map(|change| change.sentence).collect()
}

/// What requests may do, and who decides that.
fn leave(changes: &mut Changes, old: &Charter, new: &Charter) {
    changes.same("the cluster's name", &old.cluster, &new.cluster);
    people::requesters(changes, old, new);
    checkers(changes, old, new);
    places(changes, old, new);
    held_keys(changes, old, new);
    limits(changes, old, new);
    rules::rules(changes, &old.rules, &new.rules);
    governance::bounds(changes, old, new);
    governance::governance(changes, old.governance.as_ref(), new.governance.as_ref());
}

/// Who and what keeps keys, and what they do for it.
fn keepers(changes: &mut Changes, old: &Charter, new: &Charter) {
    machines::machines(changes, old, new);
    people::people(changes, old, new);
    people::groups(changes, old, new);
    committees(changes, old, new);
    imports(changes, old, new);
    readmissions(changes, old, new);
    machines::former_identities(changes, old, new);
    key_states::key_states(changes, old, new);
    backups::backups(changes, old, new);
    drills::drills(changes, old, new);
}

/// Whether the new charter loosens anything.
pub fn loosens(old: &Charter, new: &Charter) -> bool {
    diff(old, new).iter().any(|change| change.direction == Direction::Loosens)
}

/// Changes found so far.
#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, direction: Direction, sentence: impl Into<String>) {
        self.0.push(Change { direction, sentence: sentence.into() });
    }

    /// A thing that loosens however it changes.
    fn same<T: PartialEq + Display>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.add(Direction::Loosens, format!("{what} changes from {old} to {new}"));
        }
    }

    /// A number of which less is tighter.
    fn least<T: PartialOrd + Display>(&mut self, what: &str, old: &T, new: &T) {
        if new < old {
            self.add(Direction::Tightens, format!("{what} goes down from {old} to {new}"));
        } else if new > old {
            self.add(Direction::Loosens, format!("{what} goes up from {old} to {new}"));
        }
    }

    /// A number of which more is tighter.
    fn most<T: PartialOrd + Display>(&mut self, what: &str, old: &T, new: &T) {
        if new > old {
            self.add(Direction::Tightens, format!("{what} goes up from {old} to {new}"));
        } else if new < old {
            self.add(Direction::Loosens, format!("{what} goes down from {old} to {new}"));
        }
    }

    /// Named things: what is new, what is gone, and what is there in both.
    fn named<'a, K: Ord + Display, V>(
        &mut self,
        what: &str,
        (old, new): (&'a BTreeMap<K, V>, &'a BTreeMap<K, V>),
        (added, removed): (Direction, Direction),
        mut both: impl FnMut(&mut Self, &'a V, &'a V),
    ) {
        for (name, value) in new {
            match old.get(name) {
                None => self.add(added, format!("{what} {name} is new")),
                Some(before) => both(self, before, value),
            }
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            self.add(removed, format!("{what} {name} is gone"));
        }
    }

    /// Members of a set.
    fn members<T: Ord + Display>(
        &mut self,
        what: &str,
        (old, new): (&BTreeSet<T>, &BTreeSet<T>),
        (added, removed): (Direction, Direction),
    ) {
        for one in new.difference(old) {
            self.add(added, format!("{what}: {one} is added"));
        }
        for one in old.difference(new) {
            self.add(removed, format!("{what}: {one} is removed"));
        }
    }
}

/// A checker that no rule asks and that attests nothing says nothing; a rule that asks for one more, or one less, is a change of
/// that rule.
fn checkers(changes: &mut Changes, old: &Charter, new: &Charter) {
    let neutral = (Direction::Neutral, Direction::Neutral);
    for checker in new.checkers.values().filter(|one| !old.checkers.contains_key(&one.id)) {
        for (what, list) in
            [("what is in", shown(&checker.balances_of, "")), ("prices in", shown(&checker.prices_in, ""))]
        {
            if !list.is_empty() {
                changes.add(Direction::Loosens, format!("checker {} is new and attests {what} {list}", checker.id));
            }
        }
    }
    changes.named("checker", (&old.checkers, &new.checkers), neutral, |changes, old, new| {
        changes.same(&format!("the key of checker {}", new.id), &old.public_key, &new.public_key);
        let what = format!("for how many seconds a finding of checker {} counts", new.id);
        changes.least(&what, &old.max_age_secs, &new.max_age_secs);
        // One more is one more of whom a word is enough; of one less every word that counts would have counted before.
        let what = format!("vaults whose balances checker {} attests", new.id);
        changes.members(&what, (&old.balances_of, &new.balances_of), (Direction::Loosens, Direction::Tightens));
        let what = format!("currencies in which checker {} attests prices", new.id);
        changes.members(&what, (&old.prices_in, &new.prices_in), (Direction::Loosens, Direction::Tightens));
    });
}

/// Whether a rule that denies or asks names entries of the address book: taking one out lets something through.
fn some_rule_stops_by_entry(rules: &[Rule]) -> bool {
    let by_entry = |destination: &Destination| !matches!(destination, Destination::Address(_));
    rules.iter().filter(|rule| rule.verb != Verb::Allow).any(|rule| match &rule.destinations {
        Destinations::Only(list) => list.iter().any(by_entry),
        Destinations::Anywhere | Destinations::Except(_) => false,
    })
}

/// A key that one machine signs with alone is more that can happen, wherever it is; one less signs nothing more.
fn held_keys(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    for key in new.hsm_keys.values().filter(|key| !old.hsm_keys.contains_key(&key.id)) {
        let (id, node) = (&key.id, &key.node);
        let what =
            format!("key {id} lives in the token of {node}, which signs alone: it is outside the cluster's promise");
        changes.add(Loosens, what);
    }
    changes.named("hsm key", (&old.hsm_keys, &new.hsm_keys), (Loosens, Tightens), |changes, old, new| {
        changes.same(&format!("the signer whose token holds key {}", new.id), &old.node, &new.node);
        changes.same(&format!("the scheme of hsm key {}", new.id), &old.scheme, &new.scheme);
    });
}

/// A committee that a key may go to is more that can happen; that it may no longer go there is less.
fn committees(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let words = |committee: &KeyCommittee| {
        let nodes: Vec<&str> = committee.nodes.iter().map(limen_wire::ids::NodeId::as_str).collect();
        format!("key {} may be handed over to {}, {}", committee.key, nodes.join(", "), committee.size)
    };
    for committee in new.committees.values().filter(|one| old.committees.get(&one.key) != Some(*one)) {
        changes.add(Loosens, words(committee));
    }
    for committee in old.committees.values().filter(|one| !new.committees.contains_key(&one.key)) {
        changes.add(Tightens, format!("no longer: {}", words(committee)));
    }
}

/// A key that somebody has had whole may come in: more that can happen, and another public key is another key.
fn imports(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let words = |import: &KeyImport| {
        let KeyImport { key, scheme, public_key, reason } = import;
        let public_key = hex::encode(public_key);
        format!(
            "key {key} may be imported, {scheme} with public key {public_key}, which was whole elsewhere: {reason:?}"
        )
    };
    for import in new.imports.values().filter(|one| old.imports.get(&one.key) != Some(*one)) {
        changes.add(Loosens, words(import));
    }
    for import in old.imports.values().filter(|one| !new.imports.contains_key(&one.key)) {
        changes.add(Tightens, format!("no longer: {}", words(import)));
    }
}

/// Two signers that may meet again are more that can happen.
fn readmissions(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let all = |charter: &Charter| -> BTreeSet<String> {
        let pairs = charter.readmissions.iter();
        pairs
            .flat_map(|([one, other], bans)| bans.iter().map(move |id| format!("{one} and {other} of session {id}")))
            .collect()
    };
    changes.members("lifted bans between", (&all(old), &all(new)), (Loosens, Tightens));
}

fn places(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    // Which token standard a contract follows decides how its calls are read.
    changes.named("asset", (&old.assets, &new.assets), (Loosens, Loosens), |changes, old, new| {
        if old != new {
            changes.add(Loosens, format!("asset {} is another one", new.asset));
        }
    });
    let vaults = (&old.vaults.by_id, &new.vaults.by_id);
    changes.named("vault", vaults, (Loosens, Loosens), |changes, old, new| {
        let what = format!("vault {}", new.id);
        changes.members(&format!("keys of {what}"), (&old.keys, &new.keys), (Loosens, Loosens));
        if old.tier != new.tier {
            changes.add(Loosens, format!("{what} changes its tier from {:?} to {:?}", old.tier, new.tier));
        }
    });
    let entries = |charter: &Charter| -> BTreeMap<String, BookEntry> {
        charter.book.entries().map(|entry| (entry.id.to_string(), entry.clone())).collect()
    };
    let stops = some_rule_stops_by_entry(&old.rules) || some_rule_stops_by_entry(&new.rules);
    let removed = if stops { Loosens } else { Tightens };
    let (before, after) = (entries(old), entries(new));
    changes.named("address book entry", (&before, &after), (Loosens, removed), |changes, old, new| {
        if (&old.chain, &old.address) != (&new.chain, &new.address) {
            changes.add(Loosens, format!("address book entry {} names another address", new.id));
        }
        let what = format!("tags of address book entry {}", new.id);
        changes.members(&what, (&old.tags, &new.tags), (Loosens, removed));
        match (&old.vault, &new.vault) {
            (None, Some(vault)) => {
                changes.add(Tightens, format!("address book entry {} counts in the ceilings of {vault}", new.id));
            }
            (Some(vault), after) if after.as_ref() != Some(vault) => {
                changes
                    .add(Loosens, format!("address book entry {} no longer counts in the ceilings of {vault}", new.id));
            }
            _ => {}
        }
    });
    for entry in before.values().filter(|entry| entry.vault.is_some() && !after.contains_key(entry.id.as_str())) {
        changes.add(Loosens, format!("what goes to {} no longer counts in ceilings: its entry is gone", entry.address));
    }
}

fn limits(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    changes.named("limit", (&old.limits, &new.limits), (Tightens, Loosens), |changes, old: &Limit, new: &Limit| {
        let what = |which: &str| format!("{which} of {}", new.title());
        let vault = |limit: &Limit| limit.ceiling_of.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        changes.same(&what("the vault"), &vault(old), &vault(new));
        assets(changes, &what("the asset"), &old.assets, &new.assets);
        let money = |limit: &Limit| limit.currency.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        changes.same(&what("the money"), &money(old), &money(new));
        let counts_alike = old.currency == new.currency;
        changes.same(&what("the scope"), &format!("{:?}", old.per), &format!("{:?}", new.per));
        let listed = |list: &BTreeSet<limen_wire::ids::VaultId>| shown(list, "all vaults");
        changes.same(&what("the reach"), &listed(&old.vaults), &listed(&new.vaults));
        changes.same(&what("the reach"), &shown(&old.requesters, "everybody"), &shown(&new.requesters, "everybody"));
        match (old.window_secs, new.window_secs) {
            (Some(before), Some(after)) => changes.most(&what("the window"), &before, &after),
            (None, None) => {}
            // A ledger counts a window and a lifetime apart, and begins anew.
            _ if old.ledger.is_some() => {
                changes.same(&what("the lifetime"), &old.window_secs.is_none(), &new.window_secs.is_none());
            }
            // A lifetime is the longest window.
            (before, after) => {
                changes.most(&what("the window"), &before.unwrap_or(u64::MAX), &after.unwrap_or(u64::MAX));
            }
        }
        let most = |amount: Option<limen_wire::effects::Amount>| amount.unwrap_or(limen_wire::effects::Amount::MAX);
        // Amounts of other money are not more or less.
        if counts_alike {
            changes.least(&what("the amount"), &most(old.max_amount), &most(new.max_amount));
        }
        let count = |count: Option<u64>| count.unwrap_or(u64::MAX);
        changes.least(&what("the number of requests"), &count(old.max_count), &count(new.max_count));
        let (amount, number) = (what("the part without a certificate"), what("the number without a certificate"));
        // What signers have let through by themselves is in no ledger: a smaller part leaves more to certify beside it.
        let certified = old.ledger.is_some();
        match (certified, counts_alike) {
            (_, false) => {}
            (true, true) => changes.same(&amount, &old.split_amount, &new.split_amount),
            (false, true) => changes.least(&amount, &old.split_amount, &new.split_amount),
        }
        match certified {
            true => changes.same(&number, &old.split_count, &new.split_count),
            false => changes.least(&number, &old.split_count, &new.split_count),
        }
        let kept = |limit: &Limit| limit.ledger.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        changes.same(&what("the ledger"), &kept(old), &kept(new));
    });
}

/// A limit of a group counts more the more assets are in it, as long as it counts in the same unit.
fn assets(changes: &mut Changes, what: &str, old: &Assets, new: &Assets) {
    match (old, new) {
        (Assets::Group(before), Assets::Group(after)) if old.is_same_unit(new) => {
            let members = |group: &AssetGroup| group.members.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
            let directions = (Direction::Tightens, Direction::Loosens);
            changes.members(what, (&members(before), &members(after)), directions);
            let kept = |group: &AssetGroup| -> BTreeMap<_, _> {
                let both = group
                    .members
                    .iter()
                    .filter(|(asset, _)| before.members.contains_key(asset) && after.members.contains_key(asset));
                both.map(|(asset, decimals)| (asset.clone(), *decimals)).collect()
            };
            if kept(before) != kept(after) {
                changes.add(Direction::Loosens, format!("{what}: one of them has other decimal places"));
            }
        }
        _ => changes.same(what, old, new),
    }
}

/// A list in words; empty lists match everything.
fn shown<T: Display>(list: &BTreeSet<T>, all: &str) -> String {
    match list.is_empty() {
        true => all.to_owned(),
        false => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Values that have no words of their own.
fn debug<T: Debug>(value: &T) -> String {
    format!("{value:?}")
}
