//! What a library's answer can mean.

use cryptoki::error::{Error, RvError};
use limen_hsm::{HsmError, Kind};

/// Why an operation on a session ended.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The library said so: not to be believed before a second look.
    Token(Error),
    /// An object is not to be found, which a session that was logged out also says.
    Absent(String),
    /// Certain.
    Said(HsmError),
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl From<HsmError> for Fail {
    fn from(error: HsmError) -> Self {
        Self::Said(error)
    }
}

fn refusal(error: &Error) -> Option<RvError> {
    match error {
        Error::Pkcs11(refusal, _) => Some(*refusal),
        _ => None,
    }
}

/// Whether a new session could change the answer. Vendors say `OBJECT_HANDLE_INVALID`, `KEY_HANDLE_INVALID`, `GENERAL_ERROR` and
/// more where they mean that nobody is logged in.
pub(crate) fn may_be_stale(error: &Error) -> bool {
    use RvError as R;
    let Some(refusal) = refusal(error) else { return false };
    !matches!(
        refusal,
        R::MechanismInvalid
            | R::MechanismParamInvalid
            | R::CurveNotSupported
            | R::FunctionNotSupported
            | R::DeviceMemory
            | R::HostMemory
            | R::KeyFunctionNotPermitted
            | R::TemplateIncomplete
            | R::TemplateInconsistent
            | R::AttributeReadOnly
            | R::AttributeTypeInvalid
            | R::AttributeValueInvalid
            | R::TokenWriteProtected
            | R::ActionProhibited
    )
}

/// Whether this is how some token says that what it should open was tampered with. Never believed alone.
pub(crate) fn may_be_tamper(error: &Error) -> bool {
    use RvError as R;
    refusal(error).is_some_and(|refusal| {
        matches!(
            refusal,
            R::EncryptedDataInvalid
                | R::EncryptedDataLenRange
                | R::DataInvalid
                | R::DataLenRange
                | R::SignatureInvalid
                | R::SignatureLenRange
                | R::ArgumentsBad
                | R::GeneralError
                | R::FunctionFailed
        )
    })
}

/// The verdict, once a new session has said the same.
pub(crate) fn verdict(tried: &str, token: &str, error: Error) -> HsmError {
    use RvError as R;
    let kind = match refusal(&error) {
        Some(R::DeviceRemoved | R::TokenNotPresent | R::TokenNotRecognized | R::SlotIdInvalid) => Kind::Gone,
        Some(R::UserNotLoggedIn | R::SessionHandleInvalid | R::SessionClosed | R::KeyHandleInvalid) => {
            Kind::NotLoggedIn
        }
        Some(R::ObjectHandleInvalid) => Kind::NotLoggedIn,
        Some(R::PinIncorrect | R::PinInvalid | R::PinLenRange) => Kind::PinWrong,
        Some(R::PinLocked) => Kind::PinLocked,
        Some(R::PinExpired | R::UserPinNotInitialized) => Kind::PinUnset,
        Some(R::DeviceMemory) => Kind::Full,
        Some(R::SessionCount) => Kind::Busy,
        Some(R::MechanismInvalid | R::MechanismParamInvalid | R::FunctionNotSupported | R::CurveNotSupported) => {
            Kind::Unsupported
        }
        _ => Kind::Device,
    };
    HsmError::new(kind, format!("{tried} at {token}"), error.to_string()).because(error)
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    fn error(refusal: RvError) -> Error {
        Error::Pkcs11(refusal, Function::Decrypt)
    }

    /// How SoftHSM2, Kryoptic and NSS each say that nobody is logged in.
    #[test]
    fn every_vendors_word_for_a_lost_login_is_looked_into() {
        for refusal in [RvError::ObjectHandleInvalid, RvError::GeneralError, RvError::KeyHandleInvalid] {
            assert!(may_be_stale(&error(refusal)), "{refusal:?}");
        }
        assert!(!may_be_stale(&error(RvError::MechanismInvalid)));
        assert!(!may_be_stale(&Error::InvalidValue));
    }

    #[test]
    fn a_general_error_is_only_suspected_of_being_tamper() {
        assert!(may_be_tamper(&error(RvError::GeneralError)) && may_be_stale(&error(RvError::GeneralError)));
        assert!(may_be_tamper(&error(RvError::EncryptedDataInvalid)));
        for refusal in [RvError::DeviceRemoved, RvError::UserNotLoggedIn, RvError::KeyHandleInvalid] {
            assert!(!may_be_tamper(&error(refusal)), "{refusal:?}");
        }
    }

    #[test]
    fn verdicts_are_told_apart() {
        for (refusal, kind) in [
            (RvError::DeviceRemoved, Kind::Gone),
            (RvError::TokenNotPresent, Kind::Gone),
            (RvError::KeyHandleInvalid, Kind::NotLoggedIn),
            (RvError::PinIncorrect, Kind::PinWrong),
            (RvError::PinLocked, Kind::PinLocked),
            (RvError::PinExpired, Kind::PinUnset),
            (RvError::DeviceMemory, Kind::Full),
            (RvError::SessionCount, Kind::Busy),
            (RvError::MechanismInvalid, Kind::Unsupported),
            (RvError::GeneralError, Kind::Device),
        ] {
            let said = verdict("unseal", "token \"desk\"", error(refusal));
            assert_eq!(said.kind(), kind, "{refusal:?}");
            assert!(said.to_string().contains("could not unseal at token \"desk\""), "{said}");
        }
    }
}
