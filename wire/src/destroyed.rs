//! A signer's word that a key is destroyed there. Checked form of `KeyDestroyed` in `types.proto`.

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, Opened, PayloadType};
use crate::ids::{CharterHash, ClusterId, Epoch, KekId, KeyId, NodeId};
use crate::intent::{IntentError, check_version, field, invalid};
use crate::{limits, pb};

/// A signer's word that it has erased everything that it held of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDestroyed {
    /// The cluster.
    pub cluster: ClusterId,
    /// Who says it.
    pub node: NodeId,
    /// The key.
    pub key_id: KeyId,
    /// Its public key as the certificate has it: 32 or 33 bytes.
    pub public_key: Vec<u8>,
    /// Generations of which the signer held something, increasing.
    pub epochs: Vec<Epoch>,
    /// The charter that says so.
    pub charter: CharterHash,
    /// Wrapping keys that could open what was erased, were an old copy of the disk found: other keys' shares need them still. Sorted.
    pub wrapping_keys_left: Vec<KekId>,
    /// Milliseconds since 1970 by the signer's clock.
    pub at_ms: u64,
}

impl KeyDestroyed {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::KeyDestroyed)?;
        let raw: pb::KeyDestroyed = opened.decode("key destroyed")?;
        check_version(raw.version)?;
        if !(32..=33).contains(&raw.public_key.len()) {
            return Err(invalid("public_key", format!("{} bytes, 32 or 33 are needed", raw.public_key.len())));
        }
        if raw.epochs.len() > limits::ERASED_EPOCHS || !raw.epochs.is_sorted_by(|one, next| one < next) {
            let reason = format!("up to {} increasing numbers are needed", limits::ERASED_EPOCHS);
            return Err(invalid("epochs", reason));
        }
        let left = raw.wrapping_keys_left;
        if left.len() > limits::ERASED_EPOCHS || !left.is_sorted_by(|one, next| one < next) {
            let reason = format!("up to {} increasing names are needed", limits::ERASED_EPOCHS);
            return Err(invalid("wrapping_keys_left", reason));
        }
        let destroyed = Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            node: NodeId::new(raw.node).map_err(field("node"))?,
            key_id: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            public_key: raw.public_key.to_vec(),
            epochs: raw.epochs.into_iter().map(Epoch).collect(),
            charter: CharterHash::from_slice(&raw.charter_hash).map_err(field("charter_hash"))?,
            wrapping_keys_left: left
                .into_iter()
                .map(KekId::new)
                .collect::<Result<_, _>>()
                .map_err(field("wrapping_keys_left"))?,
            at_ms: raw.at_ms,
        };
        Ok((destroyed, opened))
    }

    /// The payload that is signed.
    pub fn to_payload(&self) -> Vec<u8> {
        let raw = pb::KeyDestroyed {
            version: 1,
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            key_id: self.key_id.to_string(),
            public_key: Bytes::copy_from_slice(&self.public_key),
            epochs: self.epochs.iter().map(|epoch| epoch.0).collect(),
            charter_hash: Bytes::copy_from_slice(self.charter.as_bytes()),
            wrapping_keys_left: self.wrapping_keys_left.iter().map(ToString::to_string).collect(),
            at_ms: self.at_ms,
        };
        raw.encode_to_vec()
    }
}
