//! The witness: cosigns only what continues what it has cosigned before.

use limen_wire::keys::{PublicKey, SigningKey};

use super::cosigner::{Cosigner, SignError, UnsignedCosignature};
use super::{Checkpoint, NoteSignature};
use crate::merkle::{ConsistencyProof, ProofError, TreeHash, empty_root};

/// Why a witness does not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// A checkpoint of another log.
    #[error("cosigning a checkpoint of {found:?}: this witness follows {follows:?} only")]
    OtherLog {
        /// The log followed.
        follows: String,
        /// The checkpoint's origin.
        found: String,
    },
    /// Lines that the witness cannot check.
    #[error("cosigning a checkpoint: it has extension lines, which a witness would sign without knowing what they say")]
    Extensions,
    /// The proof begins at another size than the witness holds: the keeper should prove from `held`.
    #[error(
        "cosigning a checkpoint: the proof begins at {offered} leaves, this witness holds {held}: prove from there"
    )]
    OtherStart {
        /// Leaves that the witness holds.
        held: u64,
        /// Where the proof begins.
        offered: u64,
    },
    /// Smaller, forked or not proven: the log's keeper lies or has lost its disk.
    #[error(
        "cosigning a checkpoint of {new} leaves after one of {held}: the log did not grow out of what was cosigned"
    )]
    Inconsistent {
        /// Leaves that the witness holds.
        held: u64,
        /// Leaves offered.
        new: u64,
        /// What the proof lacks.
        source: ProofError,
    },
}

/// What a witness durably holds of a log: the newest tree that it has cosigned, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    origin: String,
    size: u64,
    root: TreeHash,
}

impl View {
    /// Of a log that the witness has seen nothing of.
    pub fn empty(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), size: 0, root: empty_root() }
    }
    /// At the checkpoint that the witness cosigned last, as it stored it.
    pub fn at(checkpoint: &Checkpoint) -> Self {
        Self { origin: checkpoint.origin().to_owned(), size: checkpoint.size(), root: *checkpoint.root() }
    }
    /// How many leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }
    /// The root of the tree.
    pub const fn root(&self) -> &TreeHash {
        &self.root
    }

    /// Checks that `new` holds all that this view holds: the proof leads from the tree of `old_size` leaves to the new one.
    /// Never a smaller tree, never another root at the same size, never a tree without proof.
    pub fn follow(&self, old_size: u64, proof: &ConsistencyProof, new: &Checkpoint) -> Result<Consistent, FollowError> {
        if new.origin() != self.origin {
            let found = new.origin().chars().take(200).collect();
            return Err(FollowError::OtherLog { follows: self.origin.clone(), found });
        }
        if !new.extensions().is_empty() {
            return Err(FollowError::Extensions);
        }
        if old_size != self.size {
            return Err(FollowError::OtherStart { held: self.size, offered: old_size });
        }
        match proof.verify((self.size, &self.root), (new.size(), new.root())) {
            Ok(()) => Ok(Consistent { checkpoint: new.clone() }),
            Err(source) => Err(FollowError::Inconsistent { held: self.size, new: new.size(), source }),
        }
    }
}

/// "This checkpoint continues what I have cosigned." Only [`View::follow`] makes it, and cosigning uses it up.
///
/// Store [`Consistent::checkpoint`] durably, in the same step that read the view, before the cosignature leaves the process:
/// two checks against one view would otherwise let two forks out.
#[derive(Debug)]
pub struct Consistent {
    checkpoint: Checkpoint,
}

impl Consistent {
    /// The checkpoint to store.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
    /// What a key that lies elsewhere signs under this key name (see [`super::cosigner_name`]) at this time, in seconds since
    /// 1970.
    pub fn unsigned(self, name: &str, key: PublicKey, at_secs: u64) -> Result<UnsignedCosignature, SignError> {
        Cosigner::new(name, key)?.unsigned(at_secs, &self.checkpoint.to_text())
    }

    /// Signs under this key name at this time.
    pub fn cosign(self, name: &str, key: &SigningKey, at_secs: u64) -> Result<NoteSignature, SignError> {
        let unsigned = self.unsigned(name, key.public_key(), at_secs)?;
        let signature = key.sign(unsigned.message());
        unsigned.signed(&signature)
    }
}
