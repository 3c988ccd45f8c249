//! The text form of a charter. Every key is listed here; unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Address, ChainId};
use limen_wire::identities::FileFormer;
use limen_wire::ids::{CheckerId, ClusterId, CurrencyId, IdError, NodeId, RequesterId};
use limen_wire::keys::PublicKey;
use limen_wire::limits;
use serde::Deserialize;

use super::people::Roster;
use super::vault::Vaults;
use super::{Bounds, Charter, CharterError, Checker, Coordinator, Currency, Duty, MAX_BYTES, Node, Requester};

mod assets;
mod backups;
mod ceilings;
mod committees;
mod drills;
mod former;
mod governance;
mod held;
mod hours;
mod imports;
mod key_states;
mod ledgers;
mod people;
mod readmissions;
mod rules;
mod vaults;

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
    #[serde(default)]
    witnesses: Vec<FileNode>,
    coordinators: Vec<FileCoordinator>,
    requesters: Vec<FileRequester>,
    #[serde(default)]
    assets: BTreeMap<String, assets::FileAsset>,
    #[serde(default)]
    asset_groups: BTreeMap<String, assets::FileAssetGroup>,
    #[serde(default)]
    currencies: BTreeMap<String, assets::FileCurrency>,
    #[serde(default)]
    rules: Vec<rules::FileRule>,
    #[serde(default)]
    people: Vec<people::FilePerson>,
    #[serde(default)]
    groups: BTreeMap<String, people::FileGroup>,
    #[serde(default)]
    checkers: Vec<FileChecker>,
    #[serde(default)]
    vaults: Vec<vaults::FileVault>,
    /// Keys that live in one token.
    #[serde(default)]
    hsm_keys: Vec<held::FileHeldKey>,
    /// To whom keys may be handed over.
    #[serde(default)]
    committees: Vec<committees::FileCommittee>,
    /// Keys that were whole elsewhere and may come in.
    #[serde(default)]
    imports: Vec<imports::FileImport>,
    /// Bans that are lifted.
    #[serde(default)]
    readmissions: Vec<readmissions::FileReadmission>,
    /// Identities that signers had.
    #[serde(default)]
    former_identities: Vec<FileFormer>,
    /// Keys that are out of use.
    #[serde(default)]
    keys: Vec<key_states::FileKey>,
    /// Who keeps backups.
    #[serde(default)]
    backups: Vec<backups::FileBackups>,
    /// Losses that are played again and again.
    #[serde(default)]
    drills: Vec<drills::FileDrill>,
    #[serde(default)]
    address_book: Vec<vaults::FileBookEntry>,
    #[serde(default)]
    limits: Vec<vaults::FileLimit>,
    #[serde(default)]
    ceilings: Vec<ceilings::FileCeiling>,
    #[serde(default)]
    ledgers: Vec<ledgers::FileLedger>,
    /// The ledger in which every request claims what counts once.
    #[serde(default)]
    claims: Option<String>,
    #[serde(default)]
    governance: Option<governance::FileGovernance>,
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
    #[serde(default)]
    site: Option<String>,
    #[serde(default)]
    account: Option<String>,
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
    #[serde(default)]
    people: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChecker {
    id: String,
    public_key: String,
    max_age_secs: u64,
    #[serde(default)]
    balances_of: Vec<String>,
    #[serde(default)]
    prices_in: Vec<String>,
}

/// Most external checkers of a charter.
const MAX_CHECKERS: usize = limits::EXTERNAL_CHECKS;

fn invalid(place: impl Into<String>, reason: impl Into<String>) -> CharterError {
    CharterError::Invalid { place: place.into(), reason: reason.into() }
}

fn name<T>(place: &str, made: Result<T, IdError>) -> Result<T, CharterError> {
    made.map_err(|source| CharterError::Name { place: place.to_owned(), source })
}

fn key(place: &str, text: &str) -> Result<PublicKey, CharterError> {
    text.parse().map_err(|source| CharterError::Key { place: place.to_owned(), source })
}

fn parse(text: &str) -> Result<File, CharterError> {
    if text.len() > MAX_BYTES {
        return Err(CharterError::TooLarge { found: text.len(), limit: MAX_BYTES });
    }
    let file: File = toml::from_str(text).map_err(|error| CharterError::Syntax(error.to_string()))?;
    if file.version == 1 { Ok(file) } else { Err(CharterError::Version { found: file.version }) }
}

pub(super) fn read(text: &str) -> Result<Charter, CharterError> {
    let file = parse(text)?;
    let nodes = signers(file.nodes)?;
    let coordinators = file.coordinators.into_iter().map(coordinator).collect::<Result<Vec<_>, _>>()?;
    let witnesses = ledgers::witnesses(file.witnesses)?;
    let machines: Vec<&Node> = nodes.iter().chain(&witnesses).collect();
    distinct_machines(&machines, &coordinators)?;
    let cluster = name("cluster", ClusterId::new(file.cluster))?;
    let ledgers = ledgers::ledgers(file.ledgers, &cluster, &machines)?;
    ledgers::all_used(&witnesses, &ledgers)?;
    let claims_ledger = file.claims.map(|id| ledgers::claims(id, &ledgers)).transpose()?;
    let roster = people::read(file.people, file.groups)?;
    let requesters = requesters(file.requesters, &roster)?;
    let vaults = vaults::vaults(file.vaults)?;
    let currencies = assets::currencies(file.currencies)?;
    let checkers = checkers(file.checkers, (&requesters, &roster), &vaults, &currencies)?;
    let assets = assets::assets(file.assets)?;
    let asset_groups = assets::groups(file.asset_groups, &assets)?;
    let registry = assets::Registry { assets: &assets, groups: &asset_groups };
    let money = assets::Money { currencies: &currencies, checkers: &checkers };
    let book = vaults::book(file.address_book, &vaults)?;
    let mut limits = vaults::limits(file.limits, (&registry, &money), &vaults, &requesters, &ledgers)?;
    ceilings::read(file.ceilings, (&registry, &vaults, &checkers), claims_ledger.as_ref(), &mut limits)?;
    let known = rules::Known {
        registry: &registry,
        money: &money,
        requesters: &requesters,
        roster: &roster,
        vaults: &vaults,
        book: &book,
    };
    let rules = rules::read(file.rules, &known)?;
    let bounds = bounds(&file.bounds)?;
    ceilings::distinct(&limits, &rules)?;
    let governance = file.governance.map(|raw| governance::read(raw, &roster, &bounds)).transpose()?;
    held::certified(Charter {
        hash: Charter::hash_of(text),
        development: file.danger_development,
        hsm_keys: held::read(file.hsm_keys, &nodes, &vaults)?,
        committees: committees::read(file.committees, &nodes)?,
        imports: imports::read(file.imports)?,
        readmissions: readmissions::read(file.readmissions, &nodes)?,
        former_identities: former::read(file.former_identities, &machines, &coordinators)?,
        key_marks: key_states::read(file.keys, &book)?,
        backups: backups::read(file.backups, &nodes, &vaults, &roster)?,
        drills: drills::read(file.drills)?,
        cluster,
        nodes,
        witnesses,
        coordinators,
        requesters,
        assets,
        asset_groups,
        currencies,
        roster,
        checkers,
        vaults,
        book,
        limits,
        ledgers,
        claims_ledger,
        governance,
        rules,
        bounds,
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

fn signers(raw: Vec<FileNode>) -> Result<Vec<Node>, CharterError> {
    if !(2..=32).contains(&raw.len()) {
        return Err(invalid("nodes", format!("{} signer nodes; 2 to 32 are possible", raw.len())));
    }
    raw.into_iter().map(node).collect()
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
    let text = |what: &str, text: Option<String>| match text {
        Some(text) if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) => {
            Err(invalid(&place, format!("{what} has 1 to 64 printable characters")))
        }
        text => Ok(text),
    };
    let (site, account) = (text("site", raw.site)?, text("account", raw.account)?);
    Ok(Node { id: name(&place, NodeId::new(raw.id))?, address: raw.address, public_key, site, account })
}

fn coordinator(raw: FileCoordinator) -> Result<Coordinator, CharterError> {
    let place = format!("coordinator {:?}", raw.id);
    let public_key = key(&place, &raw.public_key)?;
    Ok(Coordinator { id: name(&place, NodeId::new(raw.id))?, public_key })
}

/// One key under two names would let one machine stand for two.
fn distinct_machines(nodes: &[&Node], coordinators: &[Coordinator]) -> Result<(), CharterError> {
    let ids = nodes.iter().map(|node| &node.id).chain(coordinators.iter().map(|coordinator| &coordinator.id));
    let keys = nodes
        .iter()
        .map(|node| node.public_key)
        .chain(coordinators.iter().map(|coordinator| coordinator.public_key))
        .map(|key| key.to_string());
    let total = nodes.len().saturating_add(coordinators.len());
    if ids.collect::<BTreeSet<_>>().len() != total {
        return Err(invalid("nodes, witnesses and coordinators", "two machines have the same id"));
    }
    if keys.collect::<BTreeSet<_>>().len() != total {
        return Err(invalid("nodes, witnesses and coordinators", "two machines have the same public key"));
    }
    Ok(())
}

fn requesters(raw: Vec<FileRequester>, roster: &Roster) -> Result<BTreeMap<RequesterId, Requester>, CharterError> {
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
        let people = people::known(&place, entry.people, roster)?;
        let requester = Requester { id: id.clone(), public_key, duties: entry.duties, people };
        if requesters.insert(id, requester).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(requesters)
}

/// A checker is nobody who asks or approves: its word is to be one more.
fn checkers(
    raw: Vec<FileChecker>,
    (requesters, roster): (&BTreeMap<RequesterId, Requester>, &Roster),
    vaults: &Vaults,
    currencies: &BTreeMap<CurrencyId, Currency>,
) -> Result<BTreeMap<CheckerId, Checker>, CharterError> {
    if raw.len() > MAX_CHECKERS {
        return Err(invalid("checkers", format!("{} checkers, at most {MAX_CHECKERS} are possible", raw.len())));
    }
    let credentials = roster.people.values().flat_map(|person| person.credentials.values());
    let taken = requesters.values().map(|one| one.public_key).chain(credentials.map(|one| one.public_key));
    let mut keys: BTreeSet<String> = taken.map(|key| key.to_string()).collect();
    let mut checkers = BTreeMap::new();
    for raw in raw {
        let place = format!("checker {:?}", raw.id);
        let id = name(&place, CheckerId::new(raw.id))?;
        let public_key = key(&place, &raw.public_key)?;
        if !keys.insert(public_key.to_string()) {
            return Err(invalid(place, "a requester, a credential or another checker has the same public key"));
        }
        if !(1..=limits::MAX_EXPIRY_SECS).contains(&raw.max_age_secs) {
            let limit = limits::MAX_EXPIRY_SECS;
            return Err(invalid(place, format!("max_age_secs: 1 to {limit} are possible")));
        }
        let balances_of = vaults::known_vaults(&place, raw.balances_of, vaults)?;
        let prices_in = raw.prices_in.into_iter().map(|text| assets::known_currency(&place, text, currencies));
        let prices_in = prices_in.map(|found| found.map(|one| one.id.clone())).collect::<Result<_, _>>()?;
        let checker = Checker { id: id.clone(), public_key, max_age_secs: raw.max_age_secs, balances_of, prices_in };
        if checkers.insert(id, checker).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(checkers)
}

fn address(place: &str, text: &str) -> Result<Address, CharterError> {
    limen_chain::parse_address(text).map_err(|error| invalid(place, format!("{text:?}: {error}")))
}

fn chain(place: &str, text: String) -> Result<ChainId, CharterError> {
    let chain = ChainId::new(text).filter(|chain| chain.eip155_number().is_some());
    chain.ok_or_else(|| invalid(place, "chain must be a CAIP-2 name such as eip155:1"))
}
