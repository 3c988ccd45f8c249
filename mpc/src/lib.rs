//! Threshold protocols behind one synchronous session interface: DKLs23, CGGMP24 and FROST.
//!
//! Lives here: key generation, signing, resharing, import, derivation, key material and its encodings. May not live here: sockets,
//! clocks, files, environment, async. Randomness comes in as a [`seed::Seed`]; the one exception is `dkls23`, whose library
//! draws from the thread generator itself. Start reading at [`session`], then [`binding`], then one protocol module.

// the test network is shared with the integration tests, which name this crate from outside
#[cfg(test)]
extern crate self as limen_mpc;

pub mod binding;
pub mod blame;
mod codec;
pub mod dealt;
mod group;
pub mod handover;
pub mod key;
mod machine;
mod reshare;
pub mod seed;
pub mod session;
pub mod signature;

mod cggmp24;
mod dkls23;
pub mod frost;

pub use limen_chain::{derive, point};

pub use binding::{Binding, Purpose, SessionParams};
pub use blame::{Abort, AbortReason, Action, Blame};
pub use cggmp24::{Presignature, Primes, generate_primes};
pub use dealt::{Dealing, DealingError, DealingFacts};
pub use derive::{ChildKey, DerivationPath, DeriveError, derive_public};
pub use frost::{NonceCommitment, NonceError, NoncePair, nonce_batch};
pub use handover::{Handover, HandoverError, Succession};
pub use key::{ImportError, KeyPublic, KeyShare};
pub use point::Point;
pub use seed::Seed;
pub use session::{Dropped, Frame, Output, Received, Session, SignMode, StartError, Step};
pub use signature::{PreimageHash, SignInput, Signature, VerifyError};
