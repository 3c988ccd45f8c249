//! The task behind one ledger: `limen_policy`'s sequencer, driven by wishes, answers and time.

mod answers;
mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use limen_policy::check::{self, Attested, Finding, Quotes};
use limen_policy::ledger::{Book, Certificate, Claim, Committee, Entry, Misfit, Output, Scope, Sequencer, Wanted};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, CommitteeHash, IntentId, NodeId};
use limen_wire::{limits, pb};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::handover::{self, Ended, Start};
use super::{Ports, Reservation, Wish};
use crate::context::Core;
use crate::signers::CallError;

/// How often members that have not answered are asked again.
const TICK: Duration = Duration::from_millis(250);
/// How long an answer may take before a number is given up, in milliseconds.
const PATIENCE_MS: u64 = 2_000;
/// Requests shown with one entry take half a message at most; members hear of the others as signers do.
const SHOWN_BYTES: usize = limits::GRPC_MESSAGE_BYTES / 2;

/// Releases that wait until a ledger has been taken over; others count on until their requester cancels them again.
const RELEASES: usize = 1024;

type Reply = oneshot::Sender<Result<Reservation, ApiError>>;

struct Waiting {
    requested: pb::LedgerRequested,
    /// What the findings among it attest.
    attested: Attested,
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
    Relayed(NodeId, Result<(), CallError>),
}

pub(super) struct Desk {
    core: Arc<Core>,
    committee: Arc<Committee>,
    /// The one under which claims are collected.
    charter: CharterHash,
    /// Its definition, where it is not the one that the charter names but one to be sealed.
    named: Option<pb::LedgerCommittee>,
    /// All that kept the ledger before, the first one first.
    past: Vec<Ended>,
    ports: Ports,
    sequencer: Sequencer,
    waiting: BTreeMap<IntentId, Waiting>,
    calls: JoinSet<Answer>,
    /// Members with an entry in hand; those being asked to close; those being read.
    proposing: BTreeSet<NodeId>,
    closing: BTreeSet<NodeId>,
    reading: BTreeSet<NodeId>,
    /// Members that are being shown what others have.
    relaying: BTreeSet<NodeId>,
}

/// Takes over what counts, and serves from then on.
pub(super) async fn open(core: Arc<Core>, committee: Arc<Committee>, ports: Ports, mut wishes: mpsc::Receiver<Wish>) {
    let starting = handover::start(&core, &committee, &ports);
    tokio::pin!(starting);
    let mut later = Vec::new();
    let start = loop {
        tokio::select! {
            biased;
            () = core.stop.cancelled() => return,
            start = &mut starting => break start,
            wish = wishes.recv() => match wish {
                None => return,
                Some(Wish::Reserve { reply, .. }) => {
                    let ledger = committee.ledger();
                    let message = format!("ledger {ledger} is being handed over to the committee that the charter names");
                    // Whoever wished it may have gone away.
                    let _ = reply.send(Err(ApiError::new(Code::ReservationMissing, message)));
                }
                // The members hear of what is shown with its entry.
                Some(Wish::Show { .. }) => {}
                Some(wish) => {
                    later.truncate(RELEASES);
                    later.push(wish);
                }
            },
        }
    };
    let mut desk = Desk::new(&core, Arc::clone(&committee), start, ports.clone());
    later.into_iter().for_each(|wish| desk.wish(wish));
    desk.run(wishes).await;
}

impl Desk {
    pub(super) fn new(core: &Arc<Core>, committee: Arc<Committee>, start: Start, ports: Ports) -> Self {
        let charter = core.charter().hash();
        let Start { view, seal, past } = start;
        let sequencer = Sequencer::new(Arc::clone(&committee), charter, view, seal, PATIENCE_MS);
        Self {
            core: Arc::clone(core),
            committee,
            charter,
            named: None,
            past,
            ports,
            sequencer,
            waiting: BTreeMap::new(),
            calls: JoinSet::new(),
            proposing: BTreeSet::new(),
            closing: BTreeSet::new(),
            reading: BTreeSet::new(),
            relaying: BTreeSet::new(),
        }
    }

    /// A desk that reserves nothing: it ends a committee that another one follows.
    pub(super) fn sealing(
        core: &Arc<Core>,
        committee: Arc<Committee>,
        successor: CommitteeHash,
        start: Start,
        ports: Ports,
    ) -> Self {
        let named = Some(committee.to_wire());
        let desk = Self::new(core, committee, start, ports);
        Self { named, sequencer: desk.sequencer.sealing_for(successor), ..desk }
    }

    /// What counts at the committee's end, and its seal.
    pub(super) async fn seal(mut self) -> (Book, Certificate) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for member in self.members() {
            self.read(member);
        }
        loop {
            if let Some((book, seal)) = self.sequencer.sealed() {
                return (book.clone(), seal.clone());
            }
            tokio::select! {
                Some(answer) = self.calls.join_next() => {
                    if let Ok(answer) = answer {
                        self.answered(answer);
                    }
                }
                _ = ticks.tick() => self.tick(),
            }
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
            Wish::Reserve { demand, requested, reply } => {
                let findings = self.findings(&demand.intent, &requested);
                let attested = check::attested(&self.core.charter(), &findings);
                let fresh = || Waiting { requested: requested.clone(), attested: Attested::new(), replies: Vec::new() };
                let waiting = self.waiting.entry(demand.intent).or_insert_with(fresh);
                // What people and checkers said meanwhile comes along.
                (waiting.requested, waiting.attested) = (requested.clone(), attested);
                waiting.replies.push(reply);
                self.sequencer.submit(Wanted { demand, quotes: Quotes::of(&findings) });
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

    /// The findings that hold, as far as can be told here: what members would have no room or no price for is not shown to
    /// them.
    fn findings(&self, intent: &IntentId, requested: &pb::LedgerRequested) -> Vec<Finding> {
        let (charter, now_secs) = (self.core.charter(), self.core.clock.now_secs());
        let verify = |one| check::verify(one, &charter, intent, now_secs).ok();
        requested.external_checks.iter().filter_map(verify).collect()
    }

    fn request(&self, requests: Vec<pb::LedgerRequested>) -> pb::LedgerReserveRequest {
        let (ledger, committee) = (self.committee.ledger().to_string(), self.named.clone());
        pb::LedgerReserveRequest { ledger, requests, committee, ..pb::LedgerReserveRequest::default() }
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
        let waiting = &self.waiting;
        let limit = |scope: &Scope, claims: &[Claim]| {
            let counted = claims.iter().filter(|claim| claim.charges.contains_key(scope));
            let told = counted.map(|claim| waiting.get(&claim.intent).map(|waiting| &waiting.attested));
            core.charter().ledger_room(&ledger, scope, told)
        };
        let outputs = self.sequencer.tick(self.core.clock.now_ms(), &limit);
        self.perform(outputs);
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        let mut errands: BTreeMap<NodeId, Errand> = BTreeMap::new();
        for output in outputs {
            match output {
                Output::Propose { to, entry, base } => errands.entry(to).or_default().propose = Some((entry, base)),
                Output::Teach { to, certificates } => errands.entry(to).or_default().teach = certificates,
                Output::Relay { to, after } => {
                    tracing::info!(ledger = %self.committee.ledger(), member = %to, after, "a member catches up");
                    self.relay(to, None);
                }
                Output::Close { to, through } => self.close(to, through),
                Output::Certified(certificate) => self.certified(&certificate),
                Output::Barred { successor } => {
                    let (ledger, committee) = (self.committee.ledger(), self.committee.hash());
                    tracing::error!(
                        %ledger, %committee, %successor,
                        "ALARM: a ledger stands still: its members have acknowledged a seal for this successor, and the charter names \
                         another; a version of the charter has to let this one follow, or give the limits a ledger of another name"
                    );
                }
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
}

/// What a requester is told of a claim that does not fit.
fn code(misfit: &Misfit) -> Code {
    match misfit {
        Misfit::Held { scope, .. } | Misfit::Twice(scope) if !scope.is_spend() => Code::IdempotencyConflict,
        Misfit::Held { .. } | Misfit::Twice(_) | Misfit::SpendsLess { .. } => Code::NonceConflict,
        // As its signers say when they are asked for it.
        Misfit::NoWorth(_) => Code::ApprovalsMissing,
        Misfit::Amount { .. } | Misfit::Count { .. } | Misfit::UnknownLimit(_) | Misfit::Entry(_) => Code::LimitReached,
    }
}
