//! What must not have been said.

use limen_wire::ids::{PersonId, PlanHash, RecordHead};

/// What somebody of the plan said and signed, and must not have. The ceremony ends for everybody who sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another plan of the same name: somebody was shown something else.
    #[error("SPLIT VIEW: {author} has plan {found} before them, here it is {expected}")]
    OtherPlan {
        /// Who.
        author: PersonId,
        /// Theirs.
        found: PlanHash,
        /// Ours.
        expected: PlanHash,
    },
    /// Another record so far.
    #[error(
        "SPLIT VIEW: in step {step} {author} has another record of the steps before it: {found}, here it is {expected}"
    )]
    Head {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
        /// Theirs.
        found: RecordHead,
        /// Ours.
        expected: RecordHead,
    },
    /// Two contributions for one step.
    #[error("SPLIT VIEW: {author} said two different things in step {step}")]
    Twice {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
    },
    /// Not there.
    #[error("SPLIT VIEW: {author} takes part, but is not among those who are there")]
    Absent {
        /// Who.
        author: PersonId,
    },
    /// Something that does not hold.
    #[error("in step {step} {author} said what does not hold: {reason}")]
    Content {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
        /// What.
        reason: String,
    },
    /// All are there, but what they say does not go together.
    #[error("what was said in step {step} does not go together: {reason}")]
    Together {
        /// In which step.
        step: u32,
        /// What.
        reason: String,
    },
}

impl Fault {
    /// Whether it is about this step.
    pub(super) fn is_in(&self, number: u32) -> bool {
        match self {
            Self::OtherPlan { .. } | Self::Absent { .. } => false,
            Self::Head { step, .. }
            | Self::Twice { step, .. }
            | Self::Content { step, .. }
            | Self::Together { step, .. } => *step == number,
        }
    }
}
