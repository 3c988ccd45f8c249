//! What a request takes of the limits.

use std::collections::BTreeMap;

use limen_wire::effects::{Amount, Effect};
use limen_wire::ids::{LimitId, VaultId};
use limen_wire::pb;

use super::Case;
use super::matching::{amount, destination};
use crate::charter::rule::Class;
use crate::charter::vault::{Limit, Per};

/// So much of one limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Charge {
    /// The limit.
    pub limit: LimitId,
    /// What it adds up over: the key, vault, requester or destination, as the limit says; empty where everything adds up.
    pub subject: String,
    /// How much, in the smallest unit of the limit's asset or group. A request counts as one whatever the amount.
    pub amount: Amount,
}

impl Charge {
    pub(super) fn to_wire(&self) -> pb::Charge {
        pb::Charge { limit: self.limit.to_string(), subject: self.subject.clone(), amount: self.amount.to_string() }
    }
}

/// All charges, or why the request can never fit.
pub(super) fn charges(case: &Case<'_>) -> Result<Vec<Charge>, String> {
    let mut charges = Vec::new();
    for limit in case.charter.limits.values() {
        charges.append(&mut charges_of(case, limit)?);
    }
    Ok(charges)
}

fn charges_of(case: &Case<'_>, limit: &Limit) -> Result<Vec<Charge>, String> {
    if !limit.requesters.is_empty() && !limit.requesters.contains(&case.intent.requester)
        || !limit.vaults.is_empty() && !case.vault.is_some_and(|vault| limit.vaults.contains(vault))
    {
        return Ok(Vec::new());
    }
    let mut sums: BTreeMap<String, Amount> = BTreeMap::new();
    for effect in &case.effects.list {
        let Some((class, asset, amount)) = amount(effect) else { continue };
        if !limit.assets.contains(asset) {
            continue;
        }
        let Some(subject) = subject(case, limit, class, effect) else { continue };
        let sum = sums.entry(subject).or_insert(Amount::ZERO);
        let added = limit.assets.units(asset, amount).and_then(|amount| sum.checked_add(amount));
        *sum = added.ok_or_else(|| format!("{} counts no sum beyond 256 bits", limit.title()))?;
    }
    if limit.ceiling_of.is_some() && !sums.is_empty() && case.effects.nonce.is_none() {
        let title = limit.title();
        return Err(format!(
            "{title}: nobody could tell whether what a message lets flow in has: pay by a transaction"
        ));
    }
    let mut charges = Vec::new();
    for (subject, amount) in sums {
        match limit.max_amount {
            Some(max) if amount > max => {
                return Err(format!("{} allows at most {max}, this request alone takes {amount}", limit.title()));
            }
            _ => charges.push(Charge { limit: limit.id.clone(), subject, amount }),
        }
    }
    Ok(charges)
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
