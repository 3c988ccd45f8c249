//! What crosses a process boundary: protocol buffers, newtypes, envelopes and effects.
//!
//! Lives here: the `.proto` files and their generated code, checked domain types, the envelope that is signed, and
//! (with feature `rpc`) gRPC stubs and the pinned-key TLS under them (feature `tls`). May not live here: decisions, keys, storage.
//! Start reading at [`ids`], then [`envelope`], then [`intent`], then `proto/limen/v1`.

pub mod approval;
pub mod backup;
pub mod charter;
pub mod check;
pub mod destroyed;
pub mod effects;
pub mod envelope;
pub mod error;
pub mod freeze;
pub mod handover;
pub mod identities;
pub mod ids;
pub mod imported;
pub mod intent;
pub mod keys;
pub mod limits;
pub mod paths;
pub mod recipient;
pub mod request;
pub mod standing;
pub mod statement;
#[cfg(feature = "tls")]
pub mod tls;
pub mod words;

/// Generated from `proto/limen/v1`: unchecked shapes. Decode, then go through [`intent`] or [`statement`].
#[allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    reason = "generated code; the .proto files carry the documentation"
)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/limen.v1.rs"));
}

/// The file descriptors of `limen.v1`, for server reflection.
pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/limen.v1.bin"));
