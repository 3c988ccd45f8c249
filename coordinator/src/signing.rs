//! Drives one request through its life: does what [`crate::lifecycle`] asks and tells it what happened.
//!
//! One task owns one request. It writes before it sends, calls all members at once, and never waits for more answers
//! than it needs, but takes in the rest as they come.

pub(crate) mod nonces;
pub(crate) mod presign;
pub(crate) mod select;
mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId, Protocol, SessionId};
use limen_wire::intent::Intent;
use limen_wire::pb;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::{Command, Core, random_bytes};
use crate::intake::judge::{Judged, judge};
use crate::intake::words;
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{self, Action, Change, Event, OpenSession, Opinion, Record};
use crate::signers::CallError;
use crate::store::{Entry, StoreError};
use session::{Report, Session};

/// Failed sessions after which the pause no longer grows.
const MAX_DOUBLINGS: u32 = 8;

/// Something that was waited for.
enum Done {
    Announced(NodeId, Result<pb::AnnounceResponse, CallError>),
    Stopped { possibly_signed: bool },
    Place(OwnedSemaphorePermit),
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
    wanted: Wanted,
    awaiting: bool,
    stopping: bool,
    leaving: bool,
    prepared: Option<(Prepared, OwnedSemaphorePermit)>,
    failures: u32,
    two_rounds: bool,
    tried: BTreeSet<Vec<u32>>,
    strikes: BTreeMap<NodeId, u32>,
    cancels: Vec<oneshot::Sender<Result<Entry, ApiError>>>,
    commands: mpsc::Receiver<Command>,
}

/// Starts the driver of a stored request, unless it has one. `first` is what the machine asked for when it was stored.
pub(crate) fn spawn(core: &Arc<Core>, key: Arc<ActiveKey>, entry: Entry, judged: Option<Arc<Judged>>, first: Vec<Action>) {
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
        wanted: Wanted::Nothing,
        awaiting: false,
        stopping: false,
        leaving: false,
        prepared: None,
        failures: 0,
        two_rounds: false,
        tried: BTreeSet::new(),
        strikes: BTreeMap::new(),
        cancels: Vec::new(),
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
            self.feed(Event::Restarted).await?;
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

    /// How long until something must be looked at even if nothing happens.
    fn pause(&self) -> Option<Duration> {
        match self.wanted {
            Wanted::Session { not_before: Some(at), .. } => Some(at.saturating_duration_since(Instant::now())),
            _ if self.ended || self.record.session.is_some() => None,
            _ => Some(self.core.timing.status_interval),
        }
    }

    async fn woken(&mut self) -> Result<(), StoreError> {
        if let Wanted::Session { salvage, not_before: Some(_) } = self.wanted {
            self.wanted = Wanted::Session { salvage, not_before: None };
            self.take_place();
            return Ok(());
        }
        if self.awaiting || self.record.is_expired(self.core.clock.now_ms()) {
            return self.look_again().await;
        }
        Ok(())
    }

    /// Looks again if somebody who has not been asked can be, if a set can be had, or if time is up.
    async fn look_again(&mut self) -> Result<(), StoreError> {
        let members = &self.key.committee.members;
        let unasked = self
            .core
            .signers
            .among(members)
            .any(|signer| signer.is_reachable() && !self.record.opinions.contains_key(&signer.node));
        let found = select::candidates(&self.core.signers, &self.key.committee, &self.record, true, &self.strikes);
        let possible = select::choose(&found, self.key.committee.required, &BTreeSet::new()).is_some();
        if unasked || possible || self.record.is_expired(self.core.clock.now_ms()) {
            self.awaiting = false;
            return self.feed(Event::Look).await;
        }
        Ok(())
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
                Action::Announce => self.announce(),
                Action::Plan => self.want(false, None),
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
                Action::Refuse(error) => self.refuse(&error),
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
            self.core.drivers.remove(&self.record.id);
        }
    }

    fn alarm(&self, node: &NodeId) {
        self.core.metrics.disagreements.inc();
        tracing::error!(intent = %self.record.id, %node, "ALARM: coordinator and signer judge the same bytes differently");
    }

    fn refuse(&mut self, error: &ApiError) {
        for cancel in self.cancels.drain(..) {
            drop(cancel.send(Err(error.clone())));
        }
    }

    /// Only after a restart: intake judges before it stores.
    fn evaluate(&mut self) {
        let (core, key, envelope) = (Arc::clone(&self.core), Arc::clone(&self.key), self.record.envelope.clone());
        self.jobs.spawn(async move {
            let opened = Intent::open(&envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()));
            let judged = opened.and_then(|(intent, _)| judge(&core.charter, &key.statement, intent));
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
                let decision = pb::Decision { allowed: false, rules: Vec::new(), reasons };
                Event::Evaluated { effects: Vec::new(), decision }
            }
        };
        self.feed(event).await
    }

    fn judged(&mut self) -> Result<Arc<Judged>, ApiError> {
        if let Some(judged) = &self.judged {
            return Ok(Arc::clone(judged));
        }
        let opened = Intent::open(&self.record.envelope);
        let (intent, _) = opened.map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
        let judged = Arc::new(judge(&self.core.charter, &self.key.statement, intent)?);
        self.judged = Some(Arc::clone(&judged));
        Ok(judged)
    }

    fn announce(&mut self) {
        let bound = self.core.timing.call_timeout;
        for signer in self.core.signers.among(&self.key.committee.members) {
            let node = &signer.node;
            if self.record.opinions.contains_key(node) || !self.announcing.insert(node.clone()) {
                continue;
            }
            self.trouble.remove(node);
            let (signer, intent) = (Arc::clone(signer), Some(self.record.envelope.clone()));
            self.jobs.spawn(async move {
                let call = signer.port().announce(pb::AnnounceRequest { intent });
                Done::Announced(signer.node.clone(), signer.within(bound, call).await)
            });
        }
    }

    fn send_stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let bound = self.core.timing.call_timeout;
        let record = self.record.stop.clone();
        let signers: Vec<_> = self.core.signers.among(&self.key.committee.members).cloned().collect();
        self.jobs.spawn(async move {
            let mut calls = JoinSet::new();
            for signer in signers {
                let record = record.clone();
                calls.spawn(async move { signer.within(bound, signer.port().stop(pb::StopRequest { record })).await });
            }
            let answers = calls.join_all().await;
            let possibly_signed = answers.iter().flatten().any(|answer| answer.possibly_signed);
            Done::Stopped { possibly_signed }
        });
    }

    async fn command(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Cancel(envelope, reply) => {
                self.cancels.push(reply);
                self.feed(Event::Cancel(envelope)).await
            }
            Command::Found(result) => self.feed(Event::Discovered(*result)).await,
        }
    }

    async fn done(&mut self, done: Done) -> Result<(), StoreError> {
        match done {
            Done::Announced(node, answer) => self.announced(node, answer).await,
            Done::Stopped { possibly_signed } => self.feed(Event::StopAnswered { possibly_signed }).await,
            Done::Place(place) => self.plan(place).await,
            Done::Judged(judged) => self.evaluated(*judged).await,
            Done::Session(report, place) => {
                drop(place);
                self.session_ended(*report).await
            }
        }
    }

    async fn announced(
        &mut self,
        node: NodeId,
        answer: Result<pb::AnnounceResponse, CallError>,
    ) -> Result<(), StoreError> {
        self.announcing.remove(&node);
        let opinion = match answer {
            Ok(response) if response.intent_id.as_ref() == self.record.id.as_bytes() => {
                Ok(Opinion::from_decision(response.decision.unwrap_or_default()))
            }
            Ok(_) => Err("answered for another intent".to_owned()),
            Err(CallError::Refused(error)) if session::is_opinion(error.code) => Ok(Opinion::from_refusal(&error)),
            Err(error) => Err(error.to_string()),
        };
        match opinion {
            Ok(opinion) => {
                self.trouble.remove(&node);
                self.feed_opinion(node, opinion).await?;
            }
            Err(trouble) => drop(self.trouble.insert(node, trouble)),
        }
        let enough = self.wanted != Wanted::Nothing || self.record.session.is_some() || self.record.stop.is_some();
        if self.announcing.is_empty() && !enough && !self.ended {
            let message = self.what_is_missing();
            return self.feed(Event::TooFewSigners { message }).await;
        }
        Ok(())
    }

    /// An opinion that does not settle anything must not announce again: the answers that are missing are on their way.
    async fn feed_opinion(&mut self, node: NodeId, opinion: Opinion) -> Result<(), StoreError> {
        self.announcing.extend(self.trouble.keys().cloned());
        let fed = self.feed(Event::Opinion { node, opinion }).await;
        self.announcing.retain(|node| !self.trouble.contains_key(node));
        fed
    }

    fn what_is_missing(&self) -> String {
        let committee = &self.key.committee;
        let willing = self.record.opinions.values().filter(|opinion| opinion.decision.allowed).count();
        let reachable = self.core.signers.among(&committee.members).filter(|signer| signer.is_reachable()).count();
        let lost: Vec<String> = self
            .core
            .signers
            .among(&committee.members)
            .filter(|signer| !signer.is_reachable())
            .map(|signer| format!("{}: {}", signer.node, signer.health().error))
            .chain(self.trouble.iter().map(|(node, trouble)| format!("{node}: {trouble}")))
            .collect();
        format!(
            "{} of {} signers must take part; {reachable} can be reached, {willing} allow it [{}]",
            committee.required,
            committee.members.len(),
            lost.join(" | ")
        )
    }

    fn want(&mut self, salvage: bool, not_before: Option<Instant>) {
        if self.wanted == Wanted::Nothing && self.record.session.is_none() {
            self.wanted = Wanted::Session { salvage, not_before };
            if not_before.is_none() {
                self.take_place();
            }
        }
    }

    /// Waits for a place among the running sessions; the signer set is chosen when it is this request's turn.
    fn take_place(&mut self) {
        if let Wanted::Session { salvage, .. } = self.wanted {
            self.wanted = Wanted::Place { salvage };
            let places = Arc::clone(&self.core.sessions);
            self.jobs.spawn(async move {
                match places.acquire_owned().await {
                    Ok(place) => Done::Place(place),
                    // The semaphore is never closed.
                    Err(_) => std::future::pending().await,
                }
            });
        }
    }

    /// Doubles with every failure, between half and the whole of the pause: not all requests at once.
    fn backoff(&self) -> Duration {
        let timing = &self.core.timing;
        if self.failures <= 1 {
            return Duration::ZERO;
        }
        let doublings = self.failures.saturating_sub(2).min(MAX_DOUBLINGS);
        let pause = timing.retry_base.saturating_mul(1 << doublings).min(timing.retry_max);
        let [jitter] = random_bytes::<1>().unwrap_or([128]);
        pause / 2 + (pause / 2).mul_f64(f64::from(jitter) / 255.0)
    }

    async fn plan(&mut self, place: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let Wanted::Place { salvage } = std::mem::replace(&mut self.wanted, Wanted::Nothing) else { return Ok(()) };
        if self.ended || self.record.session.is_some() || self.record.stop.is_some() {
            return Ok(());
        }
        let now_ms = self.core.clock.now_ms();
        if !salvage && self.record.is_expired(now_ms) {
            return self.feed(Event::Look).await;
        }
        let committee = &self.key.committee;
        let found = select::candidates(&self.core.signers, committee, &self.record, salvage, &self.strikes);
        let ready = self.ready_set(&found);
        match ready.or_else(|| select::choose(&found, committee.required, &self.tried)) {
            Some(members) => match self.prepare(members) {
                Ok(prepared) => {
                    self.prepared = Some((prepared, place));
                    Ok(())
                }
                Err(error) => {
                    tracing::error!(intent = %self.record.id, %error, "no session can be prepared");
                    self.feed(Event::TooFewSigners { message: error.to_string() }).await
                }
            },
            None => {
                let message = self.what_is_missing();
                self.feed(Event::TooFewSigners { message }).await
            }
        }
    }

    /// A set for which presignatures lie ready, if all its members can be asked.
    fn ready_set(&self, found: &[select::Candidate]) -> Option<Vec<select::Candidate>> {
        let judged = self.judged.as_ref().filter(|_| !self.two_rounds && self.failures == 0)?;
        let sets = self.core.presignatures.ready(&self.key.statement.key_id, &judged.intent.path);
        sets.iter().find_map(|set| {
            let member = |index: &u32| found.iter().find(|candidate| candidate.index == *index).cloned();
            set.iter().map(member).collect::<Option<Vec<_>>>()
        })
    }

    fn prepare(&mut self, members: Vec<select::Candidate>) -> Result<Prepared, ApiError> {
        self.judged()?;
        let signers: Vec<u32> = members.iter().map(|member| member.index).collect();
        let key = &self.key.statement;
        let mut nonces = Vec::new();
        let mut presignature = None;
        if !self.two_rounds {
            match key.protocol {
                Protocol::Frost => {
                    let named: Vec<_> =
                        members.iter().map(|member| (member.index, member.signer.node.clone())).collect();
                    nonces = self.core.nonces.take(&key.key_id, &named).unwrap_or_default();
                }
                Protocol::Cggmp24 => {
                    let path = self.judged.as_ref().map(|judged| judged.intent.path.clone()).unwrap_or_default();
                    presignature = self.core.presignatures.take(&key.key_id, &path, &signers);
                }
                Protocol::Dkls23 => {}
            }
        }
        let session = OpenSession { id: SessionId::new(random_bytes()?), signers };
        Ok(Prepared { session, members, nonces, presignature })
    }

    /// Notes the session durably, then calls its members.
    async fn begin(&mut self, prepared: Prepared, place: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let Prepared { session, members, nonces, presignature } = prepared;
        let Some(judged) = self.judged.clone() else { return Ok(()) };
        let (id, signers) = (session.id, session.signers.clone());
        self.feed(Event::SessionPlanned(session)).await?;
        if self.record.session.as_ref().is_none_or(|open| open.id != id) {
            return Ok(());
        }
        self.tried.insert(signers.clone());
        let timeout = self.core.timing.session_timeout;
        let request = pb::SignRequest {
            authorization: Some(pb::Authorization { intent: Some(self.record.envelope.clone()), ..Default::default() }),
            session_id: id.as_bytes().to_vec().into(),
            signers,
            nonces,
            presignature_id: presignature.map_or_else(Default::default, |id| id.as_bytes().to_vec().into()),
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let members = members.into_iter().map(|member| (member.index, member.signer)).collect();
        let session = Session { id, members, request, judged, timeout };
        let core = Arc::clone(&self.core);
        self.jobs.spawn(async move { Done::Session(Box::new(session.run(core).await), Some(place)) });
        Ok(())
    }

    async fn session_ended(&mut self, report: Report) -> Result<(), StoreError> {
        if let lifecycle::Outcome::Failed { error, .. } = &report.outcome {
            tracing::warn!(intent = %self.record.id, session = %report.id, %error, "session failed");
            self.core.metrics.sessions_failed.inc();
            if report.nonce_missed {
                self.two_rounds = true;
                self.tried.clear();
                self.forget_nonces();
            } else {
                self.failures = self.failures.saturating_add(1);
            }
            for node in &report.suspects {
                *self.strikes.entry(node.clone()).or_default() += 1;
            }
            for (node, error) in &report.refusals {
                let opinion = Opinion::from_refusal(error);
                self.feed(Event::Opinion { node: node.clone(), opinion }).await?;
            }
        }
        self.feed(Event::SessionEnded { id: report.id, outcome: report.outcome }).await
    }

    fn forget_nonces(&self) {
        let Some(session) = &self.record.session else { return };
        let member = |index: &u32| {
            let place = usize::try_from(index.checked_sub(1)?).ok()?;
            Some((*index, self.key.committee.members.get(place)?.clone()))
        };
        let named: Vec<_> = session.signers.iter().filter_map(member).collect();
        self.core.nonces.forget(&self.key.statement.key_id, &named);
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

fn evaluated(core: &Core, judged: &Judged) -> Event {
    let effects = words::views(&core.charter, &judged.effects);
    Event::Evaluated { effects, decision: judged.decision.to_wire() }
}

/// What intake stores for a judged intent, and what is to be done with it.
pub(crate) fn first_step(core: &Core, key: &ActiveKey, record: Record, judged: &Judged) -> lifecycle::Step {
    lifecycle::step(record, evaluated(core, judged), &key.committee, core.clock.now_ms())
}

/// Takes in a verified signature that turned up after its session had been given up.
pub(crate) async fn found(core: &Arc<Core>, id: IntentId, result: pb::SignatureResult) -> Result<(), StoreError> {
    if let Some(driver) = core.drivers.find(&id) {
        if driver.send(Command::Found(Box::new(result.clone()))).await.is_ok() {
            return Ok(());
        }
    }
    let Some(entry) = core.store.request(&id)? else { return Ok(()) };
    let Some(key) = core.keys.find(&entry.record.key_id) else { return Ok(()) };
    let step = lifecycle::step(entry.record, Event::Discovered(result), &key.committee, core.clock.now_ms());
    if step.change > Change::None {
        core.store.update(step.record).await?;
    }
    Ok(())
}
