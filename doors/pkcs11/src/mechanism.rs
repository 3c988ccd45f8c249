//! The mechanisms, what each takes, and what is asked of the cluster for it.

use cryptoki_sys::*;
use limen_chain::MAX_MESSAGE_BYTES;
use limen_wire::ids::Scheme;
use limen_wire::intent::Payload;
use sha2::{Digest as _, Sha256};

use crate::error::Fault;

/// Bytes of every signature: ECDSA `r ‖ s`, Ed25519 `R ‖ S`.
pub(crate) const SIGNATURE_BYTES: usize = 64;
const DIGEST_BYTES: usize = 32;

/// A way to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// `CKM_ECDSA` over a 32-byte digest.
    Ecdsa,
    /// `CKM_ECDSA_SHA256`: hashed in this library.
    EcdsaSha256,
    /// `CKM_EDDSA`: pure Ed25519 over the message.
    Eddsa,
}

/// What the program has handed over so far.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// Hashed as it comes.
    Hash(Sha256),
    /// Kept, because the scheme takes all of it at once.
    Bytes {
        /// What came.
        bytes: Vec<u8>,
        /// No signer takes more.
        at_most: usize,
    },
}

impl Gathered {
    pub(crate) fn add(&mut self, part: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Hash(hash) => hash.update(part),
            Self::Bytes { bytes, at_most } => {
                if bytes.len().saturating_add(part.len()) > *at_most {
                    return Err(Fault::Plain(CKR_DATA_LEN_RANGE));
                }
                bytes.extend_from_slice(part);
            }
        }
        Ok(())
    }
}

impl Mechanism {
    pub(crate) const ALL: [Self; 3] = [Self::Ecdsa, Self::EcdsaSha256, Self::Eddsa];

    /// The number that PKCS#11 gives it.
    pub(crate) const fn number(self) -> CK_MECHANISM_TYPE {
        match self {
            Self::Ecdsa => CKM_ECDSA,
            Self::EcdsaSha256 => CKM_ECDSA_SHA256,
            Self::Eddsa => CKM_EDDSA,
        }
    }

    pub(crate) fn of_number(number: CK_MECHANISM_TYPE) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|one| one.number() == number).ok_or(Fault::Plain(CKR_MECHANISM_INVALID))
    }

    /// Whether it signs with keys of a scheme. ECDSA's mechanisms are the same for both curves, which the key names.
    pub(crate) const fn signs(self, scheme: Scheme) -> bool {
        match self {
            Self::Ecdsa | Self::EcdsaSha256 => scheme.is_ecdsa(),
            Self::Eddsa => matches!(scheme, Scheme::EddsaEd25519),
        }
    }

    /// The mechanisms of keys of a scheme; none for a scheme that PKCS#11 has no mechanism for.
    pub(crate) fn of_scheme(scheme: Scheme) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |one| one.signs(scheme))
    }

    pub(crate) const fn info(self) -> CK_MECHANISM_INFO {
        let curve = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
        match self {
            Self::Ecdsa | Self::EcdsaSha256 => {
                CK_MECHANISM_INFO { ulMinKeySize: 256, ulMaxKeySize: 256, flags: CKF_SIGN | curve }
            }
            Self::Eddsa => CK_MECHANISM_INFO { ulMinKeySize: 255, ulMaxKeySize: 255, flags: CKF_SIGN | curve },
        }
    }

    /// Nothing is gathered yet.
    pub(crate) fn begin(self) -> Gathered {
        match self {
            Self::Ecdsa => Gathered::Bytes { bytes: Vec::new(), at_most: DIGEST_BYTES },
            Self::EcdsaSha256 => Gathered::Hash(Sha256::new()),
            Self::Eddsa => Gathered::Bytes { bytes: Vec::new(), at_most: MAX_MESSAGE_BYTES },
        }
    }

    /// What the cluster is asked to sign.
    pub(crate) fn payload(self, gathered: Gathered) -> Result<Payload, Fault> {
        let digest =
            |bytes: Vec<u8>| <[u8; DIGEST_BYTES]>::try_from(bytes).map_err(|_| Fault::Plain(CKR_DATA_LEN_RANGE));
        Ok(match (self, gathered) {
            (Self::Eddsa, Gathered::Bytes { bytes, .. }) => Payload::Message(bytes.into()),
            (_, Gathered::Bytes { bytes, .. }) => Payload::RawDigest(digest(bytes)?),
            (_, Gathered::Hash(hash)) => Payload::RawDigest(hash.finalize().into()),
        })
    }
}
