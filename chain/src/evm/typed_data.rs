//! EIP-712 typed data.

use super::Context;
use crate::error::DecodeError;
use crate::payload::Decoded;

/// Most bytes of the JSON text.
pub const MAX_BYTES: usize = 64 * 1024;

impl Context<'_> {
    /// Reads typed data as `eth_signTypedData_v4` takes it.
    pub(crate) fn typed_data(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Malformed { kind: "EVM typed data", why: format!("{} bytes", bytes.len()) })
    }
}
