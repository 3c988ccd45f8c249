//! The charter: who may ask for what, which machines sign, and what the rules allow.
//!
//! The first charter of a cluster comes out of a genesis ceremony (`limen_evidence::ceremony`), whose record a machine asks for before
//! it begins with it; later ones are signed versions ([`crate::succession`]). A *development charter* has no such record and says so
//! loudly (`danger_development = true`), so that nobody can mistake it for more than it is.

pub mod assets;
pub mod backups;
pub mod committee;
pub mod drill;
mod file;
pub mod governance;
pub mod held;
pub mod hours;
pub mod import;
pub mod key_state;
mod ledger;
pub mod log;
pub mod people;
pub mod readmission;
pub mod rule;
#[cfg(test)]
pub(crate) mod tests;
pub mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::effects::{Address, Asset, ChainId};
use limen_wire::identities::{FormerIdentities, NodeKeys};
use limen_wire::ids::{
    CharterHash, CheckerId, ClusterId, CurrencyId, DrillId, IdError, KeyId, LedgerId, LimitId, NodeId, PartyIndex,
    PersonId, RequesterId, VaultId,
};
use limen_wire::keys::{KeyError, PublicKey};
use sha2::{Digest as _, Sha256};

use crate::ledger::Committee;
use assets::{AssetGroup, Assets};
use backups::Backups;
use committee::KeyCommittees;
use drill::Drill;
use governance::Governance;
use held::HeldKey;
use import::KeyImports;
use key_state::KeyMarks;
use people::Roster;
use readmission::Readmissions;
use rule::Rule;
use vault::{Book, Limit, Vaults};

/// Why a charter was refused. Always a matter for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Not TOML, or not the shape of a charter.
    #[error("the charter cannot be read: {0}")]
    Syntax(String),
    /// The text is longer than any charter may be.
    #[error("the charter has {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Size of the text.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Another format.
    #[error("the charter has format version {found}; this release reads version 1")]
    Version {
        /// The version it claims.
        found: u32,
    },
    /// A name.
    #[error("in {place}: {source}")]
    Name {
        /// Where.
        place: String,
        /// What is wrong.
        source: IdError,
    },
    /// A public key.
    #[error("in {place}: {source}")]
    Key {
        /// Where.
        place: String,
        /// What is wrong.
        source: KeyError,
    },
    /// Anything else, in words.
    #[error("in {place}: {reason}")]
    Invalid {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// A signer node or a witness. A signer's place in the list is its index in every committee of all nodes: the first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// `host:port` where it listens for coordinators and peers.
    pub address: String,
    /// Its identity: TLS certificates and statements are checked against this key alone.
    pub public_key: PublicKey,
    /// The building or region that it stands in, where that is written down.
    pub site: Option<String>,
    /// The cloud account or the owner who can reach its machine, where that is written down.
    pub account: Option<String>,
}

/// A coordinator that signers talk to. It is believed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinator {
    /// Its name.
    pub id: NodeId,
    /// Its TLS identity.
    pub public_key: PublicKey,
}

/// What a requester may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Intents and their cancellation.
    Request,
    /// Orders for keys.
    Keys,
}

/// Somebody who asks for signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Their name.
    pub id: RequesterId,
    /// The key that signs their envelopes.
    pub public_key: PublicKey,
    /// What they may sign.
    pub duties: Vec<Duty>,
    /// The people behind them, who are no approvers of what they ask for where a rule says so.
    pub people: BTreeSet<PersonId>,
}

/// A program outside the cluster that looks at requests, such as a screening of destinations, and signs what it found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checker {
    /// Its name.
    pub id: CheckerId,
    /// The key that signs its findings.
    pub public_key: PublicKey,
    /// For how long a finding counts, in seconds, whatever longer expiry it names.
    pub max_age_secs: u64,
    /// The vaults whose balances its findings may attest.
    pub balances_of: BTreeSet<VaultId>,
    /// The currencies in which its findings may attest prices.
    pub prices_in: BTreeSet<CurrencyId>,
}

/// An asset that rules can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetEntry {
    /// The asset.
    pub asset: Asset,
    /// Its ticker, for people.
    pub symbol: String,
    /// Decimal places of its unit.
    pub decimals: u8,
}

/// Money in which rules and limits can say amounts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Currency {
    /// Its name.
    pub id: CurrencyId,
    /// Decimal places of its unit.
    pub decimals: u8,
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} decimals", self.id, self.decimals)
    }
}

/// Bounds that hold for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Signing sessions that one intent may use up.
    pub max_sessions: u32,
    /// The furthest expiry of an intent, in seconds from now.
    pub max_expiry_secs: u64,
    /// Requests of one requester that a signer remembers although no rule allows them.
    pub max_denied: u64,
}

/// The charter in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    hash: CharterHash,
    development: bool,
    /// The cluster's name.
    pub cluster: ClusterId,
    /// All signer nodes, in index order.
    pub nodes: Vec<Node>,
    /// Nodes without shares that keep ledgers only.
    pub witnesses: Vec<Node>,
    /// The coordinators.
    pub coordinators: Vec<Coordinator>,
    /// Who may ask.
    pub requesters: BTreeMap<RequesterId, Requester>,
    /// Assets by the name that rules use.
    pub assets: BTreeMap<String, AssetEntry>,
    /// Groups of them by name.
    pub asset_groups: BTreeMap<String, AssetGroup>,
    /// Money by name.
    pub currencies: BTreeMap<CurrencyId, Currency>,
    /// Who approves.
    pub roster: Roster,
    /// What else is asked.
    pub checkers: BTreeMap<CheckerId, Checker>,
    /// Where value is.
    pub vaults: Vaults,
    /// Keys that live in one token, outside the cluster's promise.
    pub hsm_keys: BTreeMap<KeyId, HeldKey>,
    /// To whom keys may be handed over, beside the committee that they have.
    pub committees: KeyCommittees,
    /// Keys that were whole elsewhere and may come in.
    pub imports: KeyImports,
    /// Bans between signers that are lifted.
    pub readmissions: Readmissions,
    /// The identities that signers had, and what of their statements goes on.
    pub former_identities: FormerIdentities,
    /// Keys that are out of use.
    pub key_marks: KeyMarks,
    /// Who keeps backups of the keys of these vaults.
    pub backups: BTreeMap<VaultId, Backups>,
    /// Losses that are played again and again.
    pub drills: BTreeMap<DrillId, Drill>,
    /// Where it may go.
    pub book: Book,
    /// How fast, and how much a vault may come to hold.
    pub limits: BTreeMap<LimitId, Limit>,
    /// Who certifies that.
    pub ledgers: BTreeMap<LedgerId, Arc<Committee>>,
    /// Where every request claims what counts once: its idempotency key, and the sequence number that it burns.
    pub claims_ledger: Option<LedgerId>,
    /// How this charter changes; `None` in development charters that never do.
    pub governance: Option<Governance>,
    /// What is allowed, asked for and denied.
    pub rules: Vec<Rule>,
    /// Bounds for every request.
    pub bounds: Bounds,
}

/// The longest charter that is read, in bytes.
pub const MAX_BYTES: usize = limen_wire::limits::CHARTER_BYTES;

impl NodeKeys for Charter {
    fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        Self::node_key(self, node)
    }
    fn former_keys(&self, node: &NodeId, statement: &[u8; 32]) -> Vec<PublicKey> {
        self.former_identities.keys(node, statement)
    }
}

impl Charter {
    /// Reads and checks a charter. Whether it may be begun with is for its reader: see [`Self::is_development`].
    pub fn from_toml(text: &str) -> Result<Self, CharterError> {
        file::read(text)
    }

    /// The name of a charter with exactly this text, whether or not it can be read: SHA-256.
    pub fn hash_of(text: &str) -> CharterHash {
        CharterHash::new(Sha256::digest(text.as_bytes()).into())
    }

    /// SHA-256 of the exact text: the charter's name.
    pub const fn hash(&self) -> CharterHash {
        self.hash
    }

    /// Whether nobody has signed it and it says so. Everything named `danger…` asks this first; every other charter begins with the record
    /// of a genesis.
    pub const fn is_development(&self) -> bool {
        self.development
    }

    /// The node of this name.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The signer node or witness of this name.
    pub fn machine(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().chain(&self.witnesses).find(|node| node.id == *id)
    }

    /// The witness of this name.
    pub fn witness(&self, id: &NodeId) -> Option<&Node> {
        self.witnesses.iter().find(|node| node.id == *id)
    }

    /// The key pinned for a signer node.
    pub fn node_key(&self, id: &NodeId) -> Option<PublicKey> {
        self.node(id).map(|node| node.public_key)
    }

    /// The requester of this name, if they have the duty.
    pub fn requester(&self, id: &RequesterId, duty: Duty) -> Option<&Requester> {
        self.requesters.get(id).filter(|requester| requester.duties.contains(&duty))
    }

    /// The checkers that may attest what a vault holds.
    pub fn attesters<'a>(&'a self, vault: &'a VaultId) -> impl Iterator<Item = &'a Checker> {
        self.checkers.values().filter(move |checker| checker.balances_of.contains(vault))
    }

    /// The checkers that may attest prices in a currency.
    pub fn pricers<'a>(&'a self, currency: &'a CurrencyId) -> impl Iterator<Item = &'a Checker> {
        self.checkers.values().filter(move |checker| checker.prices_in.contains(currency))
    }

    /// The registered entry of an asset.
    pub fn asset(&self, asset: &Asset) -> Option<&AssetEntry> {
        self.assets.values().find(|entry| entry.asset == *asset)
    }

    /// The unit in which a limit counts amounts: its name for people, and its decimal places.
    pub fn unit<'a>(&'a self, limit: &'a Limit) -> (&'a str, u8) {
        match (&limit.currency, &limit.assets) {
            (Some(currency), _) => (currency.id.as_str(), currency.decimals),
            (None, Assets::One(asset)) => self.asset(asset).map_or(("", 0), |entry| (&entry.symbol, entry.decimals)),
            (None, Assets::Group(group)) => (&group.id, group.decimals),
        }
    }

    /// Which token standard a contract follows, as the asset registry says.
    pub fn token_kind(&self, chain: &ChainId, contract: &Address) -> Option<limen_chain::TokenKind> {
        self.assets.values().find_map(|entry| match &entry.asset {
            Asset::Erc20(c, a) if c == chain && a == contract => Some(limen_chain::TokenKind::Erc20),
            _ => None,
        })
    }
}

/// The index of a node in a committee given as its list of members.
pub fn index_in(members: &[NodeId], node: &NodeId) -> Option<PartyIndex> {
    let position = members.iter().position(|member| member == node)?;
    PartyIndex::new(u16::try_from(position.checked_add(1)?).ok()?).ok()
}
