//! A release: enough of a key's signers have made a signature impossible, so what was reserved need not count.

use std::collections::BTreeSet;

use limen_wire::envelope::{self, EnvelopeError, PayloadType, Unsigned};
use limen_wire::ids::{ClusterId, IdError, IntentId, NodeId};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use prost::Message as _;

/// The signers of the key that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySigners {
    /// All n of them, with their pinned keys.
    pub nodes: Vec<(NodeId, PublicKey)>,
    /// t: how many must take part in a signature.
    pub required: usize,
    /// f: how many may be corrupt.
    pub corrupt: usize,
}

impl KeySigners {
    /// All signers of a key of which `required` sign together. Fewer than those may be corrupt, and at least one: of a key that one
    /// signer signs with alone nothing is ever released, because that one's disk may be an old one.
    pub fn new(nodes: Vec<(NodeId, PublicKey)>, required: usize) -> Self {
        Self { nodes, required, corrupt: required.saturating_sub(1).max(1) }
    }

    /// How many statements a release needs: more than n − t + f. Of so many, more than n − t are honest, so fewer than t
    /// signers are left that could still take part.
    pub fn needed(&self) -> usize {
        self.nodes.len().saturating_sub(self.required).saturating_add(self.corrupt).saturating_add(1)
    }
}

/// A request that can never be signed any more. Only [`Release::verify`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    intent: IntentId,
}

/// Why an envelope releases nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A signature or the envelope.
    #[error("the release does not count: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The intent id.
    #[error("the release is not well formed: {0}")]
    Id(#[from] IdError),
    /// Meant for somebody else, or of another version.
    #[error("the release is not of version 1 for cluster {0}")]
    Foreign(ClusterId),
    /// Not a request whose signers are known here.
    #[error("the signers of the key of {0} are not known here: announce the request first")]
    UnknownIntent(IntentId),
    /// A signature of somebody else.
    #[error("{0:?} signed the release but is no signer of the key")]
    NotSigner(String),
    /// Not enough signatures.
    #[error(
        "{have} of the {need} signers that must have voided the request have said so: \
         until then it counts on"
    )]
    TooFew {
        /// Found.
        have: usize,
        /// Needed.
        need: usize,
    },
}

/// "Not allowed by me, and voided durably", to be signed by a signer. Only after the void is in its journal.
pub fn unsigned_void(cluster: &ClusterId, intent: &IntentId) -> Unsigned {
    let intent_id = intent.as_bytes().to_vec().into();
    let payload = pb::LedgerVoid { version: 1, cluster: cluster.to_string(), intent_id };
    Unsigned::new(PayloadType::LedgerVoid, payload.encode_to_vec())
}

/// A signer's signed word that it has voided a request.
pub fn void(cluster: &ClusterId, intent: &IntentId, node: &NodeId, key: &SigningKey) -> pb::Envelope {
    unsigned_void(cluster, intent).sign(node.as_str(), key)
}

impl Release {
    /// Verifies the statements of more than n − t + f signers, combined into one envelope.
    pub fn verify(
        envelope: &pb::Envelope,
        cluster: &ClusterId,
        signers: impl FnOnce(&IntentId) -> Option<KeySigners>,
    ) -> Result<Self, ReleaseError> {
        let opened = envelope::open(envelope, PayloadType::LedgerVoid)?;
        let raw: pb::LedgerVoid = opened.decode("void")?;
        if raw.version != 1 || raw.cluster != cluster.as_str() {
            return Err(ReleaseError::Foreign(cluster.clone()));
        }
        let intent = IntentId::from_slice(&raw.intent_id)?;
        let signers = signers(&intent).ok_or(ReleaseError::UnknownIntent(intent))?;
        let mut said = BTreeSet::new();
        for signer in opened.claimed_signers() {
            let known = signers.nodes.iter().find(|(node, _)| node.as_str() == signer);
            let (node, key) = known.ok_or_else(|| ReleaseError::NotSigner(signer.to_owned()))?;
            opened.verify(signer, key)?;
            said.insert(node);
        }
        let (have, need) = (said.len(), signers.needed());
        if have < need { Err(ReleaseError::TooFew { have, need }) } else { Ok(Self { intent }) }
    }

    /// The request that unverified evidence names.
    pub fn named(envelope: &pb::Envelope) -> Result<IntentId, ReleaseError> {
        let raw: pb::LedgerVoid = envelope::open(envelope, PayloadType::LedgerVoid)?.decode("void")?;
        Ok(IntentId::from_slice(&raw.intent_id)?)
    }

    /// Which request.
    pub const fn intent(&self) -> &IntentId {
        &self.intent
    }
}
