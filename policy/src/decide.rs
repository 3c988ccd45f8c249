//! The decision: a total function of charter, intent and effects. Deny by default; the order of rules never matters.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use limen_wire::effects::{Address, Amount, Asset, Effect, Effects};
use limen_wire::intent::Intent;

use crate::charter::{AmountRule, Charter, Duty, Rule, Subject};

/// What the rules make of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Every effect is allowed by some rule.
    pub allowed: bool,
    /// The rules that allowed something, sorted, each once.
    pub rules: Vec<String>,
    /// For each effect that no rule allows: what was observed and how far each rule of its class was from allowing it.
    pub reasons: Vec<String>,
}

impl Decision {
    /// The wire form.
    pub fn to_wire(&self) -> limen_wire::pb::Decision {
        limen_wire::pb::Decision { allowed: self.allowed, rules: self.rules.clone(), reasons: self.reasons.clone() }
    }

    fn denied(reason: impl Into<String>) -> Self {
        Self { allowed: false, rules: Vec::new(), reasons: vec![reason.into()] }
    }
}

/// Which class of amount is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sum {
    Transfer,
    Fee,
    Allowance,
}

/// What a request moves of each asset in all: a request cannot get past a bound by splitting itself up.
/// `None` stands for a sum beyond 256 bits.
type Totals<'a> = BTreeMap<(Sum, &'a Asset), Option<Amount>>;

/// Decides. The intent's requester must be enrolled with the duty to request; their signature is the guard's business.
pub fn decide(charter: &Charter, intent: &Intent, effects: &Effects) -> Decision {
    if charter.requester(&intent.requester, Duty::Request).is_none() {
        return Decision::denied(format!("requester {} is not enrolled to request signatures", intent.requester));
    }
    if effects.list.is_empty() {
        return Decision::denied("the bytes have no effects: nothing that a rule could allow");
    }
    let totals = totals(&effects.list);
    let mut rules = Vec::new();
    let mut reasons = Vec::new();
    for effect in &effects.list {
        match allowing(charter, intent, effects, effect, &totals) {
            Ok(mut names) => rules.append(&mut names),
            Err(reason) => reasons.push(reason),
        }
    }
    rules.sort();
    rules.dedup();
    Decision { allowed: reasons.is_empty(), rules, reasons }
}

fn totals(list: &[Effect]) -> Totals<'_> {
    let mut totals = Totals::new();
    let mut add = |sum, asset, amount: Amount| {
        let total = totals.entry((sum, asset)).or_insert(Some(Amount::ZERO));
        *total = total.and_then(|total| total.checked_add(amount));
    };
    for effect in list {
        match effect {
            Effect::Transfer { asset, amount, .. } => add(Sum::Transfer, asset, *amount),
            Effect::Fee { asset, max_amount, .. } => add(Sum::Fee, asset, *max_amount),
            Effect::Allowance { asset, amount, .. } => add(Sum::Allowance, asset, *amount),
            _ => {}
        }
    }
    totals
}

/// The names of the rules that allow the effect, or why none does.
fn allowing(
    charter: &Charter,
    intent: &Intent,
    effects: &Effects,
    effect: &Effect,
    totals: &Totals<'_>,
) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut misses = Vec::new();
    for rule in &charter.rules {
        match fits(rule, intent, effects, effect, totals) {
            Fit::Yes => names.push(rule.name.clone()),
            Fit::OtherClass => {}
            Fit::No(why) => misses.push(format!("rule {:?} {why}", rule.name)),
        }
    }
    if !names.is_empty() {
        return Ok(names);
    }
    let what = describe(effect);
    if misses.is_empty() {
        Err(format!("{what}: no rule allows the class {}", effect.class()))
    } else {
        Err(format!("{what}: {}", misses.join("; ")))
    }
}

enum Fit {
    Yes,
    OtherClass,
    No(String),
}

fn fits(rule: &Rule, intent: &Intent, effects: &Effects, effect: &Effect, totals: &Totals<'_>) -> Fit {
    let bound = match covers(rule, effects, effect) {
        Cover::No => return Fit::OtherClass,
        Cover::Miss(why) => return Fit::No(why),
        Cover::Yes => None,
        Cover::Bounded(sum, amount_rule) => Some((sum, amount_rule)),
    };
    if !rule.requesters.is_empty() && !rule.requesters.contains(&intent.requester) {
        return Fit::No(format!("is not for requester {}", intent.requester));
    }
    if !rule.keys.is_empty() && !rule.keys.contains(&intent.key_id) {
        return Fit::No(format!("is not for key {}", intent.key_id));
    }
    if let Some((sum, AmountRule { asset, max_amount })) = bound {
        match totals.get(&(sum, asset)).copied().flatten() {
            Some(total) if total <= *max_amount => {}
            Some(total) => return Fit::No(format!("allows at most {max_amount} in one request, observed {total}")),
            None => return Fit::No("allows no sum beyond 256 bits".to_owned()),
        }
    }
    Fit::Yes
}

enum Cover<'a> {
    /// The rule is about something else.
    No,
    /// The rule is about this class, but not this case.
    Miss(String),
    Yes,
    Bounded(Sum, &'a AmountRule),
}

fn covers<'a>(rule: &'a Rule, effects: &Effects, effect: &Effect) -> Cover<'a> {
    let to = |address: &Address, then: Cover<'a>| {
        if rule.destinations.contain(address) {
            then
        } else {
            Cover::Miss(format!("does not allow the destination {address}"))
        }
    };
    // What moves or is owned must be the signing account's: anything else is not understood, so not allowed.
    let own = |owner: &Address| *owner == effects.account;
    let other = |owner: &Address| Cover::Miss(format!("covers the account {} only, not {owner}", effects.account));
    let same = |bound: &AmountRule, asset: &Asset| bound.asset == *asset;
    match (&rule.subject, effect) {
        (Subject::Transfer(bound), Effect::Transfer { asset, from, to: destination, .. }) if same(bound, asset) => {
            if own(from) {
                to(destination, Cover::Bounded(Sum::Transfer, bound))
            } else {
                other(from)
            }
        }
        (Subject::Fee(bound), Effect::Fee { asset, payer, .. }) if same(bound, asset) => {
            if own(payer) {
                Cover::Bounded(Sum::Fee, bound)
            } else {
                other(payer)
            }
        }
        (Subject::Allowance(bound), Effect::Allowance { asset, owner, spender, .. }) if same(bound, asset) => {
            if own(owner) { to(spender, Cover::Bounded(Sum::Allowance, bound)) } else { other(owner) }
        }
        (Subject::Call, Effect::Call { contract, .. }) => to(contract, Cover::Yes),
        // Value sent along is a transfer of its own, to be allowed by its own rule.
        (Subject::Deploy, Effect::Deploy { .. }) => Cover::Yes,
        (Subject::Message, Effect::Message { .. }) | (Subject::Raw, Effect::Raw { .. }) => Cover::Yes,
        (Subject::TypedData, Effect::TypedData { verifying_contract, .. }) => match verifying_contract {
            Some(contract) => to(contract, Cover::Yes),
            None => Cover::Miss("needs a verifying contract".to_owned()),
        },
        // Authority changes and unknown bytes have no rule that allows them before people can approve.
        _ => Cover::No,
    }
}

fn describe(effect: &Effect) -> String {
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
