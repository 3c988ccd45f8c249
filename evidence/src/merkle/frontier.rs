//! The growing end of a tree.

use super::{MAX_SIZE, Slot, TreeHash, fold, node_hash};

/// The tree has [`MAX_SIZE`] leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("appending to the log: it has {MAX_SIZE} leaves, start another one")]
pub struct TreeFull;

/// All that appending needs: the size, and the roots of the complete subtrees that make up the tree, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One for each set bit of `size`.
    peaks: Vec<TreeHash>,
}

/// What one append adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The leaf's index, from 0.
    pub index: u64,
    /// Hashes to be stored with it, in one durable step: the leaf's, and one for each tile that it fills.
    pub slots: Vec<Slot>,
}

impl Frontier {
    /// Of the empty tree.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    pub(super) const fn from_peaks(size: u64, peaks: Vec<TreeHash>) -> Self {
        Self { size, peaks }
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        fold(&self.peaks)
    }

    /// Adds a leaf by its hash.
    pub fn append(&mut self, leaf: TreeHash) -> Result<Appended, TreeFull> {
        let index = self.size;
        let size = index.checked_add(1).filter(|size| *size <= MAX_SIZE).ok_or(TreeFull)?;
        let mut slots = vec![Slot::new(0, index, leaf)];
        let mut hash = leaf;
        // Every trailing one of the old size is a complete subtree that the new leaf completes to one twice its size.
        for height in 1..=index.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            if let (Ok(level), true) = (u8::try_from(height / 8), height.is_multiple_of(8)) {
                slots.push(Slot::new(level, index.checked_shr(height).unwrap_or_default(), hash));
            }
        }
        self.peaks.push(hash);
        self.size = size;
        Ok(Appended { index, slots })
    }
}
