//! Prometheus metrics, and the small listener that shows them on a loopback address.

mod http;

use std::sync::atomic::AtomicU64;

use limen_wire::ids::NodeId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::context::Core;
use crate::lifecycle::State;

pub use http::serve;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabel {
    node: String,
}

/// All counters.
pub struct Metrics {
    registry: Registry,
    /// Requests stored.
    pub submitted: Counter,
    /// Requests refused because too many were open.
    pub overloaded: Counter,
    /// Approvals, rejections and withdrawals stored.
    pub approvals: Counter,
    /// Approvals, rejections and withdrawals that were refused.
    pub approvals_refused: Counter,
    /// Sessions started.
    pub sessions_started: Counter,
    /// Sessions that ended without a signature.
    pub sessions_failed: Counter,
    /// Alarm: a signer and the coordinator judged the same bytes differently.
    pub disagreements: Counter,
    /// Alarm: a signer handed over a signature that does not verify.
    pub bad_signatures: Counter,
    /// Alarm: two signatures for one request, or two signed requests under one idempotency key.
    pub conflicts: Counter,
    /// Alarm: stored requests that are not what their requesters have signed.
    pub altered: Counter,
    /// Requests judged by a draft of the charter as well.
    pub shadow_judged: Counter,
    /// Requests that the draft would have decided otherwise.
    pub shadow_different: Counter,
    /// Connections that did not get through the handshake.
    pub refused_connections: Counter,
    /// Alarm: nodes and this coordinator hold different logs.
    pub log_alarms: Counter,
    /// Leaves of the log that have been cosigned.
    pub log_size: Gauge<u64, AtomicU64>,
    leaves_refused: Family<NodeLabel, Counter>,
    states: Family<StateLabel, Counter>,
    handovers: Family<OutcomeLabel, Counter>,
    epochs: Family<KeyLabel, Gauge>,
    nonce_reports: Family<NodeLabel, Counter>,
    records_dropped: Family<NodeLabel, Counter>,
    given_up: Family<NodeLabel, Counter>,
    seconds: Histogram,
    open: Gauge<u64, AtomicU64>,
    reachable: Family<NodeLabel, Gauge>,
    round_trip: Family<NodeLabel, Gauge>,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("limen_coordinator"),
            submitted: Counter::default(),
            overloaded: Counter::default(),
            approvals: Counter::default(),
            approvals_refused: Counter::default(),
            sessions_started: Counter::default(),
            sessions_failed: Counter::default(),
            disagreements: Counter::default(),
            bad_signatures: Counter::default(),
            conflicts: Counter::default(),
            altered: Counter::default(),
            shadow_judged: Counter::default(),
            shadow_different: Counter::default(),
            refused_connections: Counter::default(),
            log_alarms: Counter::default(),
            log_size: Gauge::default(),
            leaves_refused: Family::default(),
            states: Family::default(),
            handovers: Family::default(),
            epochs: Family::default(),
            nonce_reports: Family::default(),
            records_dropped: Family::default(),
            given_up: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 18)),
            open: Gauge::default(),
            reachable: Family::default(),
            round_trip: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests_submitted", "Requests stored", metrics.submitted.clone());
        registry.register("requests_overloaded", "Requests refused for load", metrics.overloaded.clone());
        registry.register("requests_entered", "Requests that entered a state", metrics.states.clone());
        registry.register("requests_open", "Requests that have not ended", metrics.open.clone());
        registry.register("request_seconds", "From submission to signature", metrics.seconds.clone());
        registry.register("approvals_stored", "What people said and was stored", metrics.approvals.clone());
        registry.register("approvals_refused", "What was said and refused", metrics.approvals_refused.clone());
        registry.register("sessions_started", "Signing sessions started", metrics.sessions_started.clone());
        registry.register("sessions_failed", "Sessions without a signature", metrics.sessions_failed.clone());
        registry.register("alarm_disagreements", "Signer and coordinator disagree", metrics.disagreements.clone());
        registry.register("alarm_bad_signatures", "Signatures that do not verify", metrics.bad_signatures.clone());
        registry.register("alarm_conflicts", "Two signatures or requests where one can be", metrics.conflicts.clone());
        registry.register("alarm_altered", "Stored requests that nobody has signed so", metrics.altered.clone());
        registry.register("alarm_signers_given_up", "Memories of signers not read on", metrics.given_up.clone());
        registry.register("alarm_log", "Nodes hold another log than this coordinator", metrics.log_alarms.clone());
        registry.register("log_size", "Leaves of the evidence log that were cosigned", metrics.log_size.clone());
        registry.register("log_leaves_refused", "Leaves of nodes not taken", metrics.leaves_refused.clone());
        registry.register("rebuild_records_dropped", "Records of signers not taken", metrics.records_dropped.clone());
        registry.register("nonce_reports_refused", "Reports of nonces dropped", metrics.nonce_reports.clone());
        registry.register("handovers", "Orders of new shares, by their end", metrics.handovers.clone());
        registry.register("key_epoch", "Generation of the shares that sign", metrics.epochs.clone());
        registry.register("shadow_judged", "Requests judged by a draft too", metrics.shadow_judged.clone());
        registry.register("shadow_different", "Of these decided otherwise", metrics.shadow_different.clone());
        registry.register("refused_connections", "Failed handshakes", metrics.refused_connections.clone());
        registry.register("signer_reachable", "1 if the signer answers", metrics.reachable.clone());
        registry.register("signer_round_trip_us", "Smoothed round trip", metrics.round_trip.clone());
        metrics
    }

    /// A request has entered a state, this long after it was stored.
    pub(crate) fn entered(&self, state: State, after_ms: u64) {
        self.states.get_or_create(&StateLabel { state: state.as_str() }).inc();
        if state == State::Signed {
            self.seconds.observe(std::time::Duration::from_millis(after_ms).as_secs_f64());
        }
    }

    /// An order of new shares has ended.
    pub(crate) fn handed_over(&self, outcome: &'static str) {
        self.handovers.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A signer has reported nonces that cannot be.
    pub(crate) fn nonce_report_refused(&self, node: &NodeId) {
        count(&self.nonce_reports, node);
    }

    /// A record out of a signer's memory was not taken over.
    pub(crate) fn record_dropped(&self, node: &NodeId) {
        count(&self.records_dropped, node);
    }

    /// A leaf that a node handed in was not taken.
    pub(crate) fn leaf_refused(&self, node: &NodeId) {
        count(&self.leaves_refused, node);
    }

    /// A signer's memory is read no further.
    pub(crate) fn signer_given_up(&self, node: &NodeId) {
        count(&self.given_up, node);
    }

    /// All metrics as text (OpenMetrics).
    pub fn text(&self, core: &Core) -> String {
        self.open.set(u64::try_from(core.drivers.open()).unwrap_or(u64::MAX));
        for signer in core.signers.all() {
            let (label, health) = (NodeLabel { node: signer.node.to_string() }, signer.health());
            self.reachable.get_or_create(&label).set(i64::from(health.reachable));
            self.round_trip.get_or_create(&label).set(i64::try_from(health.round_trip_us).unwrap_or(i64::MAX));
        }
        for (key, epoch) in core.keys.epochs() {
            let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
            self.epochs.get_or_create(&KeyLabel { key: key.to_string() }).set(epoch);
        }
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

fn count(family: &Family<NodeLabel, Counter>, node: &NodeId) {
    family.get_or_create(&NodeLabel { node: node.to_string() }).inc();
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
