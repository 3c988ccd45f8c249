//! What seals a signer's secrets: a hardware token behind a bridge, or a file for development.
//!
//! Lives here: the trait [`Provider`], its errors, the sealed form, the software provider, and the client of the bridge. A
//! vendor's library is never loaded here: it lives in `limen-hsm-bridge`, a process of its own. Everything is synchronous and
//! bounded in time; whoever is async calls it from a thread that may block. Start reading at [`provider`].

pub mod bridge;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod error;
pub mod files;
pub mod held;
#[cfg(feature = "pin")]
pub mod pin;
pub mod provider;
pub mod sealed;
pub mod softhsm;
pub mod software;

pub use bridge::BridgeClient;
pub use error::{Fault, HsmError, Kind};
pub use held::{HeldKind, HeldPublic};
pub use provider::{Anchor, Description, Mechanism, Provider};
pub use software::DangerSoftware;
