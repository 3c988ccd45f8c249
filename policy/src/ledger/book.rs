//! The book: everything that counts after a certified entry. A pure function of the entries applied.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::Amount;
use limen_wire::ids::{IntentId, tagged_hash};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::MAX_WINDOW_SECS;
use super::entry::{Claim, Entry};
use super::entry_wire::claim_to_wire;
use super::release::Release;
use super::scope::{Bound, Counts, Limit, Scope, counts_until};
use crate::check::NoWorth;

/// One request that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    claim: Claim,
    /// The latest end of its reservations.
    expires_at_ms: u64,
}

/// One of those that hold a scope of count 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The request that it replaces.
    replaces: Option<IntentId>,
    /// It holds nothing any more, but is a link between what replaced it and what it replaced.
    released: bool,
}

type Holders = BTreeMap<IntentId, Holder>;

/// Amounts by request, and who holds what counts once. Amounts are forgotten when no window can reach them; what counts
/// once is kept for ever, and so is what takes of a limit without a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    records: BTreeMap<IntentId, Record>,
    /// The requests recorded under each limit.
    by_limit: BTreeMap<Scope, BTreeSet<IntentId>>,
    /// The records that some window may still reach, by the end of their reservations.
    by_end: BTreeSet<(u64, IntentId)>,
    holdings: BTreeMap<Scope, Holders>,
}

/// Finds a limit of the charter with the room that it has for these claims, which are to go in together.
pub type Limits<'a> = dyn Fn(&Scope, &[Claim]) -> Option<Limit> + 'a;

/// Why claims do not fit into the book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The sum would be too much.
    #[error("{scope}: {observed} is more than the bound {bound} {advice}")]
    Amount {
        /// Which limit.
        scope: Box<Scope>,
        /// The sum with the new claims, or "more than 256 bits".
        observed: String,
        /// The bound.
        bound: Amount,
        /// What counts, and what to do.
        advice: &'static str,
    },
    /// There would be too many.
    #[error("{scope}: {observed} requests are more than the bound {bound} {advice}")]
    Count {
        /// Which limit.
        scope: Box<Scope>,
        /// Requests with the new claims.
        observed: u64,
        /// The bound.
        bound: u64,
        /// What counts, and what to do.
        advice: &'static str,
    },
    /// A limit that the charter does not have.
    #[error("{0} is not in the charter")]
    UnknownLimit(Box<Scope>),
    /// Somebody else has it.
    #[error("{scope} is held by {holder}, which {intent} does not replace by name")]
    Held {
        /// What counts once.
        scope: Box<Scope>,
        /// Who asks for it.
        intent: IntentId,
        /// Who has it.
        holder: IntentId,
    },
    /// No entry holds it by itself.
    #[error("no entry can reserve it: {0}")]
    Entry(String),
    /// Two in one entry ask for it.
    #[error("{0} is claimed twice in one entry: claim it in two, where the second replaces the first by name")]
    Twice(Box<Scope>),
    /// Nobody can tell how much it takes.
    #[error("what it takes cannot be told: {0}")]
    NoWorth(#[from] NoWorth),
    /// A replacement that leaves something out.
    #[error("{intent} replaces {replaced} but does not spend {scope} as that does: both could take effect")]
    SpendsLess {
        /// The replacement.
        intent: IntentId,
        /// What it replaces.
        replaced: IntentId,
        /// What only the replaced one spends.
        scope: Box<Scope>,
    },
}

impl Book {
    /// Whether the claims fit on top, at the time of their entry: what counts once is free or replaced by name, and no
    /// limit's window sums up to more than `L_cert`.
    pub fn fits(&self, claims: &[Claim], at_ms: u64, limit: &Limits<'_>) -> Result<(), Misfit> {
        let mut once = BTreeSet::new();
        let mut touched = BTreeSet::new();
        for claim in claims {
            self.replacement_spends_all(claim)?;
            for scope in claim.charges.keys() {
                if scope.is_limit() {
                    touched.insert(scope);
                } else if !once.insert(scope) {
                    return Err(Misfit::Twice(boxed(scope)));
                } else {
                    self.is_free(scope, claim)?;
                }
            }
        }
        touched.into_iter().try_for_each(|scope| self.stays_within(scope, claims, at_ms, limit))
    }

    fn replacement_spends_all(&self, claim: &Claim) -> Result<(), Misfit> {
        let Some((replaced, record)) = claim.replaces.and_then(|id| Some((id, self.records.get(&id)?))) else {
            return Ok(());
        };
        match spends(&record.claim).find(|scope| !claim.charges.contains_key(*scope)) {
            None => Ok(()),
            Some(scope) => Err(Misfit::SpendsLess { intent: claim.intent, replaced, scope: boxed(scope) }),
        }
    }

    /// Every other holder is one that the claim replaces, directly or through others. An idempotency key is never shared.
    fn is_free(&self, scope: &Scope, claim: &Claim) -> Result<(), Misfit> {
        let Some(holders) = self.holdings.get(scope) else {
            return Ok(());
        };
        let mut replaced = BTreeSet::from([claim.intent]);
        let mut next = claim.replaces.filter(|_| scope.is_spend());
        while let Some(id) = next {
            next = if replaced.insert(id) { holders.get(&id).and_then(|holder| holder.replaces) } else { None };
        }
        match holders.iter().find(|(id, holder)| !holder.released && !replaced.contains(*id)) {
            None => Ok(()),
            Some((holder, _)) => Err(Misfit::Held { scope: boxed(scope), intent: claim.intent, holder: *holder }),
        }
    }

    fn stays_within(&self, scope: &Scope, claims: &[Claim], at_ms: u64, limit: &Limits<'_>) -> Result<(), Misfit> {
        let limit = limit(scope, claims).ok_or_else(|| Misfit::UnknownLimit(boxed(scope)))?;
        let groups = self.groups(scope, claims, at_ms, &limit);
        let amounts: Vec<Amount> = groups.into_values().collect();
        within(scope, &amounts, limit.certified, &limit.counts)
    }

    /// What still counts in a limit: of requests that replace each other only one takes effect, so the largest counts.
    fn groups(&self, scope: &Scope, claims: &[Claim], at_ms: u64, limit: &Limit) -> BTreeMap<IntentId, Amount> {
        let recorded = self.by_limit.get(scope).into_iter().flatten().filter_map(|id| self.records.get(id));
        let live = recorded
            .filter(|record| limit.counts.still(&record.claim.charges, record.expires_at_ms, at_ms))
            .map(|record| &record.claim);
        let mut groups = BTreeMap::new();
        for claim in live.chain(claims) {
            if let Some(amount) = claim.charges.get(scope) {
                let largest = groups.entry(self.first_of(claim)).or_insert(Amount::ZERO);
                *largest = (*largest).max(*amount);
            }
        }
        groups
    }

    /// The first request of those that this one replaces, as far as they are recorded and all they spend is spent again.
    fn first_of(&self, claim: &Claim) -> IntentId {
        let (mut first, mut seen) = (claim, BTreeSet::from([claim.intent]));
        while let Some(record) = first.replaces.and_then(|id| self.records.get(&id)) {
            let shared = spends(&record.claim).next().is_some()
                && spends(&record.claim).all(|scope| first.charges.contains_key(scope));
            if !shared || !seen.insert(record.claim.intent) {
                break;
            }
            first = &record.claim;
        }
        first.intent
    }

    /// Counts what an entry reserves, releases and carries. The entry is certified, or about to be acknowledged.
    pub fn apply(&mut self, entry: &Entry) {
        for carried in &entry.carried {
            carried.claims.iter().for_each(|claim| self.count(claim, carried.expires_at_ms));
        }
        entry.claims.iter().for_each(|claim| self.count(claim, entry.expires_at_ms));
        // What can never be signed any more does not count, whichever of the carried entries says so.
        for evidence in entry.carried.iter().flat_map(|carried| &carried.releases).chain(&entry.releases) {
            if let Ok(intent) = Release::named(evidence) {
                self.release(&intent);
            }
        }
        self.forget(entry.time_ms);
    }

    /// Counting twice counts once: the larger charge, until the later end.
    fn count(&mut self, claim: &Claim, expires_at_ms: u64) {
        for scope in claim.charges.keys() {
            if scope.is_limit() {
                self.by_limit.entry(scope.clone()).or_default().insert(claim.intent);
            } else {
                let holder = Holder { replaces: claim.replaces, released: false };
                self.holdings.entry(scope.clone()).or_default().insert(claim.intent, holder);
            }
        }
        let fresh = || Record { claim: claim.clone(), expires_at_ms };
        let record = self.records.entry(claim.intent).or_insert_with(fresh);
        self.by_end.remove(&(record.expires_at_ms, claim.intent));
        record.expires_at_ms = record.expires_at_ms.max(expires_at_ms);
        for (scope, amount) in &claim.charges {
            let largest = record.claim.charges.entry(scope.clone()).or_insert(*amount);
            *largest = (*largest).max(*amount);
        }
        self.by_end.insert((record.expires_at_ms, claim.intent));
    }

    /// What can never be signed takes nothing and spends nothing. Its idempotency key stays taken: that names the request for
    /// ever, also one that came to nothing.
    fn release(&mut self, intent: &IntentId) {
        let spent: Vec<Scope> = match self.drop_record(intent) {
            Some(record) => spends(&record.claim).cloned().collect(),
            // Forgotten, or released before: a book that has seen less in between must come to the same end.
            None => self.holdings.keys().filter(|scope| scope.is_spend()).cloned().collect(),
        };
        for scope in spent {
            if let Some(holder) = self.holdings.get_mut(&scope).and_then(|holders| holders.get_mut(intent)) {
                holder.released = true;
            }
        }
    }

    fn forget(&mut self, now_ms: u64) {
        let window = MAX_WINDOW_SECS.saturating_mul(1000);
        while let Some((end, intent)) = self.by_end.first().copied() {
            if counts_until(end, window) > now_ms {
                return;
            }
            self.by_end.pop_first();
            self.leave_windows(&intent);
        }
    }

    /// No window reaches it any more. What counts in something lasting stays.
    fn leave_windows(&mut self, intent: &IntentId) {
        let Some(record) = self.records.get(intent) else { return };
        let lasts = record.claim.charges.keys().any(Scope::is_lasting);
        let passing = record.claim.charges.keys().filter(|scope| scope.is_limit() && !scope.is_lasting());
        let passing: Vec<Scope> = passing.cloned().collect();
        passing.iter().for_each(|scope| self.leave(scope, intent));
        if !lasts {
            self.records.remove(intent);
        }
    }

    fn leave(&mut self, scope: &Scope, intent: &IntentId) {
        if let Some(requests) = self.by_limit.get_mut(scope) {
            requests.remove(intent);
            if requests.is_empty() {
                self.by_limit.remove(scope);
            }
        }
    }

    fn drop_record(&mut self, intent: &IntentId) -> Option<Record> {
        let record = self.records.remove(intent)?;
        self.by_end.remove(&(record.expires_at_ms, *intent));
        record.claim.charges.keys().filter(|scope| scope.is_limit()).for_each(|scope| self.leave(scope, intent));
        Some(record)
    }

    /// Whether there is something to release: the request counts here and no window has forgotten it.
    pub fn counts(&self, intent: &IntentId) -> bool {
        self.records.contains_key(intent)
    }

    /// Hash of everything that counts: what a seal hands to the next committee.
    pub fn digest(&self) -> [u8; 32] {
        let record = |record: &Record| {
            let claim = claim_to_wire(&record.claim).encode_to_vec();
            tagged_hash("limen ledger record v1", [claim.as_slice(), &record.expires_at_ms.to_be_bytes()])
        };
        let holding = |(scope, holders): (&Scope, &Holders)| {
            let scope = scope.encode();
            let ids = holders.iter().flat_map(|(id, holder)| {
                let replaced = holder.replaces.as_ref().map_or(&[][..], |id| id.as_bytes());
                let released: &[u8] = if holder.released { b"released" } else { b"holds" };
                [id.as_bytes().as_slice(), replaced, released]
            });
            tagged_hash("limen ledger holding v1", std::iter::once(scope.as_slice()).chain(ids))
        };
        let hashes: Vec<[u8; 32]> =
            self.records.values().map(record).chain(self.holdings.iter().map(holding)).collect();
        let count = (self.records.len() as u64).to_be_bytes();
        let parts = std::iter::once(count.as_slice()).chain(hashes.iter().map(<[u8; 32]>::as_slice));
        tagged_hash("limen ledger book v1", parts)
    }
}

fn boxed(scope: &Scope) -> Box<Scope> {
    Box::new(scope.clone())
}

fn spends(claim: &Claim) -> impl Iterator<Item = &Scope> {
    claim.charges.keys().filter(|scope| scope.is_spend())
}

/// Whether these amounts, one for each request, stay within the bound.
pub(super) fn within(scope: &Scope, amounts: &[Amount], bound: Bound, counts: &Counts) -> Result<(), Misfit> {
    let (observed, advice) = (amounts.len() as u64, counts.advice());
    if observed > bound.count {
        return Err(Misfit::Count { scope: boxed(scope), observed, bound: bound.count, advice });
    }
    let sum = amounts.iter().try_fold(Amount::ZERO, |sum, amount| sum.checked_add(*amount));
    if sum.is_some_and(|sum| sum <= bound.amount) {
        return Ok(());
    }
    let observed = sum.map_or_else(|| "more than 256 bits".to_owned(), |sum| sum.to_string());
    Err(Misfit::Amount { scope: boxed(scope), observed, bound: bound.amount, advice })
}
