//! What the charter's word about a key means for what is asked of it.

use limen_policy::charter::Charter;
use limen_policy::charter::key_state::{KeyState, KeyStateError};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::KeyId;

/// What a key that is out of use is to a caller: something to wait for, or not.
pub(super) const fn state_code(error: &KeyStateError) -> Code {
    match error {
        KeyStateError::Suspended { .. } => Code::KeySuspended,
        KeyStateError::Retired { .. } | KeyStateError::NoSweep { .. } => Code::KeyRetired,
    }
}

/// The same with its words.
pub fn state_refused(error: &KeyStateError) -> ApiError {
    ApiError::new(state_code(error), error.to_string())
}

/// Refuses what names a destroyed key, whether or not anything is known of that here still.
pub(super) fn check_destroyed(charter: &Charter, key: &KeyId) -> Result<(), ApiError> {
    match charter.key_state(key) {
        Some(KeyState::Destroyed) => charter.check_key_in_use(key).map_err(|error| state_refused(&error)),
        _ => Ok(()),
    }
}
