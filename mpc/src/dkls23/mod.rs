//! DKLs23: threshold ECDSA from oblivious transfer (ePrint 2023/765), by the crate `dkls23`.
//!
//! The library draws randomness from the thread generator, not from the session's seed: the one exception to the rule
//! that randomness is an argument, and it does not leave this module.

mod blame;
mod keygen;
mod points;
mod setup;
mod sign;

pub(crate) use keygen::{SETUP_ROUNDS, keygen, setup_for};
pub(crate) use setup::Setup;
pub(crate) use sign::sign;

/// The curve as the library names it.
type Curve = k256_14::Secp256k1;
