//! Freezes and what lifts them: checked forms of `stops.proto`.
//!
//! A value of these types is well formed and no more. Whose it is and what it counts for is `policy`'s question.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::effects::{Address, Asset, ChainId};
use crate::envelope::{self, Opened, PayloadType};
use crate::ids::{ClusterId, CredentialId, IntentId, KeyId, PersonId, RequesterId, VaultId};
use crate::intent::{IntentError, check_text, check_version, field, invalid};
use crate::{limits, pb};

/// What a freeze stops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FreezeScope {
    /// Everything.
    Cluster,
    /// What a vault pays.
    Vault(VaultId),
    /// What a key signs.
    Key(KeyId),
    /// What moves an asset or hands over control of it.
    Asset(Asset),
    /// What happens on a chain.
    Chain(ChainId),
    /// What somebody asks for.
    Requester(RequesterId),
    /// What an address gets or gets control over, on any chain.
    Destination(Address),
}

/// Text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no scope of a freeze: write cluster, vault:NAME, key:NAME, asset:CAIP-19, chain:CAIP-2, requester:NAME or \
     destination:ADDRESS"
)]
pub struct BadScope {
    /// The text, cut to 100 characters.
    text: String,
}

impl FromStr for FreezeScope {
    type Err = BadScope;
    fn from_str(text: &str) -> Result<Self, BadScope> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let scope = match kind {
            "cluster" if text == "cluster" => Some(Self::Cluster),
            "vault" => VaultId::new(name).ok().map(Self::Vault),
            "key" => KeyId::new(name).ok().map(Self::Key),
            "asset" => Asset::from_caip19(name).map(Self::Asset),
            "chain" => ChainId::new(name).map(Self::Chain),
            "requester" => RequesterId::new(name).ok().map(Self::Requester),
            "destination" => Address::from_canonical(name).map(Self::Destination),
            _ => None,
        };
        scope.ok_or_else(|| BadScope { text: text.chars().take(100).collect() })
    }
}

impl fmt::Display for FreezeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Vault(name) => write!(f, "vault:{name}"),
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Asset(asset) => write!(f, "asset:{asset}"),
            Self::Chain(chain) => write!(f, "chain:{chain}"),
            Self::Requester(name) => write!(f, "requester:{name}"),
            Self::Destination(address) => write!(f, "destination:{address}"),
        }
    }
}

impl TryFrom<String> for FreezeScope {
    type Error = BadScope;
    fn try_from(text: String) -> Result<Self, BadScope> {
        text.parse()
    }
}
impl From<FreezeScope> for String {
    fn from(scope: FreezeScope) -> Self {
        scope.to_string()
    }
}

/// A guardian's word that a scope is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// SHA-256 of the envelope's pre-authentication encoding: its name.
    pub id: IntentId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose word it is.
    pub person: PersonId,
    /// With which of their credentials.
    pub credential: CredentialId,
    /// What is stopped.
    pub scope: FreezeScope,
    /// Why: never empty.
    pub reason: String,
    /// Random bytes of the guardian's machine.
    pub nonce: [u8; 32],
}

impl Freeze {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Freeze)?;
        let raw: pb::Freeze = opened.decode("freeze")?;
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        if raw.reason.trim().is_empty() {
            return Err(invalid("reason", "a freeze needs a reason"));
        }
        let nonce = <[u8; 32]>::try_from(raw.nonce.as_ref());
        let freeze = Self {
            id: opened.id(),
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            person: PersonId::new(raw.person).map_err(field("person"))?,
            credential: CredentialId::new(raw.credential).map_err(field("credential"))?,
            scope: raw.scope.parse().map_err(|error: BadScope| invalid("scope", error.to_string()))?,
            reason: raw.reason,
            nonce: nonce.map_err(|_| invalid("nonce", format!("{} bytes where 32 are needed", raw.nonce.len())))?,
        };
        Ok((freeze, opened))
    }

    /// The payload: what is signed is its pre-authentication encoding. [`Self::id`] is no part of it.
    pub fn to_payload(&self) -> Vec<u8> {
        let raw = pb::Freeze {
            version: 1,
            cluster: self.cluster.to_string(),
            person: self.person.to_string(),
            credential: self.credential.to_string(),
            scope: self.scope.to_string(),
            reason: self.reason.clone(),
            nonce: Bytes::copy_from_slice(&self.nonce),
        };
        raw.encode_to_vec()
    }
}

/// One person's word that freezes may be lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfreeze {
    /// SHA-256 of the envelope's pre-authentication encoding: its name.
    pub id: IntentId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose word it is.
    pub person: PersonId,
    /// With which of their credentials.
    pub credential: CredentialId,
    /// Exactly these freezes: strictly increasing, 1 to [`limits::UNFREEZES`].
    pub freezes: Vec<IntentId>,
    /// Why.
    pub reason: String,
}

impl Unfreeze {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Unfreeze)?;
        let raw: pb::Unfreeze = opened.decode("unfreeze")?;
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        if !(1..=limits::UNFREEZES).contains(&raw.freezes.len()) {
            let found = raw.freezes.len();
            return Err(invalid("freezes", format!("{found} are named, 1 to {} are possible", limits::UNFREEZES)));
        }
        let freezes = raw.freezes.iter().map(|id| IntentId::from_slice(id));
        let freezes = freezes.collect::<Result<Vec<_>, _>>().map_err(field("freezes"))?;
        if !freezes.iter().zip(freezes.iter().skip(1)).all(|(a, b)| a < b) {
            return Err(invalid("freezes", "they must be strictly increasing"));
        }
        let unfreeze = Self {
            id: opened.id(),
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            person: PersonId::new(raw.person).map_err(field("person"))?,
            credential: CredentialId::new(raw.credential).map_err(field("credential"))?,
            freezes,
            reason: raw.reason,
        };
        Ok((unfreeze, opened))
    }

    /// The payload: what is signed is its pre-authentication encoding. [`Self::id`] is no part of it.
    pub fn to_payload(&self) -> Vec<u8> {
        let raw = pb::Unfreeze {
            version: 1,
            cluster: self.cluster.to_string(),
            person: self.person.to_string(),
            credential: self.credential.to_string(),
            freezes: self.freezes.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect(),
            reason: self.reason.clone(),
        };
        raw.encode_to_vec()
    }
}
