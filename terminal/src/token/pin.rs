//! A token's PIN, for a person: from a file descriptor, or from the terminal.

use cryptoki::types::AuthPin;
use limen_hsm::pin::{PinError, from_descriptor, from_terminal};

use super::TokenError;

/// Reads it up to the end of the line or of the file.
pub(super) fn read(descriptor: Option<u32>, token: &str) -> Result<AuthPin, TokenError> {
    let pin = descriptor.map_or_else(|| from_terminal(token), from_descriptor);
    let failed = |PinError { why, cause }| TokenError::NoPin { token: token.to_owned(), why, cause };
    Ok(AuthPin::new(Box::from(pin.map_err(failed)?.as_str())))
}
