//! Pure evidence: an append-only Merkle log that signers cosign, and receipts that prove why a signature exists.
//!
//! Lives here: RFC 6962 hashing and proofs, C2SP checkpoints and cosignatures, the log's leaves, receipts, the records of ceremonies, and
//! the offline verification of both. May not live here: clocks, files, sockets, randomness, storage, decisions. The coordinator keeps the log,
//! signers write the authorizations and cosign as witnesses; nothing that the keeper says is believed. Start reading at
//! [`receipt`], then [`leaf`], [`checkpoint`] and [`merkle`]. Every format is written down byte by byte in `docs/evidence.md`.
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

pub mod ceremony;
pub mod checkpoint;
mod codec;
pub mod destroyed;
pub mod leaf;
pub mod merkle;
pub mod receipt;
pub mod trust;

pub use codec::Malformed;
