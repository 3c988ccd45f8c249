//! The decision: a total function of charter, intent and effects. Deny by default; the order of rules never matters.
//!
//! Every rule that matches an effect counts: one that denies beats all others, one that allows is needed, and the
//! requirements of all of them add up. In doubt a rule that allows does not match, and every other rule does.
//!
//! Rules about hours and ages match at one moment and not at another. What approvals are bound to, the slice, has them all,
//! so that what people said holds however late it is.

mod charge;
mod matching;
mod requirement;
#[cfg(test)]
mod tests;
mod when;

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Amount, Asset, Effect, Effects};
use limen_wire::ids::{CurrencyId, PersonId, SliceHash, VaultId, tagged_hash};
use limen_wire::intent::Intent;
use limen_wire::pb;

use crate::charter::people::{Group, Person};
use crate::charter::rule::{Class, Rule, Verb};
use crate::charter::vault::Limit;
use crate::charter::{Charter, Checker, Duty};
use crate::formula::Leaf;

use charge::Charged;
pub(crate) use charge::alone;
pub use charge::{Charge, Sum, Take};
use matching::{Fit, describe};
pub use requirement::{Evidence, Fact, Requirement};
pub use when::{InForce, Settled, Unknown, When};

/// Most rules that one denied effect is explained by.
const MAX_EXPLAINED: usize = 16;

/// What the rules make of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Every effect is allowed by some rule and denied by none. The requirements must be met as well, and the charges fit.
    pub allowed: bool,
    /// The rules that matched something, sorted, each once.
    pub rules: Vec<String>,
    /// Why it is denied: what was observed and how far each rule of its class was from allowing it.
    pub reasons: Vec<String>,
    /// What must be met before anything is signed, in the order of the rules' names, then what has to be attested. Empty
    /// if denied.
    pub requirements: Vec<Requirement>,
    /// What every rule asks for that matches now or at another time: whoever has a say in one of them is heard at any time.
    /// Empty if denied for good.
    pub asking: Vec<Requirement>,
    /// What it takes of the limits, in order; of those in money once prices are known. Empty if denied.
    pub charges: Vec<Charge>,
    /// Hash of the charter's slice that was consulted: an approval given under another slice has lapsed.
    pub slice: SliceHash,
    /// A rule about hours, ages or money was consulted, or a limit in money: at another moment the same bytes may be decided
    /// otherwise.
    pub timed: bool,
    /// Denied whatever the moment and whoever approves: under this charter the same bytes are never allowed.
    pub for_good: bool,
}

impl Decision {
    /// The wire form.
    pub fn to_wire(&self) -> pb::Decision {
        pb::Decision {
            allowed: self.allowed,
            rules: self.rules.clone(),
            reasons: self.reasons.clone(),
            requirements: self.requirements.iter().map(Requirement::to_wire).collect(),
            charges: self.charges.iter().map(Charge::to_wire).collect(),
            slice_hash: self.slice.as_bytes().to_vec().into(),
            timed: self.timed,
        }
    }

    /// Whether any rule that asks for something, now or at another time, names a group that the person is in: then their no
    /// ends the request.
    pub fn gives_a_say(&self, charter: &Charter, person: &PersonId) -> bool {
        let formulas = self.asking.iter().filter_map(|one| one.needs.approvals.as_ref());
        let groups = &charter.roster.groups;
        let member = |leaf: &Leaf| groups.get(&leaf.group).is_some_and(|group| group.members.contains(person));
        formulas.into_iter().any(|formula| formula.leaves().into_iter().any(member))
    }

    fn denied(reasons: Vec<String>, for_good: bool) -> Self {
        let (rules, requirements, asking, charges) = Default::default();
        let slice = SliceHash::new([0; 32]);
        Self { allowed: false, rules, reasons, requirements, asking, charges, slice, timed: false, for_good }
    }
}

/// What a request moves of each asset in all: a request cannot get past a bound by splitting itself up.
/// `None` stands for a sum beyond 256 bits.
type Totals<'a> = BTreeMap<(Class, &'a Asset), Option<Amount>>;

/// One request under judgement.
struct Case<'a> {
    charter: &'a Charter,
    intent: &'a Intent,
    effects: &'a Effects,
    totals: Totals<'a>,
    vault: Option<&'a VaultId>,
    when: When<'a>,
}

/// The rules that matched anything, each once.
#[derive(Default)]
struct Matched<'a> {
    /// Now.
    now: BTreeMap<&'a str, &'a Rule>,
    /// At this or another time or price.
    ever: BTreeMap<&'a str, &'a Rule>,
    /// There is an effect that no rule allows at any moment, or that some rule denies at every moment.
    never: bool,
    /// The prices without which nobody can tell whether one matches.
    unpriced: BTreeSet<(&'a Asset, &'a CurrencyId)>,
}

/// Decides. The intent's requester must be enrolled with the duty to request; their signature is the guard's business.
pub fn decide(charter: &Charter, intent: &Intent, effects: &Effects, when: &When<'_>) -> Decision {
    let refuse = |reason: String| Decision::denied(vec![reason], true);
    if charter.requester(&intent.requester, Duty::Request).is_none() {
        return refuse(format!("requester {} is not enrolled to request signatures", intent.requester));
    }
    if effects.list.is_empty() {
        return refuse("the bytes have no effects: nothing that a rule could allow".to_owned());
    }
    let vault = charter.vaults.of_key(&intent.key_id).map(|vault| &vault.id);
    if let Some(named) = &intent.vault
        && vault != Some(named)
    {
        return refuse(format!("it names vault {named}, but key {} does not belong to it", intent.key_id));
    }
    let case = Case { charter, intent, effects, totals: totals(&effects.list), vault, when: *when };
    let (matched, mut reasons) = case.judge();
    let (takes, never_fits) = match charge::takes(&case) {
        Ok(takes) => (takes, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let never = matched.never || never_fits.is_some();
    let Charged { charges, unpriced, over } = charge::charged(&takes, when.quotes);
    reasons.extend(over.into_iter().chain(never_fits));
    let limits: Vec<&Limit> = takes.iter().map(|take| take.limit).collect();
    let rules: Vec<String> = matched.now.keys().map(|name| (*name).to_owned()).collect();
    let consulted: Vec<&Rule> = matched.ever.into_values().collect();
    let timed = consulted.iter().any(|rule| rule.is_timed()) || limits.iter().any(|limit| limit.currency.is_some());
    let slice = match case.slice(&consulted, &limits) {
        Ok(slice) => slice,
        Err(error) => return Decision::denied(vec![format!("the consulted rules cannot be hashed: {error}")], false),
    };
    let price =
        |(asset, currency): &(&Asset, &CurrencyId)| Requirement::of_price((*asset).clone(), (*currency).clone());
    let prices: Vec<Requirement> = matched.unpriced.union(&unpriced).map(price).collect();
    let facts = || limits.iter().copied().filter_map(Requirement::of_ceiling).chain(prices.iter().cloned());
    let asking: Vec<Requirement> = requirements(consulted.into_iter()).chain(facts()).collect();
    if !reasons.is_empty() {
        let asking = if timed { asking } else { Vec::new() };
        return Decision { rules, asking, slice, timed, ..Decision::denied(reasons, never) };
    }
    let requirements = requirements(matched.now.into_values()).chain(facts()).collect();
    Decision { allowed: true, rules, reasons, requirements, asking, charges, slice, timed, for_good: false }
}

/// What a request takes of the limits, by its bytes, requester and key alone: whether and when rules allow it does not matter,
/// nor what anything is worth. An error if it can never fit.
pub fn takes<'a>(charter: &'a Charter, intent: &'a Intent, effects: &'a Effects) -> Result<Vec<Take<'a>>, String> {
    let vault = charter.vaults.of_key(&intent.key_id).map(|vault| &vault.id);
    charge::takes(&Case { charter, intent, effects, totals: totals(&effects.list), vault, when: When::at(0) })
}

/// What the rules among them ask for that ask for anything.
fn requirements<'a>(rules: impl Iterator<Item = &'a Rule>) -> impl Iterator<Item = Requirement> {
    let asking = rules.filter(|rule| !rule.needs.is_empty());
    asking.map(|rule| Requirement { rule: rule.name.clone(), needs: rule.needs.clone(), fact: None })
}

fn totals(list: &[Effect]) -> Totals<'_> {
    let mut totals = Totals::new();
    for effect in list {
        if let Some((class, asset, amount)) = matching::amount(effect) {
            let total = totals.entry((class, asset)).or_insert(Some(Amount::ZERO));
            *total = total.and_then(|total| total.checked_add(amount));
        }
    }
    totals
}

impl<'a> Case<'a> {
    /// The rules that matched anything, and what speaks against the request.
    fn judge(&self) -> (Matched<'a>, Vec<String>) {
        let mut matched = Matched::default();
        let mut reasons = Vec::new();
        for effect in &self.effects.list {
            let (mut allowed, mut ever_allowed) = (false, false);
            for rule in &self.charter.rules {
                match self.fit(rule, effect) {
                    Fit::Yes => {}
                    Fit::NotNow(_) => {
                        matched.ever.insert(&rule.name, rule);
                        ever_allowed |= rule.verb == Verb::Allow;
                        continue;
                    }
                    Fit::OtherClass | Fit::No(_) => continue,
                    // What allows or asks is taken to match until its price is known, and that is asked for.
                    Fit::Unpriced(assets) => {
                        let currency = rule.amount.currency.as_ref().map(|currency| &currency.id);
                        matched.unpriced.extend(assets.into_iter().zip(currency.into_iter().cycle()));
                        if rule.verb == Verb::Deny {
                            matched.ever.insert(&rule.name, rule);
                            continue;
                        }
                    }
                }
                matched.ever.insert(&rule.name, rule);
                matched.now.insert(&rule.name, rule);
                match rule.verb {
                    Verb::Allow => allowed = true,
                    Verb::Require => {}
                    Verb::Deny => {
                        matched.never |= !rule.is_timed();
                        reasons.push(format!("{}: rule {:?} denies it", describe(effect), rule.name));
                    }
                }
            }
            if !allowed {
                matched.never |= !ever_allowed;
                reasons.push(self.explain(effect));
            }
        }
        reasons.sort();
        reasons.dedup();
        (matched, reasons)
    }

    /// How far each rule was from allowing the effect.
    fn explain(&self, effect: &'a Effect) -> String {
        let what = describe(effect);
        let allowing = self.charter.rules.iter().filter(|rule| rule.verb == Verb::Allow);
        let mut misses: Vec<String> = allowing
            .filter_map(|rule| match self.fit(rule, effect) {
                Fit::No(why) | Fit::NotNow(why) => Some(format!("rule {:?} {why}", rule.name)),
                Fit::Yes | Fit::Unpriced(_) | Fit::OtherClass => None,
            })
            .collect();
        misses.sort();
        let left = misses.len().saturating_sub(MAX_EXPLAINED);
        misses.truncate(MAX_EXPLAINED);
        match (misses.is_empty(), left) {
            (true, _) => format!("{what}: no rule allows the class {}", effect.class()),
            (false, 0) => format!("{what}: {}", misses.join("; ")),
            (false, left) => format!("{what}: {}; and {left} more rules", misses.join("; ")),
        }
    }

    /// Hash of everything that was consulted: the rules that match now or at another time, the groups that they name with
    /// their members' credentials, the checkers that they name, the people behind the requester, the limits charged, and who
    /// attests what their vaults hold and what things are worth in their money.
    fn slice(&self, rules: &[&Rule], limits: &[&Limit]) -> Result<SliceHash, postcard::Error> {
        let roster = &self.charter.roster;
        let formulas = rules.iter().filter_map(|rule| rule.needs.approvals.as_ref());
        let named: BTreeSet<_> = formulas.flat_map(|formula| formula.leaves()).map(|leaf| &leaf.group).collect();
        let groups: Vec<&Group> = named.iter().filter_map(|id| roster.groups.get(*id)).collect();
        let members: BTreeSet<_> = groups.iter().flat_map(|group| &group.members).collect();
        let people: Vec<&Person> = members.iter().filter_map(|id| roster.people.get(*id)).collect();
        let requester = self.charter.requesters.get(&self.intent.requester).map(|requester| &requester.people);
        let asked: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.needs.checks).collect();
        let attests = |one: &Checker| {
            limits.iter().filter_map(|limit| limit.ceiling_of.as_ref()).any(|vault| one.balances_of.contains(vault))
        };
        let of_limits = limits.iter().filter_map(|limit| limit.currency.as_ref());
        let of_rules = rules.iter().filter_map(|rule| rule.amount.currency.as_ref());
        let currencies: BTreeSet<_> = of_rules.chain(of_limits).map(|currency| &currency.id).collect();
        let quotes = |one: &Checker| currencies.iter().any(|id| one.prices_in.contains(*id));
        let all = self.charter.checkers.values();
        let checkers: Vec<_> = all.filter(|one| asked.contains(&one.id) || attests(one) || quotes(one)).collect();
        let consulted = postcard::to_stdvec(&(rules, groups, people, requester, limits, checkers))?;
        Ok(SliceHash::new(tagged_hash("limen policy slice v5", [consulted.as_slice()])))
    }
}
