//! Ceilings in the text form: limits of what flows into a vault.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::Amount;
use limen_wire::ids::{CheckerId, LedgerId, LimitId};
use limen_wire::limits;
use serde::Deserialize;

use super::assets::Registry;
use super::vaults::known_vault;
use super::{invalid, name};
use crate::charter::rule::Rule;
use crate::charter::vault::{Limit, Per, Vaults};
use crate::charter::{CharterError, Checker};

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
}

/// What ceilings can name.
type Known<'a> = (&'a Registry<'a>, &'a Vaults, &'a BTreeMap<CheckerId, Checker>);

/// Reads them in beside the limits. The ledger of `claims` keeps them: what has not arrived is told by sequence numbers, which
/// are claimed there.
pub(super) fn read(
    raw: Vec<FileCeiling>,
    known: Known<'_>,
    claims_ledger: Option<&LedgerId>,
    limits: &mut BTreeMap<LimitId, Limit>,
) -> Result<(), CharterError> {
    if raw.len() > MAX_CEILINGS {
        return Err(invalid("ceilings", format!("{} ceilings, at most {MAX_CEILINGS} are possible", raw.len())));
    }
    for raw in raw {
        let place = format!("ceiling {:?}", raw.id);
        let ledger = claims_ledger.ok_or_else(|| {
            invalid(
                &place,
                "the ledger that keeps it is that in which sequence numbers are claimed: name one in claims",
            )
        })?;
        let ceiling = ceiling(&place, raw, known, ledger)?;
        if limits.insert(ceiling.id.clone(), ceiling).is_some() {
            return Err(invalid(place, "a limit or another ceiling has the same name"));
        }
    }
    Ok(())
}

fn ceiling(
    place: &str,
    raw: FileCeiling,
    (registry, vaults, checkers): Known<'_>,
    ledger: &LedgerId,
) -> Result<Limit, CharterError> {
    let vault = known_vault(place, raw.vault, vaults)?;
    let named = registry.find(place, raw.asset.as_ref(), raw.asset_group.as_ref())?;
    let named = named.ok_or_else(|| invalid(place, "it needs an asset or an asset_group"))?;
    let max_balance = named.amount(place, &raw.max_balance)?;
    if !checkers.values().any(|checker| checker.balances_of.contains(&vault)) {
        let what = format!("nobody attests what the vault holds: name {vault} in balances_of of a checker");
        return Err(invalid(place, what));
    }
    let assets = named.assets.each().count();
    if assets > limits::ATTESTED {
        let most = limits::ATTESTED;
        return Err(invalid(
            place,
            format!("{assets} assets: one finding attests {most} at most, make several ceilings"),
        ));
    }
    Ok(Limit {
        id: name(place, LimitId::new(raw.id))?,
        assets: named.assets,
        currency: None,
        per: Per::All,
        vaults: BTreeSet::new(),
        requesters: BTreeSet::new(),
        window_secs: None,
        max_amount: Some(max_balance),
        max_count: None,
        split_amount: Amount::ZERO,
        split_count: 0,
        ceiling_of: Some(vault),
        ledger: Some(ledger.clone()),
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
