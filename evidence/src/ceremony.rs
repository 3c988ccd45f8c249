//! The record of a ceremony: what everybody said in each step, signed and chained, and its verification years later from the file
//! alone.
//!
//! One code, [`Transcript`], takes what participants say: their programs run it while the ceremony goes on, and [`Record::verify`] runs
//! it again over the file. So nothing counts in a record that would not have counted on the day. The format is written down in
//! `docs/ceremonies/README.md`.

mod content;
mod contribution;
mod genesis;
mod record;
#[cfg(test)]
mod tests;
mod transcript;

pub use content::{TEST_CHAIN, test_input};
pub use contribution::{Body, Contribution, MAX_FIELDS, MAX_VALUE, Mode, NotAContribution, Said, sign};
pub use genesis::{GenesisError, GenesisProof, may_begin};
pub use record::{MAX_BYTES, Place, Record, RecordError, Verified, aborted, completed};
pub use transcript::{Fault, Offer, Session, SessionError, Transcript, first_head};
