//! The record of a ceremony: what everybody said in each step, signed and chained, and its verification years later from the file
//! alone.
//!
//! One code, [`Transcript`], takes what participants say: their programs run it while the ceremony goes on, and [`Record::verify`] runs
//! it again over the file. So nothing counts in a record that would not have counted on the day. The format is written down in
//! `docs/ceremonies/README.md`.

mod change;
mod content;
mod contribution;
mod custody;
mod drill;
mod fault;
mod genesis;
mod record;
#[cfg(test)]
mod tests;
mod transcript;

pub use content::{TEST_CHAIN, test_input};
pub use contribution::{Body, Contribution, MAX_FIELDS, MAX_STEP, MAX_VALUE, NotAContribution, Said, sign};
pub use custody::{Custody, OneBackup, proof_nonce};
pub use drill::{DrillError, DrillHeld, SKEW_SECS};
pub use fault::Fault;
pub use genesis::{GenesisError, GenesisProof, may_begin};
pub use limen_policy::ceremony::Mode;
pub use record::{MAX_BYTES, Place, Record, RecordError, Verified, aborted, completed};
pub use transcript::{Offer, Session, SessionError, Transcript, first_head};
