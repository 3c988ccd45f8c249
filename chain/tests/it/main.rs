//! Integration tests of the codecs.

mod support;
mod vectors;
