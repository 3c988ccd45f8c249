//! Ceremonies played in one process, and as processes of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking; the exemption of clippy.toml does not reach helpers"
)]

mod custody;
mod e2e;
mod kills;
mod plans;
mod views;
