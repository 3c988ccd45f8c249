//! Contracts of the wire crate: what is refused, and encodings that may never change.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![allow(clippy::type_complexity, reason = "tables of changes to spoil")]

mod approval;
mod backup;
mod charter;
mod check;
mod envelope;
mod freeze;
mod frozen;
mod intent;
mod keys;
mod paths;
mod recipient;
mod standing;
mod statement;
#[cfg(feature = "rpc")]
mod tls;
