//! Keys as attested by the signers themselves: a lying coordinator cannot swap an address.
//!
//! The coordinator only carries certificates. What counts is that at least `signers_required` pinned nodes have signed the
//! same statement, that no key needs fewer signers than this client's owner accepts, and that a public key never changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use limen_chain::{DerivationPath, Point, address, derive_public};
use limen_wire::effects::{Address, ChainId};
use limen_wire::identities::{FormerIdentities, NodeKeys};
use limen_wire::ids::{ClusterId, KeyId, NodeId, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::error::Untrue;

#[cfg(test)]
mod tests;

/// Whom a client believes about keys. Comes from its owner, never over the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTrust {
    /// The cluster.
    pub cluster: ClusterId,
    /// Pinned public keys of the signers.
    pub nodes: BTreeMap<NodeId, PublicKey>,
    /// Keys that fewer signers than this can use are not believed: a few corrupt nodes could state any such key.
    pub min_signers_required: u8,
    /// Keys that live in one token, by their signer: that one signer's word is believed of these, and of no others.
    pub hsm_keys: BTreeMap<KeyId, NodeId>,
    /// Identities that signers had, and what of their statements goes on.
    pub former: FormerIdentities,
}

impl NodeKeys for KeyTrust {
    fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        self.nodes.get(node).copied()
    }
    fn former_keys(&self, node: &NodeId, statement: &[u8; 32]) -> Vec<PublicKey> {
        self.former.keys(node, statement)
    }
}

/// Verified key statements, remembered by name.
#[derive(Debug)]
pub struct KeyDirectory {
    trust: KeyTrust,
    known: Mutex<BTreeMap<KeyId, KeyStatement>>,
}

impl KeyDirectory {
    /// An empty directory.
    pub const fn new(trust: KeyTrust) -> Self {
        Self { trust, known: Mutex::new(BTreeMap::new()) }
    }

    /// The verified statement, if this key was admitted before.
    pub fn known(&self, key: &KeyId) -> Option<KeyStatement> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Verifies a certificate for `key` and remembers it. A newer epoch may come, another public key never.
    pub fn admit(&self, key: &KeyId, certificate: &pb::Envelope) -> Result<KeyStatement, Untrue> {
        let statement = self.verify(key, certificate)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.get(key) {
            let same = before.public_key == statement.public_key
                && before.chain_code == statement.chain_code
                && before.scheme == statement.scheme
                && before.was_whole == statement.was_whole;
            if !same {
                return Err(Untrue::KeyChanged { key: key.clone() });
            }
            if before.epoch > statement.epoch {
                return Ok(before.clone());
            }
        }
        known.insert(key.clone(), statement.clone());
        Ok(statement)
    }

    fn verify(&self, key: &KeyId, certificate: &pb::Envelope) -> Result<KeyStatement, Untrue> {
        let statement = KeyStatement::from_attestation(certificate, &self.trust)
            .map_err(|source| Untrue::Certificate { key: key.clone(), source })?;
        let other =
            |what, found: String, expected: String| Err(Untrue::OtherKey { key: key.clone(), what, found, expected });
        if statement.key_id != *key {
            return other("key", statement.key_id.to_string(), key.to_string());
        }
        if statement.cluster != self.trust.cluster {
            return other("cluster", statement.cluster.to_string(), self.trust.cluster.to_string());
        }
        if !statement.protocol.is_threshold() {
            // Every signer could state such a key, of any name.
            return match self.trust.hsm_keys.get(key) {
                Some(node) if statement.nodes == [node.clone()] => Ok(statement),
                _ => Err(Untrue::OutsideThePromise { key: key.clone() }),
            };
        }
        if let Some(node) = self.trust.hsm_keys.get(key) {
            let expected = format!("hsm, in the token of {node}");
            return other("protocol", statement.protocol.to_string(), expected);
        }
        let (found, least) = (statement.size.signers_required(), self.trust.min_signers_required);
        if found < least {
            return Err(Untrue::TooFewRequired { key: key.clone(), found, least });
        }
        Ok(statement)
    }
}

/// The public key below a verified key along non-hardened steps: SEC 1 compressed (33 bytes), Ed25519 (32) or x-only (32).
pub fn child_public_key(statement: &KeyStatement, path: &[u32]) -> Result<Vec<u8>, Untrue> {
    if path.is_empty() {
        return Ok(statement.public_key.clone());
    }
    let path = DerivationPath::new(path.to_vec())?;
    let child = derive_public(&point(statement)?, &statement.chain_code, &path)?;
    Ok(child.public_key.to_key(statement.scheme).to_vec())
}

fn point(statement: &KeyStatement) -> Result<Point, Untrue> {
    to_point(statement.scheme, &statement.public_key)
}

/// The checked point; x-only keys stand for the point with even y (BIP-340 `lift_x`).
pub(crate) fn to_point(scheme: Scheme, public_key: &[u8]) -> Result<Point, Untrue> {
    Point::of_key(scheme, public_key).map_err(|error| Untrue::malformed("public_key", error))
}

/// The receive address on a chain below a verified key.
pub fn receive_address(statement: &KeyStatement, path: &[u32], chain: &ChainId) -> Result<Address, Untrue> {
    Ok(address(chain, statement.scheme, &child_public_key(statement, path)?)?)
}
