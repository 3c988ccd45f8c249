//! Errors, split by whose fault they are.

use std::time::Duration;

use limen_chain::{AddressError, AttachError, DecodeError, DeriveError};
use limen_wire::error::ApiError;
use limen_wire::ids::{Epoch, KeyId, NodeId};
use limen_wire::intent::IntentError;
use limen_wire::statement::StatementError;
use limen_wire::tls::TlsError;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error(
        "could not read the client configuration {path}: {source}; name another file, or run `limen dev up` for a development cluster"
    )]
    Read {
        /// Which file.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the client configuration {path} is not valid: {reason}")]
    Content {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a call to the cluster can end in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster answered with an error out of its table.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The coordinator could not be reached, or the connection broke, until the deadline.
    #[error("{call} got no answer in {} attempts within {:.1} s: {last}; the call is safe to repeat", attempts, waited.as_secs_f64())]
    Unreachable {
        /// Which call.
        call: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// How long in all.
        waited: Duration,
        /// What the transport said last.
        last: String,
    },
    /// The request has not ended within the caller's deadline. It goes on in the cluster.
    #[error("the request has not ended within {:.1} s, it stands at {state}; it goes on, so ask again", waited.as_secs_f64())]
    NotEnded {
        /// Where it stands.
        state: String,
        /// How long was waited.
        waited: Duration,
    },
    /// What was to be signed is not well formed: nothing was sent.
    #[error("the request was not sent: {0}")]
    Intent(#[from] IntentError),
    /// The caller asks for an address that the key cannot have: another scheme than the chain's.
    #[error("key {key} was not used: {source}")]
    NoAddress {
        /// Which key.
        key: KeyId,
        /// Why.
        source: AddressError,
    },
    /// The answer is not what it should be: nothing in it counts.
    #[error("the coordinator's answer is refused: {0}")]
    Untrue(#[from] Untrue),
    /// No random bytes from the operating system.
    #[error("the operating system gave no random bytes: {0}")]
    Random(String),
}

/// What the coordinator said and could not prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// A field is missing or malformed.
    #[error("field {field} {reason}")]
    Malformed {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The key's certificate.
    #[error("the certificate of key {key} does not count: {source}")]
    Certificate {
        /// Which key.
        key: KeyId,
        /// Why.
        source: StatementError,
    },
    /// The certificate is for something else than was asked.
    #[error("the certificate of key {key} names {what} {found}, not {expected}")]
    OtherKey {
        /// Which key was asked for.
        key: KeyId,
        /// Which field differs.
        what: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A key in one token that this client's owner has not named.
    #[error(
        "key {key} lives in one token, outside the cluster's promise: whoever holds that token or its signer signs alone; name it \
         and its signer under [[hsm_keys]] of this client's configuration if that is meant"
    )]
    OutsideThePromise {
        /// Which key.
        key: KeyId,
    },
    /// Fewer signers than this client's owner wants behind any key.
    #[error("key {key} needs only {found} signers; this client trusts keys of at least {least}")]
    TooFewRequired {
        /// Which key.
        key: KeyId,
        /// What the statement says.
        found: u8,
        /// What the configuration says.
        least: u8,
    },
    /// A key's public key differs from what was verified before: it never changes.
    #[error("the public key of {key} differs from the one verified before; a key's public key never changes")]
    KeyChanged {
        /// Which key.
        key: KeyId,
    },
    /// The signers attest shares of another order than the one that was waited for.
    #[error("the signers attest epoch {epoch} of {key}, which another order has made")]
    Superseded {
        /// Which key.
        key: KeyId,
        /// What they attest.
        epoch: Epoch,
    },
    /// A node is not pinned.
    #[error("node {0} is not pinned in the client configuration")]
    NotPinned(NodeId),
    /// Other bytes than were submitted.
    #[error("the request carries other bytes than were submitted")]
    OtherIntent,
    /// The key cannot be derived along the path.
    #[error("no child key along the path: {0}")]
    Derive(#[from] DeriveError),
    /// The key has no address on the chain.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The payload cannot be read, so that its signature cannot be checked either.
    #[error("the payload cannot be read: {0}")]
    Payload(#[from] DecodeError),
    /// The signature does not verify.
    #[error("the signature does not verify under the key that the signers attest")]
    Signature,
    /// The signature does not fit onto the transaction.
    #[error("the signature does not fit the transaction: {0}")]
    Attach(#[from] AttachError),
    /// The signed transaction is another one than payload and signature give.
    #[error("the signed transaction is not the submitted bytes with the signature attached")]
    OtherTransaction,
}

impl Untrue {
    pub(crate) fn missing(field: &'static str) -> Self {
        Self::Malformed { field, reason: "is missing".to_owned() }
    }
    pub(crate) fn malformed(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { field, reason: format!("is malformed: {reason}") }
    }
}

impl Error {
    /// The cluster's error, if it is one.
    pub const fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
    /// Whether the call may have had its effect although no good answer came.
    pub const fn is_uncertain(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Untrue(_) | Self::NotEnded { .. })
    }
    /// The stable word for programs: that of the cluster's table, or one of this crate's own.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Api(error) => error.code.as_str(),
            Self::Unreachable { .. } => "unreachable",
            Self::NotEnded { .. } => "not_ended",
            Self::Intent(_) => "malformed",
            Self::NoAddress { .. } => "wrong_scheme",
            Self::Untrue(_) => "untrue_answer",
            Self::Random(_) => "no_randomness",
        }
    }
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Api(error) => error.code.remedy(),
            Self::Unreachable { .. } => {
                "Check that the coordinator runs and that endpoint, server_name, ca and cert in the configuration are right; a connection that is closed at once means that the coordinator does not accept this client's certificate."
            }
            Self::NotEnded { .. } => {
                "Ask again with `limen request watch`; `limen status` shows whether enough signers are up."
            }
            Self::Intent(_) => "Correct the named field.",
            Self::NoAddress { .. } => "Use a key whose scheme fits the chain; `limen key list` shows the schemes.",
            Self::Untrue(_) => {
                "Do not use the answer. If the pinned node keys in the configuration are right, the coordinator lies: tell the security team."
            }
            Self::Random(_) => "Repair the machine's random number source.",
        }
    }
}
