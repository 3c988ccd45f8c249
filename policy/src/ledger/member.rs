//! One member of a ledger committee: a synchronous machine without clock, disk or key.
//!
//! A step says what must be durable and what may then be answered: its answer comes out of [`Member::commit`] only. Signing
//! the answer is the driver's last act, so nothing that a crash could forget is ever under a signature.

mod durable;
mod refusal;

use std::sync::Arc;

use limen_wire::ids::{CharterHash, CommitteeHash, IntentId};

pub use durable::{Change, Durable, Head};
pub use refusal::Refusal;

use super::MAX_SKEW_MS;
use super::book::Book;
use super::certificate::Certificate;
use super::closing::Closing;
use super::committee::Committee;
use super::entry::{Claim, Entry, Price, Seal};
use super::proposal::Proposal;
use super::release::{KeySigners, Release};
use super::scope::{Limit, Scope};

/// How many numbers beyond all that it has seen a member gives up in one step. A coordinator that drives members apart
/// spends as many calls on it as the next one needs to bring them together.
pub const CLOSE_AHEAD: u64 = 1024;

/// What a member's guard knows of requests and rules. Pure: every member computes from the same bytes.
pub trait Judge {
    /// The newest charter accepted.
    fn charter(&self) -> CharterHash;
    /// A limit of that charter, with the room that it has for these claims: those of the entry.
    fn limit(&self, scope: &Scope, claims: &[Claim]) -> Option<Limit>;
    /// What the request takes, from its bytes under the entry's charter, with its prices and at its time; or why that cannot be
    /// said. What is carried was claimed under a charter that may not be in force any more.
    fn recompute(&self, entry: &Entry, intent: &IntentId) -> Result<Claim, String>;
    /// The prices that an entry over these claims has: those that they need, by what is attested for each of its requests now.
    fn prices(&self, entry: &Entry) -> Result<Vec<Price>, String>;
    /// Whether the guard would allow the request now but for the certificate; or why not.
    fn allows(&self, intent: &IntentId) -> Result<(), String>;
    /// The signers of the key that the request asks for.
    fn signers(&self, intent: &IntentId) -> Option<KeySigners>;
    /// The committee that the charter names to follow this one.
    fn successor(&self) -> Option<CommitteeHash>;
}

/// What must be durable, and what may be answered then.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an answer that is not committed was never given"]
pub struct Step<A> {
    changes: Vec<Change>,
    answer: A,
}

impl<A> Step<A> {
    /// What to write durably before [`Member::commit`]; empty for a repeat.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

/// A member and all that it has promised.
#[derive(Debug, Clone)]
pub struct Member {
    committee: Arc<Committee>,
    durable: Durable,
}

impl Member {
    /// A member as its disk remembers it; [`Durable::genesis`] or [`Durable::succeed`] before the first start.
    pub const fn new(committee: Arc<Committee>, durable: Durable) -> Self {
        Self { committee, durable }
    }

    /// What it remembers.
    pub const fn durable(&self) -> &Durable {
        &self.durable
    }

    /// The committee.
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// Takes a step whose changes are durable, and gives its answer out.
    pub fn commit<A>(&mut self, step: Step<A>) -> A {
        step.changes.iter().for_each(|change| self.durable.apply(change));
        step.answer
    }

    /// Learns that an entry is certified. Certificates are learned in order; one that is known already changes nothing.
    pub fn learn(&self, certificate: &Certificate) -> Result<Step<()>, Refusal> {
        let (entry, head) = (certificate.entry(), &self.durable.head);
        if entry.committee != self.committee.hash() {
            return Err(Refusal::OtherCommittee(self.committee.hash()));
        }
        if entry.number == head.number && entry.hash() != head.hash {
            return Err(Refusal::Forked { number: head.number });
        }
        if entry.number <= head.number {
            return Ok(Step { changes: Vec::new(), answer: () });
        }
        self.reaches(entry)?;
        Ok(Step { changes: vec![Change::Learned(certificate.clone())], answer: () })
    }

    /// Acknowledges an entry, at most one for each number: `now_ms` is the member's own clock. The answer is the entry, to be
    /// signed by [`Entry::acknowledge`]. The same entry again gives the same answer.
    pub fn acknowledge(&self, proposal: &Proposal, now_ms: u64, judge: &dyn Judge) -> Result<Step<Entry>, Refusal> {
        let entry = proposal.entry();
        if self.durable.acknowledged.get(&entry.number) == Some(entry) {
            return Ok(Step { changes: Vec::new(), answer: entry.clone() });
        }
        self.is_open(entry)?;
        self.reaches(entry)?;
        self.is_timely(entry, now_ms)?;
        let expected = judge.charter();
        if entry.charter != expected {
            return Err(Refusal::OtherCharter { found: entry.charter, expected });
        }
        self.releases_are_due(entry, judge)?;
        for carried in &entry.carried {
            // One member alone may name an entry that nobody has certified: what it gives back is proved like everything else.
            self.released(carried, judge)?;
            self.lasts_as_reserved(carried)?;
            claims_are_true(carried, judge)?;
        }
        claims_are_true(entry, judge)?;
        for claim in &entry.claims {
            let intent = claim.intent;
            judge.allows(&intent).map_err(|reason| Refusal::NotAllowed { intent, reason })?;
        }
        prices_are_attested(entry, judge)?;
        self.durable.book.fits(&entry.claims, entry.time_ms, &|scope, claims| judge.limit(scope, claims))?;
        if let Some(seal) = entry.seal {
            self.seal_is_due(entry, seal, judge)?;
        }
        Ok(Step { changes: vec![Change::Acknowledged(entry.clone())], answer: entry.clone() })
    }

    /// Gives up every number through this one. The answer is to be signed by [`Closing::sign`].
    pub fn close(&self, through: u64) -> Result<Step<Closing>, Refusal> {
        let durable = &self.durable;
        if durable.head.successor.is_some() {
            return Err(Refusal::Sealed);
        }
        if through <= durable.head.number {
            return Err(Refusal::Certified { head: durable.head.number });
        }
        let limit = durable.frontier().saturating_add(CLOSE_AHEAD);
        if through > limit {
            return Err(Refusal::TooFarAhead { through, limit });
        }
        let given = |entry: &&Entry| entry.number <= through;
        let acknowledged = || durable.acknowledged.values().filter(given);
        let closing = Closing {
            after: durable.head.number,
            through,
            acknowledged: acknowledged().filter(|e| e.counts()).map(|e| (e.number, e.hash())).collect(),
            successor: acknowledged().filter_map(|e| e.seal).next_back().map(|seal| seal.successor),
        };
        let changes = if through > durable.closed_through { vec![Change::Closed { through }] } else { Vec::new() };
        Ok(Step { changes, answer: closing })
    }

    /// The entry's number is neither certified, nor taken, nor given up.
    fn is_open(&self, entry: &Entry) -> Result<(), Refusal> {
        let durable = &self.durable;
        if entry.committee != self.committee.hash() {
            return Err(Refusal::OtherCommittee(self.committee.hash()));
        }
        if durable.head.successor.is_some() {
            return Err(Refusal::Sealed);
        }
        if entry.number <= durable.head.number {
            return Err(Refusal::Certified { head: durable.head.number });
        }
        if let Some(other) = durable.acknowledged.get(&entry.number) {
            return Err(Refusal::Taken { number: entry.number, hash: other.hash() });
        }
        if entry.number <= durable.closed_through {
            return Err(Refusal::Closed { through: durable.closed_through });
        }
        Ok(())
    }

    /// The entry goes on from what the member knows to be certified.
    fn reaches(&self, entry: &Entry) -> Result<(), Refusal> {
        let head = &self.durable.head;
        if entry.base > head.number {
            return Err(Refusal::Behind { head: head.number });
        }
        // At the start of a later committee any seal of its predecessor will do: they all count the same certified claims.
        let started = entry.base == 0 && self.committee.predecessor().is_some();
        if entry.base == head.number && entry.previous != head.hash && !started {
            return Err(Refusal::Forked { number: head.number });
        }
        // q members gave up the head's number, so one of them acknowledged the head and names it.
        let passes_over = entry.base < head.number && head.counts;
        if passes_over && !entry.carried.iter().any(|carried| carried.hash() == head.hash) {
            return Err(Refusal::Forked { number: head.number });
        }
        Ok(())
    }

    fn is_timely(&self, entry: &Entry, now_ms: u64) -> Result<(), Refusal> {
        let (time_ms, head_ms) = (entry.time_ms, self.durable.head.time_ms);
        if time_ms.abs_diff(now_ms) > MAX_SKEW_MS {
            return Err(Refusal::Skewed { time_ms, now_ms });
        }
        if time_ms < head_ms {
            return Err(Refusal::Backdated { time_ms, head_ms });
        }
        self.lasts_as_reserved(entry)
    }

    /// Also of what is carried: one that expires later than any reservation would count for longer than any.
    fn lasts_as_reserved(&self, entry: &Entry) -> Result<(), Refusal> {
        let expected_ms = entry.time_ms.saturating_add(self.committee.lifetime_ms());
        if entry.expires_at_ms != expected_ms {
            return Err(Refusal::Lifetime { found_ms: entry.expires_at_ms, expected_ms });
        }
        Ok(())
    }

    fn releases_are_due(&self, entry: &Entry, judge: &dyn Judge) -> Result<(), Refusal> {
        let released = self.released(entry, judge)?;
        match released.iter().find(|release| !self.durable.book.counts(release.intent())) {
            Some(release) => Err(Refusal::NothingToRelease(*release.intent())),
            None => Ok(()),
        }
    }

    /// What an entry releases, by evidence that holds.
    fn released(&self, entry: &Entry, judge: &dyn Judge) -> Result<Vec<Release>, Refusal> {
        let verify = |evidence| Release::verify(evidence, self.committee.cluster(), |intent| judge.signers(intent));
        entry.releases.iter().map(verify).collect::<Result<_, _>>().map_err(Refusal::from)
    }

    fn seal_is_due(&self, entry: &Entry, seal: Seal, judge: &dyn Judge) -> Result<(), Refusal> {
        if judge.successor() != Some(seal.successor) {
            return Err(Refusal::NotSuccessor(seal.successor));
        }
        if self.book_after(entry).digest() == seal.book { Ok(()) } else { Err(Refusal::OtherBook) }
    }

    /// The book as it stands once the entry is certified.
    pub fn book_after(&self, entry: &Entry) -> Book {
        let mut book = self.durable.book.clone();
        book.apply(entry);
        book
    }
}

/// The entry has exactly the prices that are attested for what it claims: not one that is lower, or higher, or besides.
fn prices_are_attested(entry: &Entry, judge: &dyn Judge) -> Result<(), Refusal> {
    let words = |all: &[Price]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let own = judge.prices(entry).map_err(Refusal::NoPrices)?;
    if own == entry.prices {
        return Ok(());
    }
    Err(Refusal::OtherPrices { found: words(&entry.prices), expected: words(&own) })
}

/// Every claim is what the member computes from the request's own bytes and the entry's prices.
fn claims_are_true(entry: &Entry, judge: &dyn Judge) -> Result<(), Refusal> {
    for claim in &entry.claims {
        let intent = claim.intent;
        let own = judge.recompute(entry, &intent).map_err(|reason| Refusal::CannotRecompute { intent, reason })?;
        if own != *claim {
            return Err(Refusal::OtherCharges(intent));
        }
    }
    Ok(())
}
