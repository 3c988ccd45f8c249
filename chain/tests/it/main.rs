//! Integration tests of the codecs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and tells what it left out"
)]

mod amounts;
mod differential;
mod evm;
mod fuzz;
mod properties;
mod strategies;
mod support;
mod token_calls;
mod typed_data;
mod typed_values;
mod vectors;
mod viem;
