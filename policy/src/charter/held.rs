//! Keys that live wholly in one token: outside the cluster's promise, and marked so.

use limen_wire::ids::{KeyId, NodeId, Protocol, Scheme, VaultId};

use super::Charter;
use super::vault::{Tier, Vaults};

/// A key that one signer's token holds, which therefore signs alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The key's name.
    pub id: KeyId,
    /// The signer whose token holds it.
    pub node: NodeId,
    /// What it signs.
    pub scheme: Scheme,
}

/// Why a key is not what the charter says of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeldKeyError {
    /// A key in a token of which the charter says nothing.
    #[error("key {0} lives in one token, and the charter does not mark it under [[hsm_keys]]")]
    Unmarked(KeyId),
    /// A threshold key of a name that belongs to a token.
    #[error("the charter marks {0} under [[hsm_keys]]: no other key has this name")]
    Marked(KeyId),
    /// At another signer, or by several.
    #[error("the charter says that the token of {expected} holds key {key}, and not {found}")]
    OtherNode {
        /// The key.
        key: KeyId,
        /// As the charter says.
        expected: NodeId,
        /// As the order or key says.
        found: String,
    },
    /// Of another scheme.
    #[error("the charter says that key {key} signs by {expected}, and not {found}")]
    OtherScheme {
        /// The key.
        key: KeyId,
        /// As the charter says.
        expected: Scheme,
        /// As the order or key says.
        found: Scheme,
    },
    /// In no vault, or in one that machines pay from.
    #[error("key {key} lives in one token and {}: only a cold vault may have it", place(.vault))]
    NotCold {
        /// The key.
        key: KeyId,
        /// The vault that it is in.
        vault: Option<VaultId>,
    },
}

fn place(vault: &Option<VaultId>) -> String {
    vault.as_ref().map_or_else(|| "belongs to no vault".to_owned(), |vault| format!("vault {vault} is not cold"))
}

impl Charter {
    /// Whether a key is what the charter says of it: a key in a token is marked with its signer and scheme and belongs to a cold
    /// vault, and a threshold key is not marked.
    pub fn check_held(
        &self,
        key: &KeyId,
        protocol: Protocol,
        scheme: Scheme,
        nodes: &[NodeId],
    ) -> Result<(), HeldKeyError> {
        let marked = match (self.hsm_keys.get(key), protocol.is_threshold()) {
            (None, true) => return Ok(()),
            (Some(_), true) => return Err(HeldKeyError::Marked(key.clone())),
            (None, false) => return Err(HeldKeyError::Unmarked(key.clone())),
            (Some(marked), false) => marked,
        };
        if nodes != std::slice::from_ref(&marked.node) {
            let found = nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
            return Err(HeldKeyError::OtherNode { key: key.clone(), expected: marked.node.clone(), found });
        }
        if scheme != marked.scheme {
            return Err(HeldKeyError::OtherScheme { key: key.clone(), expected: marked.scheme, found: scheme });
        }
        check_cold(&self.vaults, key)
    }
}

/// Whether the key belongs to a cold vault.
pub(super) fn check_cold(vaults: &Vaults, key: &KeyId) -> Result<(), HeldKeyError> {
    match vaults.of_key(key) {
        Some(vault) if vault.tier == Tier::Cold => Ok(()),
        vault => Err(HeldKeyError::NotCold { key: key.clone(), vault: vault.map(|vault| vault.id.clone()) }),
    }
}

#[cfg(test)]
mod tests;
