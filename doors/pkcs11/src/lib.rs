//! A PKCS#11 v2.40 library that shows keys of a Limen cluster as a token: the door for software that speaks nothing else.
//!
//! Lives here: the C interface, sessions, objects, and the way from `C_Sign` to `Custody.Submit` and back. May not live here:
//! rules, shares, anything that a daemon needs, and any secret but the requester's. Start reading at `ffi`, which is the only place
//! with unsafe code, then `module`, then `signer`.
//!
//! The library decides nothing and can sign nothing: each signature is a request of one enrolled requester, judged by every signer
//! under the charter. Public keys come from what the signers attest, and a signature that does not verify under the key that
//! was shown is not handed out.

mod config;
mod error;
#[cfg(test)]
mod fake;
mod ffi;
mod library;
mod log;
mod mechanism;
mod module;
mod objects;
mod session;
mod signer;
mod token;

pub use ffi::C_GetFunctionList;
