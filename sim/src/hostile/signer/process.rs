//! A signer's process: what the daemon has beside its sockets.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use limen_node::charters::{Follows, Orphans};
use limen_node::clock::Running;
use limen_node::crypto::CryptoPool;
use limen_node::decisions::{Decisions, Keys};
use limen_node::identity::Identity;
use limen_node::ledger::Ledgers;
use limen_node::log::LogAlarm;
use limen_node::metrics::Metrics;
use limen_node::peers::{Talk, Talks};
use limen_node::recent::Recent;
use limen_node::standing::Standings;
use limen_node::store::Store;
use limen_policy::charter::Charter;
use limen_wire::ids::NodeId;
use limen_wire::pb::peer_message::Kind;

/// A process that runs: what the daemon has beside its sockets.
pub(crate) struct Process {
    pub(super) me: NodeId,
    pub(super) identity: &'static Identity,
    pub(super) keys: Arc<Keys>,
    pub(super) store: Store,
    pub(super) recent: Recent,
    pub(super) running: Running,
    pub(super) held: RwLock<Arc<Charter>>,
    pub(super) ledgers: Ledgers,
    pub(super) standings: Standings,
    pub(super) log_alarm: LogAlarm,
    pub(super) orphans: Orphans,
    pub(super) crypto: CryptoPool,
    /// What it has said and nobody has carried away yet.
    pub(super) said: Mutex<Vec<(NodeId, Talk)>>,
}

impl Follows for Process {
    fn decisions(&self) -> Decisions<'_> {
        let Self { store, keys, recent, running, .. } = self;
        Decisions { charter: self.charter(), store, keys, recent, now: running.now() }
    }
    fn held(&self) -> &RwLock<Arc<Charter>> {
        &self.held
    }
    fn metrics(&self) -> &Metrics {
        static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);
        &METRICS
    }
    fn crypto(&self) -> &CryptoPool {
        &self.crypto
    }
    fn orphans(&self) -> &Orphans {
        &self.orphans
    }
}

impl Talks for Process {
    fn me(&self) -> &NodeId {
        &self.me
    }
    fn identity(&self) -> &Identity {
        self.identity
    }
    fn standings(&self) -> &Standings {
        &self.standings
    }
    fn log_alarm(&self) -> &LogAlarm {
        &self.log_alarm
    }
    fn send(&self, to: &NodeId, kind: Kind) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(Talk::of(kind).map(|talk| (to.clone(), talk)));
    }
}
