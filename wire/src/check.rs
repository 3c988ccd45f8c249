//! External checks: what a program outside the cluster found out about an intent. The checked form of `check.proto`.
//!
//! A value of this type is well formed and no more. Whether a rule asks for it and what it counts for is `policy`'s
//! question.

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, EnvelopeError, Opened, PayloadType};
use crate::ids::{CharterHash, CheckerId, ClusterId, IntentId};
use crate::intent::{IntentError, check_text, check_version, field, invalid};
use crate::keys::SigningKey;
use crate::{limits, pb};

/// One checker's finding about one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The cluster.
    pub cluster: ClusterId,
    /// The intent.
    pub intent_id: IntentId,
    /// The charter under which was checked.
    pub charter: CharterHash,
    /// Who checked.
    pub checker: CheckerId,
    /// Seconds since 1970 at which was checked.
    pub checked_at_secs: u64,
    /// Seconds since 1970 from which the finding no longer counts.
    pub expires_at_secs: u64,
    /// What speaks against it: `None` if it passed.
    pub objection: Option<String>,
}

impl Check {
    /// Opens an envelope and checks everything that needs no charter; the signature is the caller's to verify.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Check)?;
        let raw: pb::Check = opened.decode("check")?;
        Ok((Self::from_wire(raw)?, opened))
    }

    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> pb::Envelope {
        envelope::seal(PayloadType::Check, self.to_wire().encode_to_vec(), self.checker.as_str(), key)
    }

    /// Verifies the one signature that an envelope of a check has.
    pub fn verify(&self, opened: &Opened<'_>, key: &crate::keys::PublicKey) -> Result<(), EnvelopeError> {
        opened.verify(self.checker.as_str(), key)
    }

    fn from_wire(raw: pb::Check) -> Result<Self, IntentError> {
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        let objection = match (raw.passed, raw.reason.trim().is_empty()) {
            (true, _) if !raw.reason.is_empty() => return Err(invalid("reason", "what passed has none")),
            (true, _) => None,
            (false, true) => return Err(invalid("reason", "what did not pass needs a reason")),
            (false, false) => Some(raw.reason),
        };
        if raw.expires_at_secs <= raw.checked_at_secs {
            return Err(invalid("expires_at_secs", "a finding must expire, and after it was made"));
        }
        Ok(Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            intent_id: IntentId::from_slice(&raw.intent_id).map_err(field("intent_id"))?,
            charter: CharterHash::from_slice(&raw.charter_hash).map_err(field("charter_hash"))?,
            checker: CheckerId::new(raw.checker).map_err(field("checker"))?,
            checked_at_secs: raw.checked_at_secs,
            expires_at_secs: raw.expires_at_secs,
            objection,
        })
    }

    fn to_wire(&self) -> pb::Check {
        pb::Check {
            version: 1,
            cluster: self.cluster.to_string(),
            intent_id: Bytes::copy_from_slice(self.intent_id.as_bytes()),
            charter_hash: Bytes::copy_from_slice(self.charter.as_bytes()),
            checker: self.checker.to_string(),
            checked_at_secs: self.checked_at_secs,
            expires_at_secs: self.expires_at_secs,
            passed: self.objection.is_none(),
            reason: self.objection.clone().unwrap_or_default(),
        }
    }
}
