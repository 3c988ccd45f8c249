//! Why a call fails, and which PKCS#11 code says so.

use std::path::PathBuf;

use cryptoki_sys::*;
use limen_client::Error;
use limen_wire::error::Code;
use limen_wire::ids::KeyId;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The program's own mistake, or an answer that is none of the cluster's: the code says everything.
    #[error("PKCS#11 code {0:#x}")]
    Plain(CK_RV),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// No key could be shown, because nobody could be asked about them.
    #[error("asking for key {key}: {source}")]
    Opening {
        /// The first that was asked for.
        key: KeyId,
        /// Why not.
        source: Error,
    },
    /// The cluster did not sign, or what came is not to be handed out.
    #[error("signing with key {key}: {source}")]
    Signing {
        /// Which key.
        key: KeyId,
        /// Why not.
        source: Error,
    },
    /// A key that PKCS#11 cannot speak of, or that does not fit its statement.
    #[error("key {key} is not shown: {reason}")]
    Unfit {
        /// Which key.
        key: KeyId,
        /// Why not.
        reason: String,
    },
    /// Signed by another key than was shown to the program.
    #[error("signing with key {key}: the signature is by another key than was shown")]
    OtherKey {
        /// Which key.
        key: KeyId,
    },
    /// The operating system.
    #[error("could not {what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFault {
    /// The environment does not name it.
    #[error("the environment variable {VARIABLE} names no configuration file", VARIABLE = crate::config::VARIABLE)]
    NotNamed,
    /// A file could not be read or written.
    #[error("could not open {}: {source}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration {} is refused: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A private key that others may read.
    #[error("the private key {} may be used by others (mode {mode:03o})", path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The client's configuration, certificates or keys.
    #[error(transparent)]
    Client(#[from] limen_client::ConfigError),
}

impl Fault {
    /// The code that the program gets.
    pub(crate) fn code(&self) -> CK_RV {
        match self {
            Self::Plain(code) => *code,
            Self::Config(_) | Self::System { .. } => CKR_FUNCTION_FAILED,
            Self::Opening { source: Error::Unreachable { .. }, .. } => CKR_TOKEN_NOT_PRESENT,
            Self::Opening { source, .. } | Self::Signing { source, .. } => of_client(source),
            Self::Unfit { .. } => CKR_KEY_HANDLE_INVALID,
            Self::OtherKey { .. } => CKR_DEVICE_ERROR,
        }
    }

    /// What people should do; `None` where the program is to be corrected and nothing is worth a line.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Plain(_) => return None,
            Self::Config(ConfigFault::Mode { .. }) => "Take it from everybody else: `chmod 600`.",
            Self::Config(_) => "Compare with limen-pkcs11.sample.toml.",
            Self::Opening { source, .. } | Self::Signing { source, .. } => source.remedy(),
            Self::Unfit { .. } => "Take it out of the configuration.",
            Self::OtherKey { .. } => "Do not use the signature. Tell the security team.",
            Self::System { .. } => "Repair the machine.",
        })
    }
}

fn of_client(error: &Error) -> CK_RV {
    match error {
        Error::Api(error) => of_cluster(error.code),
        Error::Unreachable { .. } => CKR_DEVICE_REMOVED,
        Error::NotEnded { .. } => CKR_FUNCTION_CANCELED,
        Error::Intent(_) => CKR_DATA_INVALID,
        Error::NoAddress { .. } | Error::Untrue(_) => CKR_DEVICE_ERROR,
        Error::Random(_) => CKR_FUNCTION_FAILED,
    }
}

/// The code for each error of the cluster's table. `docs/pkcs11.md` says the same; a test compares them.
pub(crate) const fn of_cluster(code: Code) -> CK_RV {
    use Code as C;
    match code {
        C::PolicyDenied
        | C::NotPermitted
        | C::NotEnrolled
        | C::BadSignature
        | C::WrongCluster
        | C::Rejected
        | C::HsmKeyRefused
        | C::KeyRetired
        | C::ApprovalLapsed
        | C::Stopped => CKR_FUNCTION_REJECTED,
        C::ApprovalsMissing
        | C::TimeLocked
        | C::Frozen
        | C::KeySuspended
        | C::LimitReached
        | C::ReservationMissing
        | C::CharterChanged
        | C::EpochChanged
        | C::EpochTaken
        | C::Expired => CKR_FUNCTION_CANCELED,
        C::Malformed | C::Undecodable | C::ExpiryTooFar | C::NoChildKeys => CKR_DATA_INVALID,
        C::UnknownKey | C::KeyNotActive | C::BackupUnproven => CKR_KEY_HANDLE_INVALID,
        C::WrongScheme => CKR_KEY_FUNCTION_NOT_PERMITTED,
        C::ShuttingDown => CKR_DEVICE_REMOVED,
        C::NoStanding
        | C::LeafMissing
        | C::LogForked
        | C::CharterFork
        | C::HsmUnavailable
        | C::HsmWrongAnswer
        | C::ShareDamaged
        | C::TooFewSigners
        | C::SessionTimeout
        | C::SessionAborted
        | C::SessionDead
        | C::TooManySessions
        | C::NonceUnavailable
        | C::BadSignerSet
        | C::PeerBanned
        | C::Overloaded
        | C::PossiblySigned
        | C::Internal => CKR_DEVICE_ERROR,
        C::IdempotencyConflict
        | C::NonceConflict
        | C::UnknownRequest
        | C::ReceiptNotReady
        | C::KeyExists
        | C::BackupProofRefused
        | C::DrillOverdue
        | C::WrongState => CKR_FUNCTION_FAILED,
    }
}

/// The name of a code that the cluster's answers become.
pub(crate) const fn name(code: CK_RV) -> &'static str {
    match code {
        CKR_FUNCTION_REJECTED => "CKR_FUNCTION_REJECTED",
        CKR_FUNCTION_CANCELED => "CKR_FUNCTION_CANCELED",
        CKR_DATA_INVALID => "CKR_DATA_INVALID",
        CKR_KEY_HANDLE_INVALID => "CKR_KEY_HANDLE_INVALID",
        CKR_KEY_FUNCTION_NOT_PERMITTED => "CKR_KEY_FUNCTION_NOT_PERMITTED",
        CKR_DEVICE_REMOVED => "CKR_DEVICE_REMOVED",
        CKR_TOKEN_NOT_PRESENT => "CKR_TOKEN_NOT_PRESENT",
        CKR_DEVICE_ERROR => "CKR_DEVICE_ERROR",
        CKR_FUNCTION_FAILED => "CKR_FUNCTION_FAILED",
        CKR_GENERAL_ERROR => "CKR_GENERAL_ERROR",
        _ => "another code",
    }
}

#[cfg(test)]
mod tests;
