//! A custodian proves that their piece decrypts, to somebody who knows no piece.
//!
//! Piece `i` times the generator is public ([`crate::head`]), so the piece is the private key of a public key that everyone can
//! compute, and a Schnorr signature under it is a proof of knowledge (Schnorr, "Efficient signature generation by smart cards",
//! 1991; in the random-oracle model Pointcheval and Stern, 2000). The signatures are the standard ones of the key's curve: BIP-340
//! for secp256k1, RFC 8032 for Ed25519 with the piece as the scalar. The first commitment is the verifying share that the head
//! gives the member, so proofs of `pieces_required` custodians say that together they can give that share; fewer say nothing of it.
//! That it is the share of a signer the head alone cannot say: see [`crate::Head::shares_hash`].
//!
//! A proof says that whoever made it knows the piece: so does the maker of the backup, and with `pieces_required = 1` every other
//! custodian. Who relies on it to be a certain person's takes it under that person's signature.

use std::fmt;
use std::str::FromStr;

use k256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use limen_mpc::Point;
use limen_wire::ids::{PersonId, Scheme, tagged_hash};

use crate::backup::{Backup, BackupHash, Piece};
use crate::head::Head;
use crate::scalar;

/// What the verifier draws anew for each proof: 32 random bytes. As text: hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 32]);

/// A proof: 64 bytes, as text hexadecimal. Worth something only with its backup, custodian and nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof(pub [u8; 64]);

/// Text that is no nonce or no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading a {what}: it must be {bytes} bytes in hexadecimal")]
pub struct BadText {
    what: &'static str,
    bytes: usize,
}

macro_rules! hexadecimal {
    ($type:ident, $what:literal, $len:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl FromStr for $type {
            type Err = BadText;
            fn from_str(text: &str) -> Result<Self, BadText> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| BadText { what: $what, bytes: $len })?;
                Ok(Self(bytes))
            }
        }
    };
}
hexadecimal!(Nonce, "nonce", 32);
hexadecimal!(Proof, "proof", 64);

/// Why a proof was not made or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The backup has no such custodian.
    #[error("{holder} is not among the custodians of backup {backup}")]
    NoCustodian {
        /// Who was named.
        holder: PersonId,
        /// Of what.
        backup: BackupHash,
    },
    /// The proof does not hold.
    #[error(
        "custodian {holder} has not proved that their piece of backup {backup} decrypts: the proof is not by that piece, or over another \
         backup or nonce"
    )]
    Wrong {
        /// Who was to prove.
        holder: PersonId,
        /// What.
        backup: BackupHash,
    },
    /// The proof could not be made.
    #[error("the proof of custodian {holder} could not be made")]
    NotMade {
        /// Whose.
        holder: PersonId,
    },
}

/// What is signed.
fn statement(backup: &BackupHash, place: u8, nonce: &Nonce) -> [u8; 32] {
    tagged_hash("limen/backup-proof/v1", [&backup.0[..], &[place], &nonce.0])
}

impl Piece {
    /// Proves to the drawer of `nonce` that this piece was decrypted.
    pub fn prove(&self, nonce: &Nonce) -> Result<Proof, ProofError> {
        let message = statement(&self.backup, self.place, nonce);
        let not_made = || ProofError::NotMade { holder: self.holder.clone() };
        match self.scheme {
            Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => {
                let key = k256::schnorr::SigningKey::from_bytes(&self.scalar[..]).map_err(|_| not_made())?;
                let signature: k256::schnorr::Signature = key.sign_prehash(&message).map_err(|_| not_made())?;
                Ok(Proof(signature.to_bytes()))
            }
            Scheme::EddsaEd25519 => scalar::sign_ed25519(&self.scalar, &message).map(Proof).ok_or_else(not_made),
            Scheme::EcdsaP256 => Err(not_made()),
        }
    }
}

impl Backup {
    /// Checks a custodian's proof against nothing but the backup and one's own nonce.
    pub fn verify_proof(&self, holder: &PersonId, nonce: &Nonce, proof: &Proof) -> Result<(), ProofError> {
        self.head.verify_proof(self.hash(), holder, nonce, proof)
    }
}

impl Head {
    /// The same for whoever does not have the encrypted pieces, and knows the backup by its hash alone.
    pub(crate) fn verify_proof(
        &self,
        backup: BackupHash,
        holder: &PersonId,
        nonce: &Nonce,
        proof: &Proof,
    ) -> Result<(), ProofError> {
        let holder = holder.clone();
        let Some(place) = self.place_of(&holder) else {
            return Err(ProofError::NoCustodian { holder, backup });
        };
        let message = statement(&backup, place, nonce);
        let holds = self.piece_point(place).is_some_and(|point| verify(&point, &message, &proof.0));
        if holds { Ok(()) } else { Err(ProofError::Wrong { holder, backup }) }
    }
}

fn verify(point: &Point, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    match point {
        Point::Secp256k1(bytes) => {
            let key = bytes.get(1..).and_then(|x| k256::schnorr::VerifyingKey::from_bytes(x).ok());
            let signature = k256::schnorr::Signature::try_from(&signature[..]).ok();
            key.zip(signature).is_some_and(|(key, signature)| key.verify_prehash(message, &signature).is_ok())
        }
        Point::Ed25519(bytes) => ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()),
        Point::P256(_) => false,
    }
}
