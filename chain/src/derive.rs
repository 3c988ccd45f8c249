//! Non-hardened derivation of child keys: additive, so that signers can follow it without meeting.
//!
//! * **secp256k1** (ECDSA and BIP-340): BIP-32 public derivation, name [`SECP256K1_SCHEME`]. A BIP-340 key is derived on
//!   the full point, and only the child is cut to its x coordinate.
//! * **Ed25519**: name [`ED25519_SCHEME`]. No standard defines it; it is BIP-32's formula on the Edwards curve, as the
//!   crate `hd-wallet` has it (`Edwards`): `I = HMAC-SHA512(chain code, key ‖ 0x00 ‖ index)`, shift = left half of `I` as a
//!   big-endian integer modulo the group's order, child = key + shift · G, chain code = right half. Its limits: it is not
//!   SLIP-10 (which knows only hardened children of Ed25519 keys), a child key is a scalar and cannot be imported as a
//!   32-byte seed of RFC 8032, and there are no hardened children.
//!
//! * **P-256**: none. Such keys live in one token, which shows no chain code.
//!
//! Whoever holds a parent's public key and chain code knows all its children; one child's private key with the parent's
//! chain code gives the parent's, which is why no whole child key ever exists.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::IsIdentity;
use hmac::{Hmac, Mac};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{ProjectivePoint, PublicKey, Scalar};
use limen_wire::limits;
use serde::{Deserialize, Serialize};
use sha2::Sha512;

use crate::point::Point;

/// Greatest number of steps in a path.
pub const MAX_DEPTH: usize = limits::PATH_STEPS;
/// How children of secp256k1 keys are derived.
pub const SECP256K1_SCHEME: &str = "bip32";
/// How children of Ed25519 keys are derived.
pub const ED25519_SCHEME: &str = "bip32-ed25519-additive-v1";
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
    /// The parent is a key without a chain code.
    #[error("deriving a child key: the key has no chain code and so no children: only the empty path names it")]
    NoChildren,
    /// The parent is not a point of its curve.
    #[error("deriving a child key: the parent is not a public key")]
    BadParent,
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
    // How a key is written that has no children: the one that lives in a token.
    if *chain_code == [0; 32] && !path.steps().is_empty() {
        return Err(DeriveError::NoChildren);
    }
    match key {
        Point::Secp256k1(bytes) => derive_secp256k1(bytes, chain_code, path),
        Point::Ed25519(bytes) => derive_ed25519(bytes, chain_code, path),
        // Whatever chain code it is said to have.
        Point::P256(_) if !path.steps().is_empty() => Err(DeriveError::NoChildren),
        Point::P256(_) => Ok(ChildKey { public_key: *key, chain_code: *chain_code, tweak: [0; 32] }),
    }
}

/// BIP-32, "public parent key → public child key", once per step; the tweaks add up.
#[expect(clippy::arithmetic_side_effects, reason = "arithmetic in a field and in a group has no overflow")]
fn derive_secp256k1(key: &[u8; 33], chain_code: &[u8; 32], path: &DerivationPath) -> Result<ChildKey, DeriveError> {
    let mut public = PublicKey::from_sec1_bytes(key).map_err(|_| DeriveError::BadParent)?;
    let (mut chain_code, mut tweak) = (*chain_code, Scalar::ZERO);
    for step in path.steps() {
        let encoded = public.to_encoded_point(true);
        let (left, right) = hmac(&chain_code, &[encoded.as_bytes(), &step.to_be_bytes()])?;
        let added = Option::<Scalar>::from(Scalar::from_repr(left.into())).ok_or(DeriveError::NoChild(*step))?;
        let child = public.to_projective() + ProjectivePoint::GENERATOR * added;
        public = PublicKey::from_affine(child.to_affine()).map_err(|_| DeriveError::NoChild(*step))?;
        tweak += added;
        chain_code = right;
    }
    let public_key = Point::secp256k1(public.to_encoded_point(true).as_bytes()).map_err(|_| DeriveError::BadParent)?;
    Ok(ChildKey { public_key, chain_code, tweak: tweak.to_repr().into() })
}

/// [`ED25519_SCHEME`], once per step; the tweaks add up.
#[expect(clippy::arithmetic_side_effects, reason = "arithmetic in a field and in a group has no overflow")]
fn derive_ed25519(key: &[u8; 32], chain_code: &[u8; 32], path: &DerivationPath) -> Result<ChildKey, DeriveError> {
    let mut encoded = *key;
    let mut public = CompressedEdwardsY(encoded).decompress().ok_or(DeriveError::BadParent)?;
    let (mut chain_code, mut tweak) = (*chain_code, curve25519_dalek::Scalar::ZERO);
    for step in path.steps() {
        let (mut left, right) = hmac(&chain_code, &[&encoded, &[0], &step.to_be_bytes()])?;
        // the formula reads big-endian, the curve's library little-endian
        left.reverse();
        let added = curve25519_dalek::Scalar::from_bytes_mod_order(left);
        public += EdwardsPoint::mul_base(&added);
        if public.is_identity() {
            return Err(DeriveError::NoChild(*step));
        }
        encoded = public.compress().to_bytes();
        tweak += added;
        chain_code = right;
    }
    // the sum of points of prime order has prime order, so there is nothing to check again
    Ok(ChildKey { public_key: Point::Ed25519(encoded), chain_code, tweak: tweak.to_bytes() })
}

/// `HMAC-SHA512(chain code, parts)` in two halves.
fn hmac(chain_code: &[u8; 32], parts: &[&[u8]]) -> Result<([u8; 32], [u8; 32]), DeriveError> {
    let mut mac = Hmac::<Sha512>::new_from_slice(chain_code).map_err(|_| DeriveError::BadParent)?;
    parts.iter().for_each(|part| mac.update(part));
    let output = mac.finalize().into_bytes();
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.iter_mut().chain(&mut right).zip(output).for_each(|(to, from)| *to = from);
    Ok((left, right))
}

#[cfg(test)]
mod tests;
