//! The text form of a development charter. Every key is listed here; unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::ids::{CharterHash, ClusterId, IdError, KeyId, NodeId, RequesterId};
use limen_wire::keys::PublicKey;
use limen_wire::limits;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    AmountRule, AssetEntry, Bounds, Charter, CharterError, Coordinator, Destinations, Duty, MAX_BYTES, Node, Requester,
    Rule, Subject,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    cluster: String,
    #[serde(default)]
    danger_development: bool,
    #[serde(default)]
    bounds: FileBounds,
    nodes: Vec<FileNode>,
    coordinators: Vec<FileCoordinator>,
    requesters: Vec<FileRequester>,
    #[serde(default)]
    assets: BTreeMap<String, FileAsset>,
    #[serde(default)]
    rules: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileBounds {
    max_sessions: u32,
    max_expiry_secs: u64,
    max_denied: u64,
}

impl Default for FileBounds {
    fn default() -> Self {
        Self { max_sessions: 16, max_expiry_secs: 24 * 3600, max_denied: 10_000 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    id: String,
    address: String,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCoordinator {
    id: String,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRequester {
    id: String,
    public_key: String,
    duties: Vec<Duty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAsset {
    chain: String,
    #[serde(default)]
    contract: Option<String>,
    symbol: String,
    decimals: u8,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum FileSubject {
    Transfer,
    Fee,
    Allowance,
    Call,
    Deploy,
    Message,
    TypedData,
    Raw,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileDestinations {
    Word(String),
    List(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: String,
    allow: FileSubject,
    #[serde(default)]
    requesters: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    asset: Option<String>,
    #[serde(default)]
    max_amount: Option<String>,
    #[serde(default)]
    destinations: Option<FileDestinations>,
}

fn invalid(place: impl Into<String>, reason: impl Into<String>) -> CharterError {
    CharterError::Invalid { place: place.into(), reason: reason.into() }
}

fn name<T>(place: &str, made: Result<T, IdError>) -> Result<T, CharterError> {
    made.map_err(|source| CharterError::Name { place: place.to_owned(), source })
}

fn key(place: &str, text: &str) -> Result<PublicKey, CharterError> {
    text.parse().map_err(|source| CharterError::Key { place: place.to_owned(), source })
}

pub(super) fn read(text: &str) -> Result<Charter, CharterError> {
    if text.len() > MAX_BYTES {
        return Err(CharterError::TooLarge { found: text.len(), limit: MAX_BYTES });
    }
    let file: File = toml::from_str(text).map_err(|error| CharterError::Syntax(error.to_string()))?;
    if file.version != 1 {
        return Err(CharterError::Version { found: file.version });
    }
    if !file.danger_development {
        return Err(CharterError::NotDevelopment);
    }
    let nodes = file.nodes.into_iter().map(node).collect::<Result<Vec<_>, _>>()?;
    if !(2..=32).contains(&nodes.len()) {
        return Err(invalid("nodes", format!("{} signer nodes; 2 to 32 are possible", nodes.len())));
    }
    let coordinators = file.coordinators.into_iter().map(coordinator).collect::<Result<Vec<_>, _>>()?;
    distinct_machines(&nodes, &coordinators)?;
    let requesters = requesters(file.requesters)?;
    let assets = file
        .assets
        .into_iter()
        .map(|(name, entry)| Ok((name.clone(), asset(&name, entry)?)))
        .collect::<Result<BTreeMap<_, _>, CharterError>>()?;
    let rules =
        file.rules.into_iter().map(|raw| rule(raw, &assets, &requesters)).collect::<Result<Vec<_>, CharterError>>()?;
    let distinct_rules: BTreeSet<_> = rules.iter().map(|rule| &rule.name).collect();
    if distinct_rules.len() != rules.len() {
        return Err(invalid("rules", "two rules have the same name"));
    }
    Ok(Charter {
        hash: CharterHash::new(Sha256::digest(text.as_bytes()).into()),
        cluster: name("cluster", ClusterId::new(file.cluster))?,
        nodes,
        coordinators,
        requesters,
        assets,
        rules,
        bounds: bounds(&file.bounds)?,
    })
}

fn bounds(raw: &FileBounds) -> Result<Bounds, CharterError> {
    if !(1..=1000).contains(&raw.max_sessions) {
        return Err(invalid("bounds.max_sessions", "1 to 1000 is possible"));
    }
    if !(1..=limits::MAX_EXPIRY_SECS).contains(&raw.max_expiry_secs) {
        let limit = limits::MAX_EXPIRY_SECS;
        return Err(invalid("bounds.max_expiry_secs", format!("1 to {limit} seconds are possible")));
    }
    if raw.max_denied == 0 {
        return Err(invalid("bounds.max_denied", "at least 1 is needed"));
    }
    let FileBounds { max_sessions, max_expiry_secs, max_denied } = *raw;
    Ok(Bounds { max_sessions, max_expiry_secs, max_denied })
}

fn node(raw: FileNode) -> Result<Node, CharterError> {
    let place = format!("node {:?}", raw.id);
    if raw.address.len() > 255 || !raw.address.contains(':') {
        return Err(invalid(place, "address must be host:port"));
    }
    let public_key = key(&place, &raw.public_key)?;
    if !matches!(public_key, PublicKey::P256(_)) {
        return Err(invalid(place, "a node's identity is a P-256 key: what TLS and hardware tokens both have"));
    }
    Ok(Node { id: name(&place, NodeId::new(raw.id))?, address: raw.address, public_key })
}

fn coordinator(raw: FileCoordinator) -> Result<Coordinator, CharterError> {
    let place = format!("coordinator {:?}", raw.id);
    let public_key = key(&place, &raw.public_key)?;
    Ok(Coordinator { id: name(&place, NodeId::new(raw.id))?, public_key })
}

/// One key under two names would let one machine stand for two.
fn distinct_machines(nodes: &[Node], coordinators: &[Coordinator]) -> Result<(), CharterError> {
    let ids = nodes.iter().map(|node| &node.id).chain(coordinators.iter().map(|coordinator| &coordinator.id));
    let keys = nodes
        .iter()
        .map(|node| node.public_key)
        .chain(coordinators.iter().map(|coordinator| coordinator.public_key))
        .map(|key| key.to_string());
    let total = nodes.len().saturating_add(coordinators.len());
    if ids.collect::<BTreeSet<_>>().len() != total {
        return Err(invalid("nodes and coordinators", "two machines have the same id"));
    }
    if keys.collect::<BTreeSet<_>>().len() != total {
        return Err(invalid("nodes and coordinators", "two machines have the same public key"));
    }
    Ok(())
}

fn requesters(raw: Vec<FileRequester>) -> Result<BTreeMap<RequesterId, Requester>, CharterError> {
    let mut requesters = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for entry in raw {
        let place = format!("requester {:?}", entry.id);
        let id = name(&place, RequesterId::new(entry.id))?;
        let public_key = key(&place, &entry.public_key)?;
        if entry.duties.is_empty() {
            return Err(invalid(place, "no duties: leave the requester out instead"));
        }
        if !keys.insert(public_key.to_string()) {
            return Err(invalid(place, "another requester has the same public key"));
        }
        let requester = Requester { id: id.clone(), public_key, duties: entry.duties };
        if requesters.insert(id, requester).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(requesters)
}

fn address(place: &str, text: &str) -> Result<Address, CharterError> {
    limen_chain::parse_address(text).map_err(|error| invalid(place, format!("{text:?}: {error}")))
}

fn asset(name: &str, raw: FileAsset) -> Result<AssetEntry, CharterError> {
    let place = format!("asset {name:?}");
    let chain = ChainId::new(raw.chain).filter(|chain| chain.eip155_number().is_some());
    let chain = chain.ok_or_else(|| invalid(&place, "chain must be a CAIP-2 name such as eip155:1"))?;
    if raw.decimals > 36 {
        return Err(invalid(place, "more than 36 decimals"));
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

fn rule(
    raw: FileRule,
    assets: &BTreeMap<String, AssetEntry>,
    known: &BTreeMap<RequesterId, Requester>,
) -> Result<Rule, CharterError> {
    let place = format!("rule {:?}", raw.name);
    if raw.name.is_empty() || raw.name.len() > 64 || raw.name.chars().any(char::is_control) {
        return Err(invalid(place, "a rule's name has 1 to 64 printable characters"));
    }
    let requesters =
        raw.requesters.into_iter().map(|id| name(&place, RequesterId::new(id))).collect::<Result<Vec<_>, _>>()?;
    if let Some(unknown) = requesters.iter().find(|id| !known.contains_key(*id)) {
        return Err(invalid(place, format!("requester {unknown} is not enrolled")));
    }
    let keys = raw.keys.into_iter().map(|id| name(&place, KeyId::new(id))).collect::<Result<Vec<_>, _>>()?;
    let amount = amount_rule(&place, raw.allow, raw.asset, raw.max_amount, assets)?;
    let destinations = destinations(&place, raw.allow, raw.destinations)?;
    let subject = match (raw.allow, amount) {
        (FileSubject::Transfer, Some(amount)) => Subject::Transfer(amount),
        (FileSubject::Fee, Some(amount)) => Subject::Fee(amount),
        (FileSubject::Allowance, Some(amount)) => Subject::Allowance(amount),
        (FileSubject::Call, _) => Subject::Call,
        (FileSubject::Deploy, _) => Subject::Deploy,
        (FileSubject::Message, _) => Subject::Message,
        (FileSubject::TypedData, _) => Subject::TypedData,
        (FileSubject::Raw, _) if keys.is_empty() => {
            return Err(invalid(place, "bare digests can be allowed for named keys only"));
        }
        (FileSubject::Raw, _) => Subject::Raw,
        (_, None) => return Err(invalid(place, "asset and max_amount are needed")),
    };
    Ok(Rule { name: raw.name, subject, requesters, keys, destinations })
}

fn amount_rule(
    place: &str,
    subject: FileSubject,
    asset: Option<String>,
    max_amount: Option<String>,
    assets: &BTreeMap<String, AssetEntry>,
) -> Result<Option<AmountRule>, CharterError> {
    let takes_amount = matches!(subject, FileSubject::Transfer | FileSubject::Fee | FileSubject::Allowance);
    match (takes_amount, asset, max_amount) {
        (true, Some(asset), Some(max)) => {
            let entry =
                assets.get(&asset).ok_or_else(|| invalid(place, format!("asset {asset:?} is not registered")))?;
            let max_amount = Amount::from_units(&max, entry.decimals).ok_or_else(|| {
                invalid(place, format!("{max:?} is not an amount with at most {} places", entry.decimals))
            })?;
            Ok(Some(AmountRule { asset: entry.asset.clone(), max_amount }))
        }
        (true, _, _) => Err(invalid(place, "asset and max_amount are needed")),
        (false, None, None) => Ok(None),
        (false, _, _) => Err(invalid(place, "asset and max_amount mean nothing for this class: leave them out")),
    }
}

/// Where nobody said where to, nothing is allowed: "anywhere" must be written.
fn destinations(
    place: &str,
    subject: FileSubject,
    raw: Option<FileDestinations>,
) -> Result<Destinations, CharterError> {
    let needed =
        matches!(subject, FileSubject::Transfer | FileSubject::Allowance | FileSubject::Call | FileSubject::TypedData);
    match raw {
        Some(_) if !needed => Err(invalid(place, "destinations mean nothing for this class: leave them out")),
        None if !needed => Ok(Destinations::Anywhere),
        Some(FileDestinations::Word(word)) if word == "anywhere" => Ok(Destinations::Anywhere),
        Some(FileDestinations::List(list)) if !list.is_empty() => {
            list.iter().map(|text| address(place, text)).collect::<Result<_, _>>().map(Destinations::Only)
        }
        _ => Err(invalid(place, "destinations must be a list of addresses, or the word \"anywhere\"")),
    }
}
