//! The SDK that backends, doors and plugins use to ask a Limen cluster for signatures.
//!
//! Lives here: the connection by mutual TLS, signed intents, retries that repeat nothing twice, keys and addresses checked
//! against pinned signers, transfers with serialised nonces, and the check of every signature that comes back. May not
//! live here: rules, shares, anything a daemon needs. Start reading at [`Client`], then [`KeyDirectory`], then [`evm`].
//!
//! The coordinator is not believed: what it says about keys and signatures counts only as far as it can be verified here.

mod client;
mod clock;
pub mod config;
mod error;
pub mod evm;
mod intent;
pub mod keys;
mod patience;
mod request;
mod requirement;
mod retry;
pub mod signers;
mod stream;
mod verify;

pub use client::{Client, ClusterView, NewKey, NewShares, Receipt};
pub use clock::now_secs;
pub use config::ClientConfig;
pub use error::{ConfigError, Error, Untrue};
pub use intent::{NewIntent, SignedIntent};
pub use keys::{KeyDirectory, KeyTrust};
pub use limen_wire::request::RequestState;
pub use patience::Patience;
pub use request::{Filter, HandoverInfo, KeyInfo, Page, Request, Simulation, Submitted};
pub use requirement::{Progress, Requirement};
pub use retry::Retry;
pub use signers::Signers;
pub use stream::Watch;
pub use verify::{Signed, decode_intent};
