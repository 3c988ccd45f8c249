//! Bodies on the wire: postcard, no trailing bytes.

use limen_wire::ids::PartyIndex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blame::Abort;

/// Encodes a message of our own.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Abort> {
    postcard::to_stdvec(value).map_err(|error| Abort::local(format!("a message does not encode: {error}")))
}

/// Decodes a peer's message; what does not decode, or is longer than the message, is the sender's fault.
pub(crate) fn decode<T: DeserializeOwned>(from: PartyIndex, what: &'static str, body: &[u8]) -> Result<T, Abort> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(Abort::malformed(from, what)),
    }
}
