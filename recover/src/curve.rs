//! Shamir's sharing of a scalar over its key's own curve, and Feldman's commitments to it.
//!
//! Shamir, "How to share a secret" (1979): the secret is the value at zero of a polynomial of degree `pieces_required − 1`, each
//! piece its value at another place. Feldman, "A practical scheme for non-interactive verifiable secret sharing" (1987), section 4:
//! the coefficients times the generator are public, so anyone computes piece `i` times the generator, and the first of them is the
//! secret times the generator. Scalars are bytes here, big-endian for secp256k1 and little-endian for Ed25519, and canonical.

use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use k256::ProjectivePoint;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::elliptic_curve::{Field as _, PrimeField};
use limen_mpc::Point;
use limen_wire::ids::Scheme;
use rand_core::CryptoRngCore;
use zeroize::{Zeroize, Zeroizing};

/// A secret scalar, encoded.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// The scalars of one curve, and its prime-order group.
trait Curve {
    type Scalar: Copy
        + PartialEq
        + Zeroize
        + From<u64>
        + Add<Output = Self::Scalar>
        + Sub<Output = Self::Scalar>
        + Mul<Output = Self::Scalar>;
    type Group: Copy + Mul<Self::Scalar, Output = Self::Group> + Add<Output = Self::Group> + Sum;

    fn random(rng: &mut dyn CryptoRngCore) -> Self::Scalar;
    fn inverse(scalar: &Self::Scalar) -> Option<Self::Scalar>;
    fn read(bytes: &[u8; 32]) -> Option<Self::Scalar>;
    fn write(scalar: &Self::Scalar) -> Secret;
    fn times_generator(scalar: &Self::Scalar) -> Self::Group;
    /// Nothing for points of another curve.
    fn group(point: &Point) -> Option<Self::Group>;
    /// Nothing for the identity, which no [`Point`] is.
    fn point(group: &Self::Group) -> Option<Point>;
}

struct Secp256k1;
struct Ed25519;

impl Curve for Secp256k1 {
    type Scalar = k256::Scalar;
    type Group = ProjectivePoint;

    fn random(rng: &mut dyn CryptoRngCore) -> k256::Scalar {
        k256::Scalar::random(rng)
    }
    fn inverse(scalar: &k256::Scalar) -> Option<k256::Scalar> {
        scalar.invert().into()
    }
    fn read(bytes: &[u8; 32]) -> Option<k256::Scalar> {
        k256::Scalar::from_repr((*bytes).into()).into()
    }
    fn write(scalar: &k256::Scalar) -> Secret {
        Zeroizing::new(scalar.to_repr().into())
    }
    fn times_generator(scalar: &k256::Scalar) -> ProjectivePoint {
        ProjectivePoint::GENERATOR * *scalar
    }
    fn group(point: &Point) -> Option<ProjectivePoint> {
        match point {
            Point::Secp256k1(bytes) => k256::PublicKey::from_sec1_bytes(bytes).ok().map(|key| key.to_projective()),
            Point::Ed25519(_) | Point::P256(_) => None,
        }
    }
    fn point(group: &ProjectivePoint) -> Option<Point> {
        Point::secp256k1(group.to_affine().to_encoded_point(true).as_bytes()).ok()
    }
}

impl Curve for Ed25519 {
    type Scalar = curve25519_dalek::Scalar;
    type Group = EdwardsPoint;

    fn random(rng: &mut dyn CryptoRngCore) -> curve25519_dalek::Scalar {
        let mut wide = Zeroizing::new([0u8; 64]);
        rng.fill_bytes(&mut wide[..]);
        curve25519_dalek::Scalar::from_bytes_mod_order_wide(&wide)
    }
    fn inverse(scalar: &curve25519_dalek::Scalar) -> Option<curve25519_dalek::Scalar> {
        (*scalar != curve25519_dalek::Scalar::ZERO).then(|| scalar.invert())
    }
    fn read(bytes: &[u8; 32]) -> Option<curve25519_dalek::Scalar> {
        curve25519_dalek::Scalar::from_canonical_bytes(*bytes).into()
    }
    fn write(scalar: &curve25519_dalek::Scalar) -> Secret {
        Zeroizing::new(scalar.to_bytes())
    }
    fn times_generator(scalar: &curve25519_dalek::Scalar) -> EdwardsPoint {
        EdwardsPoint::mul_base(scalar)
    }
    fn group(point: &Point) -> Option<EdwardsPoint> {
        match point {
            Point::Ed25519(bytes) => CompressedEdwardsY(*bytes).decompress(),
            Point::Secp256k1(_) | Point::P256(_) => None,
        }
    }
    fn point(group: &EdwardsPoint) -> Option<Point> {
        Point::ed25519(group.compress().as_bytes()).ok()
    }
}

/// One secret's pieces, for places 1, 2, …, and the commitments to its polynomial.
pub(crate) struct Split {
    pub(crate) commitments: Vec<Point>,
    pub(crate) pieces: Vec<Secret>,
}

/// Splits a secret into `count` pieces of which any `required` give it back. Nothing if the secret is zero or not canonical, the
/// scheme has no shares, or the generator is so broken that a coefficient is zero.
pub(crate) fn split(
    scheme: Scheme,
    secret: &[u8; 32],
    required: u8,
    count: u8,
    rng: &mut dyn CryptoRngCore,
) -> Option<Split> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => split_on::<Secp256k1>(secret, required, count, rng),
        Scheme::EddsaEd25519 => split_on::<Ed25519>(secret, required, count, rng),
        Scheme::EcdsaP256 => None,
    }
}

/// What piece `place` times the generator is.
pub(crate) fn piece_point(scheme: Scheme, commitments: &[Point], place: u8) -> Option<Point> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => piece_point_on::<Secp256k1>(commitments, place),
        Scheme::EddsaEd25519 => piece_point_on::<Ed25519>(commitments, place),
        Scheme::EcdsaP256 => None,
    }
}

/// The value at zero of the polynomial through the given values. Nothing if a value is not canonical or a place comes twice.
pub(crate) fn join(scheme: Scheme, values: &[(u8, &[u8; 32])]) -> Option<Secret> {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => join_on::<Secp256k1>(values),
        Scheme::EddsaEd25519 => join_on::<Ed25519>(values),
        Scheme::EcdsaP256 => None,
    }
}

/// The sum of two scalars. Nothing if it is zero, or one of them is not canonical.
pub(crate) fn add(scheme: Scheme, one: &[u8; 32], other: &[u8; 32]) -> Option<Secret> {
    fn on<C: Curve>(one: &[u8; 32], other: &[u8; 32]) -> Option<Secret> {
        let (one, other) = (Zeroizing::new(C::read(one)?), Zeroizing::new(C::read(other)?));
        let sum = Zeroizing::new(*one + *other);
        (*sum != C::Scalar::from(0)).then(|| C::write(&sum))
    }
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => on::<Secp256k1>(one, other),
        Scheme::EddsaEd25519 => on::<Ed25519>(one, other),
        Scheme::EcdsaP256 => None,
    }
}

/// Of a secp256k1 secret and its negative the one whose point has even y, which BIP-340 means. Nothing if it is no scalar, or zero.
pub(crate) fn even(secret: &[u8; 32]) -> Option<Secret> {
    let scalar = Zeroizing::new(Secp256k1::read(secret)?);
    let point = Secp256k1::point(&Secp256k1::times_generator(&scalar))?;
    let is_even = point.as_bytes().first() == Some(&2);
    Some(Secp256k1::write(&Zeroizing::new(if is_even { *scalar } else { -*scalar })))
}

/// A secret times the generator.
pub(crate) fn public_point(scheme: Scheme, secret: &[u8; 32]) -> Option<Point> {
    fn on<C: Curve>(secret: &[u8; 32]) -> Option<Point> {
        let scalar = Zeroizing::new(C::read(secret)?);
        C::point(&C::times_generator(&scalar))
    }
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => on::<Secp256k1>(secret),
        Scheme::EddsaEd25519 => on::<Ed25519>(secret),
        Scheme::EcdsaP256 => None,
    }
}

fn split_on<C: Curve>(secret: &[u8; 32], required: u8, count: u8, rng: &mut dyn CryptoRngCore) -> Option<Split> {
    let mut coefficients = Zeroizing::new(Vec::with_capacity(usize::from(required)));
    coefficients.push(C::read(secret)?);
    for _ in 1..required {
        coefficients.push(C::random(rng));
    }
    let commitments: Option<Vec<Point>> =
        coefficients.iter().map(|coefficient| C::point(&C::times_generator(coefficient))).collect();
    let piece = |place: u8| {
        let place = C::Scalar::from(u64::from(place));
        let zero = C::Scalar::from(0);
        // Horner's rule.
        let value = coefficients.iter().rev().fold(zero, |sum, coefficient| sum * place + *coefficient);
        C::write(&Zeroizing::new(value))
    };
    Some(Split { commitments: commitments?, pieces: (1..=count).map(piece).collect() })
}

fn piece_point_on<C: Curve>(commitments: &[Point], place: u8) -> Option<Point> {
    let place = C::Scalar::from(u64::from(place));
    let points: Option<Vec<C::Group>> = commitments.iter().map(C::group).collect();
    let value = points?.into_iter().rev().reduce(|sum, point| sum * place + point)?;
    C::point(&value)
}

fn join_on<C: Curve>(values: &[(u8, &[u8; 32])]) -> Option<Secret> {
    let mut sum = Zeroizing::new(C::Scalar::from(0));
    for (place, value) in values {
        let value = Zeroizing::new(C::read(value)?);
        let coefficient = lagrange_at_zero::<C>(*place, values.iter().map(|(other, _)| *other))?;
        *sum = *sum + coefficient * *value;
    }
    Some(C::write(&sum))
}

/// Lagrange's coefficient of `place` at zero, or nothing if a place comes twice or is zero.
fn lagrange_at_zero<C: Curve>(place: u8, places: impl Iterator<Item = u8>) -> Option<C::Scalar> {
    let scalar = |value: u8| C::Scalar::from(u64::from(value));
    let (mut numerator, mut denominator, mut seen) = (scalar(1), scalar(1), 0);
    for other in places {
        if other == place {
            seen += 1;
            continue;
        }
        numerator = numerator * scalar(other);
        denominator = denominator * (scalar(other) - scalar(place));
    }
    if seen != 1 || place == 0 { None } else { Some(numerator * C::inverse(&denominator)?) }
}

#[cfg(test)]
mod tests;
