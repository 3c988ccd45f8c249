//! Telling the members: the intent, or that it is to be stopped.

use std::sync::Arc;

use limen_wire::ids::NodeId;
use limen_wire::pb;
use tokio::task::JoinSet;

use super::{Done, Driver, Wanted, session};
use crate::lifecycle::{Event, Opinion};
use crate::signers::CallError;
use crate::store::StoreError;

impl Driver {
    pub(super) fn announce(&mut self) {
        let bound = self.core.timing.call_timeout;
        for signer in self.core.signers.among(&self.key.committee.members) {
            let node = &signer.node;
            if self.record.opinions.contains_key(node) || !self.announcing.insert(node.clone()) {
                continue;
            }
            self.trouble.remove(node);
            let (signer, intent) = (Arc::clone(signer), Some(self.record.envelope.clone()));
            self.jobs.spawn(async move {
                let call = signer.port().announce(pb::AnnounceRequest { intent, approvals: Vec::new() });
                Done::Announced(signer.node.clone(), signer.within(bound, call).await)
            });
        }
    }

    pub(super) fn send_stop(&mut self) {
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

    pub(super) async fn announced(
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
            Err(CallError::Refused(error)) if session::speaks_for_itself(error.code) => {
                Ok(Opinion::from_refusal(&error))
            }
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

    pub(super) fn what_is_missing(&self) -> String {
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
}
