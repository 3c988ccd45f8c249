//! When a checkpoint is final: enough members of a committee have cosigned it.

use std::collections::BTreeMap;

use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::keys::PublicKey;

use super::{CosignatureError, Cosigner, NoteError, NoteSignature, SignedCheckpoint};

/// Why a committee cannot judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// A quorum larger than the committee.
    #[error("a quorum of {quorum} is more than the {members} members of the committee")]
    TooLarge {
        /// The quorum.
        quorum: usize,
        /// How many members there are.
        members: usize,
    },
    /// A quorum that lets two different trees become final.
    #[error(
        "with a quorum of {quorum} among {members} members two different logs can become final when {max_corrupt} of them \
         lie: 2·quorum − members must be more than max_corrupt"
    )]
    Forks {
        /// The quorum.
        quorum: usize,
        /// How many members there are.
        members: usize,
        /// How many may be corrupt.
        max_corrupt: usize,
    },
    /// A member twice, or two with one key: one machine would count as two.
    #[error("{node} is in the committee twice, or shares its key with another member")]
    Twice {
        /// Who.
        node: NodeId,
    },
    /// A name that cannot cosign.
    #[error(transparent)]
    Name(#[from] NoteError),
}

/// Who vouches for a log: named members, and how many of them make a checkpoint final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    members: BTreeMap<NodeId, Cosigner>,
    quorum: usize,
    max_corrupt: usize,
}

/// Who has cosigned a checkpoint: verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignatures {
    /// The members, each with the time that its cosignature names, in seconds since 1970: the latest if it cosigned twice.
    pub by: BTreeMap<NodeId, u64>,
    /// Signatures by keys that the committee does not know, and further ones of the same member: they count for nothing.
    pub surplus: usize,
    /// How many members are needed.
    pub quorum: usize,
}

impl Cosignatures {
    /// Whether enough distinct members have cosigned.
    pub fn is_final(&self) -> bool {
        self.by.len() >= self.quorum
    }
}

impl Committee {
    /// N members by name and pinned key. `quorum` (q) of them make a checkpoint final, `max_corrupt` (f) of them may lie:
    /// 2q − N > f, or two different trees could both become final.
    pub fn new(
        cluster: &ClusterId,
        members: impl IntoIterator<Item = (NodeId, PublicKey)>,
        quorum: usize,
        max_corrupt: usize,
    ) -> Result<Self, CommitteeError> {
        let mut cosigners = BTreeMap::new();
        let mut keys: Vec<PublicKey> = Vec::new();
        for (node, key) in members {
            let cosigner = Cosigner::of_node(cluster, &node, key)?;
            if keys.contains(&key) || cosigners.insert(node.clone(), cosigner).is_some() {
                return Err(CommitteeError::Twice { node });
            }
            keys.push(key);
        }
        let members = cosigners.len();
        if quorum > members {
            return Err(CommitteeError::TooLarge { quorum, members });
        }
        if quorum.saturating_mul(2) <= members.saturating_add(max_corrupt) {
            return Err(CommitteeError::Forks { quorum, members, max_corrupt });
        }
        Ok(Self { members: cosigners, quorum, max_corrupt })
    }

    /// How many members make a checkpoint final.
    pub const fn quorum(&self) -> usize {
        self.quorum
    }
    /// How many members may be corrupt.
    pub const fn max_corrupt(&self) -> usize {
        self.max_corrupt
    }
    /// The members, by name.
    pub fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.members.keys()
    }

    /// Counts members, not signatures. Unknown keys are ignored, as signed-note says; a signature that claims to be a
    /// member's and does not verify spoils the whole checkpoint.
    pub fn count(&self, signed: &SignedCheckpoint) -> Result<Cosignatures, CosignatureError> {
        let text = signed.checkpoint().to_text();
        let mut by: BTreeMap<NodeId, u64> = BTreeMap::new();
        for signature in signed.signatures() {
            let member = self.members.iter().find(|(_, cosigner)| cosigner.claims(signature));
            let Some((node, cosigner)) = member else { continue };
            let secs = cosigner.verify(&text, signature)?;
            let latest = by.entry(node.clone()).or_insert(secs);
            *latest = secs.max(*latest);
        }
        let surplus = signed.signatures().len().saturating_sub(by.len());
        Ok(Cosignatures { by, surplus, quorum: self.quorum })
    }
    /// The signatures that count, in the order that a receipt needs: of members only, each once, sorted by key name.
    pub fn select(&self, signatures: &[NoteSignature]) -> Vec<NoteSignature> {
        let members = self.members.values();
        let mut chosen: Vec<NoteSignature> = members
            .filter_map(|cosigner| signatures.iter().find(|signature| cosigner.claims(signature)).cloned())
            .collect();
        chosen.sort_by(|a, b| a.name().cmp(b.name()));
        chosen
    }
}
