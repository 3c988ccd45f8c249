//! The SDK against a coordinator that is well-behaved, forgetful or a liar, over real mutual TLS on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod approvals;
mod fake;
mod keys;
mod requests;
mod transfers;
