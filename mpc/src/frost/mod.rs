//! FROST: threshold Schnorr signatures (RFC 9591), by the crates of the Zcash Foundation, for Ed25519 and BIP-340.
//!
//! **Keys.** Key generation is that of the FROST paper (ePrint 2020/852, figure 1: Pedersen's with proofs of knowledge),
//! with a session-bound second proof and a jointly chosen chain code: see `keygen`.
//!
//! **Which key is which (BIP-340).** The library adds `int(hashTapTweak(x(P)))` to the sum `P` of the parties' parts, as
//! BIP-341 advises, so that no party can hide a script path in its part. That happens once, in key generation.
//! [`KeyPublic::public_key`](crate::key::KeyPublic) is the point *after* it, negated where its y coordinate was odd: whoever
//! knows only its x coordinate knows the point. Children are derived from that point (BIP-32), and a signature verifies
//! under the child's x coordinate: nothing else is added anywhere. In the words of BIP-341 every child is an *internal
//! key*. An output key on top of it is [`suite::OutputKey`]'s room.
//!
//! **Limits.** Ed25519 children follow no standard (see [`crate::derive`]). The proofs of FROST hold for up to
//! `signers_required − 1` corrupt signers; a signer that stays away stops its session, never the key.

mod keygen;
mod nonce;
mod sign;
mod suite;

use std::sync::Arc;

use limen_wire::ids::{PartyIndex, Scheme};

use crate::binding::Binding;
use crate::blame::Abort;
use crate::derive::{DerivationPath, derive_public};
use crate::key::KeyShare;
use crate::machine::Started;
use crate::seed::Seed;
use crate::session::StartError;
use crate::signature::SignInput;

pub use nonce::{MAX_BATCH, NonceCommitment, NonceError, NoncePair, nonce_batch};
pub(crate) use nonce::{SharedNonces, list_digest};
use suite::{Bip340, Ed25519, Suite};

/// Starts key generation for the scheme of the session.
pub(crate) fn keygen(binding: &Binding, me: PartyIndex, seed: Seed) -> Result<Started, Abort> {
    match binding.params().scheme {
        Scheme::EddsaEd25519 => keygen::start::<Ed25519>(binding, me, seed),
        Scheme::SchnorrBip340 => keygen::start::<Bip340>(binding, me, seed),
        Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => Err(Abort::local("FROST makes no ECDSA keys")),
    }
}

/// Starts signing in two rounds with fresh nonces, or in one with nonces whose commitments all signers hold.
pub(crate) fn sign(
    binding: &Binding,
    me: PartyIndex,
    key: &Arc<KeyShare>,
    path: &DerivationPath,
    input: &SignInput,
    nonces: Nonces,
) -> Result<Started, StartError> {
    match binding.params().scheme {
        Scheme::EddsaEd25519 => start::<Ed25519>(binding, me, key, path, input, nonces),
        Scheme::SchnorrBip340 => start::<Bip340>(binding, me, key, path, input, nonces),
        scheme @ (Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256) => Err(StartError::Input(scheme)),
    }
}

/// Where a signing session gets its nonces from.
pub(crate) enum Nonces {
    /// From this seed, within the session.
    Fresh(Seed),
    /// From before the session.
    Shared(SharedNonces),
}

fn start<C: Suite>(
    binding: &Binding,
    me: PartyIndex,
    key: &Arc<KeyShare>,
    path: &DerivationPath,
    input: &SignInput,
    nonces: Nonces,
) -> Result<Started, StartError> {
    let SignInput::Message(message) = input else { return Err(StartError::Input(key.public().scheme)) };
    let child = derive_public(&key.public().public_key, &key.public().chain_code, path)?;
    let signer = sign::Signer::<C>::new(binding, me, key, child, message)?;
    match nonces {
        Nonces::Fresh(seed) => Ok(signer.start_fresh(seed)?),
        Nonces::Shared(shared) => signer.start_shared(shared),
    }
}

#[cfg(test)]
mod tests;
