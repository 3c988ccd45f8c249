//! A key that was whole before and comes in by shares that were dealt outside: the checked form of `ImportedKey` in `types.proto`.

use bytes::Bytes;

use crate::ids::{CommitteeSize, IntentId, Protocol, Scheme};
use crate::intent::{IntentError, field, invalid};
use crate::pb;

/// What everyone may know of a key that was dealt to its members. Of the right lengths and numbers; whether the bytes are points, and
/// the first one the public key, is for whoever can compute on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedKey {
    /// The public key as statements have it: compressed SEC 1 point (33 bytes), Ed25519 point (32) or x-only point (32).
    pub public_key: Vec<u8>,
    /// Chain code for derivation.
    pub chain_code: [u8; 32],
    /// Coefficient 0, 1, … of the dealt polynomial times the generator, compressed (33 bytes, for Ed25519 32): exactly as many as
    /// signers are required.
    pub commitments: Vec<Vec<u8>>,
}

impl ImportedKey {
    pub(crate) fn from_wire(
        raw: pb::ImportedKey,
        (scheme, protocol): (Scheme, Protocol),
        size: CommitteeSize,
    ) -> Result<Self, IntentError> {
        if !protocol.is_threshold() {
            return Err(invalid("imported", "a key in one token is made there and never imported"));
        }
        if raw.public_key.len() != scheme.public_key_len() {
            let found = raw.public_key.len();
            return Err(invalid("imported.public_key", format!("{found} bytes are no public key for {scheme}")));
        }
        let (found, needed) = (raw.commitments.len(), usize::from(size.signers_required()));
        if found != needed {
            let reason = format!("{found} are given, signers_required asks for exactly {needed}");
            return Err(invalid("imported.commitments", reason));
        }
        let length = if scheme == Scheme::EddsaEd25519 { 32 } else { 33 };
        if raw.commitments.iter().any(|point| point.len() != length) {
            return Err(invalid("imported.commitments", format!("each is a compressed point of {length} bytes")));
        }
        Ok(Self {
            public_key: raw.public_key.to_vec(),
            chain_code: *IntentId::from_slice(&raw.chain_code).map_err(field("imported.chain_code"))?.as_bytes(),
            commitments: raw.commitments.iter().map(|point| point.to_vec()).collect(),
        })
    }

    /// The wire form.
    pub fn to_wire(&self) -> pb::ImportedKey {
        pb::ImportedKey {
            public_key: Bytes::copy_from_slice(&self.public_key),
            chain_code: Bytes::copy_from_slice(&self.chain_code),
            commitments: self.commitments.iter().map(|point| Bytes::copy_from_slice(point)).collect(),
        }
    }
}
