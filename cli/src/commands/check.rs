//! `limen check`: an external checker says what it found about an intent, and what it knows of vaults.

use anyhow::{Context as _, Result, bail};
use limen_client::now_secs;
use limen_policy::charter::{Charter, Checker};
use limen_policy::check::verify;
use limen_wire::check::{Balances, Check};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use serde_json::json;

use super::approval::{case, signer};
use super::charter::charter;
use super::parse::{amount, wrong};
use super::{Session, view};
use crate::args::{CheckArgs, Command};
use crate::output::Output;

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
    let result = json!({
        "checker": check.checker.as_str(),
        "intent_id": check.intent_id.to_string(),
        "objection": check.objection,
        "balances": balances.collect::<Vec<_>>(),
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
    let (charter, key, now_secs) = (charter(&args.charter)?, signer::read_key(&args.key)?, now_secs());
    let checker = enrolled(&charter, &key.public_key())?;
    let balances = args.balances.iter().map(|text| balance(&charter, text)).collect::<Result<Vec<_>>>()?;
    let check = Check {
        cluster: charter.cluster.clone(),
        intent_id: args.id,
        charter: charter.hash(),
        checker: checker.id.clone(),
        checked_at_secs: now_secs,
        expires_at_secs: now_secs.saturating_add(args.valid_for),
        objection: args.object.clone(),
        balances: distinct(balances)?,
        prices: [].into(),
    };
    let sealed = check.seal(&key);
    verify(&sealed, &charter, &args.id, now_secs).context("what was signed would be refused")?;
    Ok((check, sealed))
}

fn enrolled<'a>(charter: &'a Charter, key: &PublicKey) -> Result<&'a Checker> {
    match charter.checkers.values().find(|checker| checker.public_key == *key) {
        Some(checker) => Ok(checker),
        None => bail!("the key {key} is no checker's in the charter: name it in [[checkers]]"),
    }
}

type Balance = (<Balances as IntoIterator>::Item, String);

/// `hot:usdt=81250.5`
fn balance(charter: &Charter, text: &str) -> Result<Balance> {
    let bad = || wrong(format!("the balance {text:?} must be written VAULT:ASSET=AMOUNT, such as hot:usdt=81250.5"));
    let (what, units) = text.split_once('=').ok_or_else(bad)?;
    let (vault, name) = what.split_once(':').ok_or_else(bad)?;
    let vault = vault.parse().map_err(|error| wrong(format!("the balance {text:?}: {error}")))?;
    let unknown = || wrong(format!("the balance {text:?}: asset {name:?} is not registered in the charter"));
    let entry = charter.assets.get(name).ok_or_else(unknown)?;
    Ok((((vault, entry.asset.clone()), amount(units, entry.decimals)?), what.to_owned()))
}

fn distinct(list: Vec<Balance>) -> Result<Balances> {
    let mut balances = Balances::new();
    for ((of, amount), what) in list {
        if balances.insert(of, amount).is_some() {
            return Err(wrong(format!("the balance of {what} is given twice")));
        }
    }
    Ok(balances)
}
