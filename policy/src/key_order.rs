//! Whether a key may be made as ordered.

use limen_wire::ids::NodeId;
use limen_wire::intent::KeyGeneration;

use crate::charter::held::HeldKeyError;
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
        None => Ok(charter.check_held(&order.key_id, order.protocol, order.scheme, &order.nodes)?),
    }
}
