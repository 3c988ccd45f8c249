//! What a member must not forget.

use std::collections::BTreeMap;

use limen_wire::ids::{CommitteeHash, EntryHash};
use serde::{Deserialize, Serialize};

use crate::ledger::book::Book;
use crate::ledger::certificate::Certificate;
use crate::ledger::committee::Committee;
use crate::ledger::entry::Entry;

/// The last certified entry that a member knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 before the first.
    pub number: u64,
    /// Its hash; at number 0 what the first entry names as previous.
    pub hash: EntryHash,
    /// Its time.
    pub time_ms: u64,
    /// Whether closings name it.
    pub counts: bool,
    /// The committee that goes on, once this one has ended.
    pub successor: Option<CommitteeHash>,
}

/// A member's memory: the head, the book that goes with it, and its promises beyond the head. A store may keep it as a whole,
/// or apply [`Change`]s row by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// The last certified entry known.
    pub head: Head,
    /// Everything that counts at the head.
    pub book: Book,
    /// What was acknowledged beyond the head.
    pub acknowledged: BTreeMap<u64, Entry>,
    /// Nothing more is acknowledged at this number or below.
    pub closed_through: u64,
}

/// One thing to write durably. Applying it twice is applying it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The entry's number is taken.
    Acknowledged(Entry),
    /// These numbers are given up.
    Closed {
        /// The last of them.
        through: u64,
    },
    /// The entry is the new head.
    Learned(Certificate),
}

impl Durable {
    /// Before the first entry of a new ledger.
    pub fn genesis(committee: &Committee) -> Self {
        let head = Head { number: 0, hash: committee.genesis(), time_ms: 0, counts: false, successor: None };
        Self { head, book: Book::default(), acknowledged: BTreeMap::new(), closed_through: 0 }
    }

    /// Before the first entry of a committee that goes on where another ended: `seal` is its predecessor's last certificate,
    /// `book` what that seals. `None` if they do not belong together.
    pub fn succeed(committee: &Committee, seal: &Certificate, book: Book) -> Option<Self> {
        let entry = seal.entry();
        let sealed = entry.seal.filter(|sealed| sealed.successor == committee.hash())?;
        let fits = committee.predecessor() == Some(entry.committee)
            && (committee.cluster(), committee.ledger()) == (&entry.cluster, &entry.ledger)
            && sealed.book == book.digest();
        let head = Head { number: 0, hash: entry.hash(), time_ms: entry.time_ms, counts: false, successor: None };
        fits.then_some(Self { head, book, acknowledged: BTreeMap::new(), closed_through: 0 })
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Acknowledged(entry) => {
                self.closed_through = self.closed_through.max(entry.number.saturating_sub(1));
                self.acknowledged.insert(entry.number, entry.clone());
            }
            Change::Closed { through } => self.closed_through = self.closed_through.max(*through),
            Change::Learned(certificate) => self.advance(certificate.entry()),
        }
    }

    fn advance(&mut self, entry: &Entry) {
        if entry.number <= self.head.number {
            return;
        }
        self.book.apply(entry);
        self.head = Head {
            number: entry.number,
            hash: entry.hash(),
            time_ms: entry.time_ms.max(self.head.time_ms),
            counts: entry.counts(),
            successor: entry.seal.map(|seal| seal.successor),
        };
        self.acknowledged.retain(|number, _| *number > entry.number);
        self.closed_through = self.closed_through.max(entry.number);
    }

    /// The highest number that the member has seen anything of.
    pub(super) fn frontier(&self) -> u64 {
        let last = self.acknowledged.last_key_value().map_or(0, |(number, _)| *number);
        self.head.number.max(self.closed_through).max(last)
    }
}
