//! Rules in the text form.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::ChainId;
use limen_wire::ids::{BookEntryId, CheckerId, KeyId, RequesterId};
use serde::Deserialize;

use super::assets::{self, Money, Registry};
use super::hours::{FileHours, hours};
use super::vaults::{known_requesters, known_vaults, tag};
use super::{address, chain, invalid, name};
use crate::charter::people::Roster;
use crate::charter::rule::{AmountRange, Class, DelayFrom, Destination, Destinations, EntryAge, Needs, Rule, Verb};
use crate::charter::vault::{Book, Vaults};
use crate::charter::{CharterError, Checker, Requester};
use crate::formula::Formula;

/// Most rules of a charter.
const MAX_RULES: usize = 10_000;
/// Most names, and most destinations, of one rule.
const MAX_LIST: usize = 1000;
/// Longest delay, and longest age that is asked for, in seconds: 366 days.
const MAX_DELAY_SECS: u64 = 366 * 86_400;

/// What rules can name.
pub(super) struct Known<'a> {
    pub(super) registry: &'a Registry<'a>,
    pub(super) money: &'a Money<'a>,
    pub(super) requesters: &'a BTreeMap<RequesterId, Requester>,
    pub(super) roster: &'a Roster,
    pub(super) vaults: &'a Vaults,
    pub(super) book: &'a Book,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileDestinations {
    Word(String),
    List(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRule {
    name: String,
    #[serde(default)]
    allow: Option<Class>,
    #[serde(default)]
    require: Option<Class>,
    #[serde(default)]
    deny: Option<Class>,
    #[serde(default)]
    requesters: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    vaults: Vec<String>,
    #[serde(default)]
    asset: Option<String>,
    #[serde(default)]
    asset_group: Option<String>,
    /// The money in which the amounts are.
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    more_than: Option<String>,
    #[serde(default)]
    max_amount: Option<String>,
    /// Methods, kinds or primary types.
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    destinations: Option<FileDestinations>,
    #[serde(default)]
    destinations_except: Option<Vec<String>>,
    #[serde(default)]
    chains: Vec<String>,
    /// For how long the destination must have been in the address book.
    #[serde(default)]
    entry_at_least_secs: Option<u64>,
    #[serde(default)]
    entry_less_than_secs: Option<u64>,
    #[serde(default)]
    hours: Option<FileHours>,
    #[serde(default)]
    hours_except: Option<FileHours>,
    #[serde(default)]
    approvals: Option<String>,
    #[serde(default)]
    not_by_requester: bool,
    #[serde(default)]
    delay_secs: u64,
    #[serde(default)]
    delay_from: DelayFrom,
    #[serde(default)]
    credentials_for_secs: u64,
    #[serde(default)]
    checks: Vec<String>,
}

pub(super) fn read(raw: Vec<FileRule>, known: &Known<'_>) -> Result<Vec<Rule>, CharterError> {
    if raw.len() > MAX_RULES {
        return Err(invalid("rules", format!("{} rules, at most {MAX_RULES} are possible", raw.len())));
    }
    let rules = raw.into_iter().map(|raw| rule(raw, known)).collect::<Result<Vec<_>, _>>()?;
    let distinct: BTreeSet<_> = rules.iter().map(|rule| &rule.name).collect();
    if distinct.len() != rules.len() {
        return Err(invalid("rules", "two rules have the same name"));
    }
    Ok(rules)
}

/// A formula all of whose groups exist and are large enough.
pub(super) fn formula(place: &str, text: &str, roster: &Roster) -> Result<Formula, CharterError> {
    let formula = Formula::parse(text).map_err(|error| invalid(place, error.to_string()))?;
    for leaf in formula.leaves() {
        let Some(group) = roster.groups.get(&leaf.group) else {
            return Err(invalid(place, format!("there is no group {}", leaf.group)));
        };
        if group.members.len() < usize::from(leaf.count) {
            let (have, group) = (group.members.len(), &group.id);
            return Err(invalid(place, format!("{} people of {group} are asked for, {have} are in it", leaf.count)));
        }
    }
    Ok(formula)
}

fn verb(place: &str, raw: &FileRule) -> Result<(Verb, Class), CharterError> {
    match (raw.allow, raw.require, raw.deny) {
        (Some(class), None, None) => Ok((Verb::Allow, class)),
        (None, Some(class), None) => Ok((Verb::Require, class)),
        (None, None, Some(class)) => Ok((Verb::Deny, class)),
        _ => Err(invalid(place, "exactly one of allow, require and deny is needed, with a class of effects")),
    }
}

fn rule(raw: FileRule, known: &Known<'_>) -> Result<Rule, CharterError> {
    let place = format!("rule {:?}", raw.name);
    if raw.name.is_empty() || raw.name.len() > 64 || raw.name.chars().any(char::is_control) {
        return Err(invalid(place, "a rule's name has 1 to 64 printable characters"));
    }
    let (verb, class) = verb(&place, &raw)?;
    let amount = amount(&place, verb, class, &raw, known)?;
    let needs = needs(&place, verb, &raw, known)?;
    let hours = hours(&place, raw.hours.as_ref(), raw.hours_except.as_ref())?;
    let entry_age = entry_age(&place, verb, class, &raw)?;
    let keys = raw.keys.into_iter().map(|id| name(&place, KeyId::new(id))).collect::<Result<BTreeSet<_>, _>>()?;
    if class == Class::Raw && verb == Verb::Allow && keys.is_empty() {
        return Err(invalid(place, "bare digests can be allowed for named keys only"));
    }
    if class.needs_people() && verb == Verb::Allow && needs.approvals.is_none() {
        return Err(invalid(place, "this class hands over control or cannot be read: approvals are needed"));
    }
    let destinations = destinations(&place, verb, class, raw.destinations, raw.destinations_except, known)?;
    Ok(Rule {
        verb,
        class,
        amount,
        entry_age,
        hours,
        chains: chains(&place, raw.chains)?,
        names: names(&place, class, raw.names)?,
        requesters: known_requesters(&place, raw.requesters, known.requesters)?,
        keys,
        vaults: known_vaults(&place, raw.vaults, known.vaults)?,
        destinations,
        needs,
        name: raw.name,
    })
}

fn amount(
    place: &str,
    verb: Verb,
    class: Class,
    raw: &FileRule,
    known: &Known<'_>,
) -> Result<AmountRange, CharterError> {
    let FileRule { asset, asset_group, currency, more_than, max_amount, .. } = raw;
    let currency = currency.as_ref().map(|text| assets::priced(place, text, known.money)).transpose()?;
    if currency.is_some() && more_than.is_none() && max_amount.is_none() {
        return Err(invalid(place, "currency means nothing without more_than or max_amount"));
    }
    if !class.has_amount() {
        return match (asset, asset_group, more_than, max_amount) {
            (None, None, None, None) => Ok(AmountRange::default()),
            _ => Err(invalid(place, "asset and amounts mean nothing for this class: leave them out")),
        };
    }
    let Some(named) = known.registry.find(place, asset.as_ref(), asset_group.as_ref())? else {
        return match (verb, more_than, max_amount) {
            (Verb::Require | Verb::Deny, None, None) => Ok(AmountRange::default()),
            (Verb::Allow, ..) => Err(invalid(place, "asset and max_amount are needed")),
            _ => Err(invalid(place, "an amount needs its asset")),
        };
    };
    if verb == Verb::Allow && max_amount.is_none() {
        return Err(invalid(place, "asset and max_amount are needed"));
    }
    let units = |text: &String| match currency {
        Some(currency) => assets::units(place, text, currency.decimals),
        None => named.amount(place, text),
    };
    let (more_than, max_amount) =
        (more_than.as_ref().map(units).transpose()?, max_amount.as_ref().map(units).transpose()?);
    let range = AmountRange { assets: Some(named.assets), currency: currency.cloned(), more_than, max_amount };
    match (range.more_than, range.max_amount) {
        (Some(low), Some(high)) if low >= high => Err(invalid(place, "more_than must be less than max_amount")),
        _ => Ok(range),
    }
}

/// How old the entry of a destination must be. In doubt a rule that allows does not match, and every other one does: so the
/// two ask the two opposite questions.
fn entry_age(place: &str, verb: Verb, class: Class, raw: &FileRule) -> Result<EntryAge, CharterError> {
    let bounded = |secs: u64| match (class.has_destination(), secs) {
        (false, _) => Err(invalid(place, "the age of an entry means nothing for this class: leave it out")),
        (true, 1..=MAX_DELAY_SECS) => Ok(secs),
        _ => Err(invalid(place, format!("the age of an entry: 1 to {MAX_DELAY_SECS} seconds are possible"))),
    };
    match (verb, raw.entry_at_least_secs, raw.entry_less_than_secs) {
        (_, None, None) => Ok(EntryAge::Any),
        (Verb::Allow, Some(secs), None) => bounded(secs).map(EntryAge::AtLeast),
        (Verb::Require | Verb::Deny, None, Some(secs)) => bounded(secs).map(EntryAge::LessThan),
        (Verb::Allow, ..) => Err(invalid(place, "a rule that allows says entry_at_least_secs")),
        _ => Err(invalid(place, "a rule that asks or denies says entry_less_than_secs")),
    }
}

fn chains(place: &str, raw: Vec<String>) -> Result<BTreeSet<ChainId>, CharterError> {
    if raw.len() > MAX_LIST {
        return Err(invalid(place, format!("at most {MAX_LIST} chains are possible")));
    }
    raw.into_iter().map(|text| chain(place, text)).collect()
}

fn checks(
    place: &str,
    raw: &[String],
    known: &BTreeMap<CheckerId, Checker>,
) -> Result<BTreeSet<CheckerId>, CharterError> {
    let one = |text: &String| {
        let id = name(place, CheckerId::new(text.clone()))?;
        if known.contains_key(&id) { Ok(id) } else { Err(invalid(place, format!("there is no checker {id}"))) }
    };
    raw.iter().map(one).collect()
}

fn needs(place: &str, verb: Verb, raw: &FileRule, known: &Known<'_>) -> Result<Needs, CharterError> {
    let approvals = raw.approvals.as_ref().map(|text| formula(place, text, known.roster)).transpose()?;
    if raw.delay_secs > MAX_DELAY_SECS {
        return Err(invalid(place, format!("delay_secs: at most {MAX_DELAY_SECS} are possible")));
    }
    if raw.not_by_requester && approvals.is_none() {
        return Err(invalid(place, "not_by_requester means nothing without approvals"));
    }
    if raw.credentials_for_secs > 0 && approvals.is_none() {
        return Err(invalid(place, "credentials_for_secs means nothing without approvals"));
    }
    if raw.credentials_for_secs > MAX_DELAY_SECS {
        return Err(invalid(place, format!("credentials_for_secs: at most {MAX_DELAY_SECS} are possible")));
    }
    let needs = Needs {
        approvals,
        delay_secs: raw.delay_secs,
        delay_from: raw.delay_from,
        not_by_requester: raw.not_by_requester,
        credentials_for_secs: raw.credentials_for_secs,
        checks: checks(place, &raw.checks, known.money.checkers)?,
    };
    match verb {
        Verb::Deny if !needs.is_empty() => Err(invalid(place, "a rule that denies asks for nothing: leave it out")),
        Verb::Require if needs.is_empty() => {
            Err(invalid(place, "it asks for nothing: approvals, delay_secs or checks are needed"))
        }
        _ => Ok(needs),
    }
}

fn names(place: &str, class: Class, raw: Vec<String>) -> Result<BTreeSet<String>, CharterError> {
    if !raw.is_empty() && !class.has_names() {
        return Err(invalid(place, "names mean nothing for this class: leave them out"));
    }
    let fits = |name: &String| (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    match raw.iter().find(|name| !fits(name)) {
        Some(_) => Err(invalid(place, "names are 1 to 200 printable ASCII characters without spaces")),
        None if raw.len() > MAX_LIST => Err(invalid(place, format!("at most {MAX_LIST} names are possible"))),
        None => Ok(raw.into_iter().collect()),
    }
}

/// Where nobody said where to, nothing is allowed: "anywhere" must be written.
fn destinations(
    place: &str,
    verb: Verb,
    class: Class,
    raw: Option<FileDestinations>,
    except: Option<Vec<String>>,
    known: &Known<'_>,
) -> Result<Destinations, CharterError> {
    let list = |list: Vec<String>| {
        if list.is_empty() || list.len() > MAX_LIST {
            return Err(invalid(place, format!("1 to {MAX_LIST} destinations can be named")));
        }
        list.iter().map(|text| destination(place, text, known)).collect::<Result<BTreeSet<_>, _>>()
    };
    match (raw, except) {
        (Some(_), Some(_)) => Err(invalid(place, "destinations and destinations_except exclude each other")),
        (Some(_), _) | (_, Some(_)) if !class.has_destination() => {
            Err(invalid(place, "destinations mean nothing for this class: leave them out"))
        }
        (_, Some(_)) if verb == Verb::Allow => {
            Err(invalid(place, "a rule that allows names its destinations; what to except is denied by another rule"))
        }
        (_, Some(except)) => list(except).map(Destinations::Except),
        (Some(FileDestinations::Word(word)), _) if word == "anywhere" => Ok(Destinations::Anywhere),
        (Some(FileDestinations::List(only)), _) => list(only).map(Destinations::Only),
        (None, None) if verb != Verb::Allow || !class.has_destination() => Ok(Destinations::Anywhere),
        _ => Err(invalid(place, "destinations must be a list, or the word \"anywhere\"")),
    }
}

fn destination(place: &str, text: &str, known: &Known<'_>) -> Result<Destination, CharterError> {
    if let Some(entry) = text.strip_prefix("book:") {
        let id = name(place, BookEntryId::new(entry))?;
        return match known.book.entry(&id).is_some() {
            true => Ok(Destination::Entry(id)),
            false => Err(invalid(place, format!("the address book has no entry {id}"))),
        };
    }
    if let Some(text) = text.strip_prefix("tag:") {
        let tag = tag(place, text)?;
        return match known.book.entries().any(|entry| entry.tags.contains(&tag)) {
            true => Ok(Destination::Tag(tag)),
            false => Err(invalid(place, format!("no entry of the address book has the tag {tag}"))),
        };
    }
    address(place, text).map(Destination::Address)
}
