//! `limen key …`

use std::time::Duration;

use anyhow::{Result, bail};
use limen_chain::Point;
use limen_client::{KeyInfo, NewKey};
use limen_wire::effects::ChainId;
use limen_wire::ids::{CommitteeSize, KeyId, NodeId, Protocol, Scheme};
use limen_wire::statement::KeyStatement;
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use super::{Session, parse};
use crate::args::KeyCommand;
use crate::output::table;

mod destroyed;
mod handover;
mod import;

const MADE_WITHIN: Duration = Duration::from_secs(1800);

pub(crate) async fn run(session: &Session, command: &KeyCommand) -> Result<()> {
    match command {
        KeyCommand::List => list(session).await,
        KeyCommand::Show { key } => show(session, key).await,
        KeyCommand::Address { key, chain, path } => address(session, key, chain, path).await,
        KeyCommand::Create { key, scheme, protocol, node, required } => {
            let order = order(session, key, *scheme, *protocol, (node.as_ref(), *required))?;
            create(session, &order).await
        }
        KeyCommand::Import { public, pieces, protocol } => import::run(session, public, pieces, *protocol).await,
        KeyCommand::DestroyedProof { key, out } => destroyed::write(session, key, out).await,
        KeyCommand::Refresh { key: Some(key), protocol, .. } => handover::run(session, key, *protocol, None).await,
        KeyCommand::Refresh { key: None, pause, .. } => handover::all(session, Duration::from_secs(*pause)).await,
        KeyCommand::Reshare { key, nodes, required, protocol } => {
            handover::run(session, key, *protocol, Some((nodes.as_slice(), *required))).await
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let keys = session.client.list_keys(None).await?;
    let seen: Vec<(KeyInfo, Result<KeyStatement, limen_client::Error>)> = keys
        .into_iter()
        .map(|info| {
            let verified = session.client.admit(&info);
            (info, verified)
        })
        .collect();
    let json: Vec<Value> = seen.iter().map(|(info, verified)| key_json(info, verified.as_ref())).collect();
    session.output.result(&json, || {
        let rows: Vec<Vec<String>> = seen.iter().map(|(info, verified)| row(info, verified)).collect();
        table(&["KEY", "STATE", "SCHEME", "PROTOCOL", "SIGNERS", "ATTESTED"], &rows)
    })
}

fn row(info: &KeyInfo, verified: &Result<KeyStatement, limen_client::Error>) -> Vec<String> {
    let words = |field: fn(&KeyStatement) -> String| verified.as_ref().map(field).unwrap_or_default();
    vec![
        info.key_id.to_string(),
        destroyed::state(info, verified.as_ref().ok()),
        words(|key| key.scheme.to_string()),
        words(protocol),
        words(|key| key.size.to_string()),
        match verified {
            Ok(_) => "yes, verified here".to_owned(),
            Err(error) => format!("no: {error}"),
        },
    ]
}

/// A key that one token holds carries its mark wherever its protocol is shown.
fn protocol(key: &KeyStatement) -> String {
    if key.protocol.is_threshold() {
        key.protocol.to_string()
    } else {
        format!("{}, OUTSIDE THE PROMISE", key.protocol)
    }
}

fn key_json(info: &KeyInfo, verified: Result<&KeyStatement, &limen_client::Error>) -> Value {
    let (key, refused) = (verified.ok(), verified.err().map(ToString::to_string));
    json!({
        "key_id": info.key_id.as_str(),
        "state": info.state_word(),
        "attested": key.is_some(),
        "refused": refused,
        "scheme": key.map(|key| key.scheme.as_str()),
        "protocol": key.map(|key| key.protocol.as_str()),
        "outside_the_promise": key.map(|key| !key.protocol.is_threshold()),
        "was_whole": key.map(|key| key.was_whole),
        "signers_required": key.map(|key| key.size.signers_required()),
        "signers_total": key.map(|key| key.size.signers_total()),
        "epoch": key.map(|key| key.epoch.0),
        "nodes": key.map(|key| key.nodes.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "public_key": key.map(|key| hex::encode(&key.public_key)),
        "public_key_pem": key.and_then(pem),
        "chain_code": key.map(|key| hex::encode(key.chain_code)),
        "verifying_shares_hash": key.map(|key| hex::encode(key.verifying_shares_hash)),
        "progress": info.progress,
        "destroyed_by": destroyed::by(info),
        "handover": info.handover.as_ref().map(|handover| json!({
            "order": handover.order.to_string(), "state": handover.state_word(), "progress": handover.progress,
        })),
        "error": info.error.as_ref().map(|error| json!({ "code": error.code.as_str(), "message": error.message })),
    })
}

async fn show(session: &Session, key: &KeyId) -> Result<()> {
    let infos = session.client.list_keys(Some(key)).await?;
    let Some(info) = infos.into_iter().find(|info| info.key_id == *key) else {
        // The cluster's own words for an unknown key.
        session.client.key(key).await?;
        bail!("there is no key {key}");
    };
    let verified = session.client.admit(&info);
    session.output.result(&key_json(&info, verified.as_ref()), || match &verified {
        Ok(statement) => key_text(&info, statement),
        Err(error) => format!(
            "key         {key}\nstate       {}\nprogress    {}\nnot attested: {error}",
            info.state_word(),
            info.progress
        ),
    })?;
    match verified {
        // What the coordinator cannot prove is a failure; a key that is not finished is just shown.
        Err(error @ limen_client::Error::Untrue(_)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn key_text(info: &KeyInfo, key: &KeyStatement) -> String {
    let alone = match key.nodes.as_slice() {
        [node] if !key.protocol.is_threshold() => {
            format!(
                "\nOUTSIDE THE PROMISE: it lives in the token of {node}; whoever holds that token or its signer signs alone"
            )
        }
        _ => String::new(),
    };
    let whole =
        if key.was_whole { "\nWAS ONCE WHOLE: it was imported; whoever had it then may have it still" } else { "" };
    let nodes: Vec<&str> = key.nodes.iter().map(limen_wire::ids::NodeId::as_str).collect();
    let pem = pem(key).map(|pem| format!("\n{}", pem.trim_end())).unwrap_or_default();
    format!(
        "key         {}\nstate       {}\nscheme      {}\nprotocol    {}\nsigners     {} required of {} ({})\nepoch       {}\npublic key  {}\nchain code  {}\nall shares  {}{pem}\nattested by its signers, verified here{alone}{whole}",
        key.key_id,
        destroyed::state(info, Some(key)),
        key.scheme,
        protocol(key),
        key.size.signers_required(),
        key.size.signers_total(),
        nodes.join(", "),
        key.epoch,
        hex::encode(&key.public_key),
        hex::encode(key.chain_code),
        hex::encode(key.verifying_shares_hash)
    )
}

/// Keys that serve no chain are used by programs that read this (RFC 5480, RFC 7468).
fn pem(key: &KeyStatement) -> Option<String> {
    if key.scheme != Scheme::EcdsaP256 {
        return None;
    }
    let point = Point::p256(&key.public_key).ok()?;
    p256::PublicKey::from_sec1_bytes(point.as_bytes()).ok()?.to_public_key_pem(LineEnding::LF).ok()
}

async fn address(session: &Session, key: &KeyId, chain: &str, path: &str) -> Result<()> {
    let (chain, steps) = (parse::chain(chain)?, parse::path(path)?);
    destroyed::check_payable(session, key).await?;
    // Keys that no chain takes are shown by their public key.
    let statement = session.client.key(key).await?;
    let chain = if statement.scheme == Scheme::EcdsaSecp256k1 { chain } else { ChainId::offchain() };
    let address = session.client.address(key, &steps, &chain).await?;
    let alone = !statement.protocol.is_threshold();
    let json = json!({
        "key_id": key.as_str(), "chain": chain.as_str(), "path": path, "address": address.as_str(),
        "outside_the_promise": alone,
    });
    // Not to be taken for an address of the chain that was named.
    let none = match statement.scheme {
        Scheme::EcdsaP256 => "\nno chain has addresses of ecdsa-p256 keys: this is its public key, compressed (SEC 1)",
        _ => "",
    };
    let mark = match (alone, none) {
        (false, _) => "",
        (true, "") => "\nOUTSIDE THE PROMISE: one token alone signs for what comes here",
        (true, _) => "\nOUTSIDE THE PROMISE: one token alone signs by it",
    };
    session.output.result(&json, || format!("{address}{none}{mark}"))
}

fn order(
    session: &Session,
    key: &KeyId,
    scheme: Scheme,
    protocol: Option<Protocol>,
    (node, required): (Option<&NodeId>, Option<u16>),
) -> Result<NewKey> {
    let protocol = match (protocol, scheme) {
        (Some(protocol), _) if protocol.supports(scheme) => protocol,
        (Some(protocol), _) => bail!("{protocol} cannot make {scheme} signatures"),
        (None, Scheme::EcdsaSecp256k1) => Protocol::Dkls23,
        (None, Scheme::EddsaEd25519 | Scheme::SchnorrBip340) => Protocol::Frost,
        // Nothing that is outside the promise goes without saying.
        (None, Scheme::EcdsaP256) => bail!(
            "no threshold protocol makes {scheme} signatures: such a key lives in the token of one signer, outside the cluster's \
             promise. If that is meant, say --protocol hsm --node NODE"
        ),
    };
    let (size, nodes) = match (protocol.is_threshold(), node) {
        (true, None) => {
            let nodes: Vec<_> = session.config.nodes.iter().map(|node| node.id.clone()).collect();
            let required = required.unwrap_or(session.config.min_signers_required.into());
            (CommitteeSize::new(required, u16::try_from(nodes.len())?)?, nodes)
        }
        (true, Some(_)) => bail!("--node is for --protocol hsm: a {protocol} key is made by all signers"),
        (false, None) => bail!("--protocol hsm needs --node: the signer whose token is to hold the key"),
        (false, Some(_)) if required.is_some_and(|required| required != 1) => {
            bail!("a key in one token needs one signer: leave --required out")
        }
        (false, Some(node)) => {
            // Not first after it was made and its name is used.
            if !session.config.hsm_keys.iter().any(|known| known.id == *key && known.node == *node) {
                bail!(
                    "a key in the token of {node} would be outside the cluster's promise: whoever holds that token or its signer signs \
                     alone. If that is meant, name it under [[hsm_keys]] in this client's configuration: id = \"{key}\", node = \"{node}\""
                );
            }
            (CommitteeSize::ALONE, vec![node.clone()])
        }
    };
    Ok(NewKey { key_id: key.clone(), scheme, protocol, size, nodes, expires_in: MADE_WITHIN })
}

async fn create(session: &Session, order: &NewKey) -> Result<()> {
    session.client.create_key(order).await?;
    wait(session, &order.key_id).await
}

/// Waits until an ordered key is active, tells of progress, and shows it.
async fn wait(session: &Session, key: &KeyId) -> Result<()> {
    let mut last = String::new();
    let statement = session.client.wait_for_key(key, MADE_WITHIN, |info| {
        if info.progress != last {
            last.clone_from(&info.progress);
            session.output.line(&info.progress);
        }
    });
    let statement = statement.await?;
    let infos = session.client.list_keys(Some(key)).await?;
    match infos.first() {
        Some(info) => session.output.result(&key_json(info, Ok(&statement)), || key_text(info, &statement)),
        None => bail!("key {key} was made but is not listed"),
    }
}
