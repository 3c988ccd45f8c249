//! The set-up that CGGMP24 keeps beside the core share: everyone's moduli and our own primes.

use cggmp24::generic_ec::{NonZero, Point as LibPoint, Scalar, SecretScalar};
use cggmp24::key_share::{AuxInfo, DirtyIncompleteKeyShare, DirtyKeyInfo, KeyShare as LibKeyShare, Validate, VssSetup};
use limen_wire::ids::PartyIndex;
use zeroize::Zeroizing;

use super::driver::read_cbor;
use super::{Curve, Level};
use crate::key::{CoreShare, ImportError, KeyPublic};
use crate::point::Point;

/// Version of the encoding, its first bytes.
const MAGIC: &[u8; 4] = b"LMG1";
/// Greatest encoding: about 4 kB for each of 32 signers, with room.
const MAX_ENCODED: usize = 1 << 20;

/// Auxiliary information. Secret, as it holds our Paillier primes; never printed.
pub(crate) struct Setup(AuxInfo<Level>);

impl Setup {
    pub(super) fn new(aux: AuxInfo<Level>) -> Self {
        Self(aux)
    }

    /// `LMG1 ‖ CBOR`.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
        bytes.extend_from_slice(MAGIC);
        match ciborium::into_writer(&self.0, &mut *bytes) {
            Ok(()) => Ok(bytes),
            Err(_) => Err(ImportError::Encoding("set-up")),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ImportError> {
        const BAD: ImportError = ImportError::Encoding("set-up");
        let body = bytes.strip_prefix(MAGIC).filter(|body| body.len() <= MAX_ENCODED).ok_or(BAD)?;
        read_cbor(body).map(Self).ok_or(BAD)
    }

    /// Checks that there are moduli of each signer and that ours is the product of our primes.
    pub(crate) fn check(&self, public: &KeyPublic, core: &CoreShare) -> Result<(), ImportError> {
        let total = usize::from(public.size.signers_total());
        if self.0.N.len() != total || self.0.pedersen_params.len() != total {
            return Err(ImportError::Setup("it is not one set of moduli of each signer"));
        }
        let moduli = self.0.N.iter().chain(self.0.pedersen_params.iter().map(|params| &params.hat_N));
        if moduli.into_iter().any(|modulus| super::modulus::check_modulus(modulus).is_err()) {
            return Err(ImportError::Setup("a modulus is unusable"));
        }
        match self.key_share(public, core) {
            Some(_) => Ok(()),
            None => Err(ImportError::Setup("our modulus is not the product of our primes")),
        }
    }

    /// The library's key share.
    pub(super) fn key_share(&self, public: &KeyPublic, core: &CoreShare) -> Option<LibKeyShare<Curve, Level>> {
        let mut x = Scalar::<Curve>::from_be_bytes(core.scalar()).ok()?;
        let nodes = public.verifying_shares.keys().map(|party| NonZero::from_scalar(Scalar::from(party.as_u16())));
        let shares = public.verifying_shares.values().map(from_point);
        let core = DirtyIncompleteKeyShare::<Curve> {
            i: core.index().as_u16().checked_sub(1)?,
            key_info: DirtyKeyInfo {
                curve: Default::default(),
                shared_public_key: from_point(&public.public_key)?,
                public_shares: shares.collect::<Option<Vec<_>>>()?,
                vss_setup: Some(VssSetup {
                    min_signers: public.size.signers_required().into(),
                    I: nodes.collect::<Option<Vec<_>>>()?,
                }),
                chain_code: Some(public.chain_code),
            },
            x: NonZero::from_secret_scalar(SecretScalar::new(&mut x))?,
        };
        LibKeyShare::from_parts((core.validate().ok()?, self.0.clone())).ok()
    }
}

/// The library's index of a signer at key generation, from 0.
pub(super) fn keygen_position(party: PartyIndex) -> u16 {
    party.as_u16().saturating_sub(1)
}

fn from_point(point: &Point) -> Option<NonZero<LibPoint<Curve>>> {
    NonZero::from_point(LibPoint::from_bytes(point.as_bytes()).ok()?)
}
