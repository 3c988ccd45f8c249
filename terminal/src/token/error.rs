//! Why a token did not sign, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use cryptoki::error::{Error, RvError};
use cryptoki::slot::TokenInfo;
use limen_wire::keys::PublicKey;

use super::TokenKey;

/// What can go wrong between us and a token. Names that the module tells are quoted: they are its own.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is, in words with its fields")]
pub enum TokenError {
    #[error("could not read the PKCS#11 module {}", .module.display())]
    NoModule {
        module: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("could not load the PKCS#11 module {}", .module.display())]
    Module {
        module: PathBuf,
        #[source]
        cause: Error,
    },
    #[error("the module shows no token {wanted:?}; there {}", listed(.names))]
    NoToken { wanted: String, names: Vec<String> },
    #[error("the module shows several tokens {wanted:?}; there {}", listed(.names))]
    SeveralTokens { wanted: String, names: Vec<String> },
    #[error("could not read the PIN of token {token:?}: {why}")]
    NoPin {
        token: String,
        why: &'static str,
        #[source]
        cause: Option<std::io::Error>,
    },
    #[error("token {token:?} has no PIN yet")]
    PinNotSet { token: String },
    #[error("token {token:?} does not take this PIN; {tries}")]
    PinWrong { token: String, tries: Tries },
    #[error("the PIN of token {token:?} is locked")]
    PinLocked { token: String },
    #[error("the PIN of token {token:?} has expired")]
    PinExpired { token: String },
    #[error("no key on token {token:?} is a credential that was asked for; there {}", listed(.keys))]
    NoKey { token: String, keys: Vec<String> },
    #[error("token {token:?} wants its PIN again for each signature by key {key}, which cannot be given here")]
    AsksEachTime { token: String, key: String },
    #[error("token {token:?} cannot sign by {mechanism}")]
    NoMechanism { token: String, mechanism: &'static str },
    #[error("token {token:?} may not sign with key {key}")]
    MayNotSign { token: String, key: String },
    #[error("the signature by key {key} of token {token:?} does not verify")]
    BadSignature { token: String, key: String },
    #[error("token {token:?} is gone: it was removed, or has ended our session")]
    Gone {
        token: String,
        #[source]
        cause: Error,
    },
    #[error("could not {what} token {token:?}")]
    Failed {
        what: &'static str,
        token: String,
        #[source]
        cause: Error,
    },
}

impl TokenError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoModule { .. } | Self::Module { .. } => "token_module",
            Self::NoToken { .. } | Self::SeveralTokens { .. } => "token_not_found",
            Self::NoPin { .. } | Self::PinNotSet { .. } | Self::PinExpired { .. } => "token_pin",
            Self::PinWrong { .. } => "token_pin_wrong",
            Self::PinLocked { .. } => "token_pin_locked",
            Self::NoKey { .. } => "token_key_not_found",
            Self::AsksEachTime { .. } | Self::NoMechanism { .. } | Self::MayNotSign { .. } => "token_cannot_sign",
            Self::BadSignature { .. } => "token_signature",
            Self::Gone { .. } => "token_gone",
            Self::Failed { .. } => "token_failed",
        }
    }

    /// What to do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoModule { .. } => "Name the library of your token's vendor by its path: --pkcs11 FILE.",
            Self::Module { .. } => "Name a PKCS#11 library for this machine by --pkcs11; its own log says more.",
            Self::NoToken { .. } => "Plug it in, or name another by --token: its label or its serial number.",
            Self::SeveralTokens { .. } => "Name one by its serial number: --token SERIAL.",
            Self::NoPin { .. } => {
                "Type it in a terminal, or hand it in by --pin-fd: 1 to 256 bytes and the end of the line."
            }
            Self::PinNotSet { .. } | Self::PinExpired { .. } => "Set one with the token's own tools.",
            Self::PinWrong { .. } => "Type it anew with care: a token locks itself after a few wrong PINs.",
            Self::PinLocked { .. } => "Its security officer unlocks it with the token's own tools.",
            Self::NoKey { .. } => {
                "Name another by --key-label, --key-id or --credential, or have the charter enrol one of these."
            }
            Self::AsksEachTime { .. } => "Use another key, or an SSH agent that holds this one (--ssh-agent).",
            Self::NoMechanism { .. } => "Use a key of the other kind, or another token; P-256 is what most tokens can.",
            Self::MayNotSign { .. } => "Use a key that was made for signing (CKA_SIGN).",
            Self::BadSignature { .. } => {
                "Do not use this key: its public object is another key's, or the token is broken."
            }
            Self::Gone { .. } => "Leave it plugged in until the command ends, and start anew: nothing was signed.",
            Self::Failed { .. } => "The module's own log says more; nothing was signed.",
        }
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "is none".to_owned(),
        [one] => format!("is {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

/// Label and serial number.
pub(super) fn name_of(info: &TokenInfo) -> String {
    format!("{:?} (serial {:?})", info.label(), info.serial_number())
}

/// What a token tells of the tries that are left: flags, never a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says it in words")]
pub enum Tries {
    Untold,
    Fewer,
    Last,
    None,
}

impl Tries {
    pub(super) fn of(info: &TokenInfo) -> Self {
        Self::from_flags(info.user_pin_count_low(), info.user_pin_final_try(), info.user_pin_locked())
    }

    pub(super) const fn from_flags(count_low: bool, final_try: bool, locked: bool) -> Self {
        match (locked, final_try, count_low) {
            (true, _, _) => Self::None,
            (_, true, _) => Self::Last,
            (_, _, true) => Self::Fewer,
            _ => Self::Untold,
        }
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untold => "it does not say how many tries are left",
            Self::Fewer => "it counts wrong tries, and some are used up",
            Self::Last => "ONE try is left before it locks",
            Self::None => "no try is left: it is locked",
        })
    }
}

/// Why the token did not let us in.
pub(super) fn login_refused(token: String, cause: Error, tries: Tries) -> TokenError {
    let Error::Pkcs11(refusal, _) = cause else { return failed("log in to", &token)(cause) };
    match refusal {
        RvError::PinLocked => TokenError::PinLocked { token },
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => match tries {
            Tries::None => TokenError::PinLocked { token },
            _ => TokenError::PinWrong { token, tries },
        },
        RvError::PinExpired => TokenError::PinExpired { token },
        RvError::UserPinNotInitialized => TokenError::PinNotSet { token },
        RvError::FunctionCanceled => TokenError::NoPin { token, why: "nobody typed it on the token", cause: None },
        _ => failed("log in to", &token)(cause),
    }
}

/// Why the token did not sign.
pub(super) fn not_signed(token: &str, key: &TokenKey, cause: Error) -> TokenError {
    let Error::Pkcs11(refusal, _) = cause else { return failed("sign with", token)(cause) };
    match refusal {
        RvError::MechanismInvalid | RvError::MechanismParamInvalid | RvError::FunctionNotSupported => {
            no_mechanism(token, key)
        }
        RvError::KeyFunctionNotPermitted => TokenError::MayNotSign { token: token.to_owned(), key: key.name() },
        _ => failed("sign with", token)(cause),
    }
}

pub(super) fn no_mechanism(token: &str, key: &TokenKey) -> TokenError {
    let mechanism = match key.public {
        PublicKey::Ed25519(_) => "CKM_EDDSA",
        PublicKey::P256(_) => "CKM_ECDSA",
    };
    TokenError::NoMechanism { token: token.to_owned(), mechanism }
}

/// What every call can end with.
pub(super) fn failed(what: &'static str, token: &str) -> impl Fn(Error) -> TokenError {
    let token = token.to_owned();
    move |cause| match cause {
        Error::Pkcs11(refusal, _) if is_gone(refusal) => TokenError::Gone { token: token.clone(), cause },
        _ => TokenError::Failed { what, token: token.clone(), cause },
    }
}

/// Modules do not agree on what a pulled token is.
const fn is_gone(refusal: RvError) -> bool {
    matches!(
        refusal,
        RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::TokenNotPresent
            | RvError::SlotIdInvalid
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::UserNotLoggedIn
    )
}
