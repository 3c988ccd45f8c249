//! What crosses a process boundary: protocol buffers, newtypes, envelopes and effects.
//!
//! Lives here: the `.proto` files and their generated code, checked domain types, the envelope that is signed, and
//! (with feature `rpc`) gRPC stubs and the pinned-key TLS under them. May not live here: decisions, keys, storage.
//! Start reading at [`ids`], then [`envelope`], then `proto/limen/v1`.

pub mod effects;
pub mod ids;
