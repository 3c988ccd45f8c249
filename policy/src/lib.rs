//! Pure rules: what the charter says, and what it makes of an intent's effects.
//!
//! Lives here: reading and checking the charter, and the decision. May not live here: clocks, files, sockets, randomness:
//! time and bytes are arguments, so the coordinator, every signer and the command line run the same code.
//! Start reading at [`charter::Charter`], then [`decide::decide`].
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod approval;
pub mod cases;
pub mod ceremony;
pub mod charter;
pub mod check;
pub mod date;
pub mod decide;
pub mod diff;
pub mod formula;
pub mod freeze;
pub mod key_order;
pub mod ledger;
pub mod lint;
pub mod packs;
pub mod reference;
pub mod replay;
pub mod succession;
