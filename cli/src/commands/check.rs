//! `limen check`: an external checker says what it found about an intent, and what it knows of vaults.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Context as _, Result};
use limen_chain::parse_address;
use limen_client::now_secs;
use limen_policy::charter::{AssetEntry, Charter, Checker};
use limen_policy::check::{price, verify};
use limen_wire::check::{Check, Price};
use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::envelope::PayloadType;
use limen_wire::ids::{CurrencyId, VaultId};
use limen_wire::pb;
use serde_json::json;

use super::approval::case;
use super::charter::charter;
use super::parse::{amount, wrong};
use super::{Session, view};
use crate::args::{CheckArgs, Command};
use crate::output::Output;
use limen_terminal::{Key, Owners, find};

/// Whether the finding goes into a file.
pub(crate) fn is_offline(command: &Command) -> bool {
    matches!(command, Command::Check(args) if args.out.is_some())
}

/// Signs a finding, and writes it down or hands it in.
pub(crate) async fn run(args: &CheckArgs, session: Option<&Session>, output: Output) -> Result<()> {
    let (check, sealed) = sign(args)?;
    if let Some(out) = &args.out {
        case::write(out, &sealed)?;
    }
    let request = match session {
        Some(session) => Some(session.client.approve(&sealed).await?),
        None => None,
    };
    let out = args.out.as_ref().map(|out| out.display().to_string());
    let balances = check.balances.iter().map(|((vault, asset), amount)| {
        json!({ "vault": vault.as_str(), "asset": asset.to_string(), "amount": amount.to_string() })
    });
    let prices = check.prices.iter().map(|((asset, currency), price)| {
        let (value, scale) = (price.value.to_string(), price.scale);
        json!({ "asset": asset.to_string(), "currency": currency.as_str(), "value": value, "scale": scale })
    });
    let sequences = check.sequences.iter().map(
        |((chain, account), next)| json!({ "chain": chain.to_string(), "account": account.as_str(), "next": next }),
    );
    let result = json!({
        "checker": check.checker.as_str(),
        "intent_id": check.intent_id.to_string(),
        "objection": check.objection,
        "balances": balances.collect::<Vec<_>>(),
        "prices": prices.collect::<Vec<_>>(),
        "sequences": sequences.collect::<Vec<_>>(),
        "expires_at_secs": check.expires_at_secs,
        "out": out,
        "request": request.as_ref().map(view::request_json),
    });
    output.result(&result, || {
        let verdict = if check.objection.is_none() { "passes" } else { "objects" };
        let done = match (out, request) {
            (Some(out), _) => format!("written to {out}"),
            (None, request) => {
                let state = request.map(|request| request.state.to_string()).unwrap_or_default();
                format!("handed in, the request is {state}")
            }
        };
        format!("checker {} {verdict}: {done}", check.checker)
    })
}

/// The finding under the checker's key, as every signer will take it.
fn sign(args: &CheckArgs) -> Result<(Check, pb::Envelope)> {
    let (charter, now_secs) = (charter(&args.charter)?, now_secs());
    let (checker, mut key) = enrolled(args, &charter)?;
    let balances = args.balances.iter().map(|text| balance(&charter, text));
    let prices = args.prices.iter().map(|text| quote(&charter, text));
    let check = Check {
        cluster: charter.cluster.clone(),
        intent_id: args.id,
        charter: charter.hash(),
        checker: checker.id.clone(),
        checked_at_secs: now_secs,
        expires_at_secs: now_secs.saturating_add(args.valid_for),
        objection: args.object.clone(),
        balances: distinct(balances)?,
        prices: distinct(prices)?,
        sequences: distinct(args.sequences.iter().map(|text| sequence(text)))?,
    };
    let sealed = key.seal(PayloadType::Check, check.to_payload(), check.checker.as_str())?;
    verify(&sealed, &charter, &args.id, now_secs).context("what was signed would be refused")?;
    Ok((check, sealed))
}

/// The checker that the charter says the key is, wherever that is held.
fn enrolled<'a>(args: &CheckArgs, charter: &'a Charter) -> Result<(&'a Checker, Key)> {
    let owners = Owners {
        of: &|key| {
            let checker = charter.checkers.values().find(|checker| checker.public_key == *key)?;
            let wanted = args.checker.as_ref().is_none_or(|wanted| *wanted == checker.id);
            wanted.then(|| (checker.id.to_string(), checker))
        },
        none: "key of a checker in the charter ([[checkers]])",
        several: ["checkers", "--checker"],
    };
    find(&args.held, &owners)
}

/// `hot:usdt=81250.5` as vault, asset, and amount.
fn balance(charter: &Charter, text: &str) -> Result<((VaultId, Asset), Amount)> {
    let form = "VAULT:ASSET=AMOUNT, such as hot:usdt=81250.5";
    let (vault, entry, units) = parts(charter, ("balance", text), form)?;
    let vault = vault.parse().map_err(|error| wrong(format!("the balance {text:?}: {error}")))?;
    Ok(((vault, entry.asset.clone()), amount(units, entry.decimals)?))
}

/// `usd:eth=2500.12` as asset, currency, and price.
fn quote(charter: &Charter, text: &str) -> Result<((Asset, CurrencyId), Price)> {
    let form = "CURRENCY:ASSET=PRICE, such as usd:eth=2500.12";
    let (currency, entry, units) = parts(charter, ("price", text), form)?;
    let found = charter.currencies.values().find(|known| known.id.as_str() == currency);
    let found = found.ok_or_else(|| wrong(format!("the price {text:?}: the charter has no currency {currency:?}")))?;
    let none =
        || wrong(format!("the price {text:?}: {units:?} is no price with at most {} places", found.decimals + 18));
    Ok(((entry.asset.clone(), found.id.clone()), price(units, entry.decimals, found.decimals).ok_or_else(none)?))
}

/// `eip155:1:0x…=57` as chain, account, and number.
fn sequence(text: &str) -> Result<((ChainId, Address), u64)> {
    let bad = || wrong(format!("the sequence {text:?} must be written CHAIN:ACCOUNT=NEXT, such as eip155:1:0x…=57"));
    let (of, next) = text.split_once('=').ok_or_else(bad)?;
    let (chain, account) = of.rsplit_once(':').ok_or_else(bad)?;
    let account = parse_address(account).map_err(|error| wrong(format!("the sequence {text:?}: {error}")))?;
    Ok(((ChainId::new(chain).ok_or_else(bad)?, account), next.parse().map_err(|_| bad())?))
}

/// Of what, of which asset, how much.
fn parts<'a>(
    charter: &'a Charter,
    (what, text): (&str, &'a str),
    form: &str,
) -> Result<(&'a str, &'a AssetEntry, &'a str)> {
    let bad = || wrong(format!("the {what} {text:?} must be written {form}"));
    let (of, units) = text.split_once('=').ok_or_else(bad)?;
    let (of, name) = of.split_once(':').ok_or_else(bad)?;
    let unknown = || wrong(format!("the {what} {text:?}: asset {name:?} is not registered in the charter"));
    Ok((of, charter.assets.get(name).ok_or_else(unknown)?, units))
}

/// Nothing is said twice.
fn distinct<K: Ord + Debug, V>(list: impl Iterator<Item = Result<(K, V)>>) -> Result<BTreeMap<K, V>> {
    let mut all = BTreeMap::new();
    for one in list {
        let (of, value) = one?;
        let twice = format!("a balance, price or sequence is given twice: {of:?}");
        if all.insert(of, value).is_some() {
            return Err(wrong(twice));
        }
    }
    Ok(all)
}
