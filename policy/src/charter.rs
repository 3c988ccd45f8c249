//! The charter: who may ask for what, which machines sign, and what the rules allow.
//!
//! This release reads one form only, the *development charter*: an unsigned TOML text that says so loudly
//! (`danger_development = true`). Signed, versioned charters come with the genesis ceremony; until then a charter without
//! that line is refused, so that nobody can mistake this for more than it is.

mod file;
pub mod people;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::ids::{CharterHash, ClusterId, IdError, KeyId, NodeId, PartyIndex, RequesterId};
use limen_wire::keys::{KeyError, PublicKey};

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
    /// An unsigned charter that does not own up to it.
    #[error(
        "this release reads development charters only, and this one does not say `danger_development = true`: \
         charters for real money need the genesis ceremony, which does not exist yet"
    )]
    NotDevelopment,
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

/// A signer node. Its place in the list is its index in every committee of all nodes: the first is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// `host:port` where it listens for coordinators and peers.
    pub address: String,
    /// Its identity: TLS certificates and statements are checked against this key alone.
    pub public_key: PublicKey,
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

/// What a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Value that moves.
    Transfer(AmountRule),
    /// What inclusion may cost.
    Fee(AmountRule),
    /// An allowance for somebody else to move assets; the destinations are the spenders.
    Allowance(AmountRule),
    /// Calls of known meaning; the destinations are the contracts.
    Call,
    /// New contracts.
    Deploy,
    /// Messages for people and programs.
    Message,
    /// Structured data; the destinations are the verifying contracts.
    TypedData,
    /// Bare digests. Only with the keys named.
    Raw,
}

/// Which asset, and how much of it within one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmountRule {
    /// Which asset.
    pub asset: Asset,
    /// The most, in the asset's smallest unit, added up over the whole request.
    pub max_amount: Amount,
}

/// Where value may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destinations {
    /// Anywhere: written `destinations = "anywhere"`.
    Anywhere,
    /// Only these addresses.
    Only(Vec<Address>),
}

impl Destinations {
    /// Whether the address is among them.
    pub fn contain(&self, address: &Address) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Only(list) => list.contains(address),
        }
    }
}

/// A rule: allows one class of effect within its bounds. There are no rules that forbid yet: what no rule allows is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in decisions and logs.
    pub name: String,
    /// What it covers.
    pub subject: Subject,
    /// For whom; empty means every requester with the duty.
    pub requesters: Vec<RequesterId>,
    /// For which keys; empty means all.
    pub keys: Vec<KeyId>,
    /// To where.
    pub destinations: Destinations,
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
    /// The cluster's name.
    pub cluster: ClusterId,
    /// All signer nodes, in index order.
    pub nodes: Vec<Node>,
    /// The coordinators.
    pub coordinators: Vec<Coordinator>,
    /// Who may ask.
    pub requesters: BTreeMap<RequesterId, Requester>,
    /// Assets by the name that rules use.
    pub assets: BTreeMap<String, AssetEntry>,
    /// What is allowed.
    pub rules: Vec<Rule>,
    /// Bounds for every request.
    pub bounds: Bounds,
}

/// The longest charter that is read, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

impl Charter {
    /// Reads and checks a development charter.
    pub fn from_toml(text: &str) -> Result<Self, CharterError> {
        file::read(text)
    }

    /// SHA-256 of the exact text: the charter's name.
    pub const fn hash(&self) -> CharterHash {
        self.hash
    }

    /// Always: there is no other kind yet. Everything named `danger…` asks this first.
    pub const fn is_development(&self) -> bool {
        true
    }

    /// The node of this name.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The key pinned for a node.
    pub fn node_key(&self, id: &NodeId) -> Option<PublicKey> {
        self.node(id).map(|node| node.public_key)
    }

    /// The requester of this name, if they have the duty.
    pub fn requester(&self, id: &RequesterId, duty: Duty) -> Option<&Requester> {
        self.requesters.get(id).filter(|requester| requester.duties.contains(&duty))
    }

    /// The registered entry of an asset.
    pub fn asset(&self, asset: &Asset) -> Option<&AssetEntry> {
        self.assets.values().find(|entry| entry.asset == *asset)
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
