//! Fixed keys for tests.

use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::keys::SigningKey;

/// A P-256 key, as nodes have it.
pub(crate) fn p256(seed: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

/// An Ed25519 key.
pub(crate) fn ed25519(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

pub(crate) fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}
