//! One PKCS#11 token: how to get at it, log in and stay in, what lies on it, and how it seals.
//!
//! A vendor's error codes are taken as hints: what "not logged in", "token gone" and "tampered" look like differs from vendor to
//! vendor, so after any doubtful answer the session is opened anew once, and a known record is opened before a verdict.

pub mod cipher;
pub(crate) mod failure;
pub(crate) mod held;
pub(crate) mod login;
pub(crate) mod module;
pub(crate) mod objects;
pub(crate) mod state;
pub(crate) mod worker;

pub(crate) use failure::Fail;
pub(crate) use login::Login;
pub(crate) use worker::{Open, Workers};
