//! What signers state about a key, and what makes it count.
//!
//! All members of a key sign the same [`pb::KeyStatement`] bytes. With all signatures it is the key's *certificate*: every
//! member holds a durable share, so the key may become active (it proves itself, whoever carries it). With the signatures
//! of `signers_required` members it *attests* the public key: fewer corrupt signers than that cannot swap it.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, EnvelopeError, Opened, PayloadType, Unsigned};
use crate::handover::statement_hash;
use crate::identities::NodeKeys;
use crate::ids::{ClusterId, CommitteeSize, Epoch, IdError, IntentId, KeyId, NodeId, Protocol, Scheme};
use crate::intent::{self, IntentError};
use crate::keys::{PublicKey, SigningKey};
use crate::pb;

/// Why a statement or certificate does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Its content.
    #[error("the key statement is not well formed: {0}")]
    Content(#[from] IntentError),
    /// A field of fixed size.
    #[error("the key statement is not well formed: {0}")]
    Bytes(#[from] IdError),
    /// Somebody signed who is no member.
    #[error("{signer:?} signed the statement of key {key} but is not one of its members")]
    NotMember {
        /// Who.
        signer: String,
        /// Which key.
        key: KeyId,
    },
    /// A member whose public key the reader has not pinned.
    #[error("no public key is pinned for node {node}, a member of key {key}")]
    NotPinned {
        /// Which node.
        node: NodeId,
        /// Which key.
        key: KeyId,
    },
    /// Not enough members signed.
    #[error("{have} of the {need} signatures needed stand under the statement of key {key}")]
    TooFew {
        /// Which key.
        key: KeyId,
        /// Signatures found.
        have: usize,
        /// Signatures needed.
        need: usize,
    },
}

/// A checked key statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatement {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key.
    pub key_id: KeyId,
    /// Which signature it makes.
    pub scheme: Scheme,
    /// By which protocol.
    pub protocol: Protocol,
    /// Generation of the shares.
    pub epoch: Epoch,
    /// Committee size.
    pub size: CommitteeSize,
    /// Members in index order.
    pub nodes: Vec<NodeId>,
    /// Compressed SEC 1 point (33 bytes), Ed25519 point (32) or x-only point (32).
    pub public_key: Vec<u8>,
    /// BIP-32 chain code.
    pub chain_code: [u8; 32],
    /// SHA-256 over all verifying shares.
    pub verifying_shares_hash: [u8; 32],
    /// Id of the order that made the key.
    pub generation_id: IntentId,
    /// The key was imported: somebody had it whole, and may have it still.
    pub was_whole: bool,
}

impl KeyStatement {
    /// The exact bytes that every member signs.
    pub fn to_payload(&self) -> Vec<u8> {
        pb::KeyStatement {
            version: 1,
            cluster: self.cluster.to_string(),
            key_id: self.key_id.to_string(),
            scheme: intent::scheme_to_wire(self.scheme),
            protocol: intent::protocol_to_wire(self.protocol),
            epoch: self.epoch.0,
            signers_required: self.size.signers_required().into(),
            nodes: self.nodes.iter().map(ToString::to_string).collect(),
            public_key: Bytes::copy_from_slice(&self.public_key),
            chain_code: Bytes::copy_from_slice(&self.chain_code),
            verifying_shares_hash: Bytes::copy_from_slice(&self.verifying_shares_hash),
            generation_id: Bytes::copy_from_slice(self.generation_id.as_bytes()),
            was_whole: self.was_whole,
        }
        .encode_to_vec()
    }

    /// The statement, to be signed by a node.
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(PayloadType::KeyStatement, self.to_payload())
    }

    /// This node's signed statement.
    pub fn sign(&self, node: &NodeId, key: &SigningKey) -> pb::Envelope {
        self.unsigned().sign(node.as_str(), key)
    }

    /// Decodes without looking at signatures.
    pub fn decode(envelope: &pb::Envelope) -> Result<Self, StatementError> {
        let opened = envelope::open(envelope, PayloadType::KeyStatement)?;
        let raw: pb::KeyStatement = opened.decode("key statement")?;
        if raw.version != 1 {
            let reason = format!("{} is not known here; 1 is", raw.version);
            return Err(IntentError::Invalid { field: "version", reason }.into());
        }
        let scheme = intent::scheme_from_wire(raw.scheme)?;
        let expected = scheme.public_key_len();
        if raw.public_key.len() != expected {
            let found = format!("{} bytes", raw.public_key.len());
            return Err(IdError::BadBytes { what: "public key", expected, found }.into());
        }
        let protocol = intent::protocol_from_wire(raw.protocol)?;
        if !protocol.supports(scheme) {
            let reason = format!("{protocol} cannot make {scheme} signatures");
            return Err(IntentError::Invalid { field: "protocol", reason }.into());
        }
        let (size, nodes) = intent::committee_from_wire(protocol, raw.signers_required, raw.nodes)?;
        let chain_code = *IntentId::from_slice(&raw.chain_code)?.as_bytes();
        if raw.was_whole && !protocol.is_threshold() {
            let reason = "a key that lives in one token was made there, and never imported".to_owned();
            return Err(IntentError::Invalid { field: "was_whole", reason }.into());
        }
        if !protocol.is_threshold() && chain_code != [0; 32] {
            let reason = "a key that lives in one token has no children, and a chain code of zeros".to_owned();
            return Err(IntentError::Invalid { field: "chain_code", reason }.into());
        }
        Ok(Self {
            cluster: ClusterId::new(raw.cluster)?,
            key_id: KeyId::new(raw.key_id)?,
            scheme,
            protocol,
            epoch: Epoch(raw.epoch),
            size,
            nodes,
            public_key: raw.public_key.to_vec(),
            chain_code,
            verifying_shares_hash: *IntentId::from_slice(&raw.verifying_shares_hash)?.as_bytes(),
            generation_id: IntentId::from_slice(&raw.generation_id)?,
            was_whole: raw.was_whole,
        })
    }

    /// Decodes and verifies every signature on it, by distinct members, at least `need` of them.
    fn verified(
        envelope: &pb::Envelope,
        pinned: &dyn NodeKeys,
        need: impl FnOnce(&Self) -> usize,
    ) -> Result<Self, StatementError> {
        let statement = Self::decode(envelope)?;
        let opened = envelope::open(envelope, PayloadType::KeyStatement)?;
        let hash = statement_hash(&envelope.payload);
        let mut seen = BTreeSet::new();
        for signer in opened.claimed_signers() {
            let node = statement.nodes.iter().find(|node| node.as_str() == signer);
            let node = node.ok_or_else(|| StatementError::NotMember {
                signer: signer.to_owned(),
                key: statement.key_id.clone(),
            })?;
            let key = pinned
                .node_key(node)
                .ok_or_else(|| StatementError::NotPinned { node: node.clone(), key: statement.key_id.clone() })?;
            verify(&opened, node, (key, &pinned.former_keys(node, &hash)))?;
            seen.insert(node.clone());
        }
        let need = need(&statement);
        if seen.len() < need {
            return Err(StatementError::TooFew { key: statement.key_id, have: seen.len(), need });
        }
        Ok(statement)
    }

    /// Verifies a certificate: signatures of *all* members under their pinned keys.
    pub fn from_certificate(envelope: &pb::Envelope, pinned: &dyn NodeKeys) -> Result<Self, StatementError> {
        Self::verified(envelope, pinned, |statement| statement.nodes.len())
    }

    /// Verifies an attestation: signatures of at least `signers_required` members under their pinned keys.
    pub fn from_attestation(envelope: &pb::Envelope, pinned: &dyn NodeKeys) -> Result<Self, StatementError> {
        Self::verified(envelope, pinned, |statement| usize::from(statement.size.signers_required()))
    }
}

/// Verifies a node's signature under the identity that it has, or under one that it had and that counts here. The error is the present one's.
pub fn verify(
    opened: &Opened<'_>,
    node: &NodeId,
    (key, former): (PublicKey, &[PublicKey]),
) -> Result<(), EnvelopeError> {
    let refused = match opened.verify(node.as_str(), &key) {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    if former.iter().any(|former| opened.verify(node.as_str(), former).is_ok()) { Ok(()) } else { Err(refused) }
}

/// Puts the members' signatures over the same statement into one envelope. `None` if there is none or their bytes differ.
pub fn combine(statements: &[pb::Envelope]) -> Option<pb::Envelope> {
    let mut combined = statements.first()?.clone();
    for other in statements.iter().skip(1) {
        if other.payload_type != combined.payload_type || other.payload != combined.payload {
            return None;
        }
        for signature in &other.signatures {
            if combined.signatures.iter().all(|have| have.signer != signature.signer) {
                combined.signatures.push(signature.clone());
            }
        }
    }
    combined.signatures.sort_by(|a, b| a.signer.cmp(&b.signer));
    Some(combined)
}
