//! The provider in software, and the client of the bridge against what a broken bridge could say.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; the exemption of clippy.toml does not reach helpers"
)]

mod bridge;
mod files;
mod software;
