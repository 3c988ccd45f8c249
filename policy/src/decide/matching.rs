//! Whether one rule matches one effect.

use std::collections::BTreeSet;
use std::fmt;

use limen_wire::effects::{Address, Amount, Asset, ChainId, Effect};
use limen_wire::ids::{KeyId, RequesterId, VaultId};

use super::Case;
use crate::charter::Currency;
use crate::charter::assets::Assets;
use crate::charter::hours::Hours;
use crate::charter::rule::{Class, Destination, Destinations, EntryAge, Rule, Verb};
use crate::charter::vault::BookEntry;
use crate::check::Worth;

/// How a rule stands to an effect.
pub(super) enum Fit<'a> {
    /// It matches.
    Yes,
    /// It is about something else.
    OtherClass,
    /// It is about this class but not about this case.
    No(Miss<'a>),
    /// It is about this case, but not at this moment or at this price.
    NotNow(Miss<'a>),
    /// Nobody can tell: it is about what these assets are worth, and that is not attested.
    Unpriced(Vec<&'a Asset>),
}

/// The first criterion of a rule that is not met. Displayed, it follows on the rule's name.
pub(super) enum Miss<'a> {
    Name(Option<&'a str>),
    Requester(&'a RequesterId),
    Key(&'a KeyId),
    Vault(&'a VaultId),
    NoVault(&'a KeyId),
    Owner { ours: &'a Address, found: &'a Address },
    NoDestination,
    Destination(&'a Address),
    Chain(&'a ChainId),
    TooNew { to: &'a Address, at_least: u64, found: Option<u64> },
    TooOld { to: &'a Address, less_than: u64 },
    Hours(&'a Hours),
    TooMuch { max: Amount, found: Amount },
    TooLittle { more_than: Amount, found: Amount },
    Overflow,
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "does not name {}", name.unwrap_or("it")),
            Self::Requester(requester) => write!(f, "is not for requester {requester}"),
            Self::Key(key) => write!(f, "is not for key {key}"),
            Self::Vault(vault) => write!(f, "is not for vault {vault}"),
            Self::NoVault(key) => write!(f, "is for vaults, and key {key} is in none"),
            Self::Owner { ours, found } => write!(f, "covers the account {ours} only, not {found}"),
            Self::NoDestination => f.write_str("needs a contract that the bytes name"),
            Self::Destination(to) => write!(f, "does not cover the destination {to}"),
            Self::Chain(chain) => write!(f, "is not for chain {chain}"),
            Self::TooNew { to, at_least, found } => {
                let found = found.map_or_else(|| "an unknown time".to_owned(), |secs| format!("{secs} s"));
                write!(f, "covers {to} once it has been in the address book for {at_least} s, observed {found}")
            }
            Self::TooOld { to, less_than } => write!(f, "is for entries newer than {less_than} s, which {to} is not"),
            Self::Hours(hours) => write!(f, "covers {hours}, which it is not now"),
            Self::TooMuch { max, found } => write!(f, "covers at most {max} in one request, observed {found}"),
            Self::TooLittle { more_than, found } => {
                write!(f, "covers more than {more_than} in one request, observed {found}")
            }
            Self::Overflow => f.write_str("allows no sum beyond 256 bits"),
        }
    }
}

/// The class by which rules name an effect.
pub(super) const fn class(effect: &Effect) -> Class {
    match effect {
        Effect::Transfer { .. } => Class::Transfer,
        Effect::Fee { .. } => Class::Fee,
        Effect::Allowance { .. } => Class::Allowance,
        Effect::AuthorityChange { .. } => Class::AuthorityChange,
        Effect::Deploy { .. } => Class::Deploy,
        Effect::Call { .. } => Class::Call,
        Effect::Message { .. } => Class::Message,
        Effect::TypedData { .. } => Class::TypedData,
        Effect::Unknown { .. } => Class::Unknown,
        Effect::Raw { .. } => Class::Raw,
    }
}

/// Class, asset and amount of effects that have them.
pub(super) const fn amount(effect: &Effect) -> Option<(Class, &Asset, Amount)> {
    match effect {
        Effect::Transfer { asset, amount, .. } => Some((Class::Transfer, asset, *amount)),
        Effect::Fee { asset, max_amount, .. } => Some((Class::Fee, asset, *max_amount)),
        Effect::Allowance { asset, amount, .. } => Some((Class::Allowance, asset, *amount)),
        _ => None,
    }
}

/// Where an effect goes, if it says so.
pub(super) const fn destination(effect: &Effect) -> Option<&Address> {
    match effect {
        Effect::Transfer { to, .. } | Effect::AuthorityChange { to, .. } => Some(to),
        Effect::Allowance { spender, .. } => Some(spender),
        Effect::Call { contract, .. } => Some(contract),
        Effect::TypedData { verifying_contract: contract, .. } | Effect::Unknown { contract, .. } => contract.as_ref(),
        Effect::Fee { .. } | Effect::Deploy { .. } | Effect::Message { .. } | Effect::Raw { .. } => None,
    }
}

/// Whose value or control it takes; it must be the signing account's.
const fn owner(effect: &Effect) -> Option<&Address> {
    match effect {
        Effect::Transfer { from, .. } => Some(from),
        Effect::Fee { payer, .. } => Some(payer),
        Effect::Allowance { owner, .. } => Some(owner),
        _ => None,
    }
}

/// The call's method, the kind of an authority change, the primary type of typed data.
fn name(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Call { method, .. } => Some(method),
        Effect::AuthorityChange { kind, .. } => Some(kind),
        Effect::TypedData { primary_type, .. } => Some(primary_type),
        _ => None,
    }
}

/// Whether a destination means this entry, or its address.
fn names(destination: &Destination, entry: &BookEntry) -> bool {
    match destination {
        Destination::Address(address) => *address == entry.address,
        Destination::Entry(id) => *id == entry.id,
        Destination::Tag(tag) => entry.tags.contains(tag),
    }
}

impl<'a> Case<'a> {
    pub(super) fn fit(&self, rule: &'a Rule, effect: &'a Effect) -> Fit<'a> {
        if rule.class != class(effect) {
            return Fit::OtherClass;
        }
        if let (Some(wanted), Some((_, asset, _))) = (&rule.amount.assets, amount(effect))
            && !wanted.contains(asset)
        {
            return Fit::OtherClass;
        }
        let miss = self.misses_who(rule, effect).or_else(|| self.misses_destination(rule, effect));
        if let Some(miss) = miss {
            return Fit::No(miss);
        }
        let Some(currency) = &rule.amount.currency else {
            return match self.misses_amount(rule, effect) {
                Some(miss) => Fit::No(miss),
                None => self.misses_moment(rule, effect).map_or(Fit::Yes, Fit::NotNow),
            };
        };
        if let Some(miss) = self.misses_moment(rule, effect) {
            return Fit::NotNow(miss);
        }
        let unpriced = self.unpriced(rule, currency);
        if !unpriced.is_empty() {
            return Fit::Unpriced(unpriced);
        }
        self.misses_amount(rule, effect).map_or(Fit::Yes, Fit::NotNow)
    }

    /// What the request moves of the rule's assets: each with its sum.
    fn moved(&self, class: Class, wanted: &'a Assets) -> impl Iterator<Item = (&'a Asset, Option<Amount>)> {
        let members = self.totals.iter().filter(move |((of, asset), _)| *of == class && wanted.contains(asset));
        members.map(|((_, asset), total)| (*asset, *total))
    }

    fn unpriced(&self, rule: &'a Rule, currency: &Currency) -> Vec<&'a Asset> {
        let moved = rule.amount.assets.iter().flat_map(|wanted| self.moved(rule.class, wanted));
        moved.map(|(asset, _)| asset).filter(|asset| !self.when.quotes.has(asset, &currency.id)).collect()
    }

    /// What all that the request moves of the assets is worth, each asset rounded up.
    fn worth(&self, class: Class, wanted: &'a Assets, currency: &Currency) -> Worth {
        let each = self.moved(class, wanted).map(|(asset, total)| {
            total.map_or(Worth::UNKNOWN, |total| self.when.quotes.range(asset, total, &currency.id))
        });
        each.fold(Worth::exactly(Some(Amount::ZERO)), Worth::plus)
    }

    fn misses_who(&self, rule: &'a Rule, effect: &'a Effect) -> Option<Miss<'a>> {
        let intent = self.intent;
        if !rule.names.is_empty() && !name(effect).is_some_and(|name| rule.names.contains(name)) {
            return Some(Miss::Name(name(effect)));
        }
        if !rule.requesters.is_empty() && !rule.requesters.contains(&intent.requester) {
            return Some(Miss::Requester(&intent.requester));
        }
        if !rule.keys.is_empty() && !rule.keys.contains(&intent.key_id) {
            return Some(Miss::Key(&intent.key_id));
        }
        if !rule.vaults.is_empty() {
            match self.vault {
                Some(vault) if rule.vaults.contains(vault) => {}
                Some(vault) => return Some(Miss::Vault(vault)),
                None => return Some(Miss::NoVault(&intent.key_id)),
            }
        }
        if !rule.chains.is_empty() && !rule.chains.contains(&self.effects.chain) {
            return Some(Miss::Chain(&self.effects.chain));
        }
        // What moves or is owned must be the signing account's: anything else is not understood, so not allowed.
        let ours = &self.effects.account;
        match owner(effect) {
            Some(found) if rule.verb == Verb::Allow && found != ours => Some(Miss::Owner { ours, found }),
            _ => None,
        }
    }

    fn misses_destination(&self, rule: &Rule, effect: &'a Effect) -> Option<Miss<'a>> {
        let Some(to) = destination(effect) else {
            // Nobody can say where it goes: no reason to allow, and every reason to ask or deny.
            let doubt = rule.verb == Verb::Allow && rule.class.has_destination();
            return doubt.then_some(Miss::NoDestination);
        };
        let among = |list: &BTreeSet<Destination>| list.iter().any(|one| self.is(one, to));
        let met = match &rule.destinations {
            Destinations::Anywhere => true,
            Destinations::Only(list) => among(list),
            Destinations::Except(list) => !among(list),
        };
        (!met).then_some(Miss::Destination(to))
    }

    fn is(&self, destination: &Destination, address: &Address) -> bool {
        match destination {
            Destination::Address(named) => named == address,
            named => self.charter.book.at(&self.effects.chain, address).any(|entry| names(named, entry)),
        }
    }

    /// What changes by itself as time goes by.
    fn misses_moment(&self, rule: &'a Rule, effect: &'a Effect) -> Option<Miss<'a>> {
        if !rule.hours.hold(self.when.now_secs) {
            return Some(Miss::Hours(&rule.hours));
        }
        let to = destination(effect)?;
        let known = || self.known_secs(rule, to);
        match rule.entry_age {
            EntryAge::Any => None,
            EntryAge::AtLeast(at_least) => {
                let found = known();
                found.is_none_or(|found| found < at_least).then_some(Miss::TooNew { to, at_least, found })
            }
            EntryAge::LessThan(less_than) => {
                known().is_some_and(|found| found >= less_than).then_some(Miss::TooOld { to, less_than })
            }
        }
    }

    /// For how long the oldest of the entries by which the rule knows the destination has been in force.
    fn known_secs(&self, rule: &Rule, to: &Address) -> Option<u64> {
        let meant = |entry: &&BookEntry| match &rule.destinations {
            Destinations::Only(list) => list.iter().any(|one| names(one, entry)),
            Destinations::Anywhere | Destinations::Except(_) => true,
        };
        let entries = self.charter.book.at(&self.effects.chain, to).filter(meant);
        entries.filter_map(|entry| self.when.in_force.entry_secs(&entry.id)).max()
    }

    /// What the request moves of all assets of a group together, in the group's unit.
    fn total(&self, class: Class, group: &'a Assets) -> Option<Amount> {
        self.moved(class, group)
            .try_fold(Amount::ZERO, |sum, (asset, total)| sum.checked_add(group.units(asset, total?)?))
    }

    fn misses_amount(&self, rule: &'a Rule, effect: &'a Effect) -> Option<Miss<'a>> {
        let (class, asset, _) = amount(effect)?;
        let found = match (&rule.amount.assets, &rule.amount.currency) {
            (Some(wanted), Some(currency)) => self.worth(class, wanted, currency),
            (Some(group @ Assets::Group(_)), None) => Worth::exactly(self.total(class, group)),
            (Some(Assets::One(_)) | None, _) => Worth::exactly(self.totals.get(&(class, asset)).copied().flatten()),
        };
        // Of the prices that are shown each bound is compared with the one that speaks against the request.
        let (from_below, from_above) = match rule.verb {
            Verb::Allow => (found.lowest, found.highest),
            Verb::Require | Verb::Deny => (found.highest, found.lowest),
        };
        if rule.verb == Verb::Allow && (from_below.is_none() || from_above.is_none()) {
            return Some(Miss::Overflow);
        }
        let above = |max: Amount| from_above.filter(|found| *found > max).map(|found| Miss::TooMuch { max, found });
        let below = |more_than: Amount| {
            from_below.filter(|found| *found <= more_than).map(|found| Miss::TooLittle { more_than, found })
        };
        rule.amount.max_amount.and_then(above).or_else(|| rule.amount.more_than.and_then(below))
    }
}

pub(super) fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Transfer { asset, amount, to, .. } => format!("transfer of {amount} {asset} to {to}"),
        Effect::Fee { asset, max_amount, .. } => format!("fee of up to {max_amount} {asset}"),
        Effect::Allowance { asset, amount, spender, .. } => format!("allowance of {amount} {asset} for {spender}"),
        Effect::AuthorityChange { subject, to, kind } => format!("{kind}: control over {subject} to {to}"),
        Effect::Deploy { contract, .. } => format!("new contract at {contract}"),
        Effect::Call { contract, method } => format!("call of {method} on {contract}"),
        Effect::Message { .. } => "message".to_owned(),
        Effect::TypedData { primary_type, .. } => format!("typed data of type {primary_type}"),
        Effect::Unknown { what, .. } => format!("unreadable bytes ({what})"),
        Effect::Raw { .. } => "bare digest".to_owned(),
    }
}
