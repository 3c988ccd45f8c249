//! Vaults, address book and limits in the text form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::effects::Amount;
use limen_wire::ids::{BookEntryId, KeyId, LedgerId, LimitId, RequesterId, VaultId};
use serde::Deserialize;

use super::assets::{self, Money, Registry, priced};
use super::{address, chain, invalid, name};
use crate::charter::vault::{Book, BookEntry, Limit, Per, Tier, Vault, Vaults};
use crate::charter::{CharterError, Requester};
use crate::ledger::Committee;

/// Most entries of the address book.
const MAX_ENTRIES: usize = 10_000;
/// Most limits of a charter.
const MAX_LIMITS: usize = 1000;
/// Most tags of an entry.
const MAX_TAGS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVault {
    id: String,
    tier: Tier,
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileBookEntry {
    id: String,
    chain: String,
    address: String,
    #[serde(default)]
    tags: Vec<String>,
    /// The vault that the address belongs to.
    #[serde(default)]
    vault: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileLimit {
    id: String,
    #[serde(default)]
    asset: Option<String>,
    #[serde(default)]
    asset_group: Option<String>,
    per: Per,
    #[serde(default)]
    vaults: Vec<String>,
    #[serde(default)]
    requesters: Vec<String>,
    /// Left out for a lifetime cap: `window_secs` or `lifetime = true`, never neither.
    #[serde(default)]
    window_secs: Option<u64>,
    #[serde(default)]
    lifetime: bool,
    #[serde(default)]
    max_amount: Option<String>,
    #[serde(default)]
    max_count: Option<u64>,
    #[serde(default)]
    split_amount: Option<String>,
    #[serde(default)]
    split_count: u64,
    #[serde(default)]
    ledger: Option<String>,
    /// The money in which the amounts are.
    #[serde(default)]
    currency: Option<String>,
}

pub(super) fn vaults(raw: Vec<FileVault>) -> Result<Vaults, CharterError> {
    let mut vaults = Vaults::default();
    for raw in raw {
        let place = format!("vault {:?}", raw.id);
        let id = name(&place, VaultId::new(raw.id))?;
        let mut keys = BTreeSet::new();
        for key in raw.keys {
            let key = name(&place, KeyId::new(key))?;
            if let Some(other) = vaults.of_key(&key) {
                return Err(invalid(place, format!("key {key} is in vault {} already", other.id)));
            }
            if !keys.insert(key.clone()) {
                return Err(invalid(place, format!("key {key} is named twice")));
            }
        }
        if vaults.by_id.insert(id.clone(), Vault { id, tier: raw.tier, keys }).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(vaults)
}

/// A tag of the address book: 1 to 32 lower-case letters, digits and `-`.
pub(super) fn tag(place: &str, text: &str) -> Result<String, CharterError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(invalid(place, format!("{text:?} is no tag: 1 to 32 of a-z, 0-9 and - make one")))
    }
}

pub(super) fn book(raw: Vec<FileBookEntry>, vaults: &Vaults) -> Result<Book, CharterError> {
    if raw.len() > MAX_ENTRIES {
        return Err(invalid("address_book", format!("{} entries, at most {MAX_ENTRIES} are possible", raw.len())));
    }
    let mut book = Book::default();
    for raw in raw {
        let place = format!("address book entry {:?}", raw.id);
        let id = name(&place, BookEntryId::new(raw.id))?;
        if raw.tags.len() > MAX_TAGS {
            return Err(invalid(place, format!("at most {MAX_TAGS} tags are possible")));
        }
        let entry = BookEntry {
            id,
            chain: chain(&place, raw.chain)?,
            address: address(&place, &raw.address)?,
            tags: raw.tags.iter().map(|text| tag(&place, text)).collect::<Result<_, _>>()?,
            vault: raw.vault.map(|id| known_vault(&place, id, vaults)).transpose()?,
        };
        if book.add(entry).is_err() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(book)
}

/// Vaults by name, all of them known.
pub(super) fn known_vaults(
    place: &str,
    names: Vec<String>,
    vaults: &Vaults,
) -> Result<BTreeSet<VaultId>, CharterError> {
    names.into_iter().map(|id| known_vault(place, id, vaults)).collect()
}

/// A vault by name.
pub(super) fn known_vault(place: &str, id: String, vaults: &Vaults) -> Result<VaultId, CharterError> {
    let id = name(place, VaultId::new(id))?;
    if vaults.by_id.contains_key(&id) { Ok(id) } else { Err(invalid(place, format!("there is no vault {id}"))) }
}

/// Requesters by name, all of them enrolled.
pub(super) fn known_requesters(
    place: &str,
    names: Vec<String>,
    enrolled: &BTreeMap<RequesterId, Requester>,
) -> Result<BTreeSet<RequesterId>, CharterError> {
    let known = |id: String| {
        let id = name(place, RequesterId::new(id))?;
        if enrolled.contains_key(&id) { Ok(id) } else { Err(invalid(place, format!("requester {id} is not enrolled"))) }
    };
    names.into_iter().map(known).collect()
}

pub(super) fn limits(
    raw: Vec<FileLimit>,
    (registry, money): (&Registry<'_>, &Money<'_>),
    vaults: &Vaults,
    requesters: &BTreeMap<RequesterId, Requester>,
    ledgers: &BTreeMap<LedgerId, Arc<Committee>>,
) -> Result<BTreeMap<LimitId, Limit>, CharterError> {
    if raw.len() > MAX_LIMITS {
        return Err(invalid("limits", format!("{} limits, at most {MAX_LIMITS} are possible", raw.len())));
    }
    let mut limits = BTreeMap::new();
    for raw in raw {
        let place = format!("limit {:?}", raw.id);
        let limit = limit(&place, raw, (registry, money), vaults, requesters)?;
        kept(&place, &limit, ledgers)?;
        if limits.insert(limit.id.clone(), limit).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(limits)
}

fn limit(
    place: &str,
    raw: FileLimit,
    (registry, money): (&Registry<'_>, &Money<'_>),
    vaults: &Vaults,
    requesters: &BTreeMap<RequesterId, Requester>,
) -> Result<Limit, CharterError> {
    let named = registry.find(place, raw.asset.as_ref(), raw.asset_group.as_ref())?;
    let named = named.ok_or_else(|| invalid(place, "it needs an asset or an asset_group"))?;
    match (raw.window_secs, raw.lifetime) {
        (Some(1..), false) | (None, true) => {}
        _ => return Err(invalid(place, "either window_secs (at least 1) or lifetime = true is needed")),
    }
    let currency = raw.currency.map(|text| priced(place, &text, money)).transpose()?;
    if currency.is_some() && raw.max_amount.is_none() {
        return Err(invalid(place, "currency means nothing without max_amount"));
    }
    let units = |text: String| match currency {
        Some(currency) => assets::units(place, &text, currency.decimals),
        None => named.amount(place, &text),
    };
    let max_amount = raw.max_amount.map(units).transpose()?;
    let split_amount = raw.split_amount.map(units).transpose()?.unwrap_or(Amount::ZERO);
    if max_amount.is_none() && raw.max_count.is_none() {
        return Err(invalid(place, "max_amount, max_count or both are needed: it limits nothing"));
    }
    if split_amount > max_amount.unwrap_or(Amount::ZERO) || raw.split_count > raw.max_count.unwrap_or(0) {
        return Err(invalid(place, "split_amount and split_count are parts of max_amount and max_count"));
    }
    Ok(Limit {
        id: name(place, LimitId::new(raw.id))?,
        assets: named.assets,
        currency: currency.cloned(),
        per: raw.per,
        vaults: known_vaults(place, raw.vaults, vaults)?,
        requesters: known_requesters(place, raw.requesters, requesters)?,
        window_secs: raw.window_secs,
        max_amount,
        max_count: raw.max_count,
        split_amount,
        split_count: raw.split_count,
        ceiling_of: None,
        ledger: raw.ledger.map(|ledger| name(place, LedgerId::new(ledger))).transpose()?,
    })
}

/// A limit's ledger exists and can keep it.
fn kept(place: &str, limit: &Limit, ledgers: &BTreeMap<LedgerId, Arc<Committee>>) -> Result<(), CharterError> {
    match &limit.ledger {
        Some(ledger) if !ledgers.contains_key(ledger) => Err(invalid(place, format!("there is no ledger {ledger}"))),
        _ => limit.divided().transpose().map(drop).map_err(|error| invalid(place, error.to_string())),
    }
}
