//! The rules, read straight from the plan: deny beats all, what no rule allows is denied, requirements add up.

use super::outside::never_fits;
use crate::hostile::plan::{Class, Coin, FEE, Limit, Per, Plan, REQUESTERS, Rule, UNIT, Verb, Where};
use crate::hostile::program::{Draft, Kind};

/// One thing that the bytes of a draft do.
struct Effect {
    class: Class,
    coin: Option<Coin>,
    amount: u128,
    to: Option<usize>,
}

fn effects(draft: &Draft) -> Vec<Effect> {
    let (class, coin) = match draft.kind {
        Kind::Native => (Class::Transfer, Some(Coin::Native)),
        Kind::Token => (Class::Transfer, Some(Coin::Token)),
        Kind::Allowance => (Class::Allowance, Some(Coin::Token)),
        Kind::Unknown | Kind::Delegatecall => (Class::Unknown, None),
        Kind::Message => return vec![Effect { class: Class::Message, coin: None, amount: 0, to: None }],
    };
    let amount = if coin.is_some() { draft.units * UNIT } else { 0 };
    vec![
        Effect { class, coin, amount, to: Some(draft.to) },
        Effect { class: Class::Fee, coin: Some(Coin::Native), amount: FEE, to: None },
    ]
}

fn matches(rule: &Rule, effect: &Effect, requester: usize) -> bool {
    let there = match (&rule.to, effect.to) {
        (Where::Anywhere, _) | (_, None) => true,
        (Where::Only(places), Some(to)) => places.contains(&to),
        (Where::Except(places), Some(to)) => !places.contains(&to),
    };
    rule.class == effect.class
        && (rule.coin.is_none() || rule.coin == effect.coin)
        && (rule.requesters.is_empty() || rule.requesters.contains(&requester))
        && there
        && rule.more_than.is_none_or(|more| effect.amount > more * UNIT)
        && rule.most.is_none_or(|most| effect.amount <= most * UNIT)
}

/// What of a version of the charter a draft is decided by: while this stays the same, approvals stay good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Consulted<'a> {
    rules: Vec<&'a Rule>,
    groups: Vec<(usize, &'a [usize])>,
}

/// The part of a version that is consulted for a draft.
pub(crate) fn consulted<'a>(plan: &'a Plan, version: usize, draft: &Draft) -> Consulted<'a> {
    let version = &plan.versions[version];
    let effects = effects(draft);
    let matched = |rule: &&Rule| effects.iter().any(|effect| matches(rule, effect, draft.requester));
    let rules: Vec<&Rule> = version.rules.iter().filter(matched).collect();
    let mut named: Vec<usize> =
        rules.iter().filter_map(|rule| rule.approvals.as_ref()).flat_map(|one| one.groups()).collect();
    named.sort_unstable();
    named.dedup();
    let groups = named.into_iter().map(|group| (group, version.groups[group].as_slice())).collect();
    Consulted { rules, groups }
}

/// The rules that ask for something, if the draft is allowed at all.
pub(crate) fn decide<'a>(plan: &'a Plan, version: usize, draft: &Draft) -> Option<Vec<&'a Rule>> {
    if draft.requester + 1 >= REQUESTERS {
        return None;
    }
    let rules = consulted(plan, version, draft).rules;
    if rules.iter().any(|rule| rule.verb == Verb::Deny) {
        return None;
    }
    let allowed =
        |effect: &Effect| rules.iter().any(|rule| rule.verb == Verb::Allow && matches(rule, effect, draft.requester));
    if !effects(draft).iter().all(allowed) {
        return None;
    }
    let fits =
        |(limit, _, amount): &(usize, String, u128)| plan.limits[*limit].amount.is_none_or(|most| *amount <= most);
    if !charges(plan, draft).iter().all(fits) || never_fits(plan, draft) {
        return None;
    }
    let asks = |rule: &&Rule| rule.approvals.is_some() || rule.delay_secs > 0 || !rule.checks.is_empty();
    Some(rules.into_iter().filter(asks).collect())
}

/// What a draft takes of which limit, for which subject.
pub(crate) fn charges(plan: &Plan, draft: &Draft) -> Vec<(usize, String, u128)> {
    plan.limits
        .iter()
        .enumerate()
        .filter_map(|(index, limit)| charge(limit, draft).map(|(subject, sum)| (index, subject, sum)))
        .collect()
}

fn charge(limit: &Limit, draft: &Draft) -> Option<(String, u128)> {
    let counted = |effect: &Effect| {
        effect.coin == Some(limit.coin) && !(limit.per == Per::Destination && effect.class == Class::Fee)
    };
    let amounts: Vec<u128> = effects(draft).into_iter().filter(counted).map(|effect| effect.amount).collect();
    let subject = match limit.per {
        Per::All => String::new(),
        Per::Requester => format!("r{}", draft.requester),
        Per::Destination => format!("to {}", draft.to),
    };
    (!amounts.is_empty()).then(|| (subject, amounts.iter().sum()))
}
