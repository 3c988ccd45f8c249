//! Interpolation in the exponent: do public shares belong to one key, with the right threshold?

use std::collections::BTreeMap;

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use k256::ProjectivePoint;
use limen_wire::ids::{CommitteeSize, PartyIndex, Scheme};

use super::ImportError;
use crate::point::Point;

/// Checks that every share, and the public key at zero, lie on the polynomial through the first `signers_required` shares.
pub(super) fn check(
    scheme: Scheme,
    size: CommitteeSize,
    public_key: &Point,
    shares: &BTreeMap<PartyIndex, Point>,
) -> Result<(), ImportError> {
    let required = usize::from(size.signers_required());
    let points = std::iter::once((0, public_key)).chain(shares.iter().map(|(party, share)| (party.as_u8(), share)));
    let consistent = match scheme {
        Scheme::EddsaEd25519 => {
            let points: Option<Vec<_>> = points.map(|(x, point)| Some((x, edwards(point)?))).collect();
            on_one_polynomial::<curve25519_dalek::Scalar, EdwardsPoint>(
                &points.ok_or(ImportError::SchemeMismatch)?,
                required,
            )
        }
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => {
            let points: Option<Vec<_>> = points.map(|(x, point)| Some((x, secp256k1(point)?))).collect();
            on_one_polynomial::<k256::Scalar, ProjectivePoint>(&points.ok_or(ImportError::SchemeMismatch)?, required)
        }
        // There are no shares of such a key.
        Scheme::EcdsaP256 => return Err(ImportError::SchemeMismatch),
    };
    if consistent { Ok(()) } else { Err(ImportError::Polynomial) }
}

fn secp256k1(point: &Point) -> Option<ProjectivePoint> {
    match point {
        Point::Secp256k1(bytes) => k256::PublicKey::from_sec1_bytes(bytes).ok().map(|key| key.to_projective()),
        Point::Ed25519(_) | Point::P256(_) => None,
    }
}

fn edwards(point: &Point) -> Option<EdwardsPoint> {
    match point {
        Point::Ed25519(bytes) => CompressedEdwardsY(*bytes).decompress(),
        Point::Secp256k1(_) | Point::P256(_) => None,
    }
}

/// The field operations that Lagrange's formula needs, the same for both curves.
trait Field: Copy + std::ops::Sub<Output = Self> + std::ops::Mul<Output = Self> + From<u64> {
    fn inverse(self) -> Option<Self>;
}
impl Field for k256::Scalar {
    fn inverse(self) -> Option<Self> {
        self.invert().into()
    }
}
impl Field for curve25519_dalek::Scalar {
    fn inverse(self) -> Option<Self> {
        (self != Self::ZERO).then(|| self.invert())
    }
}

/// The first point of the list is the one at zero; the basis are the `required` points after it.
fn on_one_polynomial<F, P>(points: &[(u8, P)], required: usize) -> bool
where
    F: Field,
    P: Copy + PartialEq + std::ops::Mul<F, Output = P> + std::iter::Sum,
{
    let basis: Vec<(u8, P)> = points.iter().skip(1).take(required).copied().collect();
    let rest = points.iter().take(1).chain(points.iter().skip(1 + required));
    basis.len() == required
        && rest.copied().all(|(x, point)| {
            let terms: Option<Vec<P>> = basis
                .iter()
                .map(|(i, share)| Some(*share * lagrange::<F>(*i, x, basis.iter().map(|(j, _)| *j))?))
                .collect();
            terms.is_some_and(|terms| terms.into_iter().sum::<P>() == point)
        })
}

/// Lagrange's coefficient of node `i` at `x`.
fn lagrange<F: Field>(i: u8, x: u8, nodes: impl Iterator<Item = u8>) -> Option<F> {
    let field = |value: u8| F::from(u64::from(value));
    let mut numerator = field(1);
    let mut denominator = field(1);
    for j in nodes.filter(|j| *j != i) {
        numerator = numerator * (field(x) - field(j));
        denominator = denominator * (field(i) - field(j));
    }
    Some(numerator * denominator.inverse()?)
}
