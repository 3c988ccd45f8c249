//! The coordinator's side: collects requests into entries, has them acknowledged, and settles numbers that got stuck.
//!
//! Nothing here is believed by anybody: whatever a sequencer proposes, members judge for themselves. Two at once, or one
//! that lost its memory, only cost round trips. Synchronous: inputs in, [`Output`]s out.

mod closers;
mod hint;
mod stuck;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use limen_wire::envelope::{self, PayloadType};
use limen_wire::ids::{CharterHash, CommitteeHash, EntryHash, IntentId, NodeId};
use limen_wire::{limits, pb, statement};

pub use hint::Hint;
pub use wanted::Wanted;

use super::book::{Book, Limits, Misfit};
use super::certificate::Certificate;
use super::closing::Closing;
use super::committee::Committee;
use super::entry::{Body, Claim, Entry, Seal};
use super::entry_wire::EntryError;
use super::member::{Change, Durable};
use super::release::Release;

/// Certificates kept for members that are a little behind: a page. Others are shown what the members themselves keep.
const KEPT: usize = limits::LEDGER_PAGE;
/// Releases that wait for their entry.
const RELEASES: usize = 4096;

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Show a member the entry with the certificate of its base, and feed [`Sequencer::acknowledged`] or [`Sequencer::hinted`].
    Propose {
        /// To whom.
        to: NodeId,
        /// What.
        entry: Entry,
        /// What it stands on; none at the start of a ledger.
        base: Option<Box<Certificate>>,
    },
    /// Show a member certificates that it lacks, in order.
    Teach {
        /// To whom.
        to: NodeId,
        /// What.
        certificates: Vec<Certificate>,
    },
    /// Show a member the certificates after a number, as other members have them, in order.
    Relay {
        /// To whom.
        to: NodeId,
        /// The last number that it knows.
        after: u64,
    },
    /// Ask a member to give numbers up, and feed [`Sequencer::closed`].
    Close {
        /// Whom.
        to: NodeId,
        /// The last number.
        through: u64,
    },
    /// An entry counts: its claims may be signed under this certificate.
    Certified(Box<Certificate>),
    /// No number can be settled: fewer than q members gave theirs up without having acknowledged a seal for this other committee.
    /// Said once for each number.
    Barred {
        /// Whom the other seal names.
        successor: CommitteeHash,
    },
    /// A claim has no place now.
    Dropped {
        /// Whose.
        intent: IntentId,
        /// Why; none where members refused it.
        misfit: Option<Misfit>,
    },
}

/// An entry on its way.
#[derive(Debug)]
struct Collecting {
    entry: Entry,
    acknowledgements: BTreeMap<NodeId, pb::Envelope>,
    refused: BTreeSet<NodeId>,
    /// Who was shown certificates since the last tick: once is enough for whoever means it.
    taught: BTreeSet<NodeId>,
    unfit: BTreeMap<IntentId, BTreeSet<NodeId>>,
    stale: BTreeSet<NodeId>,
    since_ms: u64,
}

/// Numbers being given up.
#[derive(Debug)]
struct GivingUp {
    through: u64,
    closings: BTreeMap<NodeId, (Closing, pb::Envelope)>,
    since_ms: u64,
    barred: bool,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Collecting(Collecting),
    GivingUp(GivingUp),
}

/// The machine.
#[derive(Debug)]
pub struct Sequencer {
    committee: Arc<Committee>,
    charter: CharterHash,
    patience_ms: u64,
    view: Durable,
    start: Option<Certificate>,
    certificates: BTreeMap<u64, Certificate>,
    waiting: VecDeque<Wanted>,
    /// What is on its way at prices: another entry has other ones.
    priced: BTreeMap<IntentId, Wanted>,
    releases: VecDeque<pb::Envelope>,
    /// Entries that closings may name, by hash.
    named: BTreeMap<EntryHash, Entry>,
    /// How far members say they are bound.
    bound_through: BTreeMap<NodeId, u64>,
    attempts: u64,
    /// The committee that is to go on: then the next entry is this one's last.
    successor: Option<CommitteeHash>,
    phase: Phase,
}

impl Sequencer {
    /// Starts at a committee's start: `view` as for a member, `start` the seal of the committee before. Members that know
    /// more say so. `patience_ms` is how long an answer may take before a number is given up.
    pub const fn new(
        committee: Arc<Committee>,
        charter: CharterHash,
        view: Durable,
        start: Option<Certificate>,
        patience_ms: u64,
    ) -> Self {
        Self {
            committee,
            charter,
            patience_ms,
            view,
            start,
            certificates: BTreeMap::new(),
            waiting: VecDeque::new(),
            priced: BTreeMap::new(),
            releases: VecDeque::new(),
            named: BTreeMap::new(),
            bound_through: BTreeMap::new(),
            attempts: 0,
            successor: None,
            phase: Phase::Idle,
        }
    }

    /// A sequencer that ends the committee, as the charter says: it reserves nothing more and seals what counts for `successor`.
    #[must_use]
    pub fn sealing_for(self, successor: CommitteeHash) -> Self {
        Self { successor: Some(successor), ..self }
    }

    /// What counts, and the seal, once the committee has ended.
    pub fn sealed(&self) -> Option<(&Book, &Certificate)> {
        self.view.head.successor?;
        Some((&self.view.book, self.base()?))
    }

    /// The last certified number known.
    pub const fn head(&self) -> u64 {
        self.view.head.number
    }

    /// Whether nothing is on its way.
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Wants a request's charges reserved, in place of what was wanted for it before.
    pub fn submit(&mut self, wanted: impl Into<Wanted>) {
        let wanted = wanted.into();
        match self.waiting.iter_mut().find(|waiting| waiting.intent() == wanted.intent()) {
            Some(waiting) => *waiting = wanted,
            None => self.waiting.push_back(wanted),
        }
    }

    /// Goes on under another charter. What waits was computed under the one before, so whoever still wants it submits it anew.
    pub fn judge_by(&mut self, charter: CharterHash) {
        self.charter = charter;
        self.waiting.clear();
    }

    /// Wants again what was on its way, if it was computed under this charter and nothing newer is wanted. What somebody else
    /// has computed at prices is left to whoever wishes it.
    fn resubmit(&mut self, entry: &Entry, besides: impl Fn(&Claim) -> bool) {
        if entry.charter != self.charter {
            return;
        }
        for claim in entry.claims.iter().filter(|claim| !besides(claim)) {
            if self.waiting.iter().any(|waiting| waiting.intent() == claim.intent) {
                continue;
            }
            let in_units = || entry.prices.is_empty().then(|| Wanted::from(claim.clone()));
            self.waiting.extend(self.priced.get(&claim.intent).cloned().or_else(in_units));
        }
    }

    /// Wants a request's charges given back.
    pub fn release(&mut self, evidence: pb::Envelope) {
        if self.releases.len() >= RELEASES {
            self.releases.pop_front();
        }
        self.releases.push_back(evidence);
    }

    /// Time has passed: begins, repeats or gives up. To be called after submissions and every second or so.
    pub fn tick(&mut self, now_ms: u64, limit: &Limits<'_>) -> Vec<Output> {
        if let Phase::Collecting(collecting) = &mut self.phase {
            collecting.taught.clear();
        }
        let late = |since_ms: u64| now_ms >= since_ms.saturating_add(self.patience_ms);
        match &self.phase {
            Phase::Idle => self.begin(now_ms, limit),
            Phase::Collecting(collecting) if late(collecting.since_ms) => self.give_up(now_ms),
            Phase::Collecting(collecting) => {
                let answered =
                    |id: &NodeId| collecting.acknowledgements.contains_key(id) || collecting.refused.contains(id);
                let silent = self.ids().filter(|id| !answered(id)).collect();
                self.propose_to(silent)
            }
            Phase::GivingUp(given) if late(given.since_ms) && given.closings.len() >= self.committee.quorum() => {
                let mut outputs = self.settle(now_ms);
                outputs.extend(self.ask_silent());
                outputs
            }
            Phase::GivingUp(_) => self.ask_silent(),
        }
    }

    /// Asks those for their closing who have not given one.
    fn ask_silent(&self) -> Vec<Output> {
        let Phase::GivingUp(given) = &self.phase else { return Vec::new() };
        let (through, silent) = (given.through, self.ids().filter(|id| !given.closings.contains_key(id)));
        silent.map(|to| Output::Close { to, through }).collect()
    }

    /// A member's acknowledgement of the entry on its way. Anything else is dropped.
    pub fn acknowledged(&mut self, member: &NodeId, envelope: pb::Envelope) -> Vec<Output> {
        let Phase::Collecting(collecting) = &mut self.phase else { return Vec::new() };
        let signed = envelope::open(&envelope, PayloadType::LedgerEntry).ok().filter(|opened| {
            let key = self.committee.key(member.as_str());
            opened.payload() == collecting.entry.payload().as_ref()
                && opened.claimed_signers().count() == 1
                && key.is_some_and(|key| opened.verify(member.as_str(), key).is_ok())
        });
        if signed.is_none() {
            return Vec::new();
        }
        collecting.acknowledgements.insert(member.clone(), envelope);
        let each: Vec<_> = collecting.acknowledgements.values().cloned().collect();
        let combined = statement::combine(&each);
        match combined.and_then(|envelope| Certificate::verify(&envelope, &self.committee).ok()) {
            Some(certificate) => self.certified(certificate),
            None => Vec::new(),
        }
    }

    /// Why a member has not acknowledged, as far as it helps to go on.
    pub fn hinted(&mut self, member: &NodeId, hint: Hint, now_ms: u64) -> Vec<Output> {
        if self.committee.key(member.as_str()).is_none() {
            return Vec::new();
        }
        match hint {
            Hint::Behind { head } => return self.teach(member, head),
            Hint::Certified(envelopes) => {
                let verify = |envelope| Certificate::verify(envelope, &self.committee).ok();
                let certificates: Vec<Certificate> = envelopes.iter().map_while(verify).collect();
                return certificates.into_iter().flat_map(|certificate| self.certified(certificate)).collect();
            }
            Hint::Bound { through } => {
                self.bound_through.insert(member.clone(), through);
            }
            Hint::Unfit(intent) => {
                if let Phase::Collecting(collecting) = &mut self.phase {
                    collecting.unfit.entry(intent).or_default().insert(member.clone());
                }
            }
            Hint::Stale => {
                if let Phase::Collecting(collecting) = &mut self.phase {
                    collecting.stale.insert(member.clone());
                }
            }
            Hint::Other => {}
        }
        let Phase::Collecting(collecting) = &mut self.phase else { return Vec::new() };
        collecting.refused.insert(member.clone());
        if collecting.refused.len() > self.committee.may_be_down() { self.fail(now_ms) } else { Vec::new() }
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.committee.members().iter().map(|member| member.id.clone())
    }

    fn base(&self) -> Option<&Certificate> {
        self.certificates.get(&self.view.head.number).or(self.start.as_ref())
    }

    /// The next entry out of what waits. What fits beside the book but not beside the rest of the batch waits on.
    fn begin(&mut self, now_ms: u64, limit: &Limits<'_>) -> Vec<Output> {
        let (mut outputs, mut batch, mut rest) = (Vec::new(), Vec::new(), VecDeque::new());
        let time_ms = now_ms.max(self.view.head.time_ms);
        let mut body = self.body(time_ms);
        if self.view.head.successor.is_some() {
            return outputs;
        }
        if self.successor.is_some() {
            return self.entry(body).map_or(outputs, |entry| self.propose(entry, now_ms));
        }
        body.releases = self.next_release().into_iter().collect();
        let mut whole = None;
        while let Some(wanted) = self.waiting.pop_front() {
            let fits = |claims: &[Claim]| self.view.book.fits(claims, time_ms, limit);
            let alone = wanted.alone(now_ms).map_err(Misfit::from);
            if let Err(misfit) = alone.and_then(|claim| fits(std::slice::from_ref(&claim))) {
                outputs.push(Output::Dropped { intent: wanted.intent(), misfit: Some(misfit) });
                continue;
            }
            let place = batch.partition_point(|other: &Wanted| other.intent() < wanted.intent());
            batch.insert(place, wanted.clone());
            // Together they count at the highest price that is attested with any of them.
            let Ok((prices, claims)) = wanted::together(&batch) else {
                rest.push_back(batch.remove(place));
                continue;
            };
            let fitting = fits(&claims).is_ok();
            match Entry::new(Body { prices, claims, ..body.clone() }) {
                Ok(entry) if fitting => whole = Some(entry),
                Ok(_) => rest.push_back(batch.remove(place)),
                // Nothing can be reserved for what no entry holds by itself.
                Err(error) if batch.len() == 1 => {
                    let misfit = Some(Misfit::Entry(error.to_string()));
                    outputs.push(Output::Dropped { intent: batch.remove(place).intent(), misfit });
                }
                // The next ones are tried in the next entry.
                Err(_) => {
                    rest.push_back(batch.remove(place));
                    rest.append(&mut self.waiting);
                }
            }
        }
        self.waiting = rest;
        if let Some(entry) = whole.or_else(|| Entry::new(body).ok()) {
            let priced = batch.into_iter().filter(|_| !entry.prices.is_empty());
            self.priced = priced.map(|wanted| (wanted.intent(), wanted)).collect();
            outputs.extend(self.propose(entry, now_ms));
        }
        outputs
    }

    /// The next release of something that counts.
    fn next_release(&mut self) -> Option<pb::Envelope> {
        let counts = |evidence: &pb::Envelope| Release::named(evidence).is_ok_and(|id| self.view.book.counts(&id));
        let place = self.releases.iter().position(counts)?;
        self.releases.remove(place)
    }

    fn body(&self, time_ms: u64) -> Body {
        let head = &self.view.head;
        Body {
            cluster: self.committee.cluster().clone(),
            ledger: self.committee.ledger().clone(),
            committee: self.committee.hash(),
            charter: self.charter,
            number: head.number.saturating_add(1),
            base: head.number,
            previous: head.hash,
            time_ms,
            expires_at_ms: time_ms.saturating_add(self.committee.lifetime_ms()),
            prices: Vec::new(),
            claims: Vec::new(),
            releases: Vec::new(),
            closings: Vec::new(),
            carried: Vec::new(),
            seal: None,
        }
    }

    /// The entry, with a seal over the book as it stands after it if the committee is to end.
    fn entry(&self, body: Body) -> Result<Entry, EntryError> {
        let Some(successor) = self.successor else { return Entry::new(body) };
        let sealed = |book| Entry::new(Body { seal: Some(Seal { successor, book }), ..body.clone() });
        let mut book = self.view.book.clone();
        book.apply(&sealed([0; 32])?);
        sealed(book.digest())
    }

    fn propose(&mut self, entry: Entry, now_ms: u64) -> Vec<Output> {
        self.named.insert(entry.hash(), entry.clone());
        self.phase = Phase::Collecting(Collecting {
            entry,
            acknowledgements: BTreeMap::new(),
            refused: BTreeSet::new(),
            taught: BTreeSet::new(),
            unfit: BTreeMap::new(),
            stale: BTreeSet::new(),
            since_ms: now_ms,
        });
        self.propose_to(self.ids().collect())
    }

    fn propose_to(&self, members: Vec<NodeId>) -> Vec<Output> {
        let Phase::Collecting(Collecting { entry, .. }) = &self.phase else { return Vec::new() };
        let base = self.base().cloned().map(Box::new);
        members.into_iter().map(|to| Output::Propose { to, entry: entry.clone(), base: base.clone() }).collect()
    }

    fn teach(&mut self, member: &NodeId, head: u64) -> Vec<Output> {
        let Phase::Collecting(collecting) = &mut self.phase else { return Vec::new() };
        if !collecting.taught.insert(member.clone()) {
            return Vec::new();
        }
        let next = head.saturating_add(1);
        if self.certificates.first_key_value().is_none_or(|(first, _)| *first > next) {
            return vec![Output::Relay { to: member.clone(), after: head }];
        }
        let missing = self.certificates.range(next..).map(|(_, certificate)| certificate.clone());
        let mut outputs = vec![Output::Teach { to: member.clone(), certificates: missing.collect() }];
        outputs.extend(self.propose_to(vec![member.clone()]));
        outputs
    }

    /// A certificate, by whomever it was brought about. What was on its way and is not in it waits again.
    fn certified(&mut self, certificate: Certificate) -> Vec<Output> {
        let entry = certificate.entry().clone();
        let follows = entry.base <= self.view.head.number && entry.number > self.view.head.number;
        if !follows {
            return Vec::new();
        }
        self.view.apply(&Change::Learned(certificate.clone()));
        self.certificates.insert(entry.number, certificate.clone());
        while self.certificates.len() > KEPT {
            self.certificates.pop_first();
        }
        self.requeue(&entry);
        self.named.clear();
        self.phase = Phase::Idle;
        vec![Output::Certified(Box::new(certificate))]
    }

    fn requeue(&mut self, certified: &Entry) {
        let reserved = |claim: &Claim| certified.claims.iter().any(|other| other.intent == claim.intent);
        let unreserved = |id: IntentId| certified.claims.iter().all(|other| other.intent != id);
        self.waiting.retain(|wanted| unreserved(wanted.intent()));
        let open: Vec<Entry> = self.named.values().cloned().collect();
        open.iter().for_each(|entry| self.resubmit(entry, reserved));
    }
}
