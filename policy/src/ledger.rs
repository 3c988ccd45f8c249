//! The certified ledger: limits that hold whichever signers are picked. The argument for it is `docs/limits.md`.
//!
//! A [`Committee`] keeps a chain of numbered [`Entry`]s. A [`Member`] acknowledges at most one entry for each number; `q`
//! acknowledgements are a [`Certificate`], without which no guard signs what claims something. The [`Sequencer`] carries
//! entries around and is believed nothing. Time is an argument, in milliseconds since 1970.
//! Start reading at [`Committee`], then [`Book`], then [`Member::acknowledge`].

mod book;
mod certificate;
mod closing;
mod committee;
mod demand;
mod entry;
mod entry_wire;
mod member;
mod proposal;
mod release;
mod scope;
mod sequencer;
mod split;
#[cfg(test)]
mod tests;

pub use book::{Book, Limits, Misfit};
pub use certificate::{Certificate, CertificateError, NotCovered};
pub use closing::{Closing, ClosingError};
pub use committee::{Committee, CommitteeError, CommitteeMember};
pub use demand::{Demand, common};
pub use entry::{Body, Claim, Entry, Price, Seal};
pub use entry_wire::EntryError;
pub use member::{CLOSE_AHEAD, Change, Durable, Head, Judge, Member, Refusal, Step};
pub use proposal::{Proposal, ProposalError};
pub use release::{KeySigners, Release, ReleaseError, unsigned_void, void};
pub use scope::{Bound, Charges, Counts, Limit, LimitError, Passed, Scope, ScopeError};
pub use sequencer::{Hint, Output, Sequencer, Wanted};
pub use split::{NeedsCertificate, Signers, Spent, Uncertified};

/// The furthest that an entry's time may be from a member's own clock, and a member's clock from a guard's.
pub const MAX_SKEW_MS: u64 = 30_000;
/// The longest window of a limit: for so long, and the lifetime of a reservation, the book keeps amounts.
pub const MAX_WINDOW_SECS: u64 = 31 * 24 * 3600;
