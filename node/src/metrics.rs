//! What operators watch. Labels come from closed lists and the charter, so their number is bounded.

mod due;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use due::Due;

/// One label: why, or what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// A fixed word.
    pub reason: &'static str,
}

/// A peer by name, as in the charter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Peer {
    /// Its name.
    pub peer: String,
}

/// A key by name, as in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKey {
    /// Its name.
    pub key: String,
}

/// A protocol and how its session ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SessionLabels {
    /// dkls23, cggmp24, frost.
    pub protocol: &'static str,
    /// keygen, sign, presign.
    pub purpose: &'static str,
    /// done, timeout, aborted.
    pub outcome: &'static str,
}

/// Every metric of this daemon.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Approvals that did not hold.
    pub dropped_approvals: Counter,
    /// Messages that were dropped, by reason; the session they claimed is unharmed.
    pub dropped: Family<Reason, Counter>,
    /// Connections refused at the handshake or for their certificate.
    pub refused_connections: Counter,
    /// Requests refused, by API error code.
    pub refusals: Family<Reason, Counter>,
    /// Decisions: allowed, repeat, refused.
    pub decisions: Family<Reason, Counter>,
    /// Sessions by protocol, purpose and outcome.
    pub sessions: Family<SessionLabels, Counter>,
    /// Sessions that run now.
    pub sessions_running: Gauge,
    /// Frames sent and received, by direction.
    pub frames: Family<Reason, Counter>,
    /// Bytes of frame bodies, by direction.
    pub frame_bytes: Family<Reason, Counter>,
    /// Link to each peer: 1 if messages go both ways.
    pub peer_connected: Family<Peer, Gauge>,
    /// Smoothed round trip to each peer.
    pub peer_round_trip: Family<Peer, Gauge<f64, AtomicU64>>,
    /// Operations made durable.
    pub store_operations: Counter,
    /// Commits of the store.
    pub store_commits: Counter,
    /// Time of commits.
    pub store_commit_seconds: CommitTime,
    /// Live freezes.
    pub freezes: Gauge,
    /// Requesters that this signer has frozen by itself.
    pub automatic_freezes: Gauge,
    /// How often it has ever frozen one.
    pub automatic_freezes_made: Counter,
    /// Number of the charter's version in force, 0 where it counts none.
    pub charter_number: Gauge,
    /// Versions of the charter whose delay runs.
    pub charter_waiting: Gauge,
    /// Signed versions of the charter that a sibling keeps from binding: people have to join or to void them.
    pub charter_stuck: Gauge,
    /// Versions of the charter that follow what is not known here.
    pub charter_orphans: Gauge,
    /// Peers that stand well.
    pub standing: Gauge,
    /// 1 if a peer has proved that this signer's store was put back.
    pub rolled_back: Gauge,
    /// Leaves of the evidence log that this node holds.
    pub log_size: Gauge,
    /// Own leaves that are not safely in the log.
    pub pending_leaves: Gauge,
    /// 1 while another log is shown than the one that this node has cosigned.
    pub log_forked: Gauge,
    /// Peers banned by this node.
    pub banned_peers: Gauge,
    /// Nonces shared ahead and unused.
    pub nonces: Gauge,
    /// Presignatures in memory.
    pub presignatures: Gauge,
    /// Ready sets of safe primes.
    pub prime_sets: Gauge,
    /// 1 while what seals the shares works.
    pub token_works: Gauge,
    /// Shares that did not open when they were looked at.
    pub shares_damaged: Gauge,
    /// Custodians who owe a proof, or a newer one, of a key's backups here.
    pub backup_proof_overdue: Family<OfKey, Gauge>,
    /// Seconds until each drill is due; negative where it is overdue.
    pub drill_due_seconds: Due,
}

/// A histogram of commit times, in seconds.
#[derive(Debug)]
pub struct CommitTime(pub Histogram);

impl Default for CommitTime {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.0001, 2.0, 16)))
    }
}

impl Metrics {
    /// Counts a dropped message.
    pub fn drop_message(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }

    /// All metrics under the prefix `limen_node`.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("limen_node");
        let r = &mut registry;
        r.register("dropped_messages", "Messages dropped, by reason", self.dropped.clone());
        r.register("dropped_approvals", "Approvals that did not hold", self.dropped_approvals.clone());
        r.register("refused_connections", "Connections refused at the handshake", self.refused_connections.clone());
        r.register("refusals", "Requests refused, by error code", self.refusals.clone());
        r.register("decisions", "Signing decisions of the guard", self.decisions.clone());
        r.register("sessions", "Ended sessions", self.sessions.clone());
        r.register("sessions_running", "Sessions that run now", self.sessions_running.clone());
        r.register("frames", "Session frames, by direction", self.frames.clone());
        r.register("frame_bytes", "Bytes of session frames, by direction", self.frame_bytes.clone());
        r.register("peer_connected", "1 if messages go both ways", self.peer_connected.clone());
        let seconds = Unit::Seconds;
        r.register_with_unit("peer_round_trip", "Smoothed", seconds.clone(), self.peer_round_trip.clone());
        r.register("store_operations", "Operations made durable", self.store_operations.clone());
        r.register("store_commits", "Commits of the store", self.store_commits.clone());
        r.register_with_unit("store_commit", "Time of commits", seconds, self.store_commit_seconds.0.clone());
        r.register("freezes", "Freezes that stop something", self.freezes.clone());
        r.register("automatic_freezes", "Requesters frozen by this signer itself", self.automatic_freezes.clone());
        let made = self.automatic_freezes_made.clone();
        r.register("automatic_freezes_made", "How often this signer has frozen a requester by itself", made);
        r.register("charter_number", "Number of the charter's version in force", self.charter_number.clone());
        r.register("charter_waiting", "Versions of the charter whose delay runs", self.charter_waiting.clone());
        r.register("charter_stuck", "Signed versions that a sibling keeps from binding", self.charter_stuck.clone());
        let orphans = self.charter_orphans.clone();
        r.register("charter_orphans", "Versions of the charter that follow what is not known here", orphans);
        r.register("standing", "Peers whose word of themselves counts", self.standing.clone());
        r.register("rolled_back", "1 if this signer's store was put back", self.rolled_back.clone());
        r.register("log_size", "Leaves of the evidence log that it holds", self.log_size.clone());
        r.register("pending_leaves", "Own leaves that are not safely in the log", self.pending_leaves.clone());
        r.register("log_forked", "1 while another log is shown than the cosigned one", self.log_forked.clone());
        r.register("banned_peers", "Peers that this node has banned", self.banned_peers.clone());
        r.register("nonces", "FROST nonces shared ahead and unused", self.nonces.clone());
        r.register("presignatures", "CGGMP24 presignatures in memory", self.presignatures.clone());
        r.register("prime_sets", "Ready sets of CGGMP24 safe primes", self.prime_sets.clone());
        r.register("token_works", "1 while what seals the shares works", self.token_works.clone());
        r.register("shares_damaged", "Shares that did not open when last looked at", self.shares_damaged.clone());
        let overdue = self.backup_proof_overdue.clone();
        r.register("backup_proof_overdue", "Custodians who owe a proof of the backup here, by key", overdue);
        let due = self.drill_due_seconds.family();
        r.register("drill_due_seconds", "Seconds until a drill is due, negative where it is overdue", due);
        registry
    }
}
