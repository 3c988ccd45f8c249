//! The signer: guard, journal, share vault, session driver.
//!
//! Lives here: everything that one signer does. May not live here: anything that believes a coordinator, and any outbound
//! connection other than to peers and witnesses of the charter. Start reading at [`guard`], then [`store`], then [`service`].
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod admission;
pub mod approvals;
pub mod backups;
pub mod charters;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod decisions;
pub mod destruction;
pub mod drills;
pub mod entropy;
pub mod epochs;
pub mod exporter;
pub mod freezes;
pub mod guard;
pub mod handover;
pub mod identity;
mod import;
pub mod keygen;
pub mod ledger;
pub mod log;
mod making;
pub mod memory;
pub mod mesh;
pub mod metrics;
pub mod node;
pub mod nonces;
pub mod peers;
pub mod presigning;
pub mod primes;
pub mod ratelimit;
pub mod recent;
pub mod service;
pub mod sessions;
pub mod shared;
pub mod shares;
pub mod signing;
pub mod standing;
pub mod stops;
pub mod store;
pub mod token;
pub mod trace;
pub mod upkeep;
pub mod vault;
pub mod witness;
mod witnesses;
