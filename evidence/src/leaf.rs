//! Leaves of the log: what happened, in bytes with one encoding.
//!
//! Every leaf begins with a version and a kind. An [`Authorization`] is what a signer's guard
//! recorded before anything left it, signed by that signer, as the log's keeper is not believed. A
//! [`Signature`] proves itself. Kinds 3 (decision) and 4 (ceremony) are kept for what is to come.

pub mod authorization;
mod fields;
pub mod signature;

use crate::codec::{Malformed, Reader};
use crate::merkle::{self, TreeHash};

pub use authorization::{Authorization, Digests, SignedAuthorization};
pub use signature::{AccountKey, Signature, Signed};

/// Version of the encoding of all leaves.
pub const VERSION: u8 = 1;
/// Most bytes of a leaf: what an entry bundle of C2SP tlog-tiles can hold.
pub const MAX_BYTES: usize = u16::MAX as usize;

/// What a leaf is about: its second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A signer allowed an intent in a session.
    Authorization = 1,
    /// A signature was made.
    Signature = 2,
}

impl Kind {
    /// The kind as a fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Signature => "signature",
        }
    }
}

/// Why bytes are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// A version or kind that this release does not know.
    #[error("reading a leaf of version {version} and kind {kind}: this release reads version {VERSION}, kinds 1 and 2")]
    Unknown {
        /// The first byte.
        version: u8,
        /// The second byte.
        kind: u8,
    },
    /// Another kind than needed.
    #[error("reading a leaf: it is of kind {}, {} is needed", .found.as_str(), .needed.as_str())]
    OtherKind {
        /// What it is.
        found: Kind,
        /// What it should be.
        needed: Kind,
    },
    /// Not the one encoding.
    #[error("reading a leaf: {0}")]
    Malformed(#[from] Malformed),
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A signer allowed an intent in a session.
    Authorization(Box<SignedAuthorization>),
    /// A signature was made.
    Signature(Box<Signature>),
}

impl Leaf {
    /// Reads a leaf of any known kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        Ok(match head(bytes)?.0 {
            Kind::Authorization => Self::Authorization(Box::new(SignedAuthorization::decode(bytes)?)),
            Kind::Signature => Self::Signature(Box::new(Signature::decode(bytes)?)),
        })
    }
    /// The bytes that stand in the log.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Authorization(leaf) => leaf.encode(),
            Self::Signature(leaf) => leaf.encode(),
        }
    }
    /// What the tree holds of it.
    pub fn hash(&self) -> TreeHash {
        merkle::leaf_hash(&self.encode())
    }
}

/// Reads version and kind.
fn head(bytes: &[u8]) -> Result<(Kind, Reader<'_>), LeafError> {
    if bytes.len() > MAX_BYTES {
        return Err(Malformed::Field { field: "leaf", form: "at most 65535 bytes long" }.into());
    }
    let mut reader = Reader::new(bytes);
    let (version, kind) = (reader.u8("version")?, reader.u8("kind")?);
    match (version, kind) {
        (VERSION, 1) => Ok((Kind::Authorization, reader)),
        (VERSION, 2) => Ok((Kind::Signature, reader)),
        _ => Err(LeafError::Unknown { version, kind }),
    }
}

fn body(bytes: &[u8], needed: Kind) -> Result<Reader<'_>, LeafError> {
    let (found, reader) = head(bytes)?;
    if found == needed { Ok(reader) } else { Err(LeafError::OtherKind { found, needed }) }
}
