//! Shares of FROST(Ed25519, SHA-512), RFC 9591 sections 4.3 to 4.6, 5.2 and 6.1, computed from what is public.

use std::collections::BTreeMap;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::{EdwardsPoint, traits::Identity as _};
use sha2::{Digest as _, Sha512};

use super::{ed_challenge, ed_scalar};

const CONTEXT: &[u8] = b"FROST-ED25519-SHA512-v1";

/// A signer's share of a signature, with everything public about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The public key that is signed under.
    pub key: [u8; 32],
    /// Whose share it is, from 1.
    pub party: u16,
    /// What every signer of the session had committed to: hiding and binding point, 64 bytes.
    pub commitments: BTreeMap<u16, Vec<u8>>,
    /// What was signed.
    pub message: Vec<u8>,
    /// `z`.
    pub share: [u8; 32],
}

impl Share {
    /// What it had committed to itself.
    pub(super) fn own(&self) -> Option<&[u8]> {
        self.commitments.get(&self.party).map(Vec::as_slice)
    }

    /// The equation `d + e·a + x·b = z`, as `(a, b, z)`.
    fn equation(&self) -> Option<(Scalar, Scalar, Scalar)> {
        let list = self.commitments.iter().fold(Vec::new(), |mut list, (party, points)| {
            list.extend(Scalar::from(*party).to_bytes());
            list.extend(points);
            list
        });
        let hash = |tag: &[u8], bytes: &[u8]| {
            Sha512::new().chain_update(CONTEXT).chain_update(tag).chain_update(bytes).finalize()
        };
        let prefix = [&self.key[..], &hash(b"msg", &self.message), &hash(b"com", &list)].concat();
        let factor = |party: u16| {
            let input = [&prefix[..], &Scalar::from(party).to_bytes()].concat();
            Scalar::from_bytes_mod_order_wide(&hash(b"rho", &input).into())
        };
        let mut nonce = EdwardsPoint::identity();
        for (party, points) in &self.commitments {
            let (hiding, binding) = points.split_at_checked(32)?;
            let point = |bytes: &[u8]| CompressedEdwardsY::from_slice(bytes).ok()?.decompress();
            nonce += point(hiding)? + point(binding)? * factor(*party);
        }
        let challenge = ed_challenge(nonce.compress().as_bytes(), &self.key, &self.message);
        let me = Scalar::from(self.party);
        let others = self.commitments.keys().filter(|party| **party != self.party).map(|party| Scalar::from(*party));
        let lambda = others.fold(Scalar::ONE, |product, other| product * other * (other - me).invert());
        Some((factor(self.party), lambda * challenge, ed_scalar(&self.share)))
    }
}

/// The signer's long-lived share, from three uses of one pair of nonces.
pub(super) fn solve(shares: &[&Share]) -> Option<[u8; 32]> {
    let [first, second, third, ..] = shares else { return None };
    let ((a1, b1, z1), (a2, b2, z2), (a3, b3, z3)) = (first.equation()?, second.equation()?, third.equation()?);
    // Without d: e·(a₂ − a₁) + x·(b₂ − b₁) = z₂ − z₁, and the same with the third; then Cramer's rule.
    let ((a2, b2, z2), (a3, b3, z3)) = ((a2 - a1, b2 - b1, z2 - z1), (a3 - a1, b3 - b1, z3 - z1));
    let determinant = a2 * b3 - a3 * b2;
    if determinant == Scalar::ZERO {
        return None;
    }
    let inverse = determinant.invert();
    let (e, x) = ((z2 * b3 - z3 * b2) * inverse, (a2 * z3 - a3 * z2) * inverse);
    let d = z1 - e * a1 - x * b1;
    let committed = [d, e].map(|nonce| EdwardsPoint::mul_base(&nonce).compress().to_bytes()).concat();
    (first.own() == Some(&committed[..])).then(|| x.to_bytes())
}
