//! Assets and groups of them in the text form.

use std::collections::BTreeMap;

use limen_wire::effects::{Amount, Asset};
use limen_wire::ids::{CheckerId, CurrencyId};
use serde::Deserialize;

use super::vaults::tag;
use super::{address, chain, invalid, name};
use crate::charter::assets::{AssetGroup, Assets};
use crate::charter::{AssetEntry, CharterError, Checker, Currency};

/// Most groups of a charter.
const MAX_GROUPS: usize = 100;
/// Most currencies of a charter.
const MAX_CURRENCIES: usize = 16;
/// Most assets of a group.
const MAX_MEMBERS: usize = 100;
/// Most decimal places.
const MAX_DECIMALS: u8 = 36;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAsset {
    chain: String,
    #[serde(default)]
    contract: Option<String>,
    symbol: String,
    decimals: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAssetGroup {
    assets: Vec<String>,
    decimals: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCurrency {
    decimals: u8,
}

/// What rules and limits can be about.
pub(super) struct Registry<'a> {
    pub(super) assets: &'a BTreeMap<String, AssetEntry>,
    pub(super) groups: &'a BTreeMap<String, AssetGroup>,
}

impl Registry<'_> {
    /// The asset or the group that a rule or limit names, and how amounts of it are read; `None` if it names neither.
    pub(super) fn find(
        &self,
        place: &str,
        asset: Option<&String>,
        group: Option<&String>,
    ) -> Result<Option<Named>, CharterError> {
        match (asset, group) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(invalid(place, "asset and asset_group exclude each other")),
            (Some(name), None) => {
                let entry = self.assets.get(name);
                let entry = entry.ok_or_else(|| invalid(place, format!("asset {name:?} is not registered")))?;
                Ok(Some(Named { assets: Assets::One(entry.asset.clone()), decimals: entry.decimals }))
            }
            (None, Some(name)) => {
                let group = self.groups.get(name);
                let group = group.ok_or_else(|| invalid(place, format!("there is no asset group {name:?}")))?;
                Ok(Some(Named { assets: Assets::Group(group.clone()), decimals: group.decimals }))
            }
        }
    }
}

/// What was named.
pub(super) struct Named {
    pub(super) assets: Assets,
    decimals: u8,
}

impl Named {
    /// An amount in units with decimal places.
    pub(super) fn amount(&self, place: &str, text: &str) -> Result<Amount, CharterError> {
        units(place, text, self.decimals)
    }
}

/// An amount in units with so many decimal places.
pub(super) fn units(place: &str, text: &str, places: u8) -> Result<Amount, CharterError> {
    Amount::from_units(text, places)
        .ok_or_else(|| invalid(place, format!("{text:?} is not an amount with at most {places} places")))
}

pub(super) fn currencies(raw: BTreeMap<String, FileCurrency>) -> Result<BTreeMap<CurrencyId, Currency>, CharterError> {
    if raw.len() > MAX_CURRENCIES {
        return Err(invalid("currencies", format!("{} currencies, at most {MAX_CURRENCIES} are possible", raw.len())));
    }
    let currency = |(id, raw): (String, FileCurrency)| {
        let place = format!("currency {id:?}");
        if raw.decimals > MAX_DECIMALS {
            return Err(invalid(place, format!("more than {MAX_DECIMALS} decimals")));
        }
        let id = name(&place, CurrencyId::new(id))?;
        Ok((id.clone(), Currency { id, decimals: raw.decimals }))
    };
    raw.into_iter().map(currency).collect()
}

/// The money in which rules and limits can say amounts, and who knows prices in it.
pub(super) struct Money<'a> {
    pub(super) currencies: &'a BTreeMap<CurrencyId, Currency>,
    pub(super) checkers: &'a BTreeMap<CheckerId, Checker>,
}

/// A currency in which somebody attests prices.
pub(super) fn priced<'a>(place: &str, text: &str, money: &Money<'a>) -> Result<&'a Currency, CharterError> {
    let currency = known_currency(place, text.to_owned(), money.currencies)?;
    match money.checkers.values().any(|checker| checker.prices_in.contains(&currency.id)) {
        true => Ok(currency),
        false => Err(invalid(place, format!("nobody attests prices: name {text} in prices_in of a checker"))),
    }
}

/// A currency by name.
pub(super) fn known_currency<'a>(
    place: &str,
    text: String,
    currencies: &'a BTreeMap<CurrencyId, Currency>,
) -> Result<&'a Currency, CharterError> {
    let id = name(place, CurrencyId::new(text))?;
    currencies.get(&id).ok_or_else(|| invalid(place, format!("there is no currency {id}")))
}

pub(super) fn assets(raw: BTreeMap<String, FileAsset>) -> Result<BTreeMap<String, AssetEntry>, CharterError> {
    raw.into_iter().map(|(name, entry)| Ok((name.clone(), asset(&name, entry)?))).collect()
}

fn asset(name: &str, raw: FileAsset) -> Result<AssetEntry, CharterError> {
    let place = format!("asset {name:?}");
    let chain = chain(&place, raw.chain)?;
    if raw.decimals > MAX_DECIMALS {
        return Err(invalid(place, format!("more than {MAX_DECIMALS} decimals")));
    }
    let symbol_ok = (1..=16).contains(&raw.symbol.len()) && raw.symbol.bytes().all(|b| b.is_ascii_graphic());
    if !symbol_ok {
        return Err(invalid(place, "symbol must be 1 to 16 printable ASCII characters"));
    }
    let asset = match raw.contract {
        None => Asset::Native(chain),
        Some(contract) => Asset::Erc20(chain, address(&place, &contract)?),
    };
    Ok(AssetEntry { asset, symbol: raw.symbol, decimals: raw.decimals })
}

pub(super) fn groups(
    raw: BTreeMap<String, FileAssetGroup>,
    assets: &BTreeMap<String, AssetEntry>,
) -> Result<BTreeMap<String, AssetGroup>, CharterError> {
    if raw.len() > MAX_GROUPS {
        return Err(invalid("asset_groups", format!("{} groups, at most {MAX_GROUPS} are possible", raw.len())));
    }
    raw.into_iter().map(|(id, raw)| Ok((id.clone(), group(id, raw, assets)?))).collect()
}

fn group(id: String, raw: FileAssetGroup, assets: &BTreeMap<String, AssetEntry>) -> Result<AssetGroup, CharterError> {
    let place = format!("asset group {id:?}");
    tag(&place, &id)?;
    if raw.decimals > MAX_DECIMALS {
        return Err(invalid(place, format!("more than {MAX_DECIMALS} decimals")));
    }
    if raw.assets.is_empty() || raw.assets.len() > MAX_MEMBERS {
        return Err(invalid(place, format!("1 to {MAX_MEMBERS} assets make a group")));
    }
    let mut members = BTreeMap::new();
    for name in &raw.assets {
        let entry = assets.get(name).ok_or_else(|| invalid(&place, format!("asset {name:?} is not registered")))?;
        if entry.decimals > raw.decimals {
            let message = format!("asset {name:?} has {} decimals, more than the group's", entry.decimals);
            return Err(invalid(place, message));
        }
        if members.insert(entry.asset.clone(), entry.decimals).is_some() {
            return Err(invalid(place, format!("asset {name:?} is in it twice")));
        }
    }
    Ok(AssetGroup { id, members, decimals: raw.decimals })
}
