//! The client's configuration: where the coordinator is, who we are, and whom we believe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use limen_wire::identities::{FileFormer, FormerIdentities};
use limen_wire::ids::{ClusterId, KeyId, NodeId, RequesterId};
use limen_wire::keys::PublicKey;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::keys::KeyTrust;

/// The version of the file format.
pub const VERSION: u32 = 1;

/// Everything a client needs to know. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Version of the format: 1.
    pub version: u32,
    /// The cluster's name; everything signed carries it.
    pub cluster: ClusterId,
    /// Who we are, as enrolled in the charter.
    pub requester: RequesterId,
    /// The coordinator as `host:port`.
    pub endpoint: String,
    /// The name that the coordinator's certificate carries.
    pub server_name: String,
    /// The authority behind the coordinator's certificate, PEM.
    pub ca: PathBuf,
    /// Our certificate for the connection, PEM.
    pub cert: PathBuf,
    /// The key of that certificate, PKCS#8 PEM.
    pub key: PathBuf,
    /// The enrolled key that signs intents, PKCS#8 PEM (Ed25519 or P-256).
    pub envelope_key: PathBuf,
    /// Keys that fewer signers than this can use are not believed.
    pub min_signers_required: u8,
    /// The signers with the public keys we have been given for them, out of band.
    pub nodes: Vec<PinnedNode>,
    /// Keys that live in one token, outside the cluster's promise: only those named here are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hsm_keys: Vec<HsmKey>,
    /// Identities that signers had, and what of their statements goes on, as the charter says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_identities: Vec<FileFormer>,
    /// Chains that this client talks to itself, by CAIP-2 name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chains: BTreeMap<String, ChainAccess>,
}

/// A signer that we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedNode {
    /// Its name.
    pub id: NodeId,
    /// Its public key, `p256:HEX` or `ed25519:HEX`.
    pub public_key: PublicKey,
    /// Where it listens, as `host:port`: stop records go there directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A key that lives in one token, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmKey {
    /// The key.
    pub id: KeyId,
    /// The signer whose token holds it.
    pub node: NodeId,
}

/// How to reach a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainAccess {
    /// JSON-RPC address, `http://host:port`.
    pub rpc: String,
}

impl ClientConfig {
    /// Reads a TOML file and makes its paths absolute or relative to the working directory.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown(), source })?;
        let content = |reason: String| ConfigError::Content { path: shown(), reason };
        let mut config: Self = toml::from_str(&text).map_err(|error| content(error.to_string()))?;
        if config.version != VERSION {
            return Err(content(format!("version {} is not known here; {VERSION} is", config.version)));
        }
        if config.min_signers_required < 2 {
            return Err(content("min_signers_required must be 2 or more: one signer alone is no threshold".to_owned()));
        }
        FormerIdentities::read(config.former_identities.clone()).map_err(|error| content(error.to_string()))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for file in [&mut config.ca, &mut config.cert, &mut config.key, &mut config.envelope_key] {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    /// Whom we believe about keys.
    pub fn trust(&self) -> KeyTrust {
        KeyTrust {
            cluster: self.cluster.clone(),
            nodes: self.nodes.iter().map(|node| (node.id.clone(), node.public_key)).collect(),
            min_signers_required: self.min_signers_required,
            hsm_keys: self.hsm_keys.iter().map(|key| (key.id.clone(), key.node.clone())).collect(),
            former: FormerIdentities::read(self.former_identities.clone()).unwrap_or_default(),
        }
    }
}
