//! Who keeps a ledger, and how many of them make a certificate.

use std::collections::BTreeSet;

use limen_wire::ids::{ClusterId, CommitteeHash, EntryHash, LedgerId, NodeId, tagged_hash};
use limen_wire::keys::{KeyError, PublicKey};
use limen_wire::{limits, pb};

/// A member: a signer, or a witness that has no share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitteeMember {
    /// Its name.
    pub id: NodeId,
    /// The key that its acknowledgements verify under, as the charter pins it.
    pub public_key: PublicKey,
}

/// The keepers of one ledger. Everything they sign carries the committee's hash, so that two committees never mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    cluster: ClusterId,
    ledger: LedgerId,
    members: Vec<CommitteeMember>,
    corrupt: usize,
    quorum: usize,
    lifetime_ms: u64,
    predecessor: Option<CommitteeHash>,
    hash: CommitteeHash,
}

/// Why these numbers and members make no committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Two quorums could have nobody honest in common.
    #[error(
        "a ledger committee of {members} with a quorum of {quorum} does not stand {corrupt} corrupt members: \
         2q − N must be more than f, so raise the quorum or add members"
    )]
    NoIntersection {
        /// N.
        members: usize,
        /// q.
        quorum: usize,
        /// f.
        corrupt: usize,
    },
    /// More acknowledgements than members.
    #[error("a quorum of {quorum} cannot come together out of {members} members: 1 to {members} is possible")]
    Quorum {
        /// N.
        members: usize,
        /// q.
        quorum: usize,
    },
    /// Nobody, or too many.
    #[error("a ledger committee has 1 to {} members, this one has {found}", limits::LEDGER_MEMBERS)]
    Size {
        /// N.
        found: usize,
    },
    /// A name or a key twice.
    #[error("{0} is in the ledger committee twice, by name or by key: every member is a machine of its own")]
    Twice(NodeId),
    /// A name, a key or a hash that is none.
    #[error("the ledger committee is not well formed: {0}")]
    Malformed(String),
    /// No time to sign.
    #[error("reservations that live {0} ms cannot be used: 1 second to 1 day is possible")]
    Lifetime(u64),
}

impl Committee {
    /// Checks that any two quorums share an honest member: `2q − N > f`, `q ≤ N`, all members different.
    /// `lifetime_ms` is how long a reservation may be used; `predecessor` is the committee that handed the ledger over.
    pub fn new(
        (cluster, ledger): (ClusterId, LedgerId),
        members: Vec<CommitteeMember>,
        (corrupt, quorum): (usize, usize),
        lifetime_ms: u64,
        predecessor: Option<CommitteeHash>,
    ) -> Result<Self, CommitteeError> {
        let size = members.len();
        if size == 0 || size > limits::LEDGER_MEMBERS {
            return Err(CommitteeError::Size { found: size });
        }
        if quorum == 0 || quorum > size {
            return Err(CommitteeError::Quorum { members: size, quorum });
        }
        if quorum.saturating_mul(2) <= size.saturating_add(corrupt) {
            return Err(CommitteeError::NoIntersection { members: size, quorum, corrupt });
        }
        if !(1000..=24 * 3600 * 1000).contains(&lifetime_ms) {
            return Err(CommitteeError::Lifetime(lifetime_ms));
        }
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for member in &members {
            if !ids.insert(&member.id) || !keys.insert(member.public_key.to_bytes()) {
                return Err(CommitteeError::Twice(member.id.clone()));
            }
        }
        let [n, f, q] = [size, corrupt, quorum].map(|number| (number as u64).to_be_bytes());
        let lifetime = lifetime_ms.to_be_bytes();
        let head: [&[u8]; 7] = [
            cluster.as_str().as_bytes(),
            ledger.as_str().as_bytes(),
            predecessor.as_ref().map_or(&[], |hash| hash.as_bytes()),
            &n,
            &f,
            &q,
            &lifetime,
        ];
        let named: Vec<String> = members.iter().map(|m| format!("{} {}", m.id, m.public_key)).collect();
        let parts = head.into_iter().chain(named.iter().map(String::as_bytes));
        let hash = CommitteeHash::new(tagged_hash("limen ledger committee v1", parts));
        Ok(Self { cluster, ledger, members, corrupt, quorum, lifetime_ms, predecessor, hash })
    }

    /// The definition alone; cluster and ledger go without saying.
    pub fn to_wire(&self) -> pb::LedgerCommittee {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let member = |member: &CommitteeMember| pb::LedgerMember {
            node: member.id.to_string(),
            public_key: member.public_key.to_string(),
        };
        pb::LedgerCommittee {
            members: self.members.iter().map(member).collect(),
            corrupt: number(self.corrupt),
            quorum: number(self.quorum),
            lifetime_ms: self.lifetime_ms,
            predecessor: self.predecessor.map(|hash| hash.as_bytes().to_vec().into()).unwrap_or_default(),
        }
    }

    /// Reads a definition that somebody shows. Its hash says whether it is the one that is meant.
    pub fn from_wire(raw: pb::LedgerCommittee, whose: (ClusterId, LedgerId)) -> Result<Self, CommitteeError> {
        let malformed = |error: &dyn std::fmt::Display| CommitteeError::Malformed(error.to_string());
        if raw.members.len() > limits::LEDGER_MEMBERS {
            return Err(CommitteeError::Size { found: raw.members.len() });
        }
        let member = |raw: pb::LedgerMember| {
            let id = NodeId::new(raw.node).map_err(|error| malformed(&error))?;
            let public_key = raw.public_key.parse().map_err(|error: KeyError| malformed(&error))?;
            Ok(CommitteeMember { id, public_key })
        };
        let members = raw.members.into_iter().map(member).collect::<Result<Vec<_>, CommitteeError>>()?;
        let predecessor = match raw.predecessor.len() {
            0 => None,
            _ => Some(CommitteeHash::from_slice(&raw.predecessor).map_err(|error| malformed(&error))?),
        };
        let numbers = (raw.corrupt as usize, raw.quorum as usize);
        Self::new(whose, members, numbers, raw.lifetime_ms, predecessor)
    }

    /// Its cluster.
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }
    /// Its ledger.
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }
    /// Its members, in the charter's order.
    pub fn members(&self) -> &[CommitteeMember] {
        &self.members
    }
    /// The key pinned for a member.
    pub fn key(&self, member: &str) -> Option<&PublicKey> {
        self.members.iter().find(|m| m.id.as_str() == member).map(|m| &m.public_key)
    }
    /// f: how many members may do anything at all.
    pub const fn corrupt(&self) -> usize {
        self.corrupt
    }
    /// q: how many acknowledgements make a certificate.
    pub const fn quorum(&self) -> usize {
        self.quorum
    }
    /// How long a reservation may be used, in milliseconds.
    pub const fn lifetime_ms(&self) -> u64 {
        self.lifetime_ms
    }
    /// The committee that kept the ledger before.
    pub const fn predecessor(&self) -> Option<CommitteeHash> {
        self.predecessor
    }
    /// Its name in everything that its members sign.
    pub const fn hash(&self) -> CommitteeHash {
        self.hash
    }
    /// How many members may be down at the same time: N − q.
    pub fn may_be_down(&self) -> usize {
        self.members.len().saturating_sub(self.quorum)
    }
    /// Whether it goes on with all its f corrupt members silent. Possible from N = 3f + 1.
    pub fn stays_available_with_f_down(&self) -> bool {
        self.may_be_down() >= self.corrupt
    }
    /// What the first entry of a ledger without a predecessor names as previous.
    pub fn genesis(&self) -> EntryHash {
        EntryHash::new(tagged_hash("limen ledger genesis v1", [self.hash.as_bytes().as_slice()]))
    }
}
