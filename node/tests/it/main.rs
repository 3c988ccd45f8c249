//! Real signers in one process: real TLS, real stores, real protocols, ports chosen by the system.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; the exemption of clippy.toml does not reach helpers"
)]

mod ages;
mod backups;
mod charters;
mod claims;
mod cluster;
mod deploy;
mod doors;
mod drift;
mod drills;
mod epochs;
mod evidence;
mod failures;
mod greeting;
mod held;
mod identity;
mod import;
mod key_states;
mod ledger;
mod people;
mod rest;
mod rotation;
mod signing;
mod standing;
mod stops;
mod token;
mod witnesses;
