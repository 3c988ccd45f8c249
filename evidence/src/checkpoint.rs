//! Checkpoints: what a log looks like at one size, and who vouches for it.
//!
//! Formats: C2SP signed-note, tlog-checkpoint and tlog-cosignature. A checkpoint that parses is written again as exactly the
//! bytes that were read. A log of ours has no key of its own: the coordinator that keeps it must hold nothing that is
//! believed, so what counts are cosignatures by the members of a [`Committee`].

mod committee;
mod cosigner;
mod note;
mod witness;

use limen_wire::ids::{ClusterId, NodeId};

use crate::merkle::{MAX_SIZE, TreeHash, empty_root};

pub use committee::{Committee, CommitteeError, Cosignatures};
pub use cosigner::{CosignatureError, Cosigner, P256_TYPE, SignError, UnsignedCosignature};
pub use note::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, Note, NoteError, NoteSignature};
pub use witness::{Consistent, FollowError, View};

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error("reading a checkpoint: {0}")]
    Note(#[from] NoteError),
    /// A line of it.
    #[error("reading a checkpoint: line {line} ({what}) must be {form}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What stands there.
        what: &'static str,
        /// How it must look.
        form: &'static str,
    },
}

/// The origin of a cluster's log: the first line of its checkpoints.
pub fn log_origin(cluster: &ClusterId) -> String {
    format!("limen/{cluster}/log")
}

/// The key name under which a node cosigns.
pub fn cosigner_name(cluster: &ClusterId, node: &NodeId) -> String {
    format!("limen/{cluster}/node/{node}")
}

/// A log at one size: origin, number of leaves, root, and lines that other logs may add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: TreeHash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// Of a cluster's own log. A tree without leaves has one root only.
    pub fn new(cluster: &ClusterId, size: u64, root: TreeHash) -> Result<Self, CheckpointError> {
        Self::checked(log_origin(cluster), size, root, Vec::new())
    }

    fn checked(origin: String, size: u64, root: TreeHash, extensions: Vec<String>) -> Result<Self, CheckpointError> {
        let line = |line, what, form| Err(CheckpointError::Line { line, what, form });
        if size > MAX_SIZE {
            return line(2, "size", "a decimal number up to 2^62 without leading zeros");
        }
        if size == 0 && root != empty_root() {
            return line(3, "root", "SHA-256 of nothing when the size is 0");
        }
        Ok(Self { origin, size, root, extensions })
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |line, what, form| CheckpointError::Line { line, what, form };
        note::check_text(text)?;
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut next = |line, what| {
            lines.next().filter(|text| !text.is_empty()).ok_or_else(|| wrong(line, what, "a line that is not empty"))
        };
        let (origin, size, root) = (next(1, "origin")?, next(2, "size")?, next(3, "root")?);
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let number = number.ok_or_else(|| wrong(2, "size", "a decimal number up to 2^62 without leading zeros"))?;
        let root = note::decode_base64(root).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = root.ok_or_else(|| wrong(3, "root", "32 bytes in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if let Some(empty) = extensions.iter().position(String::is_empty) {
            return Err(wrong(empty.saturating_add(4), "extension", "a line that is not empty"));
        }
        Self::checked(origin.to_owned(), number, TreeHash::new(root), extensions)
    }

    /// The text of the note: what is signed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, note::encode_base64(self.root.as_bytes()));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }
    /// How many leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }
    /// The root of the tree.
    pub const fn root(&self) -> &TreeHash {
        &self.root
    }
    /// Lines beyond the three: our logs have none.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// A checkpoint with signatures that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Puts signatures under a checkpoint: at least one.
    pub fn new(checkpoint: Checkpoint, signatures: Vec<NoteSignature>) -> Result<Self, CheckpointError> {
        let note = Note::new(checkpoint.to_text(), signatures)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// The note, exactly as it was read.
    pub fn to_note(&self) -> String {
        self.note.to_string()
    }

    /// What is signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
    /// The signatures, in the order of the note.
    pub fn signatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }
}
