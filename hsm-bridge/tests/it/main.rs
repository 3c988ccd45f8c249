//! Real tokens: the provider in this process, and the daemon as a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking; the exemption of clippy.toml does not reach helpers"
)]

mod daemon;
mod deploy;
mod failover;
mod held;
mod promises;
mod soft;
mod traps;
