//! Drives one request through its life: does what [`crate::lifecycle`] asks and tells it what happened.
//!
//! One task owns one request. It writes before it sends, calls all members at once, and never waits for more answers
//! than it needs, but takes in the rest as they come.

pub(crate) mod announce;
pub(crate) mod nonces;
mod plan;
pub(crate) mod presign;
mod reserve;
pub(crate) mod select;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId, SessionId};
use limen_wire::intent::Intent;
use limen_wire::pb;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::{Command, Core};
use crate::intake::judge::{Judged, judge};
use crate::intake::{self, words};
use crate::keys::ring::ActiveKey;
use crate::ledger::Reservation;
use crate::lifecycle::{self, Action, Change, Event, OpenSession, Record};
use crate::signers::CallError;
use crate::store::{Entry, StoreError};
use session::Report;

/// Something that was waited for.
enum Done {
    Announced { node: NodeId, seen: usize, answer: Box<Result<pb::AnnounceResponse, CallError>> },
    Stopped { possibly_signed: bool, voids: Vec<pb::Envelope> },
    Place(OwnedSemaphorePermit),
    Reserved(Box<Result<Vec<Reservation>, ApiError>>),
    Judged(Box<Result<Judged, ApiError>>),
    Session(Box<Report>, Option<OwnedSemaphorePermit>),
}

/// What a planned session will be given besides the authorization.
struct Prepared {
    session: OpenSession,
    members: Vec<select::Candidate>,
    nonces: Vec<pb::NonceReference>,
    presignature: Option<SessionId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Session { salvage: bool, not_before: Option<Instant> },
    Place { salvage: bool },
    Reservation,
}

struct Driver {
    core: Arc<Core>,
    key: Arc<ActiveKey>,
    record: Record,
    judged: Option<Arc<Judged>>,
    unsaved: bool,
    ended: bool,
    jobs: JoinSet<Done>,
    announcing: BTreeSet<NodeId>,
    trouble: BTreeMap<NodeId, String>,
    /// Who has called these bytes not their requester's, though they are.
    disowners: BTreeSet<NodeId>,
    wanted: Wanted,
    awaiting: bool,
    /// When to ask the signers again about a request that waits.
    ask_at: Option<Instant>,
    /// The pause after a session that came too early for some member.
    rest_until: Option<Instant>,
    stopping: bool,
    leaving: bool,
    prepared: Option<(Prepared, OwnedSemaphorePermit)>,
    reservations: Vec<Reservation>,
    /// The next session tries what signers allow without a reservation.
    uncertified: bool,
    failures: u32,
    two_rounds: bool,
    tried: BTreeSet<Vec<u32>>,
    strikes: BTreeMap<NodeId, u32>,
    cancels: Vec<oneshot::Sender<Result<Entry, ApiError>>>,
    refused: Option<ApiError>,
    commands: mpsc::Receiver<Command>,
}

/// Starts the driver of a stored request, unless it has one. `first` is what the machine asked for when it was stored.
pub(crate) fn spawn(
    core: &Arc<Core>,
    key: Arc<ActiveKey>,
    entry: Entry,
    judged: Option<Arc<Judged>>,
    first: Vec<Action>,
) {
    let id = entry.record.id;
    let Some(commands) = core.drivers.register(id) else { return };
    let mut driver = Driver {
        core: Arc::clone(core),
        key,
        record: entry.record,
        judged,
        unsaved: false,
        ended: false,
        jobs: JoinSet::new(),
        announcing: BTreeSet::new(),
        trouble: BTreeMap::new(),
        disowners: BTreeSet::new(),
        wanted: Wanted::Nothing,
        awaiting: false,
        ask_at: None,
        rest_until: None,
        stopping: false,
        leaving: false,
        prepared: None,
        reservations: Vec::new(),
        uncertified: false,
        failures: 0,
        two_rounds: false,
        tried: BTreeSet::new(),
        strikes: BTreeMap::new(),
        cancels: Vec::new(),
        refused: None,
        commands,
    };
    let core = Arc::clone(core);
    core.clone().tasks.spawn(async move {
        if let Err(error) = Box::pin(driver.run(first)).await {
            tracing::error!(intent = %id, %error, "a request stands still");
        }
        core.drivers.remove(&id);
    });
}

/// Takes up a request that was found in the store or rebuilt from the signers.
pub(crate) fn resume(core: &Arc<Core>, key: Arc<ActiveKey>, entry: Entry) {
    spawn(core, key, entry, None, Vec::new());
}

impl Driver {
    async fn run(&mut self, first: Vec<Action>) -> Result<(), StoreError> {
        if first.is_empty() {
            self.feed(self.taken_up()).await?;
        } else {
            self.perform(first);
        }
        let stop = self.core.stop.clone();
        let mut changes = self.core.signers.changes();
        while !(self.ended && self.jobs.is_empty()) {
            // A stop lets the running session end and starts no other.
            if self.leaving && self.record.session.is_none() {
                break;
            }
            if let Some((prepared, place)) = self.prepared.take() {
                self.begin(prepared, place).await?;
                continue;
            }
            let pause = self.pause();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.leaving => self.leaving = true,
                Some(done) = self.jobs.join_next() => {
                    if let Ok(done) = done {
                        self.done(done).await?;
                    }
                }
                Some(command) = self.commands.recv() => self.command(command).await?,
                Ok(()) = changes.changed(), if self.awaiting => self.look_again().await?,
                () = sleep(pause), if pause.is_some() => self.woken().await?,
                else => break,
            }
        }
        self.save_rest().await
    }

    /// What a start finds: the request as it was stored, or something else.
    fn taken_up(&self) -> Event {
        let Some(error) = intake::altered(&self.core, &self.record) else { return Event::Restarted };
        self.core.metrics.altered.inc();
        let intent = self.record.id;
        tracing::error!(%intent, %error, "ALARM: the store holds other bytes than its requester has signed");
        Event::Altered(error)
    }

    /// How long until something must be looked at even if nothing happens.
    fn pause(&self) -> Option<Duration> {
        match self.wanted {
            Wanted::Session { not_before: Some(at), .. } => Some(at.saturating_duration_since(Instant::now())),
            _ if self.ended || self.record.session.is_some() => None,
            _ => {
                let tick = self.core.timing.status_interval;
                Some(self.ask_at.map_or(tick, |at| tick.min(at.saturating_duration_since(Instant::now()))))
            }
        }
    }

    async fn woken(&mut self) -> Result<(), StoreError> {
        if let Wanted::Session { salvage, not_before: Some(_) } = self.wanted {
            self.wanted = Wanted::Session { salvage, not_before: None };
            self.take_place();
            return Ok(());
        }
        if self.ask_at.is_some_and(|at| at <= Instant::now()) {
            self.ask_at = None;
            return self.feed(Event::Due).await;
        }
        if self.awaiting || self.record.is_expired(self.core.clock.now_ms()) {
            return self.look_again().await;
        }
        Ok(())
    }

    /// Looks again if somebody who has not been asked can be, if a set can be had, or if time is up.
    async fn look_again(&mut self) -> Result<(), StoreError> {
        self.take_up_epoch();
        let members = &self.key.committee.members;
        let unasked = self
            .core
            .signers
            .among(members)
            .any(|signer| signer.is_reachable() && !self.record.has_heard(&signer.node));
        if unasked || self.has_set() || self.record.is_expired(self.core.clock.now_ms()) {
            self.awaiting = false;
            return self.feed(Event::Look).await;
        }
        Ok(())
    }

    /// Signers that could sit together can be asked, where no people and no delay are waited for.
    fn has_set(&self) -> bool {
        let (committee, waiting) = (&self.key.committee, self.record.state.is_waiting());
        let found = || select::candidates(&self.core, committee, &self.record, true, &self.strikes);
        !waiting && select::choose(&found(), committee.required, &BTreeSet::new()).is_some()
    }

    async fn feed(&mut self, event: Event) -> Result<(), StoreError> {
        let now_ms = self.core.clock.now_ms();
        let step = lifecycle::step(self.record.clone(), event, &self.key.committee, now_ms);
        let (before, after) = (self.record.state, step.record.state);
        self.record = step.record;
        match step.change {
            Change::None => {}
            Change::Lazy => self.unsaved = true,
            Change::Durable => self.save().await?,
        }
        if !after.is_waiting() {
            self.ask_at = None;
        }
        if before != after {
            tracing::info!(intent = %self.record.id, from = before.as_str(), to = after.as_str(), "request");
            self.core.metrics.entered(after, self.record.updated_at_ms.saturating_sub(self.record.created_at_ms));
        }
        self.perform(step.actions);
        Ok(())
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        let entry = self.core.store.update(self.record.clone()).await?;
        self.unsaved = false;
        if self.record.state.is_end() {
            for cancel in self.cancels.drain(..) {
                drop(cancel.send(Ok(entry.clone())));
            }
        }
        Ok(())
    }

    async fn save_rest(&mut self) -> Result<(), StoreError> {
        if self.unsaved { self.save().await } else { Ok(()) }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Evaluate => self.evaluate(),
                Action::Announce => self.announce(false),
                Action::AskAgain => self.announce(true),
                Action::AskLater { wait_ms } => self.ask_later(wait_ms),
                Action::Plan => self.want(false, self.rest_until.filter(|until| *until > Instant::now())),
                Action::Salvage => self.want(true, None),
                Action::PlanLater => {
                    let at = Instant::now() + self.backoff();
                    self.want(false, Some(at));
                }
                // The planned session starts from `prepared`, which holds what belongs to it.
                Action::StartSession => {}
                Action::AwaitSigners => self.awaiting = true,
                Action::SendStop => self.send_stop(),
                Action::Alarm(node) => self.alarm(&node),
                Action::AlarmTwice => signed_twice(&self.core, &self.record.id),
                Action::Refuse(error) => self.refused = Some(error),
                Action::End => self.end(),
            }
        }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.wanted = Wanted::Nothing;
            self.awaiting = false;
            // Late opinions are still taken in, but the request no longer counts as open.
            self.core.drivers.ended(&self.record.id);
        }
        // Who has not been answered with the write that ended it reads the end in the store.
        self.cancels.clear();
    }

    fn alarm(&self, node: &NodeId) {
        self.core.metrics.disagreements.inc();
        tracing::error!(intent = %self.record.id, %node, "ALARM: coordinator and signer judge the same bytes differently");
    }

    /// Only after a restart: intake judges before it stores.
    fn evaluate(&mut self) {
        let (core, key, envelope) = (Arc::clone(&self.core), Arc::clone(&self.key), self.record.envelope.clone());
        self.jobs.spawn(async move {
            let opened = Intent::open(&envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()));
            let judged =
                opened.and_then(|(intent, _)| judge(&core.charter(), &key.statement, intent, core.clock.now_secs()));
            Done::Judged(Box::new(judged))
        });
    }

    async fn evaluated(&mut self, judged: Result<Judged, ApiError>) -> Result<(), StoreError> {
        let event = match judged {
            Ok(judged) => {
                let event = evaluated(&self.core, &judged);
                self.judged = Some(Arc::new(judged));
                event
            }
            Err(error) => {
                let reasons = vec![error.to_string()];
                let decision = pb::Decision { reasons, ..pb::Decision::default() };
                Event::Evaluated { effects: Vec::new(), decision }
            }
        };
        self.feed(event).await
    }

    fn judged(&mut self) -> Result<Arc<Judged>, ApiError> {
        let charter = self.core.charter();
        if let Some(judged) = self.judged.as_ref().filter(|judged| judged.charter == charter.hash()) {
            return Ok(Arc::clone(judged));
        }
        let opened = Intent::open(&self.record.envelope);
        let (intent, _) = opened.map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
        let judged = Arc::new(judge(&charter, &self.key.statement, intent, self.core.clock.now_secs())?);
        self.judged = Some(Arc::clone(&judged));
        Ok(judged)
    }

    async fn command(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Cancel(envelope, reply) => {
                self.cancels.push(reply);
                self.feed(Event::Cancel(envelope)).await?;
                if let Some(error) = self.refused.take() {
                    for cancel in self.cancels.drain(..) {
                        drop(cancel.send(Err(error.clone())));
                    }
                }
                Ok(())
            }
            Command::Said(event, reply) => {
                self.feed(*event).await?;
                // Whoever handed it in may have gone away; it is kept.
                let _ = reply.send(self.refused.take().map_or(Ok(()), Err));
                Ok(())
            }
            Command::Learned(event, done) => {
                self.feed(*event).await?;
                // Whoever learned it may have gone away.
                let _ = done.send(());
                Ok(())
            }
        }
    }

    async fn done(&mut self, done: Done) -> Result<(), StoreError> {
        match done {
            Done::Announced { node, seen, answer } => self.announced(node, seen, *answer).await,
            Done::Stopped { possibly_signed, voids } => {
                self.release(&voids);
                self.feed(Event::StopAnswered { possibly_signed }).await
            }
            Done::Place(place) => self.plan(place).await,
            Done::Reserved(result) => self.reserved(*result).await,
            Done::Judged(judged) => self.evaluated(*judged).await,
            Done::Session(report, place) => {
                drop(place);
                self.session_ended(*report).await
            }
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

fn evaluated(core: &Core, judged: &Judged) -> Event {
    let effects = words::views(&core.charter(), &judged.effects);
    Event::Evaluated { effects, decision: judged.decision.to_wire() }
}

/// What intake stores for a judged intent, and what is to be done with it.
pub(crate) fn first_step(core: &Core, key: &ActiveKey, record: Record, judged: &Judged) -> lifecycle::Step {
    lifecycle::step(record, evaluated(core, judged), &key.committee, core.clock.now_ms())
}

fn signed_twice(core: &Core, id: &IntentId) {
    core.metrics.conflicts.inc();
    tracing::error!(intent = %id, "ALARM: a second signature for one request; some signer has signed it twice");
}

/// A signature that a signer hands over, checked under the derived key and finished here.
pub(crate) fn verified(
    core: &Core,
    judged: &Judged,
    node: &NodeId,
    raw: &pb::SignatureResult,
) -> Result<pb::SignatureResult, ApiError> {
    judged.finish(raw).inspect_err(|error| {
        core.metrics.bad_signatures.inc();
        tracing::error!(%node, %error, intent = %judged.intent.id, "ALARM: a signer handed over a bad signature");
    })
}

/// Takes in a verified signature that turned up after its session had been given up.
pub(crate) async fn found(core: &Arc<Core>, id: IntentId, result: pb::SignatureResult) -> Result<(), StoreError> {
    learned(core, id, Event::Discovered(result)).await
}

/// Takes in what came from outside the request's sessions: through its driver, if it has one.
pub(crate) async fn learned(core: &Arc<Core>, id: IntentId, event: Event) -> Result<(), StoreError> {
    if let Some(driver) = core.drivers.find(&id) {
        let (done, written) = oneshot::channel();
        let sent = driver.send(Command::Learned(Box::new(event.clone()), done)).await;
        if sent.is_ok() && written.await.is_ok() {
            return Ok(());
        }
        // It has ended meanwhile, and writes no more.
    }
    // Whoever reads and writes here does it alone: several answers may come late at once.
    let _late = core.late.lock().await;
    let Some(entry) = core.store.request(&id)? else { return Ok(()) };
    let Some(key) = core.keys.find(&entry.record.key_id) else { return Ok(()) };
    let step = lifecycle::step(entry.record, event, &key.committee, core.clock.now_ms());
    if step.actions.contains(&Action::AlarmTwice) {
        signed_twice(core, &id);
    }
    if step.change > Change::None {
        core.store.update(step.record).await?;
    }
    Ok(())
}
