//! The task behind one ledger: `limen_policy`'s sequencer, driven by wishes, answers and time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use limen_policy::ledger::{Certificate, Committee, Durable, Entry, Hint, Misfit, Output, Release, Sequencer};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, IntentId, NodeId};
use limen_wire::{limits, pb};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::port::LedgerPort;
use super::{Reservation, Wish};
use crate::context::Core;
use crate::signers::CallError;

/// How often members that have not answered are asked again.
const TICK: Duration = Duration::from_millis(250);
/// How long an answer may take before a number is given up, in milliseconds.
const PATIENCE_MS: u64 = 2_000;
/// Requests shown with one entry take half a message at most; members hear of the others as signers do.
const SHOWN_BYTES: usize = limits::GRPC_MESSAGE_BYTES / 2;

type Reply = oneshot::Sender<Result<Reservation, ApiError>>;

struct Waiting {
    requested: pb::LedgerRequested,
    replies: Vec<Reply>,
}

/// What one member is to be shown next.
#[derive(Default)]
struct Errand {
    teach: Vec<Certificate>,
    propose: Option<(Entry, Option<Box<Certificate>>)>,
}

enum Answer {
    Reserved(NodeId, Result<pb::LedgerReserveResponse, CallError>),
    Closed(NodeId, Result<pb::LedgerCloseResponse, CallError>),
    Shown(NodeId, Result<pb::LedgerShowResponse, CallError>),
}

pub(super) struct Desk {
    core: Arc<Core>,
    committee: Arc<Committee>,
    /// The one under which claims are collected.
    charter: CharterHash,
    ports: BTreeMap<NodeId, Arc<dyn LedgerPort>>,
    sequencer: Sequencer,
    waiting: BTreeMap<IntentId, Waiting>,
    calls: JoinSet<Answer>,
    /// Members with an entry in hand; those being asked to close; those being read.
    proposing: BTreeSet<NodeId>,
    closing: BTreeSet<NodeId>,
    reading: BTreeSet<NodeId>,
}

impl Desk {
    pub(super) fn new(
        core: &Arc<Core>,
        committee: Arc<Committee>,
        ports: BTreeMap<NodeId, Arc<dyn LedgerPort>>,
    ) -> Self {
        let view = Durable::genesis(&committee);
        let charter = core.charter().hash();
        let sequencer = Sequencer::new(Arc::clone(&committee), charter, view, None, PATIENCE_MS);
        Self {
            core: Arc::clone(core),
            committee,
            charter,
            ports,
            sequencer,
            waiting: BTreeMap::new(),
            calls: JoinSet::new(),
            proposing: BTreeSet::new(),
            closing: BTreeSet::new(),
            reading: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        let stop = self.core.stop.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for member in self.members() {
            self.read(member);
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                wish = wishes.recv() => {
                    // Nobody can reach a desk whose place another committee's has taken.
                    let Some(wish) = wish else { return };
                    self.look_at_charter();
                    self.wish(wish);
                    while let Ok(wish) = wishes.try_recv() {
                        self.wish(wish);
                    }
                    self.go_on();
                }
                Some(answer) = self.calls.join_next() => {
                    if let Ok(answer) = answer {
                        self.answered(answer);
                    }
                    self.go_on();
                }
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn members(&self) -> Vec<NodeId> {
        self.committee.members().iter().map(|member| member.id.clone()).collect()
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Reserve { claim, requested, reply } => {
                let fresh = || Waiting { requested: requested.clone(), replies: Vec::new() };
                let waiting = self.waiting.entry(claim.intent).or_insert_with(fresh);
                // What people said meanwhile comes along.
                waiting.requested = requested.clone();
                waiting.replies.push(reply);
                self.sequencer.submit(claim);
            }
            Wish::Release { evidence } => self.sequencer.release(evidence),
            Wish::Show { requested, besides } => {
                for member in self.members().into_iter().filter(|member| !besides.contains(member)) {
                    let request = self.request(vec![requested.clone()]);
                    self.call(member, |port| async move { port.reserve(request).await }, Answer::Reserved);
                }
            }
        }
    }

    fn request(&self, requests: Vec<pb::LedgerRequested>) -> pb::LedgerReserveRequest {
        let ledger = self.committee.ledger().to_string();
        pb::LedgerReserveRequest { ledger, requests, ..pb::LedgerReserveRequest::default() }
    }

    /// Begins the next entry if none is on its way.
    fn go_on(&mut self) {
        if self.sequencer.is_idle() && !self.waiting.is_empty() {
            self.tick();
        }
    }

    /// Goes over to the charter in force. What waits is judged anew by those who wish it.
    fn look_at_charter(&mut self) {
        let charter = self.core.charter().hash();
        if charter == self.charter {
            return;
        }
        self.charter = charter;
        self.sequencer.judge_by(charter);
        let error = ApiError::new(Code::CharterChanged, format!("charter {charter} came into force while it waited"));
        let waiting: Vec<IntentId> = self.waiting.keys().copied().collect();
        waiting.iter().for_each(|intent| self.settle(intent, &Err(error.clone())));
    }

    fn tick(&mut self) {
        self.look_at_charter();
        self.waiting.retain(|_, waiting| waiting.replies.iter().any(|reply| !reply.is_closed()));
        let (core, ledger) = (Arc::clone(&self.core), self.committee.ledger().clone());
        let limit = |scope: &_| core.charter().ledger_limit(&ledger, scope);
        let outputs = self.sequencer.tick(self.core.clock.now_ms(), &limit);
        self.perform(outputs);
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        let mut errands: BTreeMap<NodeId, Errand> = BTreeMap::new();
        for output in VecDeque::from(outputs) {
            match output {
                Output::Propose { to, entry, base } => errands.entry(to).or_default().propose = Some((entry, base)),
                Output::Teach { to, certificates } => errands.entry(to).or_default().teach = certificates,
                Output::Close { to, through } => self.close(to, through),
                Output::Certified(certificate) => self.certified(&certificate),
                Output::Dropped { intent, misfit } => {
                    let error = match misfit {
                        Some(misfit) => ApiError::new(code(&misfit), misfit.to_string()),
                        None => ApiError::new(Code::ReservationMissing, "too few members would allow it now"),
                    };
                    self.settle(&intent, &Err(error));
                }
            }
        }
        for (to, errand) in errands {
            if self.proposing.insert(to.clone()) {
                self.send(to, errand);
            }
        }
    }

    fn certified(&mut self, certificate: &Certificate) {
        let entry = certificate.entry();
        tracing::debug!(ledger = %entry.ledger, number = entry.number, requests = entry.claims.len(), "certified");
        if entry.charter != self.charter {
            return;
        }
        for claim in &entry.claims {
            let reservation = Reservation {
                ledger: entry.ledger.clone(),
                charter: entry.charter,
                certificate: certificate.envelope().clone(),
                expires_at_ms: entry.expires_at_ms,
            };
            self.settle(&claim.intent, &Ok(reservation));
        }
    }

    fn settle(&mut self, intent: &IntentId, answer: &Result<Reservation, ApiError>) {
        for reply in self.waiting.remove(intent).into_iter().flat_map(|waiting| waiting.replies) {
            // Whoever wished it may have gone away.
            let _ = reply.send(answer.clone());
        }
    }

    /// One call after the other to one member: pages that it lacks, and the entry with the last of them.
    fn send(&mut self, to: NodeId, errand: Errand) {
        let Errand { teach, propose } = errand;
        let mut pages: Vec<pb::LedgerReserveRequest> = teach
            .chunks(limits::LEDGER_PAGE)
            .map(|page| {
                let certificates = page.iter().map(|one| one.envelope().clone()).collect();
                pb::LedgerReserveRequest { certificates, ..self.request(Vec::new()) }
            })
            .collect();
        if let Some((entry, base)) = propose {
            let mut last = pages.pop().unwrap_or_else(|| self.request(Vec::new()));
            last.requests = self.requests(&entry);
            last.entry = entry.payload().clone();
            last.base = base.map(|base| base.envelope().clone());
            pages.push(last);
        }
        let work = |port: Arc<dyn LedgerPort>| async move {
            let mut answer = Err(CallError::Invalid("nothing was to be shown".to_owned()));
            for page in pages {
                answer = Ok(port.reserve(page).await?);
            }
            answer
        };
        self.call(to, work, Answer::Reserved);
    }

    /// The requests that an entry says something about, as far as they are known and fit.
    fn requests(&self, entry: &Entry) -> Vec<pb::LedgerRequested> {
        let all = || entry.carried.iter().chain([entry]);
        let released = all().flat_map(|one| &one.releases).filter_map(|evidence| Release::named(evidence).ok());
        let mut bytes = 0usize;
        all()
            .flat_map(|one| one.claims.iter().map(|claim| claim.intent))
            .chain(released)
            .filter_map(|intent| self.requested(&intent))
            .take_while(|requested| {
                bytes = bytes.saturating_add(requested.encoded_len());
                bytes <= SHOWN_BYTES
            })
            .take(limits::LEDGER_REQUESTS)
            .collect()
    }

    fn requested(&self, intent: &IntentId) -> Option<pb::LedgerRequested> {
        if let Some(waiting) = self.waiting.get(intent) {
            return Some(waiting.requested.clone());
        }
        let record = self.core.store.request(intent).ok()??.record;
        let key = self.core.keys.find(&record.key_id)?;
        Some(pb::LedgerRequested {
            intent: Some(record.envelope.clone()),
            approvals: record.approval_envelopes(),
            key_certificate: Some(key.certificate.clone()),
            external_checks: record.check_envelopes(),
        })
    }

    fn close(&mut self, to: NodeId, through: u64) {
        if self.closing.insert(to.clone()) {
            let request = pb::LedgerCloseRequest { ledger: self.committee.ledger().to_string(), through };
            self.call(to, |port| async move { port.close(request).await }, Answer::Closed);
        }
    }

    /// Reads what a member knows after our own last number.
    fn read(&mut self, member: NodeId) {
        if self.reading.insert(member.clone()) {
            let (ledger, after) = (self.committee.ledger().to_string(), self.sequencer.head());
            let request = pb::LedgerShowRequest { ledger, after };
            self.call(member, |port| async move { port.show(request).await }, Answer::Shown);
        }
    }

    fn call<T, F>(
        &mut self,
        to: NodeId,
        work: impl FnOnce(Arc<dyn LedgerPort>) -> F,
        answer: fn(NodeId, Result<T, CallError>) -> Answer,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let bound = self.core.timing.call_timeout;
        let Some(port) = self.ports.get(&to) else { return };
        let work = work(Arc::clone(port));
        self.calls.spawn(async move {
            let result = tokio::time::timeout(bound, work).await.unwrap_or(Err(CallError::Timeout(bound)));
            answer(to, result)
        });
    }

    fn answered(&mut self, answer: Answer) {
        let now_ms = self.core.clock.now_ms();
        match answer {
            Answer::Reserved(from, result) => {
                self.proposing.remove(&from);
                let Some(answer) = self.heard(&from, result) else { return };
                self.look(&from, answer.head);
                let outputs = match (answer.acknowledgement, answer.refusal) {
                    (Some(acknowledgement), _) => self.sequencer.acknowledged(&from, acknowledgement),
                    (None, Some(refusal)) => self.refused(&from, refusal, now_ms),
                    (None, None) => Vec::new(),
                };
                self.perform(outputs);
            }
            Answer::Closed(from, result) => {
                self.closing.remove(&from);
                let Some(answer) = self.heard(&from, result) else { return };
                self.look(&from, answer.head);
                let outputs = match (answer.closing, answer.refusal) {
                    (Some(closing), _) => self.sequencer.closed(&from, closing, answer.entries, now_ms),
                    (None, Some(refusal)) => self.refused(&from, refusal, now_ms),
                    (None, None) => Vec::new(),
                };
                self.perform(outputs);
            }
            Answer::Shown(from, result) => {
                self.reading.remove(&from);
                let Some(answer) = self.heard(&from, result) else { return };
                let before = self.sequencer.head();
                let outputs = self.sequencer.hinted(&from, Hint::Certified(answer.certificates), now_ms);
                self.perform(outputs);
                // A page that taught nothing is not followed by another one.
                if self.sequencer.head() > before {
                    self.look(&from, answer.head);
                }
            }
        }
    }

    fn heard<T>(&self, from: &NodeId, result: Result<T, CallError>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::debug!(ledger = %self.committee.ledger(), member = %from, %error, "no answer of a ledger's member");
            })
            .ok()
    }

    /// A member that knows more is read.
    fn look(&mut self, from: &NodeId, head: u64) {
        if head > self.sequencer.head() {
            self.read(from.clone());
        }
    }

    fn refused(&mut self, from: &NodeId, refusal: pb::LedgerRefusal, now_ms: u64) -> Vec<Output> {
        let why = refusal.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        tracing::info!(ledger = %self.committee.ledger(), member = %from, why, "a ledger's member refuses");
        let hint = match refusal.hint() {
            pb::LedgerHint::Behind => Hint::Behind { head: refusal.number },
            pb::LedgerHint::Certified => Hint::Certified(refusal.certificates),
            pb::LedgerHint::Bound => Hint::Bound { through: refusal.number },
            pb::LedgerHint::Unfit => IntentId::from_slice(&refusal.intent_id).map_or(Hint::Other, Hint::Unfit),
            pb::LedgerHint::Unspecified => Hint::Other,
        };
        self.sequencer.hinted(from, hint, now_ms)
    }
}

/// What a requester is told of a claim that does not fit.
fn code(misfit: &Misfit) -> Code {
    match misfit {
        Misfit::Held { scope, .. } | Misfit::Twice(scope) if !scope.is_spend() => Code::IdempotencyConflict,
        Misfit::Held { .. } | Misfit::Twice(_) | Misfit::SpendsLess { .. } => Code::NonceConflict,
        Misfit::Amount { .. } | Misfit::Count { .. } | Misfit::UnknownLimit(_) => Code::LimitReached,
    }
}
