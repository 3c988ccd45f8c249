//! Integration tests of the codecs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

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
