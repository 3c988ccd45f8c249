//! Who makes the evidence log's checkpoints final.

use limen_wire::ids::NodeId;

use super::{Charter, Node};

/// The members, and how many of them must have cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCommittee {
    /// By name.
    pub members: Vec<NodeId>,
    /// q: so many make a checkpoint final.
    pub quorum: usize,
    /// f: so many may lie.
    pub max_corrupt: usize,
}

impl Charter {
    /// All signer nodes and witnesses.
    pub fn machines(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.witnesses)
    }

    /// The committee of the ledger, of the first by name where there are several. Where there is none, all machines: of N
    /// of them f = ⌊(N − 1) / 3⌋ may lie, and the quorum is the smallest with 2q − N > f.
    pub fn log_committee(&self) -> LogCommittee {
        if let Some(committee) = self.ledgers.values().next() {
            let members = committee.members().iter().map(|member| member.id.clone()).collect();
            return LogCommittee { members, quorum: committee.quorum(), max_corrupt: committee.corrupt() };
        }
        let members: Vec<NodeId> = self.machines().map(|machine| machine.id.clone()).collect();
        let max_corrupt = members.len().saturating_sub(1) / 3;
        let quorum = (members.len().saturating_add(max_corrupt) / 2).saturating_add(1);
        LogCommittee { members, quorum, max_corrupt }
    }
}
