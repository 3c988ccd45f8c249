//! Integration tests: the whole coordinator over its library, with signers that obey the test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its stage has failed")]

mod approvals;
mod backups;
mod checks;
mod crash;
mod deploy;
mod disk;
mod edited;
mod fake;
mod grpc;
mod handover;
mod keys;
mod ledger;
mod liars;
mod log;
mod log_answers;
mod money;
mod rebuild;
mod requests;
mod shadow;
mod troubles;
mod watching;
mod withheld;
mod world;
