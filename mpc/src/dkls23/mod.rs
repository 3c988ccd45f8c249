//! DKLs23: threshold ECDSA from oblivious transfer (ePrint 2023/765), by the crate `dkls23`.
//!
//! The library draws randomness from the thread generator, not from the session's seed: the one exception to the rule
//! that randomness is an argument, and it does not leave this module.

#![expect(dead_code, reason = "key generation and signing join next")]
mod points;
mod setup;

pub(crate) use setup::Setup;

/// The curve as the library names it.
type Curve = k256_14::Secp256k1;
