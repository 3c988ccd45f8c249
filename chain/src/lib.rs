//! Pure codecs: what bytes do on a chain, what is signed for them, and whose address a key has.
//!
//! Lives here: decoding of exact payload bytes into [`Effects`](limen_wire::effects::Effects), the preimage that is
//! signed, addresses, derived public keys, and putting a signature onto a transaction. May not live here: sockets,
//! clocks, files, randomness, and any opinion on whether the effects are allowed. Start reading at [`decode`], then
//! [`evm`].
//!
//! Only canonical encodings pass: what is read is written again and must give the same bytes. The digest that is signed
//! is computed here from those bytes, so a signer never takes a digest from somebody else (the raw class excepted).
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod address;
pub mod derive;
mod error;
pub mod evm;
mod payload;
pub mod point;
mod text;
mod tokens;

pub use address::{address, parse_address};
pub use derive::{ChildKey, DerivationPath, DeriveError, derive_public};
pub use error::{AddressError, AttachError, BuildError, DecodeError};
pub use payload::{Decoded, MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, Payload, SigningInput, decode};
pub use point::Point;
pub use tokens::{NoTokenKinds, TokenKind, TokenKinds};
