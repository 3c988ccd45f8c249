//! What one dealer contributes: a polynomial whose constant term is its part of the key, its commitments, and a proof.

use limen_wire::ids::PartyIndex;
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize, Zeroizing};

use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::group::{Group, evaluate};
use crate::point::Point;

/// Bytes of a scalar.
pub(super) const SCALAR_LEN: usize = 32;

/// A polynomial of ours, constant term first: wiped on drop.
pub(super) struct Polynomial<G: Group>(Zeroizing<Vec<G::Scalar>>);

impl<G: Group> Polynomial<G> {
    /// Of degree `required − 1` with this constant term, all else at random.
    pub(super) fn new(constant: &G::Scalar, required: u8, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        // sized first, so that no growing buffer leaves copies of secrets behind
        let mut coefficients = Zeroizing::new(Vec::with_capacity(required.into()));
        coefficients.push(*constant);
        coefficients.extend((1..required).map(|_| G::random(rng)));
        Self(coefficients)
    }

    /// The share of party `x`.
    pub(super) fn share(&self, x: PartyIndex) -> Result<Zeroizing<[u8; 32]>, Abort> {
        let mut share = evaluate::<G, _>(&self.0, x.as_u8()).ok_or_else(|| Abort::local("an empty polynomial"))?;
        let bytes = G::scalar_bytes(&share);
        share.zeroize();
        Ok(bytes)
    }

    /// `C_0 ‖ … ‖ C_{t−1} ‖ R ‖ s`: Feldman's commitments (FOCS 1987) and a Schnorr proof that the dealer knows the constant
    /// term, made for this session, dealer and all its commitments.
    pub(super) fn open(
        &self,
        binding: &Binding,
        from: PartyIndex,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, Abort> {
        let zero = || Abort::local("a coefficient is zero");
        let mut body = Vec::new();
        for coefficient in self.0.iter() {
            body.extend_from_slice(G::point(&G::mul_base(coefficient)).ok_or_else(zero)?.as_bytes());
        }
        let constant = self.0.first().ok_or_else(zero)?;
        let mut nonce = G::random(rng);
        let nonce_point = G::point(&G::mul_base(&nonce)).ok_or_else(zero)?;
        let response = nonce + challenge::<G>(binding, from, &body, &nonce_point) * *constant;
        nonce.zeroize();
        body.extend_from_slice(nonce_point.as_bytes());
        body.extend_from_slice(&G::scalar_bytes(&response)[..]);
        Ok(body)
    }
}

/// A dealer's commitments to its coefficients, checked.
pub(super) struct Commitments<G: Group>(Vec<G::Element>);

impl<G: Group> Commitments<G> {
    /// Reads what [`Polynomial::open`] writes. There are exactly `required` commitments, none of them the identity: one more
    /// or less, or a zero on top, would change the threshold unseen. The first is `part`, which everyone computes from the
    /// old epoch's verifying shares (Wong, Wang and Wing 2002, condition SHARES-VALID: what is handed over is the old key and no other).
    pub(super) fn read(
        binding: &Binding,
        from: PartyIndex,
        required: u8,
        part: &G::Element,
        body: &[u8],
    ) -> Result<Self, Abort> {
        let malformed = |what| Abort::malformed(from, what);
        let len = usize::from(required).saturating_mul(G::POINT_LEN);
        let (points, proof) = body.split_at_checked(len).ok_or_else(|| malformed("dealing"))?;
        let (nonce, response) = proof.split_at_checked(G::POINT_LEN).ok_or_else(|| malformed("dealing"))?;
        let response: &[u8; SCALAR_LEN] = response.try_into().map_err(|_| malformed("dealing"))?;
        let element = |bytes: &[u8]| G::element(&G::read(bytes)?);
        let elements: Option<Vec<_>> = points.chunks_exact(G::POINT_LEN).map(element).collect();
        let elements = elements.ok_or_else(|| malformed("commitment to a coefficient"))?;
        let nonce = G::read(nonce).ok_or_else(|| malformed("proof"))?;
        let response = G::scalar(response).ok_or_else(|| malformed("proof"))?;
        if elements.first() != Some(part) {
            return Err(Abort::new(Blame::party(from, Action::Replace), AbortReason::WrongShare { from }));
        }
        let challenge = challenge::<G>(binding, from, points, &nonce);
        let expected = G::element(&nonce).map(|nonce| nonce + *part * challenge);
        if expected != Some(G::mul_base(&response)) {
            let reason = AbortReason::Proof { from, what: "part of the key, bound to this session" };
            return Err(Abort::new(Blame::party(from, Action::Replace), reason));
        }
        Ok(Self(elements))
    }

    /// Reads a share that its dealer sent to `x`, and checks that it is the value of the dealer's polynomial there (Feldman;
    /// condition SUBSHARES-VALID).
    pub(super) fn read_share(&self, from: PartyIndex, x: PartyIndex, body: &[u8]) -> Result<G::Scalar, Abort> {
        let malformed = || Abort::malformed(from, "share");
        let bytes: &[u8; SCALAR_LEN] = body.try_into().map_err(|_| malformed())?;
        let share = G::scalar(bytes).ok_or_else(malformed)?;
        if evaluate::<G, _>(&self.0, x.as_u8()) == Some(G::mul_base(&share)) {
            Ok(share)
        } else {
            Err(Abort::new(Blame::party(from, Action::Replace), AbortReason::DealtShare { from }))
        }
    }

    /// The commitments to the sum of all dealers' polynomials.
    pub(super) fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Vec<G::Element> {
        let mut sum: Vec<G::Element> = Vec::new();
        for one in all {
            if sum.is_empty() {
                sum.clone_from(&one.0);
            } else {
                sum.iter_mut().zip(&one.0).for_each(|(sum, element)| *sum = *sum + *element);
            }
        }
        sum
    }
}

fn challenge<G: Group>(binding: &Binding, from: PartyIndex, points: &[u8], nonce: &Point) -> G::Scalar {
    let parts = [&[from.as_u8()][..], points, nonce.as_bytes()];
    G::reduce(binding.derive("limen mpc handover proof v1", parts))
}
