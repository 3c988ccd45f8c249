//! The signed envelope: exact payload bytes and signatures over their DSSE pre-authentication encoding.
//!
//! Source: DSSE protocol v1.0.0 (secure-systems-lab/dsse). What was signed is never re-encoded: whoever verifies an
//! envelope decodes the very bytes that the signature covers.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::ids::IntentId;
use crate::keys::{PublicKey, SigningKey};
use crate::{limits, pb};

/// What an envelope's payload is. A closed list: an unknown type is refused before anything is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadType {
    /// [`pb::Intent`].
    Intent,
    /// [`pb::KeyGeneration`].
    KeyGeneration,
    /// [`pb::KeyHandover`].
    KeyHandover,
    /// [`pb::EpochSwitched`].
    EpochSwitched,
    /// [`pb::KeyDestroyed`].
    KeyDestroyed,
    /// [`pb::Cancellation`].
    Cancellation,
    /// [`pb::KeyStatement`].
    KeyStatement,
    /// [`pb::NonceBatch`].
    NonceBatch,
    /// [`pb::SignedApproval`].
    Approval,
    /// [`pb::Check`].
    Check,
    /// [`pb::Freeze`].
    Freeze,
    /// [`pb::Unfreeze`].
    Unfreeze,
    /// [`pb::Standing`].
    Standing,
    /// [`pb::JournalHead`].
    JournalHead,
    /// [`pb::LedgerEntry`].
    LedgerEntry,
    /// [`pb::LedgerClosing`].
    LedgerClosing,
    /// [`pb::LedgerVoid`].
    LedgerVoid,
    /// [`pb::SignedCharter`].
    CharterVersion,
    /// [`pb::BackupProof`].
    BackupProof,
    /// What a participant says in a ceremony: lines of text (`limen_evidence::ceremony`).
    Ceremony,
    /// A machine's proof to a ceremony that it holds its identity: lines of text.
    MachineProof,
    /// The record of a drill: text that proves itself, in an envelope without signatures of its own.
    DrillRecord,
}

impl PayloadType {
    /// The media type that is signed with the payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "application/vnd.limen.intent.v1+protobuf",
            Self::KeyGeneration => "application/vnd.limen.key-generation.v1+protobuf",
            Self::KeyHandover => "application/vnd.limen.key-handover.v1+protobuf",
            Self::EpochSwitched => "application/vnd.limen.epoch-switched.v1+protobuf",
            Self::KeyDestroyed => "application/vnd.limen.key-destroyed.v1+protobuf",
            Self::Cancellation => "application/vnd.limen.cancellation.v1+protobuf",
            Self::KeyStatement => "application/vnd.limen.key-statement.v1+protobuf",
            Self::NonceBatch => "application/vnd.limen.nonce-batch.v1+protobuf",
            Self::Approval => "application/vnd.limen.approval.v1+protobuf",
            Self::Check => "application/vnd.limen.check.v1+protobuf",
            Self::Freeze => "application/vnd.limen.freeze.v1+protobuf",
            Self::Unfreeze => "application/vnd.limen.unfreeze.v1+protobuf",
            Self::Standing => "application/vnd.limen.standing.v1+protobuf",
            Self::JournalHead => "application/vnd.limen.journal-head.v1+protobuf",
            Self::LedgerEntry => "application/vnd.limen.ledger-entry.v1+protobuf",
            Self::LedgerClosing => "application/vnd.limen.ledger-closing.v1+protobuf",
            Self::LedgerVoid => "application/vnd.limen.ledger-void.v1+protobuf",
            Self::CharterVersion => "application/vnd.limen.charter-version.v1+protobuf",
            Self::BackupProof => "application/vnd.limen.backup-proof.v1+protobuf",
            Self::Ceremony => "application/vnd.limen.ceremony.v1+text",
            Self::MachineProof => "application/vnd.limen.machine-proof.v1+text",
            Self::DrillRecord => "application/vnd.limen.drill-record.v1+text",
        }
    }

    const fn payload_bytes(self) -> usize {
        match self {
            Self::CharterVersion => limits::CHARTER_VERSION_BYTES,
            Self::DrillRecord => limits::DRILL_RECORD_BYTES,
            _ => limits::ENVELOPE_PAYLOAD_BYTES,
        }
    }
}

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another kind of payload than the call takes.
    #[error("the envelope holds {found:?} where {expected:?} is needed")]
    WrongType {
        /// What is needed.
        expected: &'static str,
        /// What is there, cut to 100 characters.
        found: String,
    },
    /// A field is longer or more numerous than allowed.
    #[error("the envelope's {what} is {found}, more than the {limit} allowed")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// No signature by the signer in question.
    #[error("the envelope carries no signature of {signer:?}")]
    NotSigned {
        /// Whose signature is missing.
        signer: String,
    },
    /// More than one signature claims the same signer.
    #[error("the envelope carries two signatures of {signer:?}")]
    SignedTwice {
        /// Whose.
        signer: String,
    },
    /// The signature does not verify under the enrolled key.
    #[error(
        "the signature of {signer:?} does not verify under the enrolled key: other bytes, another key or a damaged signature"
    )]
    BadSignature {
        /// Whose.
        signer: String,
    },
    /// The payload is not the encoding that its own content gives.
    #[error("the payload is not a canonical {what}: {reason}")]
    NotCanonical {
        /// Which message.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The bytes that are signed: `DSSEv1 SP len(type) SP type SP len(payload) SP payload`.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + payload_type.len() + 32);
    out.extend_from_slice(b"DSSEv1 ");
    out.extend_from_slice(payload_type.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload_type.as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload);
    out
}

/// SHA-256 of the pre-authentication encoding: the intent id for intents, and the name of every other payload.
pub fn payload_id(payload_type: PayloadType, payload: &[u8]) -> IntentId {
    IntentId::new(Sha256::digest(pre_authentication_encoding(payload_type.as_str(), payload)).into())
}

/// A payload that is to be signed: by a key here, or by one that lies elsewhere and may refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is signed yet"]
pub struct Unsigned {
    payload_type: PayloadType,
    payload: Vec<u8>,
}

impl Unsigned {
    /// A payload of this type.
    pub const fn new(payload_type: PayloadType, payload: Vec<u8>) -> Self {
        Self { payload_type, payload }
    }

    /// What the signature covers.
    pub fn message(&self) -> Vec<u8> {
        pre_authentication_encoding(self.payload_type.as_str(), &self.payload)
    }

    /// Signs it by a key that is here.
    pub fn sign(self, signer: &str, key: &SigningKey) -> pb::Envelope {
        let signature = key.sign(&self.message());
        self.signed(signer, &signature)
    }

    /// With a signature over its [`Self::message`] that was made elsewhere.
    pub fn signed(self, signer: &str, signature: &[u8; 64]) -> pb::Envelope {
        attach(self.payload_type, self.payload, signer, signature)
    }
}

/// Wraps and signs a payload.
pub fn seal(payload_type: PayloadType, payload: Vec<u8>, signer: &str, key: &SigningKey) -> pb::Envelope {
    Unsigned::new(payload_type, payload).sign(signer, key)
}

/// Wraps a payload together with a signature over its pre-authentication encoding that was made elsewhere.
pub fn attach(payload_type: PayloadType, payload: Vec<u8>, signer: &str, signature: &[u8; 64]) -> pb::Envelope {
    pb::Envelope {
        payload_type: payload_type.as_str().to_owned(),
        payload: Bytes::from(payload),
        signatures: vec![pb::EnvelopeSignature {
            signer: signer.to_owned(),
            signature: Bytes::copy_from_slice(signature),
        }],
    }
}

/// An envelope whose type and sizes are checked; its signatures are not yet.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'a> {
    envelope: &'a pb::Envelope,
    payload_type: PayloadType,
}

/// Checks type and sizes.
pub fn open(envelope: &pb::Envelope, expected: PayloadType) -> Result<Opened<'_>, EnvelopeError> {
    if envelope.payload_type != expected.as_str() {
        return Err(EnvelopeError::WrongType {
            expected: expected.as_str(),
            found: envelope.payload_type.chars().take(100).collect(),
        });
    }
    let within = |what, found: usize, limit: usize| {
        if found > limit { Err(EnvelopeError::TooLarge { what, found, limit }) } else { Ok(()) }
    };
    within("payload", envelope.payload.len(), expected.payload_bytes())?;
    within("number of signatures", envelope.signatures.len(), limits::ENVELOPE_SIGNATURES)?;
    for signature in &envelope.signatures {
        within("signer name", signature.signer.len(), limits::NAME_BYTES)?;
        within("signature", signature.signature.len(), limits::SIGNATURE_BYTES)?;
    }
    Ok(Opened { envelope, payload_type: expected })
}

impl<'a> Opened<'a> {
    /// The exact payload bytes.
    pub fn payload(&self) -> &'a [u8] {
        &self.envelope.payload
    }

    /// SHA-256 of the pre-authentication encoding.
    pub fn id(&self) -> IntentId {
        payload_id(self.payload_type, self.payload())
    }

    /// The names that claim to have signed, in order.
    pub fn claimed_signers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.envelope.signatures.iter().map(|signature| signature.signer.as_str())
    }

    /// Verifies the one signature of this signer.
    pub fn verify(&self, signer: &str, key: &PublicKey) -> Result<(), EnvelopeError> {
        let mut found = self.envelope.signatures.iter().filter(|signature| signature.signer == signer);
        let signature = found.next().ok_or_else(|| EnvelopeError::NotSigned { signer: signer.to_owned() })?;
        if found.next().is_some() {
            return Err(EnvelopeError::SignedTwice { signer: signer.to_owned() });
        }
        let message = pre_authentication_encoding(self.payload_type.as_str(), self.payload());
        if key.verify(&message, &signature.signature) {
            Ok(())
        } else {
            Err(EnvelopeError::BadSignature { signer: signer.to_owned() })
        }
    }

    /// Decodes the payload, refusing every encoding but the canonical one: an unknown field, a field out of order or a
    /// default written out would let two readers see different things in the same bytes.
    pub fn decode<M: prost::Message + Default>(&self, what: &'static str) -> Result<M, EnvelopeError> {
        let message = M::decode(self.payload())
            .map_err(|error| EnvelopeError::NotCanonical { what, reason: error.to_string() })?;
        if message.encode_to_vec() == self.payload() {
            Ok(message)
        } else {
            Err(EnvelopeError::NotCanonical {
                what,
                reason:
                    "encoding the decoded message gives other bytes (unknown field, wrong order or written-out default)"
                        .to_owned(),
            })
        }
    }
}
