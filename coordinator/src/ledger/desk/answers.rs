//! What members answer.

use limen_policy::ledger::{Hint, Output};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;

use super::{Answer, Desk};
use crate::signers::CallError;

impl Desk {
    pub(super) fn answered(&mut self, answer: Answer) {
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
            Answer::Relayed(to, result) => {
                self.relaying.remove(&to);
                self.heard(&to, result);
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
        if refusal.hint() == pb::LedgerHint::Unsealed {
            // It is asked again once it has been shown how the committees before ended.
            self.relay(from.clone(), Some(self.past.clone()));
            return Vec::new();
        }
        let hint = match refusal.hint() {
            pb::LedgerHint::Behind => Hint::Behind { head: refusal.number },
            pb::LedgerHint::Certified => Hint::Certified(refusal.certificates),
            pb::LedgerHint::Bound => Hint::Bound { through: refusal.number },
            pb::LedgerHint::Unfit => IntentId::from_slice(&refusal.intent_id).map_or(Hint::Other, Hint::Unfit),
            pb::LedgerHint::Stale => Hint::Stale,
            pb::LedgerHint::Unspecified | pb::LedgerHint::Unsealed => Hint::Other,
        };
        self.sequencer.hinted(from, hint, now_ms)
    }
}
