//! Interpolation in the exponent: do public shares belong to one key, with the right threshold?

use std::collections::BTreeMap;

use limen_wire::ids::{CommitteeSize, PartyIndex, Scheme};

use super::ImportError;
use crate::group::{Edwards25519, Group, Secp256k1, lagrange};
use crate::point::Point;

/// Checks that every share, and the public key at zero, lie on the polynomial through the first `signers_required` shares, and
/// that the polynomial is of no lower degree than that many shares allow.
pub(super) fn check(
    scheme: Scheme,
    size: CommitteeSize,
    public_key: &Point,
    shares: &BTreeMap<PartyIndex, Point>,
) -> Result<(), ImportError> {
    match scheme {
        Scheme::EddsaEd25519 => check_in::<Edwards25519>(size, public_key, shares),
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => check_in::<Secp256k1>(size, public_key, shares),
        // There are no shares of such a key.
        Scheme::EcdsaP256 => Err(ImportError::SchemeMismatch),
    }
}

fn check_in<G: Group>(
    size: CommitteeSize,
    public_key: &Point,
    shares: &BTreeMap<PartyIndex, Point>,
) -> Result<(), ImportError> {
    let points = std::iter::once((0, public_key)).chain(shares.iter().map(|(party, share)| (party.as_u8(), share)));
    let points: Option<Vec<_>> = points.map(|(x, point)| Some((x, G::element(point)?))).collect();
    let points = points.ok_or(ImportError::SchemeMismatch)?;
    let required = size.signers_required();
    if !on_one_polynomial::<G>(&points, required.into()) {
        return Err(ImportError::Polynomial);
    }
    // All lie on one polynomial of degree `required − 1` at most. If any `required − 1` of the shares gave the key, the one
    // of lower degree through them would agree with it in `required` places, zero among them, and so be the same: the first
    // that many shares are as good a test as any.
    let fewer: Vec<_> = points.iter().take(required.into()).copied().collect();
    if on_one_polynomial::<G>(&fewer, usize::from(required).saturating_sub(1)) {
        return Err(ImportError::Degree(required));
    }
    Ok(())
}

/// The first point of the list is the one at zero; the basis are the `required` points after it.
fn on_one_polynomial<G: Group>(points: &[(u8, G::Element)], required: usize) -> bool {
    let basis: Vec<(u8, G::Element)> = points.iter().skip(1).take(required).copied().collect();
    let rest = points.iter().take(1).chain(points.iter().skip(1 + required));
    basis.len() == required
        && rest.copied().all(|(x, point)| {
            let terms: Option<Vec<G::Element>> = basis
                .iter()
                .map(|(i, share)| Some(*share * lagrange::<G>(*i, x, basis.iter().map(|(j, _)| *j))?))
                .collect();
            terms.is_some_and(|terms| terms.into_iter().sum::<G::Element>() == point)
        })
}
