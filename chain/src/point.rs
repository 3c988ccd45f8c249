//! Public points, checked when they are made.

use std::fmt;

use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_wire::ids::Scheme;
use serde::{Deserialize, Serialize};

/// Bytes that are no usable public point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading a public point: not on the curve, the identity, of small order, or not in its one encoding")]
pub struct BadPoint;

/// A public key or public share: on its curve, of prime order, not the identity, in its one canonical encoding.
/// As text: lower-case hexadecimal. Serialized likewise, behind `p256:` for P-256, whose points are as long as those of secp256k1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Point {
    /// secp256k1, compressed (SEC 1 section 2.3.3).
    Secp256k1([u8; 33]),
    /// Ed25519 (RFC 8032 section 5.1.2), in the prime-order subgroup.
    Ed25519([u8; 32]),
    /// P-256, compressed (SEC 1 section 2.3.3).
    P256([u8; 33]),
}

/// Before a point of P-256 in its serialized form.
const P256_PREFIX: &str = "p256:";

impl Point {
    /// Checks a compressed secp256k1 point.
    pub fn secp256k1(bytes: &[u8]) -> Result<Self, BadPoint> {
        let bytes: [u8; 33] = bytes.try_into().map_err(|_| BadPoint)?;
        let key = k256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| BadPoint)?;
        if key.to_encoded_point(true).as_bytes() != bytes {
            return Err(BadPoint);
        }
        Ok(Self::Secp256k1(bytes))
    }
    /// Checks a compressed P-256 point.
    pub fn p256(bytes: &[u8]) -> Result<Self, BadPoint> {
        let bytes: [u8; 33] = bytes.try_into().map_err(|_| BadPoint)?;
        let key = p256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| BadPoint)?;
        if key.to_encoded_point(true).as_bytes() != bytes {
            return Err(BadPoint);
        }
        Ok(Self::P256(bytes))
    }
    /// Checks an Ed25519 point.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, BadPoint> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| BadPoint)?;
        let compressed = curve25519_dalek::edwards::CompressedEdwardsY(bytes);
        let point = compressed.decompress().ok_or(BadPoint)?;
        let canonical = point.compress() == compressed;
        if !canonical || !point.is_torsion_free() || point.is_small_order() {
            return Err(BadPoint);
        }
        Ok(Self::Ed25519(bytes))
    }
    /// The point that a public key stands for, as the API writes keys of this scheme: an x coordinate is that of the point
    /// with even y (BIP-340).
    pub fn of_key(scheme: Scheme, key: &[u8]) -> Result<Self, BadPoint> {
        match scheme {
            Scheme::EcdsaSecp256k1 => Self::secp256k1(key),
            Scheme::EddsaEd25519 => Self::ed25519(key),
            Scheme::SchnorrBip340 => Self::secp256k1(&[&[2], key].concat()),
            Scheme::EcdsaP256 => Self::p256(key),
        }
    }
    /// The public key as the API writes it for this scheme: 33 bytes for ECDSA, 32 for Ed25519, the x coordinate for BIP-340.
    pub fn to_key(&self, scheme: Scheme) -> &[u8] {
        let bytes = self.as_bytes();
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EddsaEd25519 | Scheme::EcdsaP256 => bytes,
            Scheme::SchnorrBip340 => bytes.get(1..).unwrap_or_default(),
        }
    }
    /// The canonical encoding: 33 bytes (secp256k1, P-256) or 32 bytes (Ed25519). The curve is not in it.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Secp256k1(bytes) | Self::P256(bytes) => bytes,
            Self::Ed25519(bytes) => bytes,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl From<Point> for String {
    fn from(point: Point) -> String {
        match point {
            Point::Secp256k1(_) | Point::Ed25519(_) => point.to_string(),
            Point::P256(_) => format!("{P256_PREFIX}{point}"),
        }
    }
}
impl TryFrom<String> for Point {
    type Error = BadPoint;
    fn try_from(text: String) -> Result<Self, BadPoint> {
        if let Some(text) = text.strip_prefix(P256_PREFIX) {
            return Self::p256(&hex::decode(text).map_err(|_| BadPoint)?);
        }
        let bytes = hex::decode(text).map_err(|_| BadPoint)?;
        match bytes.len() {
            33 => Self::secp256k1(&bytes),
            _ => Self::ed25519(&bytes),
        }
    }
}

#[cfg(test)]
mod tests;
