//! From the wish for a session to its end: a place, a signer set, nonces, the durable note, the calls.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Protocol, SessionId};
use limen_wire::pb;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::session::{Report, Session};
use super::{Done, Driver, Prepared, Wanted, select};
use crate::context::random_bytes;
use crate::lifecycle::{self, Event, OpenSession, Opinion};
use crate::store::StoreError;

/// Failed sessions after which the pause no longer grows.
const MAX_DOUBLINGS: u32 = 8;

impl Driver {
    pub(super) fn want(&mut self, salvage: bool, not_before: Option<Instant>) {
        if self.wanted == Wanted::Nothing && self.record.session.is_none() {
            self.wanted = Wanted::Session { salvage, not_before };
            if not_before.is_none() {
                self.take_place();
            }
        }
    }

    /// Waits for a place among the running sessions; the signer set is chosen when it is this request's turn.
    pub(super) fn take_place(&mut self) {
        if let Wanted::Session { salvage, .. } = self.wanted {
            if !salvage && self.reserve_first() {
                return;
            }
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
    pub(super) fn backoff(&self) -> Duration {
        let timing = &self.core.timing;
        if self.failures <= 1 {
            return Duration::ZERO;
        }
        let doublings = self.failures.saturating_sub(2).min(MAX_DOUBLINGS);
        let pause = timing.retry_base.saturating_mul(1 << doublings).min(timing.retry_max);
        let [jitter] = random_bytes::<1>().unwrap_or([128]);
        pause / 2 + (pause / 2).mul_f64(f64::from(jitter) / 255.0)
    }

    pub(super) async fn plan(&mut self, place: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let Wanted::Place { salvage } = std::mem::replace(&mut self.wanted, Wanted::Nothing) else { return Ok(()) };
        if self.ended || self.record.session.is_some() || self.record.stop.is_some() {
            return Ok(());
        }
        self.take_up_epoch();
        let now_ms = self.core.clock.now_ms();
        if !salvage && self.record.is_expired(now_ms) {
            return self.feed(Event::Look).await;
        }
        let committee = &self.key.committee;
        let found = select::candidates(&self.core, committee, &self.record, salvage, &self.strikes);
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

    /// The key's shares may have been made anew since this request came: its signers, and their numbers, are others then.
    pub(super) fn take_up_epoch(&mut self) {
        let Some(key) = self.core.keys.find(&self.record.key_id) else { return };
        if key.statement.epoch > self.key.statement.epoch {
            self.key = key;
            self.tried.clear();
            self.strikes.clear();
            (self.two_rounds, self.failures) = (false, 0);
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
        let judged = self.judged()?;
        // Bare digests never use what was shared ahead.
        let bare = judged.effects.is_bare();
        let signers: Vec<u32> = members.iter().map(|member| member.index).collect();
        let key = &self.key.statement;
        let mut nonces = Vec::new();
        let mut presignature = None;
        if !self.two_rounds && !bare {
            match key.protocol {
                Protocol::Frost => {
                    let named: Vec<_> =
                        members.iter().map(|member| (member.index, member.signer.node.clone())).collect();
                    nonces = self.core.nonces.take(&key.key_id, &named).unwrap_or_default();
                }
                Protocol::Cggmp24 => {
                    presignature = self.core.presignatures.take(&key.key_id, &judged.intent.path, &signers);
                }
                Protocol::Dkls23 | Protocol::Hsm => {}
            }
        }
        let session = OpenSession { id: SessionId::new(random_bytes()?), signers };
        Ok(Prepared { session, members, nonces, presignature })
    }

    /// Notes the session durably, then calls its members.
    pub(super) async fn begin(&mut self, prepared: Prepared, place: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let Prepared { session, members, nonces, presignature } = prepared;
        let Some(judged) = self.judged.clone() else { return Ok(()) };
        let (id, signers) = (session.id, session.signers.clone());
        self.feed(Event::SessionPlanned(session)).await?;
        if self.record.session.as_ref().is_none_or(|open| open.id != id) {
            return Ok(());
        }
        self.tried.insert(signers.clone());
        let timeout = self.core.timing.session_timeout;
        // Who has heard what people said keeps it.
        let all_heard = members.iter().all(|member| self.record.has_heard(&member.signer.node));
        let approvals = if all_heard { Vec::new() } else { self.record.approval_envelopes() };
        let (intent, external_checks) = (Some(self.record.envelope.clone()), self.record.check_envelopes());
        let reservations = self.reservations.iter().map(|one| one.certificate.clone()).collect();
        let authorization = pb::Authorization { intent, approvals, reservations, external_checks };
        let request = pb::SignRequest {
            authorization: Some(authorization),
            session_id: id.as_bytes().to_vec().into(),
            signers,
            nonces,
            presignature_id: presignature.map_or_else(Default::default, |id| id.as_bytes().to_vec().into()),
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            epoch: self.key.statement.epoch.0,
        };
        let members = members.into_iter().map(|member| (member.index, member.signer)).collect();
        let session = Session { id, members, request, judged, timeout };
        let core = Arc::clone(&self.core);
        self.jobs.spawn(async move { Done::Session(Box::new(session.run(core).await), Some(place)) });
        Ok(())
    }

    pub(super) async fn session_ended(&mut self, report: Report) -> Result<(), StoreError> {
        if let lifecycle::Outcome::Failed { error, early, .. } = &report.outcome {
            if early.is_empty() {
                tracing::warn!(intent = %self.record.id, session = %report.id, %error, "session failed");
                self.core.metrics.sessions_failed.inc();
            } else {
                tracing::info!(intent = %self.record.id, session = %report.id, %error, "session came too early");
            }
            if error.code == Code::ReservationMissing {
                self.reservations.clear();
            }
            if report.nonce_missed {
                self.two_rounds = true;
                self.tried.clear();
            } else {
                self.failures = self.failures.saturating_add(1);
            }
            if !early.is_empty() {
                self.rest_until = Some(Instant::now() + self.backoff());
            }
            // Whoever says that it would sign and does not is asked last.
            for node in report.suspects.iter().chain(early) {
                *self.strikes.entry(node.clone()).or_default() += 1;
            }
            for (node, error) in &report.refusals {
                let opinion = Opinion::from_refusal(error);
                self.feed(Event::Opinion { node: node.clone(), opinion }).await?;
            }
        }
        self.feed(Event::SessionEnded { id: report.id, outcome: report.outcome }).await
    }
}
