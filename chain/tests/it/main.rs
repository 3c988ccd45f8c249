//! Integration tests of the codecs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod support;
mod vectors;
