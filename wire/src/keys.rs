//! Keys that sign envelopes and name machines: Ed25519 for requesters, P-256 for nodes (what HSMs and TLS both have).
//!
//! These are identities, not custody keys. Text form of a public key: `ed25519:` or `p256:` and lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use p256::pkcs8::DecodePrivateKey as _;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::IdError;

/// A public key that verifies envelope signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PublicKey {
    /// RFC 8032; verified strictly (no small-order keys, canonical encodings only).
    Ed25519(ed25519_dalek::VerifyingKey),
    /// FIPS 186-5 ECDSA with SHA-256 over P-256; signatures are `r ‖ s`, 64 bytes, low-S only.
    P256(p256::ecdsa::VerifyingKey),
}

/// A private key that signs envelopes. Unprintable; wiped on drop by the crates that hold it.
pub enum SigningKey {
    /// Ed25519.
    Ed25519(ed25519_dalek::SigningKey),
    /// P-256.
    P256(p256::ecdsa::SigningKey),
}

/// Why a key could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `ed25519:hex` or `p256:hex`.
    #[error("a public key is written ed25519:HEX (32 bytes) or p256:HEX (33 bytes, compressed); found {found:?}")]
    BadText {
        /// The text, cut to 100 characters.
        found: String,
    },
    /// The bytes are no point of the curve, or a weak one.
    #[error("these bytes are not a usable {curve} public key")]
    BadPoint {
        /// Which curve.
        curve: &'static str,
    },
    /// A private key file is not what it should be.
    #[error("this is not a PKCS#8 PEM private key for Ed25519 or P-256")]
    BadPrivateKey,
}

impl From<KeyError> for IdError {
    fn from(error: KeyError) -> Self {
        Self::BadBytes { what: "public key", expected: 33, found: error.to_string() }
    }
}

impl PublicKey {
    /// From 32 bytes (RFC 8032). Refuses points of small order.
    pub fn from_ed25519_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bad = KeyError::BadPoint { curve: "Ed25519" };
        let array = <[u8; 32]>::try_from(bytes).map_err(|_| bad.clone())?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&array).map_err(|_| bad.clone())?;
        if key.is_weak() { Err(bad) } else { Ok(Self::Ed25519(key)) }
    }

    /// From a SEC 1 point, compressed or not.
    pub fn from_p256_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
            .map(Self::P256)
            .map_err(|_| KeyError::BadPoint { curve: "P-256" })
    }

    /// Whether the signature is this key's over the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            // High-S is refused: an envelope has one signature per signer, not two spellings of it.
            Self::P256(key) => {
                p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| signature.normalize_s().is_none())
                    && verify_p256(key, message, signature)
            }
        }
    }

    /// Whether the signature is this key's over the message, as WebAuthn writes it (level 3, section 6.5.5): P-256 in DER with
    /// either S, because authenticators do not care; Ed25519 as in [`PublicKey::verify`].
    pub fn verify_assertion(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(_) => self.verify(message, signature),
            Self::P256(key) => {
                let point = key.to_encoded_point(false);
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.as_bytes());
                key.verify(message, signature).is_ok()
            }
        }
    }

    /// The point in its short form: 32 bytes for Ed25519, 33 (compressed) for P-256.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.to_bytes().to_vec(),
            Self::P256(key) => key.to_encoded_point(true).as_bytes().to_vec(),
        }
    }

    /// DER `SubjectPublicKeyInfo` (RFC 5280), as it stands in a certificate: what TLS pins compare.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // Fixed prefixes: both key types have exactly one encoding (RFC 8410 section 4; RFC 5480 section 2).
        const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        const P256: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        match self {
            Self::Ed25519(key) => [ED25519.as_slice(), &key.to_bytes()].concat(),
            Self::P256(key) => [P256.as_slice(), key.to_encoded_point(false).as_bytes()].concat(),
        }
    }
}

/// By `ring`, which takes a fifth of the time that `p256` does: every signer verifies the envelope of every request.
fn verify_p256(key: &p256::ecdsa::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    let point = key.to_encoded_point(false);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.as_bytes());
    key.verify(message, signature).is_ok()
}

/// A P-256 signature `r ‖ s` as TLS and certificates write it: DER (RFC 3279, section 2.2.3). `None` for numbers that are in no
/// signature.
pub fn p256_signature_der(signature: &[u8; 64]) -> Option<Vec<u8>> {
    p256::ecdsa::Signature::from_slice(signature).ok().map(|signature| signature.to_der().as_bytes().to_vec())
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ed25519(_) => "ed25519",
            Self::P256(_) => "p256",
        };
        write!(f, "{name}:{}", hex::encode(self.to_bytes()))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::BadText { found: text.chars().take(100).collect() };
        let (kind, digits) = text.split_once(':').ok_or_else(bad)?;
        let bytes = hex::decode(digits).map_err(|_| bad())?;
        let key = match kind {
            "ed25519" => Self::from_ed25519_bytes(&bytes)?,
            "p256" if bytes.len() == 33 => Self::from_p256_sec1(&bytes)?,
            _ => return Err(bad()),
        };
        // One key has one spelling: neither the compact form of SEC 1 (tag 05) nor capitals.
        if key.to_string() == text { Ok(key) } else { Err(bad()) }
    }
}
impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl SigningKey {
    /// Ed25519 from its 32-byte seed.
    pub fn ed25519_from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// From PKCS#8 PEM, P-256 or Ed25519 (RFC 5958, RFC 8410).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self::P256(key));
        }
        // RFC 8410 version 1: a fixed 16-byte prefix and the seed; version 2 appends the public key.
        const PREFIX: [u8; 16] =
            [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let (label, document) = p256::pkcs8::SecretDocument::from_pem(pem).map_err(|_| KeyError::BadPrivateKey)?;
        let der = document.as_bytes();
        let (prefix, seed) = der.split_at_checked(16).ok_or(KeyError::BadPrivateKey)?;
        let same = |range: std::ops::Range<usize>| prefix.get(range.clone()) == PREFIX.get(range);
        // Lengths and version differ between the two versions; the algorithm and the octet-string headers do not.
        if label != "PRIVATE KEY" || !same(5..16) {
            return Err(KeyError::BadPrivateKey);
        }
        let seed = seed.get(..32).and_then(|seed| <[u8; 32]>::try_from(seed).ok()).ok_or(KeyError::BadPrivateKey)?;
        Ok(Self::ed25519_from_seed(&Zeroizing::new(seed)))
    }

    /// Signs; P-256 is deterministic (RFC 6979) and low-S.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.normalize_s().unwrap_or(signature).to_bytes().into()
            }
        }
    }

    /// The key that verifies.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_key())
    }
}
