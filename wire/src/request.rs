//! The life of a request, as everybody names it.

use std::fmt;

use crate::pb;

/// Where a request stands. `proto/limen/v1/custody.proto` has the same states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestState {
    /// Stored, not yet judged.
    Submitted,
    /// Judged by the coordinator; being announced.
    Evaluated,
    /// Waits for people.
    AwaitingApproval,
    /// Waits for a delay.
    TimeLocked,
    /// Claims its nonce and amounts.
    Reserved,
    /// A session runs or is about to.
    Signing,
    /// The signature is there. An end.
    Signed,
    /// The rules forbid it. An end.
    Denied,
    /// A person said no. An end.
    Rejected,
    /// Too late. An end.
    Expired,
    /// Cancelled. An end.
    Cancelled,
    /// Could not be done; no signature exists. An end.
    Failed,
    /// No signature in hand, but one may exist. An end.
    PossiblySigned,
}

impl RequestState {
    /// Every state, in the order of a request's life.
    pub const ALL: [Self; 13] = [
        Self::Submitted,
        Self::Evaluated,
        Self::AwaitingApproval,
        Self::TimeLocked,
        Self::Reserved,
        Self::Signing,
        Self::Signed,
        Self::Denied,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Failed,
        Self::PossiblySigned,
    ];
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Evaluated => "evaluated",
            Self::AwaitingApproval => "awaiting_approval",
            Self::TimeLocked => "time_locked",
            Self::Reserved => "reserved",
            Self::Signing => "signing",
            Self::Signed => "signed",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::PossiblySigned => "possibly_signed",
        }
    }
    /// From the fixed word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
    /// Whether nothing follows.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Submitted
            | Self::Evaluated
            | Self::AwaitingApproval
            | Self::TimeLocked
            | Self::Reserved
            | Self::Signing => false,
            Self::Signed
            | Self::Denied
            | Self::Rejected
            | Self::Expired
            | Self::Cancelled
            | Self::Failed
            | Self::PossiblySigned => true,
        }
    }
    /// Whether people or a delay decide when it goes on.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::AwaitingApproval | Self::TimeLocked)
    }
    /// Whether the state tells its reader that no signature exists.
    pub const fn claims_no_signature(self) -> bool {
        matches!(self, Self::Denied | Self::Rejected | Self::Expired | Self::Cancelled | Self::Failed)
    }
    /// The wire form.
    pub const fn to_wire(self) -> pb::RequestState {
        use pb::RequestState as Raw;
        match self {
            Self::Submitted => Raw::Submitted,
            Self::Evaluated => Raw::Evaluated,
            Self::AwaitingApproval => Raw::AwaitingApproval,
            Self::TimeLocked => Raw::TimeLocked,
            Self::Reserved => Raw::Reserved,
            Self::Signing => Raw::Signing,
            Self::Signed => Raw::Signed,
            Self::Denied => Raw::Denied,
            Self::Rejected => Raw::Rejected,
            Self::Expired => Raw::Expired,
            Self::Cancelled => Raw::Cancelled,
            Self::Failed => Raw::Failed,
            Self::PossiblySigned => Raw::PossiblySigned,
        }
    }
    /// From the wire's number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.to_wire() as i32 == number)
    }
}

impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
