//! Non-hardened derivation of child keys: additive, so that signers can follow it without meeting.
//!
//! secp256k1: BIP-32 public derivation. Whoever holds a parent's public key and chain code knows all its children; one
//! child's private key with the parent's chain code gives the parent's, which is why no whole child key ever exists.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{ProjectivePoint, PublicKey, Scalar};
use serde::{Deserialize, Serialize};
use sha2::Sha512;

use crate::point::Point;

/// Greatest number of steps in a path.
pub const MAX_DEPTH: usize = 16;
/// First index of hardened derivation, which needs the whole private key and is therefore impossible here.
const HARDENED: u32 = 1 << 31;

/// Why a path or a child key does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The text is not a path.
    #[error("reading a derivation path: {0:?} is not of the form m/44/60/0 with up to {MAX_DEPTH} steps")]
    BadPath(String),
    /// A step is hardened.
    #[error("reading a derivation path: step {0} is hardened, which a key that never exists whole cannot do")]
    Hardened(u32),
    /// The path is too deep.
    #[error("reading a derivation path: {0} steps are more than {MAX_DEPTH}")]
    TooDeep(usize),
    /// This index has no child (probability below 2^-127): take the next.
    #[error("deriving a child key: index {0} has no child, take the next one")]
    NoChild(u32),
    /// The scheme has no derivation here.
    #[error("deriving a child key: not available for this kind of key")]
    Unsupported,
}

/// A path of non-hardened steps below a key; empty for the key itself. As text: `m/44/60/0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DerivationPath(Vec<u32>);

impl DerivationPath {
    /// The key itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }
    /// Checks that no step is hardened and that there are at most [`MAX_DEPTH`].
    pub fn new(steps: Vec<u32>) -> Result<Self, DeriveError> {
        if let Some(step) = steps.iter().find(|step| **step >= HARDENED) {
            return Err(DeriveError::Hardened(*step));
        }
        if steps.len() > MAX_DEPTH {
            return Err(DeriveError::TooDeep(steps.len()));
        }
        Ok(Self(steps))
    }
    /// The steps, from the root.
    pub fn steps(&self) -> &[u32] {
        &self.0
    }
    /// Big-endian steps one after the other: injective, as all are four bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|step| step.to_be_bytes()).collect()
    }
}

impl fmt::Display for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("m")?;
        self.0.iter().try_for_each(|step| write!(f, "/{step}"))
    }
}
impl FromStr for DerivationPath {
    type Err = DeriveError;
    fn from_str(text: &str) -> Result<Self, DeriveError> {
        let bad = || DeriveError::BadPath(text.chars().take(80).collect());
        let mut parts = text.split('/');
        if parts.next() != Some("m") {
            return Err(bad());
        }
        // `u32::from_str` takes a leading plus sign; a path has one spelling
        let step = |part: &str| part.parse().ok().filter(|step: &u32| step.to_string() == part);
        let steps: Option<Vec<u32>> = parts.map(step).take(MAX_DEPTH + 1).collect();
        Self::new(steps.ok_or_else(bad)?)
    }
}
impl From<DerivationPath> for String {
    fn from(path: DerivationPath) -> String {
        path.to_string()
    }
}
impl TryFrom<String> for DerivationPath {
    type Error = DeriveError;
    fn try_from(text: String) -> Result<Self, DeriveError> {
        text.parse()
    }
}

/// A child key: everything in it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildKey {
    /// The child's public key.
    pub public_key: Point,
    /// The child's chain code.
    pub chain_code: [u8; 32],
    /// What is added to the root's private key, and so to every share, to get the child's: a canonical scalar in the
    /// curve's own byte order (big-endian for secp256k1, little-endian for Ed25519).
    pub tweak: [u8; 32],
}

/// Follows a path from a public key and chain code.
pub fn derive_public(key: &Point, chain_code: &[u8; 32], path: &DerivationPath) -> Result<ChildKey, DeriveError> {
    match key {
        Point::Secp256k1(bytes) => derive_secp256k1(bytes, chain_code, path),
        Point::Ed25519(_) if path.steps().is_empty() => {
            Ok(ChildKey { public_key: *key, chain_code: *chain_code, tweak: [0; 32] })
        }
        Point::Ed25519(_) => Err(DeriveError::Unsupported),
    }
}

/// BIP-32, "public parent key → public child key", once per step; the tweaks add up.
fn derive_secp256k1(key: &[u8; 33], chain_code: &[u8; 32], path: &DerivationPath) -> Result<ChildKey, DeriveError> {
    let mut public = PublicKey::from_sec1_bytes(key).map_err(|_| DeriveError::Unsupported)?;
    let (mut chain_code, mut tweak) = (*chain_code, Scalar::ZERO);
    for step in path.steps() {
        let encoded = public.to_encoded_point(true);
        let (left, right) = bip32_hmac(&chain_code, encoded.as_bytes(), *step)?;
        let added = Option::<Scalar>::from(Scalar::from_repr(left.into())).ok_or(DeriveError::NoChild(*step))?;
        let child = public.to_projective() + ProjectivePoint::GENERATOR * added;
        public = PublicKey::from_affine(child.to_affine()).map_err(|_| DeriveError::NoChild(*step))?;
        tweak += added;
        chain_code = right;
    }
    let public_key = Point::secp256k1(public.to_encoded_point(true).as_bytes()).map_err(|_| DeriveError::Unsupported)?;
    Ok(ChildKey { public_key, chain_code, tweak: tweak.to_repr().into() })
}

/// `HMAC-SHA512(chain code, key ‖ index)` in two halves.
fn bip32_hmac(chain_code: &[u8; 32], key: &[u8], index: u32) -> Result<([u8; 32], [u8; 32]), DeriveError> {
    let mut mac = Hmac::<Sha512>::new_from_slice(chain_code).map_err(|_| DeriveError::Unsupported)?;
    mac.update(key);
    mac.update(&index.to_be_bytes());
    let output: [u8; 64] = mac.finalize().into_bytes().into();
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.iter_mut().zip(&output[..32]).for_each(|(to, from)| *to = *from);
    right.iter_mut().zip(&output[32..]).for_each(|(to, from)| *to = *from);
    Ok((left, right))
}

#[cfg(test)]
mod tests;
