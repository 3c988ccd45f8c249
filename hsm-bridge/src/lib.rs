//! The process that owns a hardware token's library.
//!
//! Lives here: the PKCS#11 provider, the daemon that serves it, what sets a token up and what examines one. A vendor's library
//! may crash, hang or leak: it does so here, and the signer sees a typed error. Start reading at [`provider`].

pub mod config;
pub mod doctor;
pub mod pin;
pub mod provider;
pub mod serve;
pub mod token;
