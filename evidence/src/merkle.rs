//! The Merkle tree of RFC 6962 section 2.1 (SHA-256): hashing, growing, proving, verifying.
//!
//! Whoever appends keeps a [`Frontier`] of at most 62 hashes and stores what [`Frontier::append`] hands out, in the tiles of
//! C2SP tlog-tiles. Whoever proves reads tiles through [`Tiles`] by a [`Prover`]. Whoever verifies needs neither.

mod frontier;
mod grow;
mod proof;
mod prover;
mod tile;

use std::fmt;

use sha2::{Digest, Sha256};

pub use frontier::{Appended, Frontier, TreeFull};
pub use grow::{GrowError, Grown, grow};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use prover::{ProveError, Prover};
pub use tile::{Slot, TILE_WIDTH, TileId, Tiles, entry_bundle, tile_bytes, tile_hashes};

/// Most leaves of a tree: tiles and proofs stay far from the end of 64 bits.
pub const MAX_SIZE: u64 = 1 << 62;

/// Most hashes of any proof in a tree of [`MAX_SIZE`] leaves; C2SP tlog-witness takes no more either.
pub const MAX_PROOF: usize = 63;

/// Hash of a leaf, a node or a whole tree: 32 bytes of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; 32]);

impl TreeHash {
    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `SHA-256(0x00 ‖ leaf)`: the prefix keeps a leaf from passing for a node.
pub fn leaf_hash(leaf: &[u8]) -> TreeHash {
    TreeHash(Sha256::new().chain_update([0x00]).chain_update(leaf).finalize().into())
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    TreeHash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// The hash over complete subtrees that stand side by side, largest first.
fn fold(subtrees: &[TreeHash]) -> TreeHash {
    subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}
