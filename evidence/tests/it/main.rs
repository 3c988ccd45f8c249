//! Contracts of the evidence crate: what verifies, what is refused, and encodings that may never change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up has failed")]
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests count what they made")]

mod checkpoint;
mod committee;
mod frozen;
mod grow;
mod keys;
mod leaf;
mod merkle;
mod naive;
mod receipt;
mod story;
mod tiles;
mod trust;
mod witness;
