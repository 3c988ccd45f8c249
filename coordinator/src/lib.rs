//! The coordinator: takes requests, asks the signers, keeps the books. Nobody believes it.
//!
//! Lives here: intake, the life of requests and keys, signing sessions as seen from outside, watching, rebuilding after
//! a lost disk. May not live here: any secret that could sign, and any decision that a signer takes over unchecked.
//! Start reading at [`lifecycle`], then [`signing`], then [`intake`].

pub mod backups;
pub mod charters;
pub mod clock;
pub mod config;
pub mod context;
pub mod drills;
pub mod intake;
pub mod keys;
pub mod ledger;
pub mod lifecycle;
pub mod log;
pub mod metrics;
mod rebuild;
pub mod run;
pub mod server;
mod shadow;
pub mod signers;
pub mod signing;
pub mod store;
pub mod watch;
