//! Approvals: whose they are, what they hold for, and whether there are enough of them.
//!
//! [`verify`] turns a signed approval into a [`Verified`] one: an enrolled credential of that person proves exactly this
//! verdict on exactly this intent. [`Question::tally`] counts verified ones against a formula. Both are pure: every signer,
//! the coordinator and the command line come to the same answer, whatever order approvals arrive in.

mod matching;
pub mod tally;
mod verify;
mod webauthn;
pub mod words;

#[cfg(test)]
mod tests;

pub(crate) use matching::assign;
pub use tally::{Missing, Question, Tally};
pub use verify::{ApprovalError, Facts, Verified, verify};
pub use webauthn::AssertionError;
