//! What people said about a request, as the coordinator keeps it. Who they are and what it counts for, signers decide.

use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ApprovalId, PersonId};
use limen_wire::intent::IntentError;
use limen_wire::{limits, pb};

use super::record::Record;

/// Of one person, approvals that are kept: so no person alone keeps the others out.
const APPROVALS_OF_ONE: usize = 8;
/// Of one person, verdicts of any kind that are kept: there is always room for bad news.
const VERDICTS_OF_ONE: usize = 16;
/// Places that only rejections and withdrawals may take.
const KEPT_FOR_BAD_NEWS: usize = limits::APPROVALS / 4;

/// A signed approval, rejection or withdrawal in the order in which it came.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldApproval {
    /// Its digest.
    pub id: ApprovalId,
    /// Who says it.
    pub person: PersonId,
    /// What they say.
    pub verdict: Verdict,
    /// The exact bytes.
    pub envelope: pb::Envelope,
}

impl HeldApproval {
    /// Reads the bytes. That they prove anything is not checked here.
    pub fn open(envelope: &pb::Envelope) -> Result<Self, IntentError> {
        Ok(Self::of(&SignedApproval::open(envelope)?, envelope.clone()))
    }

    /// From an approval and the bytes in which it came.
    pub fn of(signed: &SignedApproval, envelope: pb::Envelope) -> Self {
        let approval = &signed.approval;
        Self { id: approval.digest(), person: approval.person.clone(), verdict: approval.verdict, envelope }
    }
}

impl Record {
    /// Whether exactly this has been said before.
    pub fn holds(&self, id: &ApprovalId) -> bool {
        self.approvals.iter().any(|held| held.id == *id)
    }

    /// Why nothing more of this kind is taken, if so.
    pub(super) fn refuses(&self, held: &HeldApproval) -> Option<ApiError> {
        let wrong_state = |why: &str| {
            let state = self.state.as_str();
            Some(ApiError::new(Code::WrongState, format!("nothing can be said about it in state {state}: {why}")))
        };
        if self.state.is_end() {
            return wrong_state("it has ended");
        }
        if self.stop.is_some() {
            return wrong_state("its requester has cancelled it");
        }
        let approves = held.verdict == Verdict::Approve;
        let (in_all, of_one) = match approves {
            true => (limits::APPROVALS - KEPT_FOR_BAD_NEWS, APPROVALS_OF_ONE),
            false => (limits::APPROVALS, VERDICTS_OF_ONE),
        };
        let theirs = self.approvals.iter().filter(|known| known.person == held.person).count();
        if theirs >= of_one || self.approvals.len() >= in_all {
            let all = self.approvals.len();
            let message =
                format!("{} has said {theirs} things about it, all people {all}: no more is kept", held.person);
            return Some(ApiError::new(Code::WrongState, message));
        }
        None
    }
}
