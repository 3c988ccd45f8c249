//! Nonces made ahead of their signature, and the commitments to them that travel.

use std::collections::BTreeMap;
use std::fmt;

use frost_core::round1::{NonceCommitment as LibCommitment, SigningCommitments, SigningNonces};
use limen_wire::ids::{PartyIndex, Scheme, SignerSet, tagged_hash};
use rand_core::{CryptoRng, RngCore};

use super::suite::{Bip340, Ed25519, Suite, own_point};
use crate::key::KeyShare;
use crate::point::Point;
use crate::seed::Seed;

/// Greatest number of nonces made at once.
pub const MAX_BATCH: usize = limen_wire::limits::NONCE_BATCH;

/// Why nonces were not made or not used. No share has left; a nonce that was handed in is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// The key's protocol has no nonces of this kind.
    #[error("using a nonce: only FROST keys sign with nonces that were shared ahead")]
    NotFrost,
    /// The batch is empty or too large.
    #[error("making nonces: a batch holds 1 to {MAX_BATCH}")]
    BatchSize,
    /// The nonce was made for another key, epoch or signer.
    #[error("using a nonce: it was made for another key, epoch or signer")]
    WrongOwner,
    /// The commitments are not those of exactly the signer set.
    #[error("using a nonce: the commitments are not of exactly the signers of this session")]
    SignerSet,
    /// The list names another commitment for this signer than the one of its nonce.
    #[error("using a nonce: the list holds another commitment for this signer")]
    NotOwnCommitment,
    /// A commitment is of another curve, or one commitment stands twice in the list.
    #[error("using a nonce: the commitment of party {0} is of another scheme or a copy")]
    BadCommitment(PartyIndex),
    /// Bytes that are no commitment.
    #[error("reading a nonce commitment: not two points of the scheme's curve in their one encoding")]
    Encoding,
}

/// The public side of a [`NoncePair`]: `D = d·G` and `E = e·G` in RFC 9591's words, both checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceCommitment {
    hiding: Point,
    binding: Point,
}

impl NonceCommitment {
    /// Reads the one encoding: the hiding and the binding commitment, 64 bytes (Ed25519) or 66 bytes (BIP-340).
    pub fn from_bytes(scheme: Scheme, bytes: &[u8]) -> Result<Self, NonceError> {
        match scheme {
            Scheme::EddsaEd25519 => Self::read::<Ed25519>(bytes),
            Scheme::SchnorrBip340 => Self::read::<Bip340>(bytes),
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => Err(NonceError::NotFrost),
        }
    }
    /// The hiding and the binding commitment, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.hiding.as_bytes(), self.binding.as_bytes()].concat()
    }

    fn same_curve(&self, other: &Self) -> bool {
        self.hiding.as_bytes().len() == other.hiding.as_bytes().len()
    }
    pub(super) fn read<C: Suite>(bytes: &[u8]) -> Result<Self, NonceError> {
        let halves = bytes.split_at_checked(C::POINT_LEN).ok_or(NonceError::Encoding)?;
        let hiding = C::read_point(halves.0).ok_or(NonceError::Encoding)?;
        let binding = C::read_point(halves.1).ok_or(NonceError::Encoding)?;
        Ok(Self { hiding, binding })
    }
    /// Of nonces that are ours.
    pub(super) fn of_own<C: Suite>(commitments: &SigningCommitments<C>) -> Option<Self> {
        let hiding = own_point::<C>(&commitments.hiding().value())?;
        let binding = own_point::<C>(&commitments.binding().value())?;
        Some(Self { hiding, binding })
    }
    pub(super) fn to_library<C: Suite>(self) -> Option<SigningCommitments<C>> {
        let hiding = LibCommitment::new(C::element(&self.hiding)?);
        Some(SigningCommitments::new(hiding, LibCommitment::new(C::element(&self.binding)?)))
    }
}

impl fmt::Debug for NonceCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonceCommitment({}, {})", self.hiding, self.binding)
    }
}

/// The library's nonces, wiped on drop by the library.
pub(super) enum NonceSecrets {
    Ed25519(SigningNonces<Ed25519>),
    Bip340(SigningNonces<Bip340>),
}

/// Two secret nonces for one signature, of one signer, key and epoch; any child key will do. Neither cloned nor printed
/// nor stored: whoever signs with it gives it up, and it is wiped.
///
/// ```
/// fn once(nonce: limen_mpc::frost::NoncePair, sign: impl Fn(limen_mpc::frost::NoncePair)) {
///     sign(nonce);
/// }
/// ```
///
/// ```compile_fail,E0382
/// fn twice(nonce: limen_mpc::frost::NoncePair, sign: impl Fn(limen_mpc::frost::NoncePair)) {
///     sign(nonce);
///     sign(nonce);
/// }
/// ```
///
/// ```compile_fail,E0308
/// fn copy(nonce: &limen_mpc::frost::NoncePair) -> limen_mpc::frost::NoncePair {
///     nonce.clone() // a copy of the reference is all there is
/// }
/// ```
pub struct NoncePair {
    owner: [u8; 32],
    commitment: NonceCommitment,
    secrets: Box<NonceSecrets>,
}

impl NoncePair {
    /// What the other signers need.
    pub fn commitment(&self) -> NonceCommitment {
        self.commitment
    }
    pub(super) fn into_library<C: Suite>(self) -> Result<SigningNonces<C>, NonceError> {
        C::unwrap(*self.secrets).ok_or(NonceError::WrongOwner)
    }
}

impl fmt::Debug for NoncePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoncePair(redacted)")
    }
}

fn owner(key: &KeyShare) -> [u8; 32] {
    tagged_hash("limen mpc frost nonce owner v1", [&key.public().digest()[..], &[key.index().as_u8()]])
}

/// Makes `count` nonces for this share, from the seed and the share (RFC 9591 section 4.1: a weak seed alone does not
/// give them away).
pub fn nonce_batch(key: &KeyShare, count: usize, seed: Seed) -> Result<Vec<NoncePair>, NonceError> {
    if !(1..=MAX_BATCH).contains(&count) {
        return Err(NonceError::BatchSize);
    }
    match key.public().scheme {
        Scheme::EddsaEd25519 => batch_from::<Ed25519>(key, count, &mut seed.into_rng()),
        Scheme::SchnorrBip340 => batch_from::<Bip340>(key, count, &mut seed.into_rng()),
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => Err(NonceError::NotFrost),
    }
}

pub(super) fn batch_from<C: Suite>(
    key: &KeyShare,
    count: usize,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<NoncePair>, NonceError> {
    let share = C::scalar(key.core().scalar()).ok_or(NonceError::NotFrost)?;
    let share = zeroize::Zeroizing::new(frost_core::keys::SigningShare::<C>::new(share));
    let owner = owner(key);
    let pairs = (0..count).map(|_| {
        let nonces = SigningNonces::<C>::new(&share, rng);
        let commitment = NonceCommitment::of_own(nonces.commitments()).ok_or(NonceError::Encoding)?;
        Ok(NoncePair { owner, commitment, secrets: Box::new(C::wrap(nonces)) })
    });
    pairs.collect()
}

/// Our nonce, and one commitment of each signer of the session.
pub(crate) struct SharedNonces {
    pub(super) own: NoncePair,
    pub(super) commitments: BTreeMap<PartyIndex, NonceCommitment>,
}

impl SharedNonces {
    /// Takes the nonce and checks the list: exactly the session's signers, our own commitment at our place, all of one
    /// curve, no copies.
    pub(crate) fn new(
        own: NoncePair,
        commitments: BTreeMap<PartyIndex, NonceCommitment>,
        signers: &SignerSet,
        key: &KeyShare,
    ) -> Result<Self, NonceError> {
        if own.owner != owner(key) {
            return Err(NonceError::WrongOwner);
        }
        if !commitments.keys().eq(signers.parties()) {
            return Err(NonceError::SignerSet);
        }
        if commitments.get(&key.index()) != Some(&own.commitment) {
            return Err(NonceError::NotOwnCommitment);
        }
        let bad = commitments.iter().find(|(party, commitment)| {
            let copied = commitments.iter().any(|(other, same)| other < *party && same == *commitment);
            copied || !commitment.same_curve(&own.commitment)
        });
        match bad {
            Some((party, _)) => Err(NonceError::BadCommitment(*party)),
            None => Ok(Self { own, commitments }),
        }
    }
}

/// Hash over a list of commitments, for the session's binding: signers with different lists do not understand each other.
pub(crate) fn list_digest(commitments: &BTreeMap<PartyIndex, NonceCommitment>) -> [u8; 32] {
    let parts: Vec<Vec<u8>> =
        commitments.iter().map(|(party, commitment)| [&[party.as_u8()][..], &commitment.to_bytes()].concat()).collect();
    tagged_hash("limen mpc frost commitments v1", parts.iter().map(Vec::as_slice))
}
