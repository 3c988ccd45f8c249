//! What external checkers found of a request: the newest finding of each is kept and shown to the signers with the intent.

use limen_wire::check::Check;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::CheckerId;
use limen_wire::intent::IntentError;
use limen_wire::{limits, pb};

use super::record::Record;

/// A signed finding.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldCheck {
    /// Whose it is.
    pub checker: CheckerId,
    /// Seconds since 1970 at which was checked, as it says.
    pub checked_at_secs: u64,
    /// The exact bytes.
    pub envelope: pb::Envelope,
}

impl HeldCheck {
    /// Reads the bytes. That they prove anything is not checked here.
    pub fn open(envelope: &pb::Envelope) -> Result<Self, IntentError> {
        let (check, _) = Check::open(envelope)?;
        Ok(Self::of(&check, envelope.clone()))
    }

    /// From a finding and the bytes in which it came.
    pub fn of(check: &Check, envelope: pb::Envelope) -> Self {
        Self { checker: check.checker.clone(), checked_at_secs: check.checked_at_secs, envelope }
    }
}

impl Record {
    /// Whether the finding is held, or a newer one of the same checker.
    pub fn outdates(&self, held: &HeldCheck) -> bool {
        let known = self.checks.iter().find(|known| known.checker == held.checker);
        known.is_some_and(|known| known == held || known.checked_at_secs > held.checked_at_secs)
    }

    /// Takes a finding in instead of its checker's last one.
    pub(super) fn take_check(&mut self, held: HeldCheck) -> Result<(), ApiError> {
        if self.state.is_end() {
            let message = format!("nothing can be found about it in state {}: it has ended", self.state.as_str());
            return Err(ApiError::new(Code::WrongState, message));
        }
        self.checks.retain(|known| known.checker != held.checker);
        if self.checks.len() >= limits::EXTERNAL_CHECKS {
            let message = format!("findings of {} checkers are held, no more are kept", self.checks.len());
            return Err(ApiError::new(Code::WrongState, message));
        }
        self.checks.push(held);
        self.checks_taken = self.checks_taken.saturating_add(1);
        Ok(())
    }

    /// The bytes of all findings.
    pub fn check_envelopes(&self) -> Vec<pb::Envelope> {
        self.checks.iter().map(|held| held.envelope.clone()).collect()
    }
}
