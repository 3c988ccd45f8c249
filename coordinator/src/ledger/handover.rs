//! What is done before a desk opens: where its committee follows another one, that one is sealed and what counts is taken over.

use std::sync::Arc;
use std::time::Duration;

use limen_policy::ledger::{Certificate, Committee, Durable};
use limen_wire::ids::CommitteeHash;
use limen_wire::pb;

use super::Ports;
use super::desk::Desk;
use super::port::bounded;
use crate::context::Core;

/// Between two times that members are asked who kept the ledger before.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// From what a committee goes on.
#[derive(Debug)]
pub(super) struct Start {
    /// What counts already.
    pub(super) view: Durable,
    /// The seal of the committee before.
    pub(super) seal: Option<Certificate>,
    /// All that kept the ledger before, the first one first.
    pub(super) past: Vec<Ended>,
}

/// A committee that kept the ledger before, and its last certificate, which nobody else may have.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) committee: Arc<Committee>,
    pub(super) seal: Certificate,
}

impl Start {
    fn first(committee: &Committee) -> Self {
        Self { view: Durable::genesis(committee), seal: None, past: Vec::new() }
    }
}

/// Finds out who kept the ledger before, and has one after the other sealed. Goes on until that is done.
pub(super) async fn start(core: &Arc<Core>, committee: &Arc<Committee>, ports: &Ports) -> Start {
    let line = line(core, committee, ports).await;
    let Some(first) = line.first() else { return Start::first(committee) };
    let mut start = Start::first(first);
    for (index, before) in line.iter().enumerate() {
        let next = line.get(index.saturating_add(1)).unwrap_or(committee);
        tracing::info!(ledger = %next.ledger(), from = %before.hash(), to = %next.hash(), "a ledger is handed over");
        let mut past = start.past.clone();
        let (book, seal) = Desk::sealing(core, Arc::clone(before), next.hash(), start, ports.clone()).seal().await;
        let Some(view) = Durable::succeed(next, &seal, book) else {
            // A seal that was certified is over the book that the certified entries give, or more than f members lie.
            tracing::error!(ledger = %next.ledger(), "ALARM: the ledger's seal is over something else than was certified");
            return std::future::pending().await;
        };
        past.push(Ended { committee: Arc::clone(before), seal: seal.clone() });
        start = Start { view, seal: Some(seal), past };
    }
    start
}

/// Every committee before this one, the first one first. Members tell; hashes prove it.
async fn line(core: &Core, committee: &Arc<Committee>, ports: &Ports) -> Vec<Arc<Committee>> {
    let mut line = vec![Arc::clone(committee)];
    while let Some((newest, before)) = line.last().and_then(|last| Some((Arc::clone(last), last.predecessor()?))) {
        let named = (line.len() > 1).then(|| newest.to_wire());
        match ask(core.timing.status_timeout, &newest, (named, before), ports).await {
            Some(found) => line.push(Arc::new(found)),
            None => tokio::time::sleep(ASK_EVERY).await,
        }
    }
    line.split_off(1).into_iter().rev().collect()
}

/// The committee of this hash, from the first member that shows it.
pub(super) async fn ask(
    patience: Duration,
    newest: &Committee,
    (named, before): (Option<pb::LedgerCommittee>, CommitteeHash),
    ports: &Ports,
) -> Option<Committee> {
    let ledger = newest.ledger().to_string();
    for (member, port) in ports {
        let request = pb::LedgerShowRequest { ledger: ledger.clone(), after: u64::MAX, committee: named.clone() };
        let answer = match bounded(patience, port.show(request)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(%ledger, %member, %error, "a member does not tell who kept the ledger before");
                continue;
            }
        };
        let whose = (newest.cluster().clone(), newest.ledger().clone());
        let shown = answer.before.and_then(|raw| Committee::from_wire(raw, whose).ok());
        if let Some(found) = shown.filter(|found| found.hash() == before) {
            return Some(found);
        }
    }
    tracing::warn!(%ledger, %before, "no member knows who kept the ledger before: it waits");
    None
}
