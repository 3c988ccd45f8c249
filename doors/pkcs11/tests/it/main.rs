//! The library as programs load it, on real clusters: through its list of functions, and by other people's software.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its parent how far it is; the exemption of clippy.toml does not reach helpers"
)]

mod e2e;
mod programs;
