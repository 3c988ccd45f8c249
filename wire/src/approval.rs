//! Approvals: what a person says about an intent, and how they prove it. Checked forms of `approval.proto`.
//!
//! A value of these types is well formed and no more. Who it comes from and what it counts for is `policy`'s question.

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, PayloadType};
use crate::ids::{ApprovalId, ClusterId, CredentialId, FreezeEpoch, IntentId, PersonId, SliceHash, tagged_hash};
use crate::intent::{IntentError, check_text, check_version, field, invalid};
use crate::{limits, pb};

const DOMAIN: &str = "limen/approval/v1";

/// What a person says about an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No: ends the request.
    Reject,
    /// Takes back what this person approved before.
    Withdraw,
}

impl Verdict {
    /// The word in digests and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
        }
    }

    fn from_wire(raw: i32) -> Result<Self, IntentError> {
        match pb::Verdict::try_from(raw) {
            Ok(pb::Verdict::Approve) => Ok(Self::Approve),
            Ok(pb::Verdict::Reject) => Ok(Self::Reject),
            Ok(pb::Verdict::Withdraw) => Ok(Self::Withdraw),
            Ok(pb::Verdict::Unspecified) | Err(_) => Err(invalid("verdict", format!("{raw} is not a known verdict"))),
        }
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Approve => pb::Verdict::Approve as i32,
            Self::Reject => pb::Verdict::Reject as i32,
            Self::Withdraw => pb::Verdict::Withdraw as i32,
        }
    }
}

/// One person's verdict on one intent, with everything that it holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The cluster.
    pub cluster: ClusterId,
    /// The intent.
    pub intent_id: IntentId,
    /// [`Effects::digest`](crate::effects::Effects::digest) of what the approver's machine decoded.
    pub effects_digest: [u8; 32],
    /// By which version of the decoders.
    pub decoder_version: u32,
    /// The part of the charter that decided.
    pub slice: SliceHash,
    /// The live freezes of the touched scopes.
    pub freeze_epoch: FreezeEpoch,
    /// Who.
    pub person: PersonId,
    /// With which credential.
    pub credential: CredentialId,
    /// The approval that this person saw before theirs.
    pub preceding: Option<ApprovalId>,
    /// Seconds since 1970 from which an approval no longer counts.
    pub expires_at_secs: u64,
    /// What they say.
    pub verdict: Verdict,
    /// Why: never empty for a rejection, always empty for an approval.
    pub reason: String,
    /// Random bytes of the approver's machine, chosen after the intent: nobody can look for two intents that read back alike.
    pub nonce: [u8; 32],
}

impl Approval {
    /// What is proved: the challenge of a passkey, the message of a bare key. It covers every field.
    ///
    /// [`tagged_hash`] with domain `limen/approval/v1` over, in this order: cluster, intent id, effects digest, decoder
    /// version (4 bytes), slice hash, freeze epoch, person, credential, preceding (0 or 32 bytes), expiry (8 bytes), the
    /// verdict's word, reason, nonce. Names and texts are UTF-8, numbers big-endian.
    pub fn digest(&self) -> ApprovalId {
        let preceding = self.preceding.as_ref().map_or(&[][..], |id| id.as_bytes());
        let parts: [&[u8]; 13] = [
            self.cluster.as_str().as_bytes(),
            self.intent_id.as_bytes(),
            &self.effects_digest,
            &self.decoder_version.to_be_bytes(),
            self.slice.as_bytes(),
            self.freeze_epoch.as_bytes(),
            self.person.as_str().as_bytes(),
            self.credential.as_str().as_bytes(),
            preceding,
            &self.expires_at_secs.to_be_bytes(),
            self.verdict.as_str().as_bytes(),
            self.reason.as_bytes(),
            &self.nonce,
        ];
        ApprovalId::new(tagged_hash(DOMAIN, parts))
    }

    fn from_wire(raw: pb::Approval) -> Result<Self, IntentError> {
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        let verdict = Verdict::from_wire(raw.verdict)?;
        match verdict {
            Verdict::Reject if raw.reason.trim().is_empty() => {
                return Err(invalid("reason", "a rejection needs a reason"));
            }
            Verdict::Approve if !raw.reason.is_empty() => {
                return Err(invalid("reason", "an approval has none"));
            }
            _ => {}
        }
        if raw.expires_at_secs == 0 {
            return Err(invalid("expires_at_secs", "an approval must expire"));
        }
        Ok(Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            intent_id: IntentId::from_slice(&raw.intent_id).map_err(field("intent_id"))?,
            effects_digest: bytes32("effects_digest", &raw.effects_digest)?,
            decoder_version: raw.decoder_version,
            slice: SliceHash::from_slice(&raw.slice_hash).map_err(field("slice_hash"))?,
            freeze_epoch: FreezeEpoch::from_slice(&raw.freeze_epoch).map_err(field("freeze_epoch"))?,
            person: PersonId::new(raw.person).map_err(field("person"))?,
            credential: CredentialId::new(raw.credential).map_err(field("credential"))?,
            preceding: match raw.preceding.len() {
                0 => None,
                _ => Some(ApprovalId::from_slice(&raw.preceding).map_err(field("preceding"))?),
            },
            expires_at_secs: raw.expires_at_secs,
            verdict,
            reason: raw.reason,
            nonce: bytes32("nonce", &raw.nonce)?,
        })
    }

    fn to_wire(&self) -> pb::Approval {
        pb::Approval {
            version: 1,
            cluster: self.cluster.to_string(),
            intent_id: Bytes::copy_from_slice(self.intent_id.as_bytes()),
            effects_digest: Bytes::copy_from_slice(&self.effects_digest),
            decoder_version: self.decoder_version,
            slice_hash: Bytes::copy_from_slice(self.slice.as_bytes()),
            freeze_epoch: Bytes::copy_from_slice(self.freeze_epoch.as_bytes()),
            person: self.person.to_string(),
            credential: self.credential.to_string(),
            preceding: self.preceding.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            expires_at_secs: self.expires_at_secs,
            verdict: self.verdict.to_wire(),
            reason: self.reason.clone(),
            nonce: Bytes::copy_from_slice(&self.nonce),
        }
    }
}

/// What an authenticator answered whose challenge was the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Authenticator data, as signed.
    pub authenticator_data: Bytes,
    /// Client data as hashed and signed: JSON, at most [`limits::CLIENT_DATA_BYTES`].
    pub client_data: Bytes,
    /// ECDSA in DER, or Ed25519.
    pub signature: Bytes,
}

/// How a person proves that the verdict is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A bare key's signature over the 32 bytes of the digest.
    Signature([u8; 64]),
    /// A passkey's assertion.
    Assertion(Assertion),
}

/// A verdict with its proof, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedApproval {
    /// What is said.
    pub approval: Approval,
    /// By whom.
    pub proof: Proof,
}

impl SignedApproval {
    /// Opens an envelope and checks everything that needs no charter.
    pub fn open(envelope: &pb::Envelope) -> Result<Self, IntentError> {
        let opened = envelope::open(envelope, PayloadType::Approval)?;
        if opened.claimed_signers().next().is_some() {
            return Err(invalid("signatures", "an approval carries its proof inside, not on the envelope"));
        }
        let raw: pb::SignedApproval = opened.decode("approval")?;
        let approval = raw.approval.ok_or_else(|| invalid("approval", "nothing is said"))?;
        let proof = raw.proof.ok_or_else(|| invalid("proof", "nobody signed"))?;
        Ok(Self { approval: Approval::from_wire(approval)?, proof: proof_from_wire(proof)? })
    }

    /// The wire form.
    pub fn to_envelope(&self) -> pb::Envelope {
        use pb::signed_approval::Proof as Raw;
        let proof = match &self.proof {
            Proof::Signature(signature) => Raw::Signature(Bytes::copy_from_slice(signature)),
            Proof::Assertion(assertion) => Raw::Assertion(pb::Assertion {
                authenticator_data: assertion.authenticator_data.clone(),
                client_data: assertion.client_data.clone(),
                signature: assertion.signature.clone(),
            }),
        };
        let signed = pb::SignedApproval { approval: Some(self.approval.to_wire()), proof: Some(proof) };
        pb::Envelope {
            payload_type: PayloadType::Approval.as_str().to_owned(),
            payload: signed.encode_to_vec().into(),
            signatures: Vec::new(),
        }
    }
}

fn proof_from_wire(raw: pb::signed_approval::Proof) -> Result<Proof, IntentError> {
    use pb::signed_approval::Proof as Raw;
    let assertion = match raw {
        Raw::Signature(bytes) => {
            let signature = <[u8; 64]>::try_from(bytes.as_ref());
            let wrong = || invalid("signature", format!("{} bytes where 64 are needed", bytes.len()));
            return signature.map(Proof::Signature).map_err(|_| wrong());
        }
        Raw::Assertion(assertion) => assertion,
    };
    let within = |name, bytes: &Bytes, limit: usize| match bytes.len() {
        0 => Err(invalid(name, "missing")),
        found if found > limit => Err(invalid(name, format!("{found} bytes, at most {limit} allowed"))),
        _ => Ok(()),
    };
    within("authenticator_data", &assertion.authenticator_data, limits::AUTHENTICATOR_DATA_BYTES)?;
    within("client_data", &assertion.client_data, limits::CLIENT_DATA_BYTES)?;
    within("signature", &assertion.signature, limits::ASSERTION_SIGNATURE_BYTES)?;
    let pb::Assertion { authenticator_data, client_data, signature } = assertion;
    Ok(Proof::Assertion(Assertion { authenticator_data, client_data, signature }))
}

fn bytes32(name: &'static str, bytes: &[u8]) -> Result<[u8; 32], IntentError> {
    <[u8; 32]>::try_from(bytes).map_err(|_| invalid(name, format!("{} bytes where 32 are needed", bytes.len())))
}
