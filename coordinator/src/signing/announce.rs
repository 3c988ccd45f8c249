//! Telling the members: the intent, or that it is to be stopped.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::pb;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Done, Driver, Wanted, session};
use crate::context::Core;
use crate::intake;
use crate::intake::judge::Judged;
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{Event, Opinion};
use crate::signers::CallError;
use crate::store::StoreError;

/// What a signer's delay gets on top before it is asked again.
const LITTLE: Duration = Duration::from_millis(50);

/// Shows the members a request that the rules deny for good, where they count such requests: it ends here, and nobody waits for
/// what they say.
pub(crate) fn tell_denied(core: &Arc<Core>, key: &ActiveKey, judged: &Judged, envelope: &pb::Envelope) {
    let governance = core.charter().governance.clone();
    if !judged.decision.for_good || governance.is_none_or(|governance| governance.automatic_freeze.is_none()) {
        return;
    }
    let Ok(place) = Arc::clone(&core.telling).try_acquire_owned() else {
        return tracing::warn!(intent = %judged.intent.id, "the signers are told of enough denied requests already");
    };
    let (bound, mut calls) = (core.timing.call_timeout, JoinSet::new());
    for signer in core.signers.among(&key.committee.members) {
        let signer = Arc::clone(signer);
        let request = pb::AnnounceRequest { intent: Some(envelope.clone()), ..pb::AnnounceRequest::default() };
        calls.spawn(async move { signer.within(bound, signer.port().announce(request)).await.err() });
    }
    let id = judged.intent.id;
    core.tasks.spawn(async move {
        for error in calls.join_all().await.into_iter().flatten() {
            tracing::debug!(intent = %id, %error, "a signer was not told of a denied request");
        }
        drop(place);
    });
}

impl Driver {
    /// Shows the intent and what people said to every member that has not heard it, or `again` to all that do not refuse.
    pub(super) fn announce(&mut self, again: bool) {
        let bound = self.core.timing.call_timeout;
        self.show_members();
        let (approvals, seen) = (self.record.approval_envelopes(), self.record.said());
        for signer in self.core.signers.among(&self.key.committee.members) {
            let node = &signer.node;
            let refuses = self.record.opinions.get(node).is_some_and(|opinion| opinion.refusal.is_some());
            let has_heard = refuses || (!again && self.record.has_heard(node));
            if has_heard || !self.announcing.insert(node.clone()) {
                continue;
            }
            self.trouble.remove(node);
            let signer = Arc::clone(signer);
            let (intent, external_checks) = (Some(self.record.envelope.clone()), self.record.check_envelopes());
            let request = pb::AnnounceRequest { intent, approvals: approvals.clone(), external_checks };
            self.jobs.spawn(async move {
                let answer = signer.within(bound, signer.port().announce(request)).await;
                Done::Announced { node: signer.node.clone(), seen, answer: Box::new(answer) }
            });
        }
    }

    /// Asks again when the wait is over; sooner, now and then, because signers also hear from others than us.
    pub(super) fn ask_later(&mut self, wait_ms: Option<u64>) {
        let wait = wait_ms.map_or(Duration::MAX, Duration::from_millis).saturating_add(LITTLE);
        self.ask_at = Some(Instant::now() + wait.min(self.core.timing.ask_interval));
        self.awaiting = true;
    }

    pub(super) fn send_stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let bound = self.core.timing.call_timeout;
        let (record, intent) = (self.record.stop.clone(), Some(self.record.envelope.clone()));
        let signers: Vec<_> = self.core.signers.among(&self.key.committee.members).cloned().collect();
        self.jobs.spawn(async move {
            let mut calls = JoinSet::new();
            for signer in signers {
                let asked = pb::StopRequest { record: record.clone(), intent: intent.clone() };
                calls.spawn(async move { signer.within(bound, signer.port().stop(asked)).await });
            }
            let answers = calls.join_all().await;
            let possibly_signed = answers.iter().flatten().any(|answer| answer.possibly_signed);
            let voids = answers.into_iter().flatten().filter_map(|answer| answer.void).collect();
            Done::Stopped { possibly_signed, voids }
        });
    }

    pub(super) async fn announced(
        &mut self,
        node: NodeId,
        seen: usize,
        answer: Result<pb::AnnounceResponse, CallError>,
    ) -> Result<(), StoreError> {
        self.announcing.remove(&node);
        let opinion = match answer {
            Ok(response) if response.intent_id.as_ref() == self.record.id.as_bytes() => {
                Ok(Opinion::from_response(response, seen, self.core.clock.now_ms()))
            }
            Ok(_) => Err("answered for another intent".to_owned()),
            Err(CallError::Refused(error)) if session::speaks_for_itself(error.code) => {
                Ok(Opinion::from_refusal(&error))
            }
            // Of all that is shown here only the request's own signature is answered so.
            Err(CallError::Refused(error)) if error.code == Code::BadSignature => self.disowned(&node, &error),
            Err(error) => Err(error.to_string()),
        };
        match opinion {
            Ok(opinion) => {
                self.trouble.remove(&node);
                self.feed_opinion(node, opinion).await?;
            }
            Err(trouble) => drop(self.trouble.insert(node, trouble)),
        }
        let waiting = self.record.state.is_waiting();
        let busy = self.wanted != Wanted::Nothing || self.record.session.is_some() || self.record.stop.is_some();
        let enough = waiting || busy;
        // Whoever gave no answer is asked when it can be.
        self.awaiting |= waiting;
        if self.announcing.is_empty() && !enough && !self.ended {
            let message = self.what_is_missing();
            return self.feed(Event::TooFewSigners { message }).await;
        }
        Ok(())
    }

    /// What it means that a signer finds the request not signed by its requester: the end, where it is so. Where the bytes are
    /// good, the signer lies, or is late with the charter that names the requester's new key: it is asked again.
    fn disowned(&mut self, node: &NodeId, error: &ApiError) -> Result<Opinion, String> {
        if intake::altered(&self.core, &self.record).is_some() {
            return Ok(Opinion::from_refusal(error));
        }
        if self.disowners.insert(node.clone()) {
            self.alarm(node);
        }
        Err(error.to_string())
    }

    /// An opinion that does not settle anything must not announce again: the answers that are missing are on their way.
    async fn feed_opinion(&mut self, node: NodeId, opinion: Opinion) -> Result<(), StoreError> {
        self.announcing.extend(self.trouble.keys().cloned());
        let fed = self.feed(Event::Opinion { node, opinion }).await;
        self.announcing.retain(|node| !self.trouble.contains_key(node));
        fed
    }

    pub(super) fn what_is_missing(&self) -> String {
        let committee = &self.key.committee;
        let now_ms = self.core.clock.now_ms();
        let willing = self.record.opinions.values().filter(|opinion| opinion.wait_ms(now_ms) == Some(0)).count();
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
}
