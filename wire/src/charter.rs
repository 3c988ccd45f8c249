//! A version of the charter with what people signed of it. Checked form of `charter.proto`.
//!
//! Whether the text is a charter, and whether the people are the right ones, is `policy`'s question.

use bytes::Bytes;
use prost::Message as _;

use crate::approval::SignedApproval;
use crate::envelope::{self, PayloadType};
use crate::intent::{IntentError, check_version, invalid};
use crate::{limits, pb};

/// A text and signatures, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCharter {
    /// The exact text.
    pub text: String,
    /// Approvals about this version.
    pub approvals: Vec<SignedApproval>,
}

impl SignedCharter {
    /// Opens an envelope and checks everything that needs no charter.
    pub fn open(envelope: &pb::Envelope) -> Result<Self, IntentError> {
        let opened = envelope::open(envelope, PayloadType::CharterVersion)?;
        if opened.claimed_signers().next().is_some() {
            return Err(invalid("signatures", "a version of the charter carries its approvals inside"));
        }
        let raw: pb::SignedCharter = opened.decode("charter version")?;
        check_version(raw.version)?;
        let bounded = |name, found: usize, limit: usize| match found > limit {
            true => Err(invalid(name, format!("{found}, at most {limit} allowed"))),
            false => Ok(()),
        };
        bounded("text", raw.text.len(), limits::CHARTER_BYTES)?;
        bounded("approvals", raw.approvals.len(), limits::APPROVALS)?;
        let text = String::from_utf8(raw.text.to_vec()).map_err(|error| invalid("text", error.to_string()))?;
        let approvals = raw.approvals.iter().map(SignedApproval::open).collect::<Result<_, _>>()?;
        Ok(Self { text, approvals })
    }

    /// The wire form.
    pub fn to_envelope(&self) -> pb::Envelope {
        let raw = pb::SignedCharter {
            version: 1,
            text: Bytes::copy_from_slice(self.text.as_bytes()),
            approvals: self.approvals.iter().map(SignedApproval::to_envelope).collect(),
        };
        pb::Envelope {
            payload_type: PayloadType::CharterVersion.as_str().to_owned(),
            payload: raw.encode_to_vec().into(),
            signatures: Vec::new(),
        }
    }
}
