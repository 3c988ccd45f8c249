//! What a verifier pins: the cluster's name, its nodes' keys, and the committee that makes a checkpoint final.
//!
//! ```toml
//! version = 1
//! cluster = "prod"
//!
//! [committee]
//! members = ["signer-1", "signer-2", "signer-3", "witness-1"]
//! quorum = 3
//! max_corrupt = 1
//!
//! [[nodes]]
//! id = "signer-1"
//! public_key = "p256:02…"
//! ```
//!
//! Take it from somebody who took part in the genesis ceremony, never from whom you got the receipt.

use std::collections::BTreeMap;

use limen_wire::identities::{FileFormer, FormerError, FormerIdentities, NodeKeys};
use limen_wire::ids::{ClusterId, IdError, KeyId, NodeId};
use limen_wire::keys::{KeyError, PublicKey};
use serde::Deserialize;

use crate::checkpoint::{Committee, CommitteeError};

/// Longest trust file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Why a trust file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Longer than [`MAX_BYTES`].
    #[error("the trust file has {found} bytes, at most {MAX_BYTES} are read")]
    TooLong {
        /// Its size.
        found: usize,
    },
    /// Not TOML, a key missing, or one that nobody knows.
    #[error("the trust file is not in its form: {0}")]
    Toml(String),
    /// Another version of the format.
    #[error("the trust file is of version {0}; this release reads version 1")]
    Version(u32),
    /// A name.
    #[error("in the trust file: {0}")]
    Name(#[from] IdError),
    /// A node's key.
    #[error("in the trust file, public_key of node {node}: {source}")]
    Key {
        /// Whose.
        node: NodeId,
        /// What is wrong.
        source: KeyError,
    },
    /// A node twice, or two with one key.
    #[error("in the trust file: node {node} stands there twice, or shares its key with another node")]
    Twice {
        /// Which.
        node: NodeId,
    },
    /// A member of the committee without a key.
    #[error("in the trust file: {node} is in the committee, but there is no [[nodes]] entry with its key")]
    Unknown {
        /// Which.
        node: NodeId,
    },
    /// The committee.
    #[error("in the trust file: {0}")]
    Committee(#[from] CommitteeError),
    /// Identities that signers had.
    #[error("in the trust file: {0}")]
    Former(#[from] FormerError),
}

/// What a verifier pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    cluster: ClusterId,
    nodes: BTreeMap<NodeId, PublicKey>,
    committee: Committee,
    /// Keys that live in one token, by their signer.
    hsm_keys: BTreeMap<KeyId, NodeId>,
    /// Identities that signers had, and what of their statements goes on.
    former: FormerIdentities,
}

impl NodeKeys for Trust {
    fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        Self::node_key(self, node)
    }
    fn former_keys(&self, node: &NodeId, statement: &[u8; 32]) -> Vec<PublicKey> {
        self.former.keys(node, statement)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    cluster: String,
    committee: FileCommittee,
    nodes: Vec<FileNode>,
    #[serde(default)]
    hsm_keys: Vec<FileHsmKey>,
    #[serde(default)]
    former_identities: Vec<FileFormer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHsmKey {
    id: String,
    node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCommittee {
    members: Vec<String>,
    quorum: usize,
    max_corrupt: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    id: String,
    public_key: String,
}

impl Trust {
    /// From nodes with their pinned keys, all different, and the committee among them: see [`Committee::new`].
    pub fn new(
        cluster: ClusterId,
        nodes: impl IntoIterator<Item = (NodeId, PublicKey)>,
        committee: impl IntoIterator<Item = NodeId>,
        quorum: usize,
        max_corrupt: usize,
    ) -> Result<Self, TrustError> {
        let mut pinned: BTreeMap<NodeId, PublicKey> = BTreeMap::new();
        for (node, key) in nodes {
            if pinned.contains_key(&node) || pinned.values().any(|other| *other == key) {
                return Err(TrustError::Twice { node });
            }
            pinned.insert(node, key);
        }
        let mut members = Vec::new();
        for node in committee {
            let key = pinned.get(&node).ok_or_else(|| TrustError::Unknown { node: node.clone() })?;
            members.push((node, *key));
        }
        let committee = Committee::new(&cluster, members, quorum, max_corrupt)?;
        Ok(Self { cluster, nodes: pinned, committee, hsm_keys: BTreeMap::new(), former: FormerIdentities::default() })
    }

    /// Believes these keys, which live in one token each, by the word of that one signer. Every signer could state such a key of
    /// any name, so receipts of no others are taken.
    #[must_use]
    pub fn with_hsm_keys(self, keys: impl IntoIterator<Item = (KeyId, NodeId)>) -> Self {
        Self { hsm_keys: keys.into_iter().collect(), ..self }
    }

    /// Believes statements of keys that signers made under identities that they had.
    #[must_use]
    pub fn with_former_identities(self, former: FormerIdentities) -> Self {
        Self { former, ..self }
    }

    /// The signer whose token holds this key.
    pub fn hsm_key(&self, key: &KeyId) -> Option<&NodeId> {
        self.hsm_keys.get(key)
    }

    /// Reads a trust file.
    pub fn from_toml(text: &str) -> Result<Self, TrustError> {
        if text.len() > MAX_BYTES {
            return Err(TrustError::TooLong { found: text.len() });
        }
        let file: File = toml::from_str(text).map_err(|error| TrustError::Toml(error.to_string()))?;
        if file.version != 1 {
            return Err(TrustError::Version(file.version));
        }
        let mut nodes = Vec::new();
        for FileNode { id, public_key } in file.nodes {
            let node = NodeId::new(id)?;
            let key = public_key.parse().map_err(|source| TrustError::Key { node: node.clone(), source })?;
            nodes.push((node, key));
        }
        let FileCommittee { members, quorum, max_corrupt } = file.committee;
        let members: Result<Vec<NodeId>, IdError> = members.into_iter().map(NodeId::new).collect();
        let trust = Self::new(ClusterId::new(file.cluster)?, nodes, members?, quorum, max_corrupt)?;
        let keys = file.hsm_keys.into_iter().map(|key| Ok((KeyId::new(key.id)?, NodeId::new(key.node)?)));
        let former = FormerIdentities::read(file.former_identities)?;
        Ok(trust.with_hsm_keys(keys.collect::<Result<Vec<_>, IdError>>()?).with_former_identities(former))
    }

    /// The file that [`Trust::from_toml`] reads.
    pub fn to_toml(&self) -> String {
        let members: Vec<String> = self.committee.members().map(|member| format!("\"{member}\"")).collect();
        let mut text = format!(
            "version = 1\ncluster = \"{}\"\n\n[committee]\nmembers = [{}]\nquorum = {}\nmax_corrupt = {}\n",
            self.cluster,
            members.join(", "),
            self.committee.quorum(),
            self.committee.max_corrupt()
        );
        for (node, key) in &self.nodes {
            text.push_str(&format!("\n[[nodes]]\nid = \"{node}\"\npublic_key = \"{key}\"\n"));
        }
        for (key, node) in &self.hsm_keys {
            text.push_str(&format!("\n[[hsm_keys]]\nid = \"{key}\"\nnode = \"{node}\"\n"));
        }
        text.push_str(&self.former.to_toml());
        text
    }

    /// The cluster.
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }
    /// The key pinned for a node.
    pub fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        self.nodes.get(node).copied()
    }
    /// Who makes checkpoints final.
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }
}
