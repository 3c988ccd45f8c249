//! External checks: what programs outside the cluster found, and whether it holds for an intent as things stand.
//!
//! A finding is signed over intent, charter, time and expiry. Nothing about it is remembered: whoever wants a signature
//! shows it with the request each time, and it holds or it does not.

#[cfg(test)]
mod tests;

use limen_wire::check::Check;
use limen_wire::envelope::EnvelopeError;
use limen_wire::ids::{CharterHash, CheckerId, ClusterId, IntentId};
use limen_wire::intent::IntentError;
use limen_wire::pb;

use crate::charter::Charter;

/// How far a checker's clock may be ahead, in seconds.
pub const SKEW_SECS: u64 = 30;

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Not a well-formed finding.
    #[error("the finding cannot be read: {0}")]
    Malformed(#[from] IntentError),
    /// The charter knows no such checker.
    #[error("checker {checker} is not in the charter: the charter in force has to name it")]
    NotEnrolled {
        /// Which.
        checker: CheckerId,
    },
    /// The signature is not the checker's.
    #[error("the finding is not {checker}'s: {source}")]
    Signature {
        /// Whose it claims to be.
        checker: CheckerId,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// For another cluster.
    #[error("the finding is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// Whose cluster it names.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// About another intent.
    #[error("the finding is about intent {found}, not about {expected}: check this one")]
    OtherIntent {
        /// Which it names.
        found: IntentId,
        /// Which is asked about.
        expected: IntentId,
    },
    /// Under another charter.
    #[error("the finding was made under charter {found}, in force is {expected}: check again")]
    OtherCharter {
        /// Which it names.
        found: CharterHash,
        /// Which is in force.
        expected: CharterHash,
    },
    /// Not yet.
    #[error("the finding is from {checked_at_secs} seconds, now it is {now_secs}: set the checker's clock")]
    FromTheFuture {
        /// When it claims to be from.
        checked_at_secs: u64,
        /// Now.
        now_secs: u64,
    },
    /// Too late.
    #[error("the finding counted until {until_secs} seconds, now it is {now_secs}: check again")]
    Expired {
        /// Until when.
        until_secs: u64,
        /// Now.
        now_secs: u64,
    },
}

/// A finding that its checker's enrolled key proves, about one intent under the charter in force. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    checker: CheckerId,
    objection: Option<String>,
}

impl Finding {
    /// Who checked.
    pub const fn checker(&self) -> &CheckerId {
        &self.checker
    }
    /// What speaks against the intent; `None` if it passed.
    pub fn objection(&self) -> Option<&str> {
        self.objection.as_deref()
    }

    /// A pass without a proof: for rehearsals of a charter's rules.
    pub(crate) const fn unproved(checker: CheckerId) -> Self {
        Self { checker, objection: None }
    }
}

/// Verifies one finding for an intent. `now_secs` is in seconds since 1970.
///
/// An objection holds longer than a pass: for as long as it names itself.
pub fn verify(
    envelope: &pb::Envelope,
    charter: &Charter,
    intent_id: &IntentId,
    now_secs: u64,
) -> Result<Finding, CheckError> {
    let (check, opened) = Check::open(envelope)?;
    let checker = charter.checkers.get(&check.checker);
    let checker = checker.ok_or_else(|| CheckError::NotEnrolled { checker: check.checker.clone() })?;
    check
        .verify(&opened, &checker.public_key)
        .map_err(|source| CheckError::Signature { checker: checker.id.clone(), source })?;
    holds(&check, charter, intent_id)?;
    let checked_at_secs = check.checked_at_secs;
    if checked_at_secs > now_secs.saturating_add(SKEW_SECS) {
        return Err(CheckError::FromTheFuture { checked_at_secs, now_secs });
    }
    let oldest = checked_at_secs.saturating_add(checker.max_age_secs);
    let until_secs = if check.objection.is_none() { check.expires_at_secs.min(oldest) } else { check.expires_at_secs };
    if now_secs >= until_secs {
        return Err(CheckError::Expired { until_secs, now_secs });
    }
    Ok(Finding { checker: check.checker, objection: check.objection })
}

fn holds(check: &Check, charter: &Charter, intent_id: &IntentId) -> Result<(), CheckError> {
    if check.cluster != charter.cluster {
        return Err(CheckError::OtherCluster { found: check.cluster.clone(), expected: charter.cluster.clone() });
    }
    if check.intent_id != *intent_id {
        return Err(CheckError::OtherIntent { found: check.intent_id, expected: *intent_id });
    }
    if check.charter != charter.hash() {
        return Err(CheckError::OtherCharter { found: check.charter, expected: charter.hash() });
    }
    Ok(())
}
