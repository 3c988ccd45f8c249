//! What members are asked.

use std::sync::Arc;

use limen_policy::ledger::{Entry, Release};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::{limits, pb};
use prost::Message as _;

use super::{Answer, Desk, Errand, SHOWN_BYTES};
use crate::ledger::handover::Ended;
use crate::ledger::port::{LedgerPort, bounded};
use crate::ledger::relay::Relay;
use crate::signers::CallError;

impl Desk {
    /// One call after the other to one member: pages that it lacks, and the entry with the last of them.
    pub(super) fn send(&mut self, to: NodeId, errand: Errand) {
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

    pub(super) fn close(&mut self, to: NodeId, through: u64) {
        if self.closing.insert(to.clone()) {
            let (ledger, committee) = (self.committee.ledger().to_string(), self.named.clone());
            let request = pb::LedgerCloseRequest { ledger, through, committee };
            self.call(to, |port| async move { port.close(request).await }, Answer::Closed);
        }
    }

    /// Reads what a member knows after our own last number.
    pub(super) fn read(&mut self, member: NodeId) {
        if self.reading.insert(member.clone()) {
            let (ledger, after) = (self.committee.ledger().to_string(), self.sequencer.head());
            let request = pb::LedgerShowRequest { ledger, after, committee: self.named.clone() };
            self.call(member, |port| async move { port.show(request).await }, Answer::Shown);
        }
    }

    /// Shows a member what the others have: of this committee's numbers, or of all committees before it.
    pub(super) fn relay(&mut self, to: NodeId, past: Option<Vec<Ended>>) {
        let Some(port) = self.ports.get(&to).map(Arc::clone) else { return };
        if !self.relaying.insert(to.clone()) {
            return;
        }
        let others = self.ports.iter().filter(|(node, _)| **node != to);
        let relay = Relay {
            ledger: self.committee.ledger().clone(),
            to: port,
            from: others.map(|(node, port)| (node.clone(), Arc::clone(port))).collect(),
            patience: self.core.timing.call_timeout,
        };
        let named = self.named.clone();
        self.calls.spawn(async move {
            let shown = match past {
                Some(past) => relay.all(&past).await,
                None => relay.numbers(named.as_ref()).await,
            };
            Answer::Relayed(to, shown)
        });
    }

    pub(super) fn call<T, F>(
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
            let result = bounded(bound, work).await;
            answer(to, result)
        });
    }
}
