//! Signatures, what is signed, and the check that each signature meets before it leaves.

use limen_wire::ids::{Scheme, tagged_hash};
use sha2::{Digest, Sha256};

use crate::point::Point;

mod ecdsa;

/// Greatest message that EdDSA and BIP-340 keys sign, in bytes.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;

/// How a digest is made of its preimage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PreimageHash {
    /// Keccak-256, as Ethereum uses it.
    Keccak256,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-256 of SHA-256, as Bitcoin uses it.
    DoubleSha256,
}

impl PreimageHash {
    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            Self::Keccak256 => sha3::Keccak256::digest(bytes).into(),
            Self::Sha256 => Sha256::digest(bytes).into(),
            Self::DoubleSha256 => Sha256::digest(Sha256::digest(bytes)).into(),
        }
    }
}

/// What a session signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInput {
    /// The digest that ECDSA signs; whoever calls has computed it from the bytes that were approved.
    Digest([u8; 32]),
    /// The bytes whose digest ECDSA signs: what a presignature needs, as a digest chosen freely by an attacker would let
    /// it forge another signature (ePrint 2021/1330, section 1.1.2). At most [`MAX_MESSAGE_LEN`] bytes.
    Preimage {
        /// How the digest is made.
        hash: PreimageHash,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The message that EdDSA or BIP-340 signs, at most [`MAX_MESSAGE_LEN`] bytes.
    Message(Vec<u8>),
}

impl SignInput {
    /// Whether a key of this scheme can sign it.
    pub fn fits(&self, scheme: Scheme) -> bool {
        match self {
            Self::Digest(_) => scheme.is_ecdsa(),
            Self::Preimage { bytes, .. } => scheme.is_ecdsa() && bytes.len() <= MAX_MESSAGE_LEN,
            Self::Message(bytes) => !scheme.is_ecdsa() && bytes.len() <= MAX_MESSAGE_LEN,
        }
    }
    /// The digest that ECDSA signs; `None` for other schemes' messages.
    pub fn ecdsa_digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Digest(digest) => Some(*digest),
            Self::Preimage { hash, bytes } => Some(hash.digest(bytes)),
            Self::Message(_) => None,
        }
    }
    /// Injective hash, for the session's binding. A preimage and its digest are the same thing to sign.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Digest(digest) => tagged_hash("limen mpc sign digest v1", [&digest[..]]),
            Self::Preimage { hash, bytes } => tagged_hash("limen mpc sign digest v1", [&hash.digest(bytes)[..]]),
            Self::Message(message) => tagged_hash("limen mpc sign message v1", [&message[..]]),
        }
    }
}

/// A finished signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// ECDSA over secp256k1, `s` in the lower half (BIP-62).
    Ecdsa {
        /// `r`, big-endian.
        r: [u8; 32],
        /// `s`, big-endian.
        s: [u8; 32],
        /// Parity of the nonce point's y (bit 0) and whether its x was reduced (bit 1), as SEC 1 section 4.1.6.
        recovery_id: u8,
    },
    /// ECDSA over P-256, `s` in the lower half and with a recovery id like the other curve's: FIPS 186-5 asks for neither, and
    /// one signature has one form. Its own variant, so that no signature of one curve is checked on the other.
    EcdsaP256 {
        /// `r`, big-endian.
        r: [u8; 32],
        /// `s`, big-endian.
        s: [u8; 32],
        /// As SEC 1 section 4.1.6.
        recovery_id: u8,
    },
    /// RFC 8032: `R ‖ S`.
    Ed25519([u8; 64]),
    /// BIP-340: `R.x ‖ s`.
    Bip340([u8; 64]),
}

/// Why a signature is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Key, input and signature belong to different schemes.
    #[error("checking a signature: key, input and signature belong to different schemes")]
    SchemeMismatch,
    /// The equation does not hold, or a value is out of range.
    #[error("checking a signature: it does not verify under the public key")]
    Invalid,
    /// `s` is in the upper half of its range.
    #[error("checking a signature: s is not in the lower half")]
    HighS,
    /// The recovery id gives another key.
    #[error("checking a signature: the recovery id is wrong")]
    WrongRecoveryId,
}

impl Signature {
    /// The signature that a token claims to have made by the key it holds, in the form in which signatures leave here: S in the
    /// lower half, the recovery id found by trying. `r ‖ s` or `R ‖ s`, believed as far as it verifies.
    pub fn of_token(key: &Point, input: &SignInput, claimed: &[u8; 64]) -> Result<Self, VerifyError> {
        let signature = match key {
            Point::Ed25519(_) => Self::Ed25519(*claimed),
            Point::Secp256k1(key) => {
                let digest = input.ecdsa_digest().ok_or(VerifyError::SchemeMismatch)?;
                let (r, s, recovery_id) = ecdsa::k256::of_token(key, &digest, claimed)?;
                Self::Ecdsa { r, s, recovery_id }
            }
            Point::P256(key) => {
                let digest = input.ecdsa_digest().ok_or(VerifyError::SchemeMismatch)?;
                let (r, s, recovery_id) = ecdsa::p256::of_token(key, &digest, claimed)?;
                Self::EcdsaP256 { r, s, recovery_id }
            }
        };
        signature.verify(key, input).map(|()| signature)
    }
    /// Checks the signature with a library that took no part in making it: `k256`, `p256` or `ed25519-dalek`.
    pub fn verify(&self, key: &Point, input: &SignInput) -> Result<(), VerifyError> {
        match (self, key, input) {
            (Self::Ecdsa { r, s, recovery_id }, Point::Secp256k1(key), _) => {
                let digest = input.ecdsa_digest().ok_or(VerifyError::SchemeMismatch)?;
                ecdsa::k256::verify(key, &digest, (r, s), *recovery_id)
            }
            (Self::EcdsaP256 { r, s, recovery_id }, Point::P256(key), _) => {
                let digest = input.ecdsa_digest().ok_or(VerifyError::SchemeMismatch)?;
                ecdsa::p256::verify(key, &digest, (r, s), *recovery_id)
            }
            (Self::Ed25519(signature), Point::Ed25519(key), SignInput::Message(message)) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| VerifyError::Invalid)?;
                let signature = ed25519_dalek::Signature::from_bytes(signature);
                key.verify_strict(message, &signature).map_err(|_| VerifyError::Invalid)
            }
            (Self::Bip340(signature), Point::Secp256k1(key), SignInput::Message(message)) => {
                // BIP-340 keys are x coordinates: the parity byte of the stored point is dropped
                let (_, x) = key.split_first().ok_or(VerifyError::Invalid)?;
                let key = k256::schnorr::VerifyingKey::from_bytes(x).map_err(|_| VerifyError::Invalid)?;
                let signature = k256::schnorr::Signature::try_from(&signature[..]).map_err(|_| VerifyError::Invalid)?;
                key.verify_raw(message, &signature).map_err(|_| VerifyError::Invalid)
            }
            _ => Err(VerifyError::SchemeMismatch),
        }
    }
    /// The 64 bytes `r ‖ s` or `R ‖ s`.
    pub fn to_bytes(&self) -> [u8; 64] {
        match self {
            Self::Ecdsa { r, s, .. } | Self::EcdsaP256 { r, s, .. } => {
                let mut bytes = [0; 64];
                let (left, right) = bytes.split_at_mut(32);
                left.copy_from_slice(r);
                right.copy_from_slice(s);
                bytes
            }
            Self::Ed25519(bytes) | Self::Bip340(bytes) => *bytes,
        }
    }
    /// ECDSA's recovery id, and 0 for the schemes that have none.
    pub const fn recovery_id(&self) -> u8 {
        match self {
            Self::Ecdsa { recovery_id, .. } | Self::EcdsaP256 { recovery_id, .. } => *recovery_id,
            Self::Ed25519(_) | Self::Bip340(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
