//! The two groups in which shares live, for what is the same in both: polynomials, in the clear and in the exponent.
//!
//! Bytes become scalars and points only where they are canonical, and points only through [`Point`], which has checked
//! that they are of prime order and not the identity.

use std::collections::BTreeSet;
use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use k256::ProjectivePoint;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::elliptic_curve::{Field, PrimeField};
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize, Zeroizing};

use crate::point::Point;

/// A group of prime order with its scalars.
pub(crate) trait Group: 'static {
    /// Integers modulo the group's order.
    type Scalar: Copy
        + PartialEq
        + Send
        + Zeroize
        + From<u64>
        + Add<Output = Self::Scalar>
        + Sub<Output = Self::Scalar>
        + Mul<Output = Self::Scalar>;
    /// An element, the identity among them.
    type Element: Copy
        + PartialEq
        + Send
        + Add<Output = Self::Element>
        + Mul<Self::Scalar, Output = Self::Element>
        + Sum;
    /// Bytes of an encoded point.
    const POINT_LEN: usize;

    /// The inverse; `None` for zero.
    fn inverse(scalar: Self::Scalar) -> Option<Self::Scalar>;
    /// 32 bytes in the curve's own order as a scalar; `None` unless below the group's order.
    fn scalar(bytes: &[u8; 32]) -> Option<Self::Scalar>;
    /// A scalar as 32 bytes in the curve's own order.
    fn scalar_bytes(scalar: &Self::Scalar) -> Zeroizing<[u8; 32]>;
    /// A hash as a scalar.
    fn reduce(hash: [u8; 32]) -> Self::Scalar;
    /// An evenly distributed scalar.
    fn random(rng: &mut (impl RngCore + CryptoRng)) -> Self::Scalar;
    /// The scalar times the generator.
    fn mul_base(scalar: &Self::Scalar) -> Self::Element;
    /// Checks an encoded point.
    fn read(bytes: &[u8]) -> Option<Point>;
    /// A checked point as an element; `None` if it is of another group.
    fn element(point: &Point) -> Option<Self::Element>;
    /// An element as a point; `None` for the identity.
    fn point(element: &Self::Element) -> Option<Point>;
}

/// secp256k1 (SEC 2 section 2.4.1); scalars are big-endian.
pub(crate) enum Secp256k1 {}

impl Group for Secp256k1 {
    type Scalar = k256::Scalar;
    type Element = ProjectivePoint;
    const POINT_LEN: usize = 33;

    fn inverse(scalar: Self::Scalar) -> Option<Self::Scalar> {
        scalar.invert().into()
    }
    fn scalar(bytes: &[u8; 32]) -> Option<Self::Scalar> {
        k256::Scalar::from_repr((*bytes).into()).into()
    }
    fn scalar_bytes(scalar: &Self::Scalar) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(scalar.to_bytes().into())
    }
    fn reduce(hash: [u8; 32]) -> Self::Scalar {
        <k256::Scalar as Reduce<k256::U256>>::reduce_bytes(&hash.into())
    }
    fn random(rng: &mut (impl RngCore + CryptoRng)) -> Self::Scalar {
        k256::Scalar::random(rng)
    }
    fn mul_base(scalar: &Self::Scalar) -> Self::Element {
        ProjectivePoint::GENERATOR * *scalar
    }
    fn read(bytes: &[u8]) -> Option<Point> {
        Point::secp256k1(bytes).ok()
    }
    fn element(point: &Point) -> Option<Self::Element> {
        match point {
            Point::Secp256k1(bytes) => k256::PublicKey::from_sec1_bytes(bytes).ok().map(|key| key.to_projective()),
            Point::Ed25519(_) | Point::P256(_) => None,
        }
    }
    fn point(element: &Self::Element) -> Option<Point> {
        Point::secp256k1(element.to_affine().to_encoded_point(true).as_bytes()).ok()
    }
}

/// The subgroup of prime order of edwards25519 (RFC 8032 section 5.1); scalars are little-endian.
pub(crate) enum Edwards25519 {}

impl Group for Edwards25519 {
    type Scalar = curve25519_dalek::Scalar;
    type Element = EdwardsPoint;
    const POINT_LEN: usize = 32;

    fn inverse(scalar: Self::Scalar) -> Option<Self::Scalar> {
        (scalar != Self::Scalar::ZERO).then(|| scalar.invert())
    }
    fn scalar(bytes: &[u8; 32]) -> Option<Self::Scalar> {
        curve25519_dalek::Scalar::from_canonical_bytes(*bytes).into()
    }
    fn scalar_bytes(scalar: &Self::Scalar) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(scalar.to_bytes())
    }
    fn reduce(hash: [u8; 32]) -> Self::Scalar {
        curve25519_dalek::Scalar::from_bytes_mod_order(hash)
    }
    fn random(rng: &mut (impl RngCore + CryptoRng)) -> Self::Scalar {
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(&mut wide[..]);
        curve25519_dalek::Scalar::from_bytes_mod_order_wide(&wide)
    }
    fn mul_base(scalar: &Self::Scalar) -> Self::Element {
        EdwardsPoint::mul_base(scalar)
    }
    fn read(bytes: &[u8]) -> Option<Point> {
        Point::ed25519(bytes).ok()
    }
    fn element(point: &Point) -> Option<Self::Element> {
        match point {
            // a `Point` has been checked for its order when it was made
            Point::Ed25519(bytes) => CompressedEdwardsY(*bytes).decompress(),
            Point::Secp256k1(_) | Point::P256(_) => None,
        }
    }
    fn point(element: &Self::Element) -> Option<Point> {
        Point::ed25519(element.compress().as_bytes()).ok()
    }
}

/// A party's number as a scalar.
pub(crate) fn node<G: Group>(x: u8) -> G::Scalar {
    G::Scalar::from(u64::from(x))
}

/// Lagrange's coefficient of node `i` at `x`; `None` if `i` is not among the nodes, or any node comes twice.
pub(crate) fn lagrange<G: Group>(i: u8, x: u8, nodes: impl Iterator<Item = u8>) -> Option<G::Scalar> {
    let mut numerator = node::<G>(1);
    let mut denominator = node::<G>(1);
    let mut seen = BTreeSet::new();
    for j in nodes {
        if !seen.insert(j) {
            return None;
        }
        if j != i {
            numerator = numerator * (node::<G>(x) - node::<G>(j));
            denominator = denominator * (node::<G>(i) - node::<G>(j));
        }
    }
    if seen.contains(&i) { Some(numerator * G::inverse(denominator)?) } else { None }
}

/// The value at `x` of the polynomial with these coefficients, constant term first: scalars, or their commitments.
pub(crate) fn evaluate<G, T>(coefficients: &[T], x: u8) -> Option<T>
where
    G: Group,
    T: Copy + Add<Output = T> + Mul<G::Scalar, Output = T>,
{
    let x = node::<G>(x);
    let (last, rest) = coefficients.split_last()?;
    Some(rest.iter().rev().fold(*last, |sum, coefficient| sum * x + *coefficient))
}

#[cfg(test)]
mod tests;
