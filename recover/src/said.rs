//! Proofs under their custodians' own signatures.
//!
//! A [`Proof`] says that its maker knows the piece, and whoever made the backup knows all of them. So a signer that wants to know
//! that *people* have their pieces takes each proof in an envelope signed by a credential of that custodian
//! ([`limen_wire::backup::BackupProof`]), for a nonce of its own. Whose a credential is, the charter says, through the caller.

use std::collections::BTreeMap;

use limen_mpc::KeyPublic;
use limen_wire::backup::BackupProof;
use limen_wire::envelope::EnvelopeError;
use limen_wire::ids::{CredentialId, NodeId, PartyIndex, PersonId};
use limen_wire::intent::IntentError;
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;

use crate::backup::{Backup, BackupHash, Piece};
use crate::head::Head;
use crate::proof::{Nonce, Proof, ProofError};

/// What is asked of all custodians of a backup: the nonce is drawn anew each time, by whoever wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Who asks.
    pub asked_by: NodeId,
    /// What they drew.
    pub nonce: Nonce,
}

/// Why signed proofs were not made or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaidError {
    /// The backup is of another share than the one in question.
    #[error("backup {0} is not of this share: its key, epoch, member or shares are others")]
    OtherShare(BackupHash),
    /// An envelope is no well-formed proof.
    #[error("a custodian's proof is malformed: {0}")]
    Malformed(#[from] IntentError),
    /// A field of a proof is not what was asked for.
    #[error("the proof of {person} is for another {what}: ask them for a new one")]
    Other {
        /// Whose.
        person: PersonId,
        /// Which field.
        what: &'static str,
    },
    /// The charter gives that person no such terminal credential.
    #[error(
        "the proof of {person} is by credential {credential}, which the charter does not give them as a terminal one that signs"
    )]
    NoCredential {
        /// Who is said to sign.
        person: PersonId,
        /// By what.
        credential: CredentialId,
    },
    /// The signature does not hold, or is not the only one.
    #[error("the proof of {person} is not signed by their credential: {cause}")]
    Signature {
        /// Who is said to sign.
        person: PersonId,
        /// Why.
        cause: EnvelopeError,
    },
    /// The proof inside does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Two proofs of one custodian.
    #[error("{0} has proved the same piece twice: hand in one of the two")]
    Twice(PersonId),
    /// Custodians whose proof is missing.
    #[error("these custodians have not proved that their pieces decrypt: {}", names(.0))]
    Missing(Vec<PersonId>),
}

fn names(people: &[PersonId]) -> String {
    people.iter().map(PersonId::as_str).collect::<Vec<_>>().join(", ")
}

impl Backup {
    /// A custodian proves, under their own signature, that they have decrypted their piece. `made_at_secs` is seconds since 1970.
    pub fn say(
        &self,
        piece: &Piece,
        challenge: &Challenge,
        (credential, key): (&CredentialId, &SigningKey),
        made_at_secs: u64,
    ) -> Result<pb::Envelope, SaidError> {
        if piece.backup() != self.hash() {
            return Err(SaidError::Other { person: piece.holder().clone(), what: "backup" });
        }
        let public = self.head().public();
        let said = BackupProof {
            cluster: public.cluster.clone(),
            key: public.key.clone(),
            epoch: public.epoch,
            member: self.head().member(),
            backup: self.hash().0,
            person: piece.holder().clone(),
            credential: credential.clone(),
            asked_by: challenge.asked_by.clone(),
            nonce: challenge.nonce.0,
            proof: piece.prove(&challenge.nonce)?.0,
            made_at_secs,
        };
        Ok(said.to_unsigned().sign(credential.as_str(), key))
    }

    /// Checks one custodian's signed proof: see [`Head::verify_said`].
    pub fn verify_said(
        &self,
        challenge: &Challenge,
        key_of: impl Fn(&PersonId, &CredentialId) -> Option<PublicKey>,
        envelope: &pb::Envelope,
    ) -> Result<BackupProof, SaidError> {
        self.head().verify_said(self.hash(), challenge, key_of, envelope)
    }

    /// Whether these envelopes prove that *every* custodian of this backup has their piece of *this* share, for a nonce of one's own: what
    /// a signer asks before it counts on the backup. `ours` and `member` are the signer's own share, so that no backup of other
    /// shares is proved instead; that the custodians are the charter's is the caller's to compare with [`crate::Head::custodians`].
    /// Gives what each said, by person. Nothing is believed of an envelope that is not needed: one too many is an error.
    pub fn verify_all_said(
        &self,
        (ours, member): (&KeyPublic, PartyIndex),
        challenge: &Challenge,
        key_of: impl Fn(&PersonId, &CredentialId) -> Option<PublicKey>,
        envelopes: &[pb::Envelope],
    ) -> Result<BTreeMap<PersonId, BackupProof>, SaidError> {
        if self.head().public() != ours || self.head().member() != member {
            return Err(SaidError::OtherShare(self.hash()));
        }
        let mut proved = BTreeMap::new();
        for envelope in envelopes {
            let said = self.verify_said(challenge, &key_of, envelope)?;
            let person = said.person.clone();
            if proved.insert(person.clone(), said).is_some() {
                return Err(SaidError::Twice(person));
            }
        }
        let people = self.head().custodians().iter().map(|custodian| &custodian.person);
        let missing: Vec<PersonId> = people.filter(|person| !proved.contains_key(*person)).cloned().collect();
        if missing.is_empty() { Ok(proved) } else { Err(SaidError::Missing(missing)) }
    }
}

impl Head {
    /// Checks one custodian's signed proof: all of its fields, that `key_of` gives this person this credential, its signature, and
    /// the proof. `key_of` answers from the charter, for terminal credentials that are bare keys alone. Whether the backup with this hash has
    /// this head, whoever made the proof has looked: their piece is of the one, and the point that it has to fit is of the other.
    pub fn verify_said(
        &self,
        backup: BackupHash,
        challenge: &Challenge,
        key_of: impl Fn(&PersonId, &CredentialId) -> Option<PublicKey>,
        envelope: &pb::Envelope,
    ) -> Result<BackupProof, SaidError> {
        let (said, opened) = BackupProof::open(envelope)?;
        let public = self.public();
        let facts = [
            (said.cluster == public.cluster, "cluster"),
            (said.key == public.key, "key"),
            (said.epoch == public.epoch, "epoch"),
            (said.member == self.member(), "member"),
            (said.backup == backup.0, "backup"),
            (said.asked_by == challenge.asked_by, "asker"),
            (said.nonce == challenge.nonce.0, "nonce"),
            (opened.claimed_signers().eq([said.credential.as_str()]), "signer"),
        ];
        let person = said.person.clone();
        if let Some((_, what)) = facts.into_iter().find(|(same, _)| !same) {
            return Err(SaidError::Other { person, what });
        }
        let Some(key) = key_of(&said.person, &said.credential) else {
            return Err(SaidError::NoCredential { person, credential: said.credential });
        };
        let signed = opened.verify(said.credential.as_str(), &key);
        signed.map_err(|cause| SaidError::Signature { person, cause })?;
        self.verify_proof(backup, &said.person, &challenge.nonce, &Proof(said.proof))?;
        Ok(said)
    }
}
