//! Keys that were whole somewhere else and may come in, by shares that were dealt outside.

use std::collections::BTreeMap;

use limen_wire::ids::{KeyId, Scheme};

/// One key that may be imported, under this name, with exactly this public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyImport {
    /// The name that it gets here.
    pub key: KeyId,
    /// Which signature it makes.
    pub scheme: Scheme,
    /// Its public key as statements have it: compressed SEC 1 point (33 bytes), Ed25519 point (32) or x-only point (32).
    pub public_key: Vec<u8>,
    /// Why, for those who sign.
    pub reason: String,
}

/// Imports by key.
pub type KeyImports = BTreeMap<KeyId, KeyImport>;

#[cfg(test)]
mod tests;
