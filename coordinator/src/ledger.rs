//! Reservations: a desk for each ledger collects what requests claim, carries entries to the members of its committee, and
//! hands certificates out.
//!
//! The desk is believed nothing and remembers nothing: a restart, or an empty disk, goes on from what the members show.

mod desk;
mod handover;
mod port;
mod relay;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use limen_policy::charter::Node;
use limen_policy::ledger::Demand;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, CommitteeHash, LedgerId, NodeId};
use limen_wire::pb;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::context::Core;
use crate::signers::CallError;
pub use port::{GrpcLedgerPort, LedgerPort};

/// Wishes that wait for one desk.
const WAITING: usize = 4096;

/// The ways to all members.
type Ports = BTreeMap<NodeId, Arc<dyn LedgerPort>>;

/// A certificate that reserves a request's charges in one ledger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservation {
    pub(crate) ledger: LedgerId,
    /// The charter by which it was judged: under another one it stands for nothing.
    pub(crate) charter: CharterHash,
    pub(crate) certificate: pb::Envelope,
    pub(crate) expires_at_ms: u64,
}

/// What a desk is asked.
enum Wish {
    /// Reserve this.
    Reserve { demand: Demand, requested: pb::LedgerRequested, reply: oneshot::Sender<Result<Reservation, ApiError>> },
    /// Give back what a request takes: its signers have made a signature impossible.
    Release { evidence: pb::Envelope },
    /// Show a request to those members that do not hear of it as signers of its key: their delays begin.
    Show { requested: pb::LedgerRequested, besides: Vec<NodeId> },
}

/// The ways to all members, and the desks.
pub(crate) struct Ledgers {
    ports: Ports,
    desks: Mutex<BTreeMap<LedgerId, Opened>>,
}

/// The way to a desk, which is that of one committee.
struct Opened {
    committee: CommitteeHash,
    desk: mpsc::Sender<Wish>,
}

impl Ledgers {
    pub(crate) const fn new(ports: Ports) -> Self {
        Self { ports, desks: Mutex::new(BTreeMap::new()) }
    }

    /// Opens every desk, so that it reads where its members are.
    pub(crate) fn open(core: &Arc<Core>) {
        for ledger in core.charter().ledgers.keys() {
            Self::desk(core, ledger);
        }
    }

    /// The desk of a ledger of the charter in force; opened if it is not, or if it is another committee's.
    fn desk(core: &Arc<Core>, ledger: &LedgerId) -> Option<mpsc::Sender<Wish>> {
        let committee = Arc::clone(core.charter().ledgers.get(ledger)?);
        let mut desks = core.ledgers.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = desks.get(ledger).filter(|opened| opened.committee == committee.hash()) {
            return Some(opened.desk.clone());
        }
        let (desk, wishes) = mpsc::channel(WAITING);
        // The one before closes when nobody can reach it any more.
        desks.insert(ledger.clone(), Opened { committee: committee.hash(), desk: desk.clone() });
        core.tasks.spawn(desk::open(Arc::clone(core), committee, core.ledgers.ports.clone(), wishes));
        Some(desk)
    }

    /// Reserves what a request takes; waits until the committee has certified it, or says why it does not.
    pub(crate) async fn reserve(
        core: &Arc<Core>,
        ledger: &LedgerId,
        demand: Demand,
        requested: pb::LedgerRequested,
    ) -> Result<Reservation, ApiError> {
        let missing = |why: &str| ApiError::new(Code::ReservationMissing, format!("ledger {ledger}: {why}"));
        let desk = Self::desk(core, ledger).ok_or_else(|| missing("the charter has none of this name"))?;
        let (reply, answer) = oneshot::channel();
        desk.try_send(Wish::Reserve { demand, requested, reply }).map_err(|_| missing("too much waits for it"))?;
        match tokio::time::timeout(core.timing.call_timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(missing("its desk has closed")),
            Err(_) => Err(missing("too few members of its committee answer")),
        }
    }

    /// Asks every witness how far it is, once for each ledger that it keeps.
    pub(crate) async fn witnesses(core: &Core) -> Vec<pb::WitnessHealth> {
        let charter = core.charter();
        let mut calls = JoinSet::new();
        for (ledger, committee) in &charter.ledgers {
            let keeps = |witness: &&Node| committee.key(witness.id.as_str()).is_some();
            for witness in charter.witnesses.iter().filter(keeps) {
                let (ledger, bound) = (ledger.to_string(), core.timing.status_timeout);
                let (node, port) = (witness.id.clone(), core.ledgers.ports.get(&witness.id).map(Arc::clone));
                calls.spawn(async move { look(node, ledger, port, bound).await });
            }
        }
        let mut all = calls.join_all().await;
        all.sort_by(|a, b| (&a.node, &a.ledger).cmp(&(&b.node, &b.ledger)));
        all
    }

    /// Has a ledger give back what a request takes.
    pub(crate) fn release(core: &Arc<Core>, ledger: &LedgerId, evidence: pb::Envelope) {
        if let Some(desk) = Self::desk(core, ledger) {
            // If too much waits, it counts on until the requester cancels it again.
            let _ = desk.try_send(Wish::Release { evidence });
        }
    }

    /// Shows a request to a ledger's members besides these.
    pub(crate) fn show(core: &Arc<Core>, ledger: &LedgerId, requested: pb::LedgerRequested, besides: Vec<NodeId>) {
        if let Some(desk) = Self::desk(core, ledger) {
            // If too much waits, the members hear of it with the entry.
            let _ = desk.try_send(Wish::Show { requested, besides });
        }
    }
}

/// Asks for a page of certificates that nobody has: what comes is the head.
async fn look(node: NodeId, ledger: String, port: Option<Arc<dyn LedgerPort>>, bound: Duration) -> pb::WitnessHealth {
    let started = Instant::now();
    let question = pb::LedgerShowRequest { ledger: ledger.clone(), after: u64::MAX, committee: None };
    let answer = match port {
        Some(port) => port::bounded(bound, port.show(question)).await,
        None => Err(CallError::Invalid("it is known after a restart of the coordinator".to_owned())),
    };
    let round_trip_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let (head, error) = match answer {
        Ok(answer) => (answer.head, String::new()),
        Err(error) => (0, error.to_string()),
    };
    pb::WitnessHealth { node: node.to_string(), ledger, reachable: error.is_empty(), round_trip_us, head, error }
}
