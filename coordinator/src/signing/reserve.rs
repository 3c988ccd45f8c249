//! What a request claims of ledgers is reserved before its first session, and again whenever a reservation has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_policy::decide::takes;
use limen_policy::ledger::Demand;
use limen_wire::effects::Amount;
use limen_wire::error::ApiError;
use limen_wire::ids::LedgerId;
use limen_wire::{pb, statement};
use tokio::task::JoinSet;

use super::{Done, Driver, Wanted};
use crate::ledger::{Ledgers, Reservation};
use crate::lifecycle::Event;
use crate::store::StoreError;

impl Driver {
    fn demands(&mut self) -> BTreeMap<LedgerId, Demand> {
        // What cannot be judged, or can never fit, is refused when its session is prepared.
        let Ok(judged) = self.judged() else { return BTreeMap::new() };
        self.core.charter().demands(&judged.intent, &judged.effects).unwrap_or_default()
    }

    fn requested(&self) -> pb::LedgerRequested {
        pb::LedgerRequested {
            intent: Some(self.record.envelope.clone()),
            approvals: self.record.approval_envelopes(),
            key_certificate: Some(self.key.certificate.clone()),
            external_checks: self.record.check_envelopes(),
        }
    }

    /// Begins to reserve, if that is needed. A reservation must outlast the session.
    pub(super) fn reserve_first(&mut self) -> bool {
        let demands = self.demands();
        let session_ms = u64::try_from(self.core.timing.session_timeout.as_millis()).unwrap_or(u64::MAX);
        let until = self.core.clock.now_ms().saturating_add(session_ms);
        let charter = self.core.charter().hash();
        self.reservations.retain(|one| one.expires_at_ms > until && one.charter == charter);
        let held = |ledger: &LedgerId| self.reservations.iter().any(|one| one.ledger == *ledger);
        if demands.keys().all(held) || std::mem::take(&mut self.uncertified) {
            return false;
        }
        self.wanted = Wanted::Reservation;
        let (core, requested) = (Arc::clone(&self.core), self.requested());
        self.jobs.spawn(async move {
            let mut calls = JoinSet::new();
            for (ledger, demand) in demands {
                let (core, requested) = (Arc::clone(&core), requested.clone());
                calls.spawn(async move { Ledgers::reserve(&core, &ledger, demand, requested).await });
            }
            Done::Reserved(Box::new(calls.join_all().await.into_iter().collect()))
        });
        true
    }

    pub(super) async fn reserved(&mut self, result: Result<Vec<Reservation>, ApiError>) -> Result<(), StoreError> {
        let awaited = self.wanted == Wanted::Reservation && !self.ended;
        if awaited {
            self.wanted = Wanted::Nothing;
        }
        match result {
            Ok(reservations) => self.reservations = reservations,
            // Signers may still allow it by the part that is set aside: they alone know.
            Err(error) if awaited && self.part_is_set_aside() => {
                tracing::info!(intent = %self.record.id, %error, "not reserved: it is tried without");
                self.uncertified = true;
            }
            Err(error) if awaited => {
                tracing::info!(intent = %self.record.id, %error, "not reserved");
                self.failures = self.failures.saturating_add(1);
                return self.feed(Event::Unreserved { error }).await;
            }
            Err(_) => {}
        }
        if awaited {
            self.want(false, None);
        }
        Ok(())
    }

    /// What its signers say of a cancelled request goes to the ledgers; whether it holds is for their members to say. Of a key
    /// of which all but one of those that must sign may be corrupt every signer has to say so: less would only spoil the entry
    /// that carries it. Of a key in one token no ledger gives anything back.
    pub(super) fn release(&mut self, voids: &[pb::Envelope]) {
        let Some(key) = self.core.keys.find(&self.record.key_id) else { return };
        if !key.statement.protocol.is_threshold() || voids.len() < key.statement.nodes.len() {
            return;
        }
        let Some(evidence) = statement::combine(voids) else { return };
        for ledger in self.demands().into_keys() {
            Ledgers::release(&self.core, &ledger, evidence.clone());
        }
    }

    /// Whether every limit that the request counts in has a part that needs no certificate. What counts once has none.
    fn part_is_set_aside(&mut self) -> bool {
        let charter = self.core.charter();
        let Ok(judged) = self.judged() else { return false };
        let Ok(takes) = takes(&charter, &judged.intent, &judged.effects) else { return false };
        let parts = takes.iter().map(|take| take.limit).all(|limit| {
            (limit.max_amount.is_none() || limit.split_amount > Amount::ZERO)
                && (limit.max_count.is_none() || limit.split_count > 0)
        });
        parts && charter.claims_ledger.is_none()
    }

    /// Shows a request that waits for people or a delay to the members that are no signers of its key.
    pub(super) fn show_members(&mut self) {
        let waits = self.record.decision.as_ref().is_some_and(|decision| !decision.requirements.is_empty());
        if !waits {
            return;
        }
        for ledger in self.demands().into_keys() {
            Ledgers::show(&self.core, &ledger, self.requested(), self.key.committee.members.clone());
        }
    }
}
