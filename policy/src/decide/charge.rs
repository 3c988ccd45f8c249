//! What a request takes of the limits.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Amount, Asset, Effect};
use limen_wire::ids::{CurrencyId, LimitId, VaultId};
use limen_wire::{limits, pb};

use super::Case;
use super::matching::{amount, destination};
use crate::charter::rule::Class;
use crate::charter::vault::{Limit, Per};
use crate::check::{NoWorth, Quotes};

/// So much of one limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Charge {
    /// The limit.
    pub limit: LimitId,
    /// What it adds up over: the key, vault, requester or destination, as the limit says; empty where everything adds up.
    pub subject: String,
    /// How much, in the smallest unit of the limit's asset, group or currency. A request counts as one whatever the amount.
    pub amount: Amount,
}

impl Charge {
    pub(super) fn to_wire(&self) -> pb::Charge {
        pb::Charge { limit: self.limit.to_string(), subject: self.subject.clone(), amount: self.amount.to_string() }
    }
}

/// So much of one limit, before it is known what things are worth: it follows from the request's bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take<'a> {
    /// The limit.
    pub limit: &'a Limit,
    /// What it adds up over.
    pub subject: String,
    /// How much.
    pub sum: Sum,
}

/// How much of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// So many of its smallest unit.
    Units(Amount),
    /// What these assets are worth.
    Worth {
        /// In this money.
        currency: CurrencyId,
        /// So many smallest units of each.
        of: BTreeMap<Asset, Amount>,
    },
}

impl Sum {
    fn nothing_of(limit: &Limit) -> Self {
        match &limit.currency {
            None => Self::Units(Amount::ZERO),
            Some(currency) => Self::Worth { currency: currency.id.clone(), of: BTreeMap::new() },
        }
    }

    /// Adds so much of one of the limit's assets; `None` beyond 256 bits.
    fn add(&mut self, limit: &Limit, asset: &Asset, amount: Amount) -> Option<()> {
        // Nothing is worth nothing, whatever its price.
        if matches!(self, Self::Worth { .. }) && amount == Amount::ZERO {
            return Some(());
        }
        let (sum, amount) = match self {
            Self::Units(sum) => (sum, limit.assets.units(asset, amount)?),
            Self::Worth { of, .. } => (of.entry(asset.clone()).or_insert(Amount::ZERO), amount),
        };
        *sum = sum.checked_add(amount)?;
        Some(())
    }

    /// The prices that it takes to say how much that is.
    pub fn needs(&self) -> impl Iterator<Item = (&Asset, &CurrencyId)> {
        let priced = match self {
            Self::Units(_) => None,
            Self::Worth { currency, of } => Some(of.keys().map(move |asset| (asset, currency))),
        };
        priced.into_iter().flatten()
    }

    /// How much that is at these prices, in the limit's smallest unit.
    pub fn at(&self, quotes: &Quotes) -> Result<Amount, NoWorth> {
        match self {
            Self::Units(amount) => Ok(*amount),
            Self::Worth { currency, of } => quotes.worth(of.iter().map(|(asset, amount)| (asset, *amount)), currency),
        }
    }
}

/// What a request takes at the prices that are known.
#[derive(Default)]
pub(super) struct Charged<'a> {
    /// What is known.
    pub(super) charges: Vec<Charge>,
    /// The prices without which the rest is not.
    pub(super) unpriced: BTreeSet<(&'a Asset, &'a CurrencyId)>,
    /// Why it does not fit at these prices.
    pub(super) over: Vec<String>,
}

pub(super) fn charged<'a>(takes: &'a [Take<'_>], quotes: &Quotes) -> Charged<'a> {
    let mut charged = Charged::default();
    for take in takes {
        let missing: Vec<_> = take.sum.needs().filter(|(asset, currency)| !quotes.has(asset, currency)).collect();
        if !missing.is_empty() {
            charged.unpriced.extend(missing);
            continue;
        }
        let fits = take.sum.at(quotes).map_err(|why| format!("{}: {why}", take.limit.title()));
        match fits.and_then(|amount| alone(take.limit, amount)) {
            Ok(amount) => {
                let (limit, subject) = (take.limit.id.clone(), take.subject.clone());
                charged.charges.push(Charge { limit, subject, amount });
            }
            Err(why) => charged.over.push(why),
        }
    }
    charged
}

/// The amount, if the limit has room for it where nothing else counts.
pub(crate) fn alone(limit: &Limit, amount: Amount) -> Result<Amount, String> {
    match limit.max_amount {
        Some(max) if amount > max => {
            Err(format!("{} allows at most {max}, this request alone takes {amount}", limit.title()))
        }
        _ => Ok(amount),
    }
}

/// All that it takes, or why the request can never fit, at whatever price.
pub(super) fn takes<'a>(case: &Case<'a>) -> Result<Vec<Take<'a>>, String> {
    let mut takes = Vec::new();
    for limit in case.charter.limits.values() {
        takes.append(&mut takes_of(case, limit)?);
    }
    // Its idempotency key and its sequence number go into the same claim.
    let most = limits::LEDGER_CHARGES.saturating_sub(2);
    if takes.len() > most {
        return Err(format!("it takes of {} limits, of more than {most} at once nothing can be reserved", takes.len()));
    }
    Ok(takes)
}

fn takes_of<'a>(case: &Case<'a>, limit: &'a Limit) -> Result<Vec<Take<'a>>, String> {
    if !limit.requesters.is_empty() && !limit.requesters.contains(&case.intent.requester)
        || !limit.vaults.is_empty() && !case.vault.is_some_and(|vault| limit.vaults.contains(vault))
    {
        return Ok(Vec::new());
    }
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for effect in &case.effects.list {
        let Some((class, asset, amount)) = amount(effect) else { continue };
        if !limit.assets.contains(asset) {
            continue;
        }
        let Some(subject) = subject(case, limit, class, effect) else { continue };
        arrives_by_number(case, limit, class, amount)?;
        let sum = sums.entry(subject).or_insert_with(|| Sum::nothing_of(limit));
        let added = sum.add(limit, asset, amount);
        added.ok_or_else(|| format!("{} counts no sum beyond 256 bits", limit.title()))?;
    }
    let take = |(subject, sum)| {
        if let Sum::Units(amount) = &sum {
            alone(limit, *amount)?;
        }
        Ok(Take { limit, subject, sum })
    };
    sums.into_iter().map(take).collect()
}

/// What flows into a vault with a ceiling has arrived, or never will, once its sequence number has passed: a transfer by a
/// transaction and nothing else.
fn arrives_by_number(case: &Case<'_>, limit: &Limit, class: Class, amount: Amount) -> Result<(), String> {
    let untold = match class {
        _ if limit.ceiling_of.is_none() || amount == Amount::ZERO => return Ok(()),
        Class::Allowance => "an allowance",
        _ if case.effects.nonce.is_none() => "a message",
        _ => return Ok(()),
    };
    let title = limit.title();
    Err(format!(
        "{title}: nobody could tell whether what {untold} lets flow in has: pay by a transfer in a transaction"
    ))
}

/// What the effect adds to; `None` if the limit does not count it.
fn subject(case: &Case<'_>, limit: &Limit, class: Class, effect: &Effect) -> Option<String> {
    if let Some(vault) = &limit.ceiling_of {
        return flows_into(case, vault, class, effect).then(String::new);
    }
    match limit.per {
        Per::All => Some(String::new()),
        Per::Key => Some(case.intent.key_id.to_string()),
        Per::Vault => Some(case.vault.map(ToString::to_string).unwrap_or_default()),
        Per::Requester => Some(case.intent.requester.to_string()),
        // fees go to no destination of ours
        Per::Destination if class == Class::Fee => None,
        Per::Destination => Some(destination(effect).map(ToString::to_string).unwrap_or_default()),
    }
}

/// Whether an effect brings something into the vault, or lets it take something, as far as addresses tell. What one of its own
/// accounts pays to another brings nothing in.
fn flows_into(case: &Case<'_>, vault: &VaultId, class: Class, effect: &Effect) -> bool {
    let own =
        matches!(effect, Effect::Transfer { from, .. } if case.vault == Some(vault) && *from == case.effects.account);
    class != Class::Fee && !own && destination(effect).is_some_and(|to| case.charter.book.is_of(to, vault))
}
