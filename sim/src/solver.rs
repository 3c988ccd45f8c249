//! What an attacker would do with everything that signers have ever let go: look for a nonce that served twice, and solve for
//! the key.
//!
//! * ECDSA (SEC 1, section 4.1.3): `s = k⁻¹(m + r·x)`. Two signatures with one `r`: `k = (m₁ − m₂)/(s₁ ∓ s₂)` and
//!   `x = (s₁·k − m₁)/r`; the sign is unknown because signatures are made low-S.
//! * Schnorr, as Ed25519 (RFC 8032) and BIP-340 have it: `s = k + c·x`. Two with one `R`: `x = (s₁ − s₂)/(c₁ − c₂)`.
//! * A FROST share (RFC 9591, section 5.2): `z = d + e·ρ + λ·x·c`. One pair of commitments in three shares is three linear
//!   equations in `d`, `e` and the share `x`; in two it is reported as used twice, because it is one equation short.
//!
//! What it finds is checked against the public key or commitment. Finding nothing is the point; that it would find something
//! is tested by planting a nonce.

mod frost;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::scalar::Scalar as EdScalar;
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::group::GroupEncoding as _;
use k256::{ProjectivePoint, Scalar};
use sha2::{Digest as _, Sha256, Sha512};

pub use frost::Share;

/// Something that signers let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An ECDSA signature over secp256k1.
    Ecdsa {
        /// The public key, compressed.
        key: [u8; 33],
        /// What was signed.
        digest: [u8; 32],
        /// `r ‖ s`.
        signature: [u8; 64],
    },
    /// A BIP-340 signature.
    Bip340 {
        /// The public key, x only.
        key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// `R ‖ s`.
        signature: [u8; 64],
    },
    /// An Ed25519 signature.
    Ed25519 {
        /// The public key.
        key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// `R ‖ s`.
        signature: [u8; 64],
    },
    /// One signer's share of an Ed25519 signature.
    Frost(Share),
}

/// What the solver found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A nonce served for different things.
    Reused(String),
    /// A secret: 32 bytes in the curve's own order. It fits its public key or commitment.
    Solved([u8; 32]),
}

fn halves(signature: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let mut parts = ([0; 32], [0; 32]);
    parts.0.copy_from_slice(&signature[..32]);
    parts.1.copy_from_slice(&signature[32..]);
    parts
}

fn scalar(bytes: &[u8; 32]) -> Scalar {
    <Scalar as k256::elliptic_curve::ops::Reduce<k256::U256>>::reduce_bytes(&(*bytes).into())
}

/// The number `a / b`; `None` if `b` is zero.
fn quotient(a: Scalar, b: Scalar) -> Option<Scalar> {
    Option::<Scalar>::from(b.invert()).map(|inverse| a * inverse)
}

/// Everything that can be learnt from all of it.
pub fn solve(seen: &[Seen]) -> Vec<Finding> {
    let mut by_nonce: BTreeMap<Vec<u8>, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        let group = by_nonce.entry(one.nonce()).or_default();
        // The same thing again is nothing new.
        if !group.contains(&one) {
            group.push(one);
        }
    }
    let mut found = Vec::new();
    for group in by_nonce.values().filter(|group| group.len() > 1) {
        found.push(Finding::Reused(format!("{} uses of one nonce: {:?}", group.len(), group[0])));
        let pairs = group.iter().enumerate().flat_map(|(n, one)| group[..n].iter().map(move |other| (*one, *other)));
        let solved = pairs.filter_map(|(one, other)| pair(one, other));
        let shares: Vec<&Share> = group
            .iter()
            .filter_map(|one| match one {
                Seen::Frost(share) => Some(share),
                _ => None,
            })
            .collect();
        let solved: Vec<[u8; 32]> = solved.chain(frost::solve(&shares)).collect();
        found.extend(solved.first().map(|secret| Finding::Solved(*secret)));
    }
    found
}

impl Seen {
    /// What must never serve twice.
    fn nonce(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa { signature, .. } => [b"secp256k1", &signature[..32]].concat(),
            Self::Bip340 { signature, .. } => [b"bip340", &signature[..32]].concat(),
            Self::Ed25519 { signature, .. } => [b"ed25519", &signature[..32]].concat(),
            Self::Frost(share) => [b"frost", share.own().unwrap_or_default()].concat(),
        }
    }
}

fn pair(one: &Seen, other: &Seen) -> Option<[u8; 32]> {
    match (one, other) {
        (Seen::Ecdsa { key, digest, signature }, Seen::Ecdsa { key: same, digest: digest2, signature: signature2 })
            if key == same =>
        {
            ecdsa(key, (digest, signature), (digest2, signature2))
        }
        (Seen::Bip340 { key, message, signature }, Seen::Bip340 { key: same, message: other, signature: second })
            if key == same =>
        {
            bip340(key, (message, signature), (other, second))
        }
        (Seen::Ed25519 { key, message, signature }, Seen::Ed25519 { key: same, message: other, signature: second })
            if key == same =>
        {
            ed25519(key, (message, signature), (other, second))
        }
        _ => None,
    }
}

type Signed<'a, M> = (&'a M, &'a [u8; 64]);

fn ecdsa(key: &[u8; 33], one: Signed<'_, [u8; 32]>, other: Signed<'_, [u8; 32]>) -> Option<[u8; 32]> {
    let ((r, s1), (_, s2)) = (halves(one.1), halves(other.1));
    let (r, s1, s2, m1, m2) = (scalar(&r), scalar(&s1), scalar(&s2), scalar(one.0), scalar(other.0));
    // Each s may have been negated: four pairs, of which two differ.
    let keys = [(s1, s2), (s1, -s2), (-s1, s2), (-s1, -s2)].into_iter().filter_map(|(s1, s2)| {
        let k = quotient(m1 - m2, s1 - s2)?;
        quotient(s1 * k - m1, r)
    });
    let mut fitting = keys.filter(|x| (ProjectivePoint::GENERATOR * x).to_bytes()[..] == key[..]);
    fitting.next().map(|x| x.to_repr().into())
}

fn bip340_challenge(nonce: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let tag = Sha256::digest(b"BIP0340/challenge");
    let hash = Sha256::new().chain_update(tag).chain_update(tag).chain_update(nonce).chain_update(key);
    scalar(&hash.chain_update(message).finalize().into())
}

fn bip340(key: &[u8; 32], one: Signed<'_, Vec<u8>>, other: Signed<'_, Vec<u8>>) -> Option<[u8; 32]> {
    let ((r, s1), (_, s2)) = (halves(one.1), halves(other.1));
    let (c1, c2) = (bip340_challenge(&r, key, one.0), bip340_challenge(&r, key, other.0));
    let x = quotient(scalar(&s1) - scalar(&s2), c1 - c2)?;
    let fits = (ProjectivePoint::GENERATOR * x).to_bytes()[1..] == key[..];
    fits.then(|| x.to_repr().into())
}

fn ed_scalar(bytes: &[u8; 32]) -> EdScalar {
    EdScalar::from_bytes_mod_order(*bytes)
}

fn ed_challenge(nonce: &[u8], key: &[u8; 32], message: &[u8]) -> EdScalar {
    let hash = Sha512::new().chain_update(nonce).chain_update(key).chain_update(message);
    EdScalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn ed25519(key: &[u8; 32], one: Signed<'_, Vec<u8>>, other: Signed<'_, Vec<u8>>) -> Option<[u8; 32]> {
    let ((r, s1), (_, s2)) = (halves(one.1), halves(other.1));
    let difference = ed_challenge(&r, key, one.0) - ed_challenge(&r, key, other.0);
    if difference == EdScalar::ZERO {
        return None;
    }
    let x = (ed_scalar(&s1) - ed_scalar(&s2)) * difference.invert();
    (EdwardsPoint::mul_base(&x).compress().to_bytes() == *key).then(|| x.to_bytes())
}
