//! When a checkpoint is final: enough members of a committee have cosigned it.

use std::collections::BTreeMap;

use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::keys::PublicKey;

use super::{CosignatureError, Cosigner, NoteError, SignedCheckpoint};

/// Why a committee cannot judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// A quorum that is no majority, or more than there are.
    #[error("a quorum of {quorum} among {members} members is not possible: more than half and at most all")]
    Quorum {
        /// The quorum.
        quorum: usize,
        /// How many members there are.
        members: usize,
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
    /// Members by name and pinned key; `quorum` of them make a checkpoint final, more than half.
    pub fn new(
        cluster: &ClusterId,
        members: impl IntoIterator<Item = (NodeId, PublicKey)>,
        quorum: usize,
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
        let committee = Self { members: cosigners, quorum };
        if quorum > committee.members.len() || !committee.excludes_forks(0) {
            return Err(CommitteeError::Quorum { quorum, members: committee.members.len() });
        }
        Ok(committee)
    }

    /// Whether two different trees can never both become final while at most `corrupt` members lie: 2q − N > f.
    pub fn excludes_forks(&self, corrupt: usize) -> bool {
        self.quorum.saturating_mul(2) > self.members.len().saturating_add(corrupt)
    }

    /// How many members make a checkpoint final.
    pub const fn quorum(&self) -> usize {
        self.quorum
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
}
