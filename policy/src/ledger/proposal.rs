//! A proposal: an entry together with what entitles it to its number.

use std::collections::BTreeSet;

use limen_wire::ids::{CommitteeHash, EntryHash, NodeId};

use super::certificate::Certificate;
use super::closing::{Closing, ClosingError};
use super::committee::Committee;
use super::entry::Entry;

/// An entry whose base is certified and whose closings verify. Only [`Proposal::check`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    entry: Entry,
}

/// Why an entry is not entitled to its number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// Of another ledger or committee.
    #[error("the entry is of another ledger or committee than {0}")]
    OtherCommittee(CommitteeHash),
    /// Nothing shows that its base is certified.
    #[error("entry {number} stands on {base}: the certificate of that number must come with it")]
    NoBase {
        /// The entry.
        number: u64,
        /// Its base.
        base: u64,
    },
    /// It stands on something else.
    #[error("entry {number} does not stand on the certified entry {base}: its number or previous hash differs")]
    WrongBase {
        /// The entry.
        number: u64,
        /// Its base.
        base: u64,
    },
    /// Its base ended the committee.
    #[error("entry {number} stands on a seal: the committee has ended, propose to its successor")]
    Sealed {
        /// The entry.
        number: u64,
    },
    /// Dated back.
    #[error("entry {number} is dated {time_ms} ms, before its predecessor at {base_ms} ms")]
    Backdated {
        /// The entry.
        number: u64,
        /// Its time.
        time_ms: u64,
        /// The predecessor's.
        base_ms: u64,
    },
    /// A closing.
    #[error("entry {number} carries a closing that does not count: {source}")]
    Closing {
        /// The entry.
        number: u64,
        /// What is wrong.
        source: ClosingError,
    },
    /// One member's closings twice, or too few members.
    #[error("entry {number} carries closings of {have} distinct members, {need} are needed, each once")]
    TooFewClosings {
        /// The entry.
        number: u64,
        /// Distinct members.
        have: usize,
        /// q.
        need: usize,
    },
    /// A closing of other numbers.
    #[error(
        "entry {number} on base {base} carries a closing of the numbers after {after} through {through}: \
         it must start at the base or before and end right before the entry"
    )]
    Range {
        /// The entry.
        number: u64,
        /// Its base.
        base: u64,
        /// Where the closing starts.
        after: u64,
        /// Where it ends.
        through: u64,
    },
    /// It counts less, or more, than the closings name.
    #[error("entry {number} does not carry exactly what its closings name: {hash} at {at} is missing or too much")]
    Carried {
        /// The entry.
        number: u64,
        /// The number of the first difference.
        at: u64,
        /// Its hash.
        hash: EntryHash,
    },
    /// A seal that may have been certified is passed over.
    #[error("entry {number} passes over a seal for {successor} that its closings name: seal for the same successor")]
    SealDropped {
        /// The entry.
        number: u64,
        /// Whom the seal names.
        successor: CommitteeHash,
    },
}

impl Proposal {
    /// Checks what needs no member's state: the base is certified and the entry stands on it; for an entry that settles,
    /// q members gave up all numbers in between and everything that they name is carried. `base` is the certificate of the
    /// entry's base; at the start of a ledger there is none, at the start of a later committee it is its predecessor's seal.
    pub fn check(entry: Entry, base: Option<&Certificate>, committee: &Committee) -> Result<Self, ProposalError> {
        let number = entry.number;
        let read = |envelope| {
            Closing::verify(envelope, committee)
                .map(|(member, closing)| (member.clone(), closing))
                .map_err(|source| ProposalError::Closing { number, source })
        };
        let closings = entry.closings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Self::with_closings(entry, base, &closings, committee)
    }

    /// [`Self::check`] after the closings' signatures.
    pub(super) fn with_closings(
        entry: Entry,
        base: Option<&Certificate>,
        closings: &[(NodeId, Closing)],
        committee: &Committee,
    ) -> Result<Self, ProposalError> {
        let ours = (committee.cluster(), committee.ledger(), committee.hash());
        if (&entry.cluster, &entry.ledger, entry.committee) != ours {
            return Err(ProposalError::OtherCommittee(committee.hash()));
        }
        stands_on(&entry, base, committee)?;
        if entry.settles() {
            settles(&entry, closings, committee)?;
        }
        Ok(Self { entry })
    }

    /// The entry.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }
}

fn stands_on(entry: &Entry, base: Option<&Certificate>, committee: &Committee) -> Result<(), ProposalError> {
    let (number, base_number) = (entry.number, entry.base);
    let wrong = ProposalError::WrongBase { number, base: base_number };
    let Some(base) = base.map(Certificate::entry) else {
        // Only a ledger's very first committee starts from nothing.
        if base_number > 0 || committee.predecessor().is_some() {
            return Err(ProposalError::NoBase { number, base: base_number });
        }
        return if entry.previous == committee.genesis() { Ok(()) } else { Err(wrong) };
    };
    let hands_over = base_number == 0
        && committee.predecessor() == Some(base.committee)
        && base.seal.is_some_and(|seal| seal.successor == committee.hash());
    let follows = base_number > 0 && base.committee == committee.hash() && base.number == base_number;
    if !(hands_over || follows) || entry.previous != base.hash() {
        return Err(wrong);
    }
    if follows && base.seal.is_some() {
        return Err(ProposalError::Sealed { number });
    }
    if entry.time_ms < base.time_ms {
        return Err(ProposalError::Backdated { number, time_ms: entry.time_ms, base_ms: base.time_ms });
    }
    Ok(())
}

fn settles(entry: &Entry, closings: &[(NodeId, Closing)], committee: &Committee) -> Result<(), ProposalError> {
    let number = entry.number;
    let members: BTreeSet<&NodeId> = closings.iter().map(|(member, _)| member).collect();
    let (have, need) = (members.len(), committee.quorum());
    if have < need || have < closings.len() {
        return Err(ProposalError::TooFewClosings { number, have, need });
    }
    let mut named = BTreeSet::new();
    for (_, closing) in closings {
        let (base, after, through) = (entry.base, closing.after, closing.through);
        if after > base || through.checked_add(1) != Some(number) {
            return Err(ProposalError::Range { number, base, after, through });
        }
        named.extend(closing.acknowledged.iter().copied().filter(|(at, _)| *at > base));
        if let Some(successor) = closing.successor
            && entry.seal.is_none_or(|seal| seal.successor != successor)
        {
            return Err(ProposalError::SealDropped { number, successor });
        }
    }
    let carried: BTreeSet<(u64, EntryHash)> = entry.carried.iter().map(|e| (e.number, e.hash())).collect();
    match named.symmetric_difference(&carried).next() {
        None => Ok(()),
        Some((at, hash)) => Err(ProposalError::Carried { number, at: *at, hash: *hash }),
    }
}
