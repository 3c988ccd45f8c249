//! The command and the whole cluster, as real processes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and tells what it left out"
)]

mod approval;
mod charter;
mod check;
mod command;
mod doctor;
mod e2e;
mod policy;
mod verify;
