//! One approval: is it this person's, and does it hold for this intent as things stand?

use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::ids::{ApprovalId, ClusterId, CredentialId, FreezeEpoch, IntentId, PersonId, SliceHash};

use super::webauthn::{self, AssertionError};
use crate::charter::people::{Credential, CredentialClass, CredentialKind, Roster};

/// What an approval must hold for, as the verifier computed it from bytes and charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The verifier's own cluster.
    pub cluster: ClusterId,
    /// The intent.
    pub intent_id: IntentId,
    /// Digest of the effects.
    pub effects_digest: [u8; 32],
    /// Version of the decoder that gave them.
    pub decoder_version: u32,
    /// The part of the charter that decides.
    pub slice: SliceHash,
    /// The live freezes of the touched scopes.
    pub freeze_epoch: FreezeEpoch,
}

impl Facts {
    /// What a person says of them with a credential, up to a time in seconds since 1970: after nothing, and without a reason.
    pub fn draft(
        self,
        (person, credential): (PersonId, CredentialId),
        verdict: Verdict,
        (expires_at_secs, nonce): (u64, [u8; 32]),
    ) -> Approval {
        let Self { cluster, intent_id, effects_digest, decoder_version, slice, freeze_epoch } = self;
        let (preceding, reason) = (None, String::new());
        Approval {
            cluster,
            intent_id,
            effects_digest,
            decoder_version,
            slice,
            freeze_epoch,
            person,
            credential,
            preceding,
            expires_at_secs,
            verdict,
            reason,
            nonce,
        }
    }
}

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// The charter knows no such credential.
    #[error("credential {credential} is not enrolled: the charter in force has to name it")]
    NotEnrolled {
        /// Which.
        credential: CredentialId,
    },
    /// Somebody else's credential.
    #[error("credential {credential} is {owner}'s and cannot speak for {person}")]
    NotTheirs {
        /// Which.
        credential: CredentialId,
        /// Whose it is.
        owner: PersonId,
        /// Whose the approval claims to be.
        person: PersonId,
    },
    /// A bare signature from a passkey, or an assertion from a bare key.
    #[error("credential {credential} is enrolled as {enrolled}; the approval proves itself in another way")]
    OtherProof {
        /// Which.
        credential: CredentialId,
        /// What it is.
        enrolled: &'static str,
    },
    /// The signature is not the credential's over this digest.
    #[error(
        "the signature of {person}'s credential {credential} does not verify: another key, or the approval was changed"
    )]
    BadSignature {
        /// Whose.
        person: PersonId,
        /// Which.
        credential: CredentialId,
    },
    /// The passkey's assertion.
    #[error("the assertion of {person}'s passkey {credential} does not count: {source}")]
    Assertion {
        /// Whose.
        person: PersonId,
        /// Which.
        credential: CredentialId,
        /// What is wrong.
        source: AssertionError,
    },
    /// For another cluster.
    #[error("the approval is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// Whose cluster it names.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// For another intent.
    #[error("the approval is for intent {found}, not for {expected}: approvals serve one intent only")]
    OtherIntent {
        /// Which it names.
        found: IntentId,
        /// Which is asked about.
        expected: IntentId,
    },
    /// The approver's machine read the bytes otherwise.
    #[error(
        "the approver was shown other effects than these bytes have: do not sign, find out what their machine decoded"
    )]
    OtherEffects,
    /// Another decoder.
    #[error("the approver's decoder has version {found}, this one {expected}: approve again with the same release")]
    OtherDecoder {
        /// The approver's.
        found: u32,
        /// The verifier's.
        expected: u32,
    },
    /// The rules have changed since.
    #[error(
        "the approval has lapsed: the part of the charter that decides about this intent has changed; approve again"
    )]
    OtherSlice,
    /// A freeze has come or gone since.
    #[error("the approval has lapsed: a freeze of what this intent touches has come or gone; approve again")]
    OtherFreezeEpoch,
    /// Too late.
    #[error("the approval expired at {expired_at_secs} seconds, now it is {now_secs}: approve again")]
    Expired {
        /// When.
        expired_at_secs: u64,
        /// Now.
        now_secs: u64,
    },
}

/// An approval that its person's enrolled credential proves. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    approval: Approval,
    id: ApprovalId,
    class: CredentialClass,
    backup_eligible: bool,
    sign_count: Option<u32>,
}

impl Verified {
    /// Without a proof: for rehearsals of a charter's rules.
    pub(crate) fn unproved(approval: Approval, class: CredentialClass, backup_eligible: bool) -> Self {
        let id = approval.digest();
        Self { approval, id, class, backup_eligible, sign_count: None }
    }
}

impl Verified {
    /// What is said.
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }
    /// Its digest and name.
    pub const fn id(&self) -> ApprovalId {
        self.id
    }
    /// What the signature says about what its owner saw.
    pub const fn class(&self) -> CredentialClass {
        self.class
    }
    /// A passkey that may leave its authenticator. Groups decide whether it counts.
    pub const fn is_backup_eligible(&self) -> bool {
        self.backup_eligible
    }
    /// The passkey's counter, for the caller to watch: one that does not rise tells of a copy. Zero for ever where the
    /// authenticator has none.
    pub const fn sign_count(&self) -> Option<u32> {
        self.sign_count
    }

    /// Whether the verdict holds for these facts at this time, in seconds since 1970.
    ///
    /// Bad news needs less: a rejection or withdrawal of this intent holds whatever its person believed of effects, charter
    /// and freezes, and for ever.
    pub fn holds(&self, facts: &Facts, now_secs: u64) -> Result<(), ApprovalError> {
        holds(&self.approval, facts, now_secs)
    }
}

/// Verifies one approval against who is enrolled and what it must hold for. `now_secs` is in seconds since 1970.
pub fn verify(
    signed: &SignedApproval,
    roster: &Roster,
    facts: &Facts,
    now_secs: u64,
) -> Result<Verified, ApprovalError> {
    let approval = &signed.approval;
    let credential = enrolled(approval, roster)?;
    let id = approval.digest();
    let proved = prove(approval, credential, &signed.proof, &id)?;
    holds(approval, facts, now_secs)?;
    Ok(Verified {
        approval: approval.clone(),
        id,
        class: credential.class,
        backup_eligible: proved.is_some_and(|seen| seen.backup_eligible),
        sign_count: proved.map(|seen| seen.sign_count),
    })
}

fn enrolled<'a>(approval: &Approval, roster: &'a Roster) -> Result<&'a Credential, ApprovalError> {
    let found = roster.credential(&approval.credential);
    let (owner, credential) =
        found.ok_or_else(|| ApprovalError::NotEnrolled { credential: approval.credential.clone() })?;
    if owner.id == approval.person {
        return Ok(credential);
    }
    Err(ApprovalError::NotTheirs {
        credential: credential.id.clone(),
        owner: owner.id.clone(),
        person: approval.person.clone(),
    })
}

/// Checks the proof; `None` for a bare key.
fn prove(
    approval: &Approval,
    credential: &Credential,
    proof: &Proof,
    id: &ApprovalId,
) -> Result<Option<webauthn::Seen>, ApprovalError> {
    let (person, name) = (approval.person.clone(), credential.id.clone());
    let key = &credential.public_key;
    match (&credential.kind, proof) {
        (CredentialKind::Key, Proof::Signature(signature)) if key.verify(id.as_bytes(), signature) => Ok(None),
        (CredentialKind::Key, Proof::Signature(_)) => Err(ApprovalError::BadSignature { person, credential: name }),
        (CredentialKind::Passkey(passkey), Proof::Assertion(assertion)) => {
            webauthn::verify(assertion, passkey, key, id.as_bytes()).map(Some).map_err(|source| match source {
                AssertionError::Signature => ApprovalError::BadSignature { person, credential: name },
                source => ApprovalError::Assertion { person, credential: name, source },
            })
        }
        (CredentialKind::Key, Proof::Assertion(_)) => {
            Err(ApprovalError::OtherProof { credential: name, enrolled: "a bare key" })
        }
        (CredentialKind::Passkey(_), Proof::Signature(_)) => {
            Err(ApprovalError::OtherProof { credential: name, enrolled: "a passkey" })
        }
    }
}

fn holds(approval: &Approval, facts: &Facts, now_secs: u64) -> Result<(), ApprovalError> {
    if approval.cluster != facts.cluster {
        let (found, expected) = (approval.cluster.clone(), facts.cluster.clone());
        return Err(ApprovalError::OtherCluster { found, expected });
    }
    if approval.intent_id != facts.intent_id {
        return Err(ApprovalError::OtherIntent { found: approval.intent_id, expected: facts.intent_id });
    }
    if approval.verdict != Verdict::Approve {
        return Ok(());
    }
    if approval.decoder_version != facts.decoder_version {
        let (found, expected) = (approval.decoder_version, facts.decoder_version);
        return Err(ApprovalError::OtherDecoder { found, expected });
    }
    if approval.effects_digest != facts.effects_digest {
        return Err(ApprovalError::OtherEffects);
    }
    if approval.slice != facts.slice {
        return Err(ApprovalError::OtherSlice);
    }
    if approval.freeze_epoch != facts.freeze_epoch {
        return Err(ApprovalError::OtherFreezeEpoch);
    }
    if now_secs >= approval.expires_at_secs {
        return Err(ApprovalError::Expired { expired_at_secs: approval.expires_at_secs, now_secs });
    }
    Ok(())
}
