//! Whether a key may be made, or handed over, as ordered.

use limen_wire::handover::{KeyHandover, statement_hash};
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId, Protocol, Scheme};
use limen_wire::intent::KeyGeneration;
use limen_wire::statement::KeyStatement;

use crate::charter::held::HeldKeyError;
use crate::charter::key_state::{KeyState, KeyStateError};
use crate::charter::{Charter, Duty};

/// Why a key order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyOrderError {
    /// Meant for another cluster.
    #[error("the order is for cluster {found}, this is {expected}")]
    WrongCluster {
        /// This cluster.
        expected: String,
        /// The order's.
        found: String,
    },
    /// Not somebody who may order keys.
    #[error("requester {0} is not enrolled with the duty \"keys\"")]
    NotPermitted(String),
    /// A member that the charter does not know.
    #[error("node {0} is not in the charter")]
    UnknownNode(NodeId),
    /// The charter says something else of keys in tokens.
    #[error(transparent)]
    Held(#[from] HeldKeyError),
    /// The charter says that the key is out of use.
    #[error(transparent)]
    State(#[from] KeyStateError),
    /// An order about another key than its present certificate.
    #[error("the order is about key {found}, the certificate with it about {expected}")]
    OtherKey {
        /// The certificate's.
        expected: KeyId,
        /// The order's.
        found: KeyId,
    },
    /// Made for other shares than those of the certificate with it.
    #[error("the order is not for the shares of key {key} that were certified for epoch {epoch}: order it anew")]
    OtherPresent {
        /// The key.
        key: KeyId,
        /// The certificate's.
        epoch: Epoch,
    },
    /// The present key has no shares, or the protocol does not sign for its scheme.
    #[error("a {scheme} key of protocol {old} cannot be handed over to {new}")]
    Protocol {
        /// What the key signs.
        scheme: Scheme,
        /// How it signs now.
        old: Protocol,
        /// How it is to sign.
        new: Protocol,
    },
    /// Its custodians were counted for keys that need more signers.
    #[error(
        "key {key} is ordered for {found} signers, and the charter's [[backups]] of its vault count custodians for {needed}: order it for \
         {needed} or more"
    )]
    TooFewForBackups {
        /// The key.
        key: KeyId,
        /// As ordered.
        found: u8,
        /// As the charter has it.
        needed: u8,
    },
    /// The charter does not name this key as one that comes in.
    #[error(
        "key {key} is ordered as an import of {scheme} public key {public_key}, and the charter names no such import: name key, scheme and \
         public key under [[imports]]"
    )]
    ImportNotNamed {
        /// The name that it is to have.
        key: KeyId,
        /// As ordered.
        scheme: Scheme,
        /// As ordered, in hexadecimal.
        public_key: String,
    },
    /// The name is kept for a key that comes in.
    #[error(
        "key {key} is ordered to be made, and the charter keeps that name under [[imports]] for one that comes in: choose another name"
    )]
    NameOfImport {
        /// The name.
        key: KeyId,
    },
    /// Neither the present committee nor one that the charter names.
    #[error(
        "key {key} may be handed over to its present committee, or to one that the charter names under [[committees]]; {size} of {} \
         is neither", .nodes.join(", ")
    )]
    NotThisCommittee {
        /// The key.
        key: KeyId,
        /// As ordered.
        size: CommitteeSize,
        /// As ordered.
        nodes: Vec<String>,
    },
}

/// Checks an order for new shares against the present certificate: everything but signatures, expiry and whether the certificate
/// is the present one. Who may order keys may have shares refreshed; to whom else a key goes is the charter's word, which people
/// have signed.
pub fn check_handover(charter: &Charter, order: &KeyHandover, present: &KeyStatement) -> Result<(), KeyOrderError> {
    for found in [&order.cluster, &present.cluster] {
        if *found != charter.cluster {
            let (expected, found) = (charter.cluster.to_string(), found.to_string());
            return Err(KeyOrderError::WrongCluster { expected, found });
        }
    }
    if charter.requester(&order.requester, Duty::Keys).is_none() {
        return Err(KeyOrderError::NotPermitted(order.requester.to_string()));
    }
    if order.key_id != present.key_id {
        return Err(KeyOrderError::OtherKey { expected: present.key_id.clone(), found: order.key_id.clone() });
    }
    if order.present != statement_hash(&present.to_payload()) {
        return Err(KeyOrderError::OtherPresent { key: present.key_id.clone(), epoch: present.epoch });
    }
    if !present.protocol.is_threshold() || !order.protocol.is_threshold() || !order.protocol.supports(present.scheme) {
        let (scheme, old, new) = (present.scheme, present.protocol, order.protocol);
        return Err(KeyOrderError::Protocol { scheme, old, new });
    }
    if let Some(unknown) = order.nodes.iter().find(|node| charter.node(node).is_none()) {
        return Err(KeyOrderError::UnknownNode(unknown.clone()));
    }
    charter.check_held(&order.key_id, order.protocol, present.scheme, &order.nodes)?;
    check_backups(charter, &order.key_id, order.size)?;
    // Any other key keeps its shares, and older copies of those are worth less for every refresh.
    if charter.key_state(&order.key_id) == Some(KeyState::Destroyed) {
        charter.check_key_in_use(&order.key_id)?;
    }
    let is_same = order.nodes == present.nodes && order.size == present.size;
    let is_named = || {
        let named = charter.committees.get(&order.key_id);
        named.is_some_and(|named| named.nodes == order.nodes && named.size == order.size)
    };
    if is_same || is_named() {
        return Ok(());
    }
    let nodes = order.nodes.iter().map(ToString::to_string).collect();
    Err(KeyOrderError::NotThisCommittee { key: order.key_id.clone(), size: order.size, nodes })
}

/// Checks everything but the signature, the expiry and whether the name is free: those need state or time.
pub fn check(charter: &Charter, order: &KeyGeneration) -> Result<(), KeyOrderError> {
    if order.cluster != charter.cluster {
        let (expected, found) = (charter.cluster.to_string(), order.cluster.to_string());
        return Err(KeyOrderError::WrongCluster { expected, found });
    }
    if charter.requester(&order.requester, Duty::Keys).is_none() {
        return Err(KeyOrderError::NotPermitted(order.requester.to_string()));
    }
    match order.nodes.iter().find(|node| charter.node(node).is_none()) {
        Some(unknown) => Err(KeyOrderError::UnknownNode(unknown.clone())),
        None => {
            charter.check_held(&order.key_id, order.protocol, order.scheme, &order.nodes)?;
            charter.check_key_in_use(&order.key_id)?;
            check_import(charter, order)?;
            check_backups(charter, &order.key_id, order.size)
        }
    }
}

/// A key that somebody has had whole comes in only as the people who sign the charter have named it.
fn check_import(charter: &Charter, order: &KeyGeneration) -> Result<(), KeyOrderError> {
    let named = charter.imports.get(&order.key_id);
    let Some(imported) = &order.imported else {
        return match named {
            Some(named) => Err(KeyOrderError::NameOfImport { key: named.key.clone() }),
            None => Ok(()),
        };
    };
    if named.is_some_and(|named| named.scheme == order.scheme && named.public_key == imported.public_key) {
        return Ok(());
    }
    let (key, scheme) = (order.key_id.clone(), order.scheme);
    Err(KeyOrderError::ImportNotNamed { key, scheme, public_key: hex::encode(&imported.public_key) })
}

/// Custodians are counted for keys that so many signers can use: with fewer, fewer people would have the key.
fn check_backups(charter: &Charter, key: &KeyId, size: CommitteeSize) -> Result<(), KeyOrderError> {
    let (found, needed) =
        (size.signers_required(), charter.backups_of(key).map_or(0, |backups| backups.signers_required));
    if found >= needed {
        return Ok(());
    }
    Err(KeyOrderError::TooFewForBackups { key: key.clone(), found, needed })
}
