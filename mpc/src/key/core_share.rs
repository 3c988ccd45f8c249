//! The Shamir share itself: an index and a scalar.

use curve25519_dalek::EdwardsPoint;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_wire::ids::{PartyIndex, Scheme};
use zeroize::Zeroizing;

use super::{ImportError, KeyPublic};
use crate::point::Point;

const MAGIC: &[u8; 4] = b"LMC1";
const ENCODED_LEN: usize = 4 + 1 + 1 + 32;

/// One party's value of the secret polynomial: a canonical scalar, big-endian for secp256k1, little-endian for Ed25519.
pub(crate) struct CoreShare {
    index: PartyIndex,
    scalar: Zeroizing<[u8; 32]>,
}

const fn scheme_code(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::EcdsaSecp256k1 => 1,
        Scheme::EddsaEd25519 => 2,
        Scheme::SchnorrBip340 => 3,
        // No share has it: `KeyPublic::validate` refuses the scheme under every threshold protocol.
        Scheme::EcdsaP256 => 4,
    }
}

impl CoreShare {
    pub(crate) fn new(index: PartyIndex, scalar: Zeroizing<[u8; 32]>) -> Self {
        Self { index, scalar }
    }
    pub(crate) fn index(&self) -> PartyIndex {
        self.index
    }
    pub(crate) fn scalar(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// A second copy, for a share of another epoch or set-up.
    pub(super) fn duplicate(&self) -> Self {
        Self { index: self.index, scalar: self.scalar.clone() }
    }

    /// `LMC1 ‖ scheme ‖ index ‖ scalar`.
    pub(super) fn encode(&self, scheme: Scheme) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENCODED_LEN));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[scheme_code(scheme), self.index.as_u8()]);
        bytes.extend_from_slice(&self.scalar[..]);
        bytes
    }

    pub(super) fn decode(scheme: Scheme, bytes: &[u8]) -> Result<Self, ImportError> {
        const BAD: ImportError = ImportError::Encoding("core share");
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(BAD)?;
        let ([code, index], rest) = rest.split_first_chunk::<2>().ok_or(BAD)?;
        if magic != MAGIC || *code != scheme_code(scheme) {
            return Err(BAD);
        }
        let scalar = Zeroizing::new(<[u8; 32]>::try_from(rest).map_err(|_| BAD)?);
        let index = PartyIndex::new(u16::from(*index)).map_err(|_| BAD)?;
        Ok(Self { index, scalar })
    }

    /// Checks that `scalar · G` is the verifying share of this index.
    pub(crate) fn check(&self, public: &KeyPublic) -> Result<(), ImportError> {
        let wrong = ImportError::WrongSecret(self.index);
        let point = self.public_point(public.scheme).ok_or_else(|| wrong.clone())?;
        if public.verifying_share(self.index) == Some(&point) { Ok(()) } else { Err(wrong) }
    }

    fn public_point(&self, scheme: Scheme) -> Option<Point> {
        match scheme {
            Scheme::EddsaEd25519 => {
                let scalar = curve25519_dalek::Scalar::from_canonical_bytes(*self.scalar);
                let scalar = Zeroizing::new(Option::<curve25519_dalek::Scalar>::from(scalar)?);
                Point::ed25519(EdwardsPoint::mul_base(&scalar).compress().as_bytes()).ok()
            }
            Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => {
                let scalar = k256::Scalar::from_repr((*self.scalar).into());
                let scalar = Zeroizing::new(Option::<k256::Scalar>::from(scalar)?);
                let point = (k256::ProjectivePoint::GENERATOR * *scalar).to_affine();
                Point::secp256k1(point.to_encoded_point(true).as_bytes()).ok()
            }
            Scheme::EcdsaP256 => None,
        }
    }
}
