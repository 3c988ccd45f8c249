//! What a refusal tells a sequencer. A hint is not believed: a wrong one costs a round trip.

use limen_wire::ids::IntentId;
use limen_wire::pb;

use crate::ledger::book::Misfit;
use crate::ledger::member::Refusal;

/// Why a member has not acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub enum Hint {
    /// It lacks certificates after this number.
    Behind {
        /// The last that it knows.
        head: u64,
    },
    /// The number is certified: here are the certificates after the entry's base, in order.
    Certified(Vec<pb::Envelope>),
    /// It has promised something about numbers up to this one.
    Bound {
        /// The last of them.
        through: u64,
    },
    /// This request cannot be reserved.
    Unfit(IntentId),
    /// Nothing that is judged by this charter, dated by this clock, or counted at these prices is acknowledged now.
    Stale,
    /// Something else.
    Other,
}

impl Hint {
    /// What a refusal says; `certificates` are those that the member has after the entry's base, in order.
    pub fn of(refusal: &Refusal, certificates: impl FnOnce() -> Vec<pb::Envelope>) -> Self {
        match refusal {
            Refusal::Behind { head } => Self::Behind { head: *head },
            Refusal::Certified { .. } | Refusal::Sealed => Self::Certified(certificates()),
            Refusal::Taken { number, .. } => Self::Bound { through: *number },
            Refusal::Closed { through } => Self::Bound { through: *through },
            Refusal::CannotRecompute { intent, .. }
            | Refusal::OtherCharges(intent)
            | Refusal::NotAllowed { intent, .. }
            | Refusal::Misfit(Misfit::Held { intent, .. } | Misfit::SpendsLess { intent, .. }) => Self::Unfit(*intent),
            Refusal::OtherCharter { .. }
            | Refusal::Skewed { .. }
            | Refusal::NoPrices(_)
            | Refusal::OtherPrices { .. } => Self::Stale,
            _ => Self::Other,
        }
    }
}
