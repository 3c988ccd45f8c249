//! Ceilings in the text form: limits of what flows into a vault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::effects::Amount;
use limen_wire::ids::{CheckerId, LedgerId, LimitId};
use limen_wire::limits;
use serde::Deserialize;

use super::assets::Registry;
use super::vaults::{kept, known_vault};
use super::{invalid, name};
use crate::charter::rule::Rule;
use crate::charter::vault::{Limit, Per, Vaults};
use crate::charter::{CharterError, Checker};
use crate::ledger::Committee;

/// Most ceilings of a charter.
const MAX_CEILINGS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCeiling {
    id: String,
    vault: String,
    #[serde(default)]
    asset: Option<String>,
    #[serde(default)]
    asset_group: Option<String>,
    max_balance: String,
    /// For how long what was signed counts besides what is attested.
    window_secs: u64,
    #[serde(default)]
    split_amount: Option<String>,
    #[serde(default)]
    ledger: Option<String>,
}

/// What ceilings can name.
type Known<'a> = (&'a Registry<'a>, &'a Vaults, &'a BTreeMap<CheckerId, Checker>);

/// Reads them in beside the limits.
pub(super) fn read(
    raw: Vec<FileCeiling>,
    known: Known<'_>,
    ledgers: &BTreeMap<LedgerId, Arc<Committee>>,
    limits: &mut BTreeMap<LimitId, Limit>,
) -> Result<(), CharterError> {
    if raw.len() > MAX_CEILINGS {
        return Err(invalid("ceilings", format!("{} ceilings, at most {MAX_CEILINGS} are possible", raw.len())));
    }
    for raw in raw {
        let place = format!("ceiling {:?}", raw.id);
        let ceiling = ceiling(&place, raw, known)?;
        kept(&place, &ceiling, ledgers)?;
        if limits.insert(ceiling.id.clone(), ceiling).is_some() {
            return Err(invalid(place, "a limit or another ceiling has the same name"));
        }
    }
    Ok(())
}

fn ceiling(place: &str, raw: FileCeiling, (registry, vaults, checkers): Known<'_>) -> Result<Limit, CharterError> {
    let vault = known_vault(place, raw.vault, vaults)?;
    let named = registry.find(place, raw.asset.as_ref(), raw.asset_group.as_ref())?;
    let named = named.ok_or_else(|| invalid(place, "it needs an asset or an asset_group"))?;
    let max_balance = named.amount(place, &raw.max_balance)?;
    let split_amount = raw.split_amount.map(|text| named.amount(place, &text)).transpose()?.unwrap_or(Amount::ZERO);
    if split_amount > max_balance {
        return Err(invalid(place, "split_amount is a part of max_balance"));
    }
    let oldest = checkers.values().filter(|one| one.balances_of.contains(&vault)).max_by_key(|one| one.max_age_secs);
    let oldest = oldest.ok_or_else(|| {
        invalid(place, format!("nobody attests what the vault holds: name {vault} in balances_of of a checker"))
    })?;
    let assets = named.assets.each().count();
    if assets > limits::ATTESTED {
        let most = limits::ATTESTED;
        return Err(invalid(
            place,
            format!("{assets} assets: one finding attests {most} at most, make several ceilings"),
        ));
    }
    // What was signed after the oldest attestation that counts is in no attestation.
    if raw.window_secs < oldest.max_age_secs {
        let (id, age) = (&oldest.id, oldest.max_age_secs);
        return Err(invalid(place, format!("window_secs must be at least the max_age_secs of checker {id}, {age}")));
    }
    Ok(Limit {
        id: name(place, LimitId::new(raw.id))?,
        assets: named.assets,
        per: Per::All,
        vaults: BTreeSet::new(),
        requesters: BTreeSet::new(),
        window_secs: Some(raw.window_secs),
        max_amount: Some(max_balance),
        max_count: None,
        split_amount,
        split_count: 0,
        ceiling_of: Some(vault),
        ledger: raw.ledger.map(|ledger| name(place, LedgerId::new(ledger))).transpose()?,
    })
}

/// Decisions speak of a ceiling as of a rule of this name.
pub(super) fn distinct(limits: &BTreeMap<LimitId, Limit>, rules: &[Rule]) -> Result<(), CharterError> {
    let titles: BTreeSet<String> =
        limits.values().filter(|limit| limit.ceiling_of.is_some()).map(Limit::title).collect();
    match rules.iter().find(|rule| titles.contains(&rule.name)) {
        Some(rule) => Err(invalid(format!("rule {:?}", rule.name), "a ceiling is called so: name the rule otherwise")),
        None => Ok(()),
    }
}
