//! Keys that cosign checkpoints, and what exactly they sign.
//!
//! Ed25519 keys make `cosignature/v1` (C2SP tlog-cosignature, type 0x04). Nodes whose identity is a P-256 key, as hardware
//! and TLS have it, make [`P256_TYPE`]: the same statement under a name of its own, in the range that signed-note keeps for
//! types without a number (0xff and a name). The two differ in nothing else.

use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::keys::PublicKey;
use sha2::{Digest, Sha256};

use super::cosigner_name;
use super::note::{self, NoteError, NoteSignature};

/// Header line of the signed message, and name of the signature type, for P-256 keys.
pub const P256_TYPE: &str = "limen/cosignature-p256/v1";
/// Header line of the signed message for Ed25519 keys.
const ED25519_HEADER: &str = "cosignature/v1";
/// Type byte of Ed25519 cosignatures.
const ED25519_TYPE: u8 = 0x04;
/// Type byte of what has a name instead of a number.
const NAMED_TYPE: u8 = 0xff;
/// The latest time that a cosignature can name.
const MAX_SECS: u64 = i64::MAX as u64;

/// Why a cosignature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// Not a time and 64 bytes.
    #[error("the cosignature of {name} is not a time and a signature of 64 bytes")]
    Shape {
        /// Whose.
        name: String,
    },
    /// A time that no cosignature can have.
    #[error("{secs} s since 1970 is no time of a cosignature: 1 to 2^63 - 1 is")]
    Time {
        /// The time.
        secs: u64,
    },
    /// It does not verify.
    #[error("the cosignature of {name} does not verify under the key pinned for it")]
    Bad {
        /// Whose.
        name: String,
    },
}

/// A key that cosigns: its name, its short id and itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    key_id: [u8; 4],
    key: PublicKey,
}

impl Cosigner {
    /// Checks the name and computes the id: the first four bytes of `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`.
    pub fn new(name: impl Into<String>, key: PublicKey) -> Result<Self, NoteError> {
        let name = name.into();
        note::check_name(&name)?;
        let digest =
            Sha256::new().chain_update(name.as_bytes()).chain_update(b"\n").chain_update(type_and_key(&key)).finalize();
        let key_id = digest.first_chunk::<4>().copied().unwrap_or_default();
        Ok(Self { name, key_id, key })
    }

    /// The cosigner that a node is.
    pub fn of_node(cluster: &ClusterId, node: &NodeId, key: PublicKey) -> Result<Self, NoteError> {
        Self::new(cosigner_name(cluster, node), key)
    }

    /// The verifier key (vkey) as signed-note writes it, for other readers of checkpoints.
    pub fn verifier_key(&self) -> String {
        format!("{}+{}+{}", self.name, hex::encode(self.key_id), note::encode_base64(&type_and_key(&self.key)))
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The key's short id.
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// Whether a signature line claims to be by this key.
    pub fn claims(&self, signature: &NoteSignature) -> bool {
        signature.name() == self.name && signature.key_id() == self.key_id
    }

    /// Verifies a cosignature over a checkpoint's text. Returns its time, in seconds since 1970.
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Result<u64, CosignatureError> {
        let name = || self.name.clone();
        if !self.claims(signature) {
            return Err(CosignatureError::Bad { name: name() });
        }
        let parts = signature.signature().split_first_chunk::<8>().filter(|(_, signature)| signature.len() == 64);
        let (secs, signature) = parts.ok_or_else(|| CosignatureError::Shape { name: name() })?;
        let secs = check_secs(u64::from_be_bytes(*secs))?;
        if self.key.verify(&message(&self.key, secs, text), signature) {
            Ok(secs)
        } else {
            Err(CosignatureError::Bad { name: name() })
        }
    }

    /// A checkpoint's text, to be signed. Whoever calls has checked that it is consistent: see [`super::Consistent::unsigned`].
    pub(super) fn unsigned(self, secs: u64, text: &str) -> Result<UnsignedCosignature, SignError> {
        let secs = check_secs(secs)?;
        let message = message(&self.key, secs, text);
        Ok(UnsignedCosignature { cosigner: self, secs, message })
    }
}

/// A cosignature that lacks its signature: the key may lie where signing fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is signed yet"]
pub struct UnsignedCosignature {
    cosigner: Cosigner,
    secs: u64,
    message: Vec<u8>,
}

impl UnsignedCosignature {
    /// What the signature covers.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// With the signature over its message by the key that it names.
    pub fn signed(self, signature: &[u8; 64]) -> Result<NoteSignature, SignError> {
        let Self { cosigner, secs, .. } = self;
        Ok(NoteSignature::new(cosigner.name, cosigner.key_id, [&secs.to_be_bytes()[..], signature].concat())?)
    }
}

/// Why a checkpoint could not be cosigned although it is consistent: always the caller's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The name.
    #[error("cosigning a checkpoint: {0}")]
    Name(#[from] NoteError),
    /// The time.
    #[error("cosigning a checkpoint: {0}")]
    Time(#[from] CosignatureError),
}

const fn check_secs(secs: u64) -> Result<u64, CosignatureError> {
    if secs == 0 || secs > MAX_SECS { Err(CosignatureError::Time { secs }) } else { Ok(secs) }
}

/// Signature type and public key, as key ids and verifier keys have them.
fn type_and_key(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Ed25519(_) => [&[ED25519_TYPE][..], &key.to_bytes()].concat(),
        PublicKey::P256(_) => [&[NAMED_TYPE][..], P256_TYPE.as_bytes(), &key.to_bytes()].concat(),
    }
}

/// `header LF "time" SP seconds LF text`.
fn message(key: &PublicKey, secs: u64, text: &str) -> Vec<u8> {
    let header = match key {
        PublicKey::Ed25519(_) => ED25519_HEADER,
        PublicKey::P256(_) => P256_TYPE,
    };
    format!("{header}\ntime {secs}\n{text}").into_bytes()
}
