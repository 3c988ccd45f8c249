//! The receipt: everything that proves why a signature exists, in one file that is verified offline.
//!
//! It holds the intent's envelope, the participants' authorizations and the signature as leaves with inclusion proofs, the
//! checkpoint that they are in with its cosignatures, and the statement that attests the key. [`Receipt::verify`] needs only
//! what [`Trust`](crate::trust::Trust) pins. Whether it is *final* is part of the answer, not an error.

mod encode;
mod verify;

use limen_chain::{AddressError, DecodeError, DeriveError};
use limen_wire::ids::{ClusterId, KeyId, NodeId};
use limen_wire::intent::IntentError;
use limen_wire::pb;
use limen_wire::statement::StatementError;

use crate::checkpoint::{Checkpoint, CheckpointError, CosignatureError, SignedCheckpoint};
use crate::codec::Malformed;
use crate::leaf::LeafError;
use crate::merkle::{InclusionProof, ProofError, leaf_hash};

pub use encode::{MAGIC, MAX_BYTES, VERSION};
pub use verify::{Finality, Verified};

/// A leaf in the log: its place, its exact bytes, and the proof that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLeaf {
    /// Index in the log, from 0.
    pub index: u64,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// From the leaf to the checkpoint's root.
    pub proof: InclusionProof,
}

impl LoggedLeaf {
    /// Whether the leaf is in the tree of this checkpoint: what a signer asks of its own leaf, too.
    pub fn verify(&self, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        self.proof.verify(&leaf_hash(&self.leaf), self.index, checkpoint.size(), checkpoint.root())
    }
}

/// A receipt that nobody has verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// What was asked for, with the requester's signature.
    pub intent: pb::Envelope,
    /// The key statement, with signatures of `signers_required` members at least, sorted by name.
    pub key: pb::Envelope,
    /// Authorizations by participants of the session, in the order of the log.
    pub authorizations: Vec<LoggedLeaf>,
    /// The signature.
    pub signature: LoggedLeaf,
    /// The checkpoint that all leaves are in, cosigned; each member once, sorted by name.
    pub checkpoint: SignedCheckpoint,
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt, or of another version.
    #[error("reading the receipt: it does not begin as a receipt of version {VERSION} does")]
    NotAReceipt,
    /// A key in one token that was not pinned as one, or the reverse.
    #[error(
        "verifying the receipt: key {key} is in one token by its statement and not by what is pinned, or the reverse; pin such a key \
         under [[hsm_keys]] with its signer, as `limen charter trust` writes it, if the charter marks it"
    )]
    OutsideThePromise {
        /// Which key.
        key: KeyId,
    },
    /// Not in its one encoding.
    #[error("reading the receipt: {0}")]
    Malformed(#[from] Malformed),
    /// The checkpoint's text.
    #[error("verifying the receipt: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The intent.
    #[error("verifying the receipt's intent: {0}")]
    Intent(#[from] IntentError),
    /// Nobody's, or not exactly one signature.
    #[error(
        "verifying the receipt's intent: its one signature must be the requester's, under the key that signers name"
    )]
    Requester,
    /// The key statement.
    #[error("verifying the receipt's key: {0}")]
    Key(#[from] StatementError),
    /// A leaf.
    #[error("verifying the receipt: {0}")]
    Leaf(#[from] LeafError),
    /// A leaf that is not in the log.
    #[error("verifying the receipt: leaf {index} is not proven to be in the checkpoint: {source}")]
    NotInLog {
        /// Which leaf.
        index: u64,
        /// Why.
        source: ProofError,
    },
    /// A cosignature.
    #[error("verifying the receipt's checkpoint: {0}")]
    Cosignature(#[from] CosignatureError),
    /// Cosignatures that prove nothing here: of unknown keys, doubled, or out of order.
    #[error(
        "verifying the receipt's checkpoint: it must be cosigned by members of the committee only, each once, by name"
    )]
    Cosigners,
    /// Another cluster's.
    #[error("verifying the receipt: its {part} is of {found}, the trust file is for {expected}")]
    OtherCluster {
        /// Which part.
        part: &'static str,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// Two parts that do not belong together.
    #[error("verifying the receipt: {part} and {other} differ in the {field}: they do not belong together")]
    Mismatch {
        /// One part.
        part: &'static str,
        /// The other.
        other: &'static str,
        /// In what.
        field: &'static str,
    },
    /// An authorization by a node without a pinned key, or not signed by it.
    #[error("verifying the receipt: the authorization of {node} is not signed by a key pinned for that node")]
    Unsigned {
        /// Which node.
        node: NodeId,
    },
    /// An authorization by a node that takes no part, or a second one.
    #[error("verifying the receipt: {node} is no participant of the session, or authorized twice")]
    NotParticipant {
        /// Which node.
        node: NodeId,
    },
    /// Fewer authorizations than honest participants there must be.
    #[error("verifying the receipt: {have} participants authorized, at least {need} must have")]
    TooFewAuthorizations {
        /// How many did.
        have: usize,
        /// How many must have.
        need: usize,
    },
    /// An impossible number of corrupt signers.
    #[error(
        "verifying the receipt: {node} reckons with {max_corrupt} corrupt signers of a key that {required} can use"
    )]
    MaxCorrupt {
        /// Which node.
        node: NodeId,
        /// How many.
        max_corrupt: u8,
        /// `signers_required` of the key.
        required: u8,
    },
    /// An authorization after the intent's expiry.
    #[error("verifying the receipt: {node} authorized the intent after it had expired")]
    Late {
        /// Which node.
        node: NodeId,
    },
    /// The path.
    #[error("verifying the receipt's key: {0}")]
    Derive(#[from] DeriveError),
    /// A key that is no point.
    #[error("verifying the receipt's key: {0}")]
    Point(#[from] limen_chain::point::BadPoint),
    /// The account.
    #[error("verifying the receipt's account: {0}")]
    Address(#[from] AddressError),
    /// Bytes that the chain's codec does not read.
    #[error("verifying the receipt's payload: {0}")]
    Payload(#[from] DecodeError),
    /// The signature itself.
    #[error("verifying the receipt: the signature does not verify under the account's key over the intent's bytes")]
    Signature,
}
