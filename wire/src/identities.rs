//! Whose signatures count under what signers have stated of keys, also after a signer got another identity.
//!
//! A certificate is signed once and lives as long as its key. A signer's identity may go before that: then the quorum lists what the
//! identity of before has stated, by hash. It counts under these statements and under nothing else, so that whoever has
//! the old key can state nothing new.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::keys::{KeyError, PublicKey};

/// Most former identities that are listed.
pub const MAX_IDENTITIES: usize = 256;
/// Most statements of one former identity.
pub const MAX_STATEMENTS: usize = 1024;

/// What a verifier pins for signers.
pub trait NodeKeys {
    /// The identity that a node has.
    fn node_key(&self, node: &NodeId) -> Option<PublicKey>;

    /// Identities that it had, and that count under the statement of this hash ([`crate::handover::statement_hash`]).
    fn former_keys(&self, _node: &NodeId, _statement: &[u8; 32]) -> Vec<PublicKey> {
        Vec::new()
    }
}

impl<F: Fn(&NodeId) -> Option<PublicKey>> NodeKeys for F {
    fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        self(node)
    }
}

/// Why a list of former identities is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormerError {
    /// A key that cannot be read.
    #[error("former identity of {node}: {source}")]
    Key {
        /// Whose.
        node: NodeId,
        /// Why.
        source: KeyError,
    },
    /// Not the hash of a statement.
    #[error(
        "former identity of {node}: {found:?} is no hash of a statement: 64 digits in lower-case hexadecimal, as `limen-node former-identity` writes them"
    )]
    Statement {
        /// Whose.
        node: NodeId,
        /// What stands there.
        found: String,
    },
    /// Twice the same.
    #[error("former identity of {node}: {what} stands there twice")]
    Twice {
        /// Whose.
        node: NodeId,
        /// What.
        what: String,
    },
    /// More than are kept.
    #[error("up to {MAX_IDENTITIES} former identities with up to {MAX_STATEMENTS} statements each are possible")]
    TooMany,
}

/// An identity that a signer had, in the text forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFormer {
    /// Whose it was.
    pub node: NodeId,
    /// Its public key.
    pub public_key: String,
    /// SHA-256 of the statements that it signed and that go on, in lower-case hexadecimal.
    #[serde(default)]
    pub statements: Vec<String>,
}

/// An identity that a signer had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerIdentity {
    /// Whose it was.
    pub node: NodeId,
    /// Its public key.
    pub public_key: PublicKey,
    /// SHA-256 of the statements that it signed and that go on.
    pub statements: BTreeSet<[u8; 32]>,
}

impl FormerIdentity {
    fn read(raw: FileFormer) -> Result<Self, FormerError> {
        let node = raw.node;
        let public_key = raw.public_key.parse().map_err(|source| FormerError::Key { node: node.clone(), source })?;
        if raw.statements.len() > MAX_STATEMENTS {
            return Err(FormerError::TooMany);
        }
        let mut statements = BTreeSet::new();
        for found in raw.statements {
            let mut hash = [0; 32];
            let is_lower = found.bytes().all(|digit| !digit.is_ascii_uppercase());
            if !is_lower || hex::decode_to_slice(&found, &mut hash).is_err() {
                return Err(FormerError::Statement { node, found });
            }
            if !statements.insert(hash) {
                return Err(FormerError::Twice { node, what: format!("statement {found}") });
            }
        }
        Ok(Self { node, public_key, statements })
    }
}

/// The identities that signers had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerIdentities(Vec<FormerIdentity>);

impl FromIterator<FormerIdentity> for FormerIdentities {
    fn from_iter<I: IntoIterator<Item = FormerIdentity>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl FormerIdentities {
    /// From the text forms; no key stands there twice.
    pub fn read(raw: Vec<FileFormer>) -> Result<Self, FormerError> {
        if raw.len() > MAX_IDENTITIES {
            return Err(FormerError::TooMany);
        }
        let mut all: Vec<FormerIdentity> = Vec::new();
        for raw in raw {
            let one = FormerIdentity::read(raw)?;
            if all.iter().any(|other| other.public_key == one.public_key) {
                return Err(FormerError::Twice { what: one.public_key.to_string(), node: one.node });
            }
            all.push(one);
        }
        Ok(Self(all))
    }

    /// The same as tables of a TOML file.
    pub fn to_toml(&self) -> String {
        let table = |one: &FormerIdentity| {
            let statements: Vec<String> =
                one.statements.iter().map(|hash| format!("    \"{}\",\n", hex::encode(hash))).collect();
            format!(
                "\n[[former_identities]]\nnode = \"{}\"\npublic_key = \"{}\"\nstatements = [\n{}]\n",
                one.node,
                one.public_key,
                statements.concat()
            )
        };
        self.0.iter().map(table).collect()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &FormerIdentity> {
        self.0.iter()
    }

    /// The former identities of a node that count under the statement of this hash.
    pub fn keys(&self, node: &NodeId, statement: &[u8; 32]) -> Vec<PublicKey> {
        let counts = |one: &&FormerIdentity| one.node == *node && one.statements.contains(statement);
        self.0.iter().filter(counts).map(|one| one.public_key).collect()
    }

    /// Every former identity of a node, for what counts against it and not for it.
    pub fn of(&self, node: &NodeId) -> impl Iterator<Item = PublicKey> {
        self.0.iter().filter(move |one| one.node == *node).map(|one| one.public_key)
    }
}
