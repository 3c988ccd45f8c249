//! Proofs and their verification: RFC 9162 sections 2.1.3.2 and 2.1.4.2 (the trees are those of RFC 6962).

use super::{MAX_PROOF, TreeHash, empty_root, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// More hashes than any tree needs.
    #[error("the proof has {found} hashes; no tree needs more than {MAX_PROOF}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// The leaf is not in a tree of that size.
    #[error("leaf {index} is beyond the {size} leaves of the tree")]
    Beyond {
        /// The leaf.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The newer tree is smaller.
    #[error("the tree shrank from {old} leaves to {new}: a log only grows")]
    Shrank {
        /// Leaves before.
        old: u64,
        /// Leaves now.
        new: u64,
    },
    /// Too many or too few hashes for these sizes.
    #[error("the proof has {found} hashes, which is not what trees of this size need")]
    WrongLength {
        /// How many.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root: leaf, index, size, root or proof is not what the log has")]
    OtherRoot,
}

/// That a leaf is in a tree: the siblings from the leaf up to the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InclusionProof(Vec<TreeHash>);

/// That a tree begins with all the leaves of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsistencyProof(Vec<TreeHash>);

fn bounded(path: Vec<TreeHash>) -> Result<Vec<TreeHash>, ProofError> {
    if path.len() > MAX_PROOF { Err(ProofError::TooLong { found: path.len() }) } else { Ok(path) }
}

impl InclusionProof {
    /// At most [`MAX_PROOF`] hashes.
    pub fn new(path: Vec<TreeHash>) -> Result<Self, ProofError> {
        bounded(path).map(Self)
    }
    pub(super) const fn from_path(path: Vec<TreeHash>) -> Self {
        Self(path)
    }
    /// The hashes, from the leaf's sibling up.
    pub fn path(&self) -> &[TreeHash] {
        &self.0
    }

    /// Whether the leaf stands at `index` (from 0) in the tree of `size` leaves with this root.
    pub fn verify(&self, leaf: &TreeHash, index: u64, size: u64, root: &TreeHash) -> Result<(), ProofError> {
        let last = size.checked_sub(1).filter(|last| index <= *last);
        let last = last.ok_or(ProofError::Beyond { index, size })?;
        let mut climb = Climb { node: index, last };
        let mut hash = *leaf;
        for sibling in &self.0 {
            hash = match climb.step() {
                Step::Above => return Err(ProofError::WrongLength { found: self.0.len() }),
                Step::Left => node_hash(sibling, &hash),
                Step::Right => node_hash(&hash, sibling),
            };
        }
        climb.end(self.0.len())?;
        if hash == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
    }
}

impl ConsistencyProof {
    /// At most [`MAX_PROOF`] hashes.
    pub fn new(path: Vec<TreeHash>) -> Result<Self, ProofError> {
        bounded(path).map(Self)
    }
    pub(super) const fn from_path(path: Vec<TreeHash>) -> Self {
        Self(path)
    }
    /// The hashes, in RFC 6962's order.
    pub fn path(&self) -> &[TreeHash] {
        &self.0
    }

    /// Whether the tree `new` begins with all the leaves of the tree `old`; each is given by size and root.
    pub fn verify(&self, old: (u64, &TreeHash), new: (u64, &TreeHash)) -> Result<(), ProofError> {
        let ((old_size, old_root), (new_size, new_root)) = (old, new);
        let wrong_length = Err(ProofError::WrongLength { found: self.0.len() });
        if new_size < old_size {
            return Err(ProofError::Shrank { old: old_size, new: new_size });
        }
        if old_size == new_size || old_size == 0 {
            // Nothing is to be shown: a tree is consistent with itself, and every tree with the empty one.
            let same = if old_size == new_size { old_root == new_root } else { *old_root == empty_root() };
            return match (self.0.is_empty(), same) {
                (false, _) => wrong_length,
                (true, false) => Err(ProofError::OtherRoot),
                (true, true) => Ok(()),
            };
        }
        let mut path = self.0.iter();
        let first = if old_size.is_power_of_two() { Some(old_root) } else { path.next() };
        let Some(first) = first else { return wrong_length };
        // `old_size` is at least 1 here, and `new_size` more.
        let mut climb = Climb { node: old_size.saturating_sub(1), last: new_size.saturating_sub(1) };
        climb.skip_complete();
        let (mut old_hash, mut new_hash) = (*first, *first);
        for sibling in path {
            match climb.step() {
                Step::Above => return wrong_length,
                Step::Left => {
                    old_hash = node_hash(sibling, &old_hash);
                    new_hash = node_hash(sibling, &new_hash);
                }
                Step::Right => new_hash = node_hash(&new_hash, sibling),
            }
        }
        climb.end(self.0.len())?;
        if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::OtherRoot) }
    }
}

/// The way up: `fn` and `sn` of RFC 9162.
struct Climb {
    /// Index of the node on its level.
    node: u64,
    /// Index of the last node on that level.
    last: u64,
}

/// On which side of the climbing node its next sibling stands.
enum Step {
    Left,
    Right,
    /// Nowhere: the root has been reached.
    Above,
}

impl Climb {
    fn step(&mut self) -> Step {
        if self.last == 0 {
            return Step::Above;
        }
        let left = self.node & 1 == 1 || self.node == self.last;
        if left {
            // On the right edge of the tree a node without sibling rises unchanged.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
        }
        self.up();
        if left { Step::Left } else { Step::Right }
    }

    /// Up to the root of the largest complete subtree that ends with the node.
    fn skip_complete(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    const fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn end(&self, found: usize) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::WrongLength { found }) }
    }
}
