//! Links to the other signers: each dials each, and sends on the link that it dialled.
//!
//! A peer is who its TLS key says, as pinned in the charter. Queues are bounded; what does not fit or waits too long is
//! dropped and counted, and the session it belonged to meets its deadline.

mod inbound;
mod link;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use limen_policy::charter::Charter;
use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::tls::{self, TlsError, TlsIdentity};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::identity::IdentityError;
use crate::metrics::{Metrics, Peer, Reason};
pub use inbound::{PassedOn, PeerEvents, serve};

/// Links that one peer may have open to us: one, and its successors while a broken one is not noticed yet.
const INBOUND: usize = 8;

/// A message and when it was queued.
#[derive(Debug)]
struct Queued {
    message: pb::PeerMessage,
    since: Instant,
}

/// What is known of a peer's link.
#[derive(Debug, Default)]
struct LinkState {
    /// Our own link answers pings.
    outbound: AtomicBool,
    /// Links that the peer has dialled and that are open.
    inbound: AtomicUsize,
    /// Smoothed round trip in microseconds, 0 if unknown.
    round_trip_us: AtomicU64,
    /// The boot that the peer named last on its own link.
    boot: Mutex<Option<[u8; 16]>>,
}

#[derive(Debug)]
struct Link {
    queue: mpsc::Sender<Queued>,
    state: Arc<LinkState>,
}

/// All links of this signer.
#[derive(Debug)]
pub struct Mesh {
    links: HashMap<NodeId, Link>,
    metrics: Arc<Metrics>,
}

/// A link's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The peer.
    pub node: NodeId,
    /// Messages go both ways.
    pub connected: bool,
    /// Smoothed round trip in microseconds, 0 if unknown.
    pub round_trip_us: u64,
}

/// What a new link sends first, once it is signed.
pub type Greeted = Pin<Box<dyn Future<Output = Result<Vec<pb::PeerMessage>, IdentityError>> + Send>>;

/// Gives what a new link to a peer sends first.
pub type Greeting = Arc<dyn Fn(&NodeId) -> Greeted + Send + Sync>;

/// What a mesh is made from.
pub struct Setup<'a> {
    /// Who the peers are.
    pub charter: &'a Charter,
    /// Who we are.
    pub me: &'a NodeId,
    /// Our certificate and key.
    pub identity: &'a TlsIdentity,
    /// Our boot, told with every probe.
    pub boot: [u8; 16],
    /// Messages that may wait for one peer.
    pub queue: usize,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Ends the links.
    pub stop: CancellationToken,
    /// Holds their tasks.
    pub tasks: &'a TaskTracker,
    /// What a new link sends first.
    pub greeting: Greeting,
}

impl Mesh {
    /// Starts dialling every other node of the charter.
    pub fn start(setup: &Setup<'_>) -> Result<Arc<Self>, TlsError> {
        let mut links = HashMap::new();
        for node in setup.charter.nodes.iter().filter(|node| node.id != *setup.me) {
            let (queue, waiting) = mpsc::channel(setup.queue);
            let state = Arc::new(LinkState::default());
            let dialler = link::Dialler {
                peer: node.id.clone(),
                address: node.address.clone(),
                tls: tls::pinned_client(setup.identity, node.id.as_str(), &node.public_key)?,
                state: Arc::clone(&state),
                metrics: Arc::clone(&setup.metrics),
                boot: setup.boot,
                greeting: Arc::clone(&setup.greeting),
            };
            let stop = setup.stop.clone();
            setup.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = dialler.run(waiting) => {}
                }
            });
            links.insert(node.id.clone(), Link { queue, state });
        }
        Ok(Arc::new(Self { links, metrics: Arc::clone(&setup.metrics) }))
    }

    /// Queues a session frame.
    pub fn send_frame(&self, to: &NodeId, frame: pb::SessionFrame) {
        let direction = Reason { reason: "sent" };
        self.metrics.frames.get_or_create(&direction).inc();
        self.metrics.frame_bytes.get_or_create(&direction).inc_by(frame.body.len() as u64);
        self.send(to, pb::peer_message::Kind::Frame(frame));
    }

    /// Queues a message for one peer; dropped and counted if its queue is full.
    pub fn send(&self, to: &NodeId, kind: pb::peer_message::Kind) {
        let Some(link) = self.links.get(to) else { return };
        let queued = Queued { message: pb::PeerMessage { kind: Some(kind) }, since: Instant::now() };
        if link.queue.try_send(queued).is_err() {
            self.metrics.drop_message("send_queue_full");
            if let Some(count) = crate::ratelimit::WARNINGS.pass("send_queue_full") {
                tracing::warn!(peer = %to, count, "dropped a message because the peer does not take them fast enough");
            }
        }
    }

    /// Queues a message for every peer.
    pub fn send_all(&self, kind: &pb::peer_message::Kind) {
        for node in self.links.keys() {
            self.send(node, kind.clone());
        }
    }

    /// Whether messages go both ways.
    pub fn connected(&self, peer: &NodeId) -> bool {
        self.links.get(peer).is_some_and(|link| link.state.connected())
    }

    /// The boot that a peer has named last.
    pub fn boot(&self, peer: &NodeId) -> Option<[u8; 16]> {
        *self.links.get(peer)?.state.boot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a peer's boot as it came with a probe.
    fn note_boot(&self, peer: &NodeId, boot: &[u8]) {
        if let (Some(link), Ok(boot)) = (self.links.get(peer), boot.try_into()) {
            *link.state.boot.lock().unwrap_or_else(PoisonError::into_inner) = Some(boot);
        }
    }

    /// The links, by name.
    pub fn health(&self) -> Vec<Health> {
        let mut health: Vec<_> = self
            .links
            .iter()
            .map(|(node, link)| Health {
                node: node.clone(),
                connected: link.state.connected(),
                round_trip_us: link.state.round_trip_us.load(Ordering::Relaxed),
            })
            .collect();
        health.sort_by(|a, b| a.node.cmp(&b.node));
        health
    }

    /// Notes that a peer's own link to us has opened; the guard notes its end. None if the peer has links enough.
    fn inbound(&self, peer: &NodeId) -> Option<InboundGuard> {
        let state = Arc::clone(&self.links.get(peer)?.state);
        let one_more = |open: usize| if open < INBOUND { Some(open.saturating_add(1)) } else { None };
        state.inbound.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        state.publish(peer, &self.metrics);
        Some(InboundGuard { state, peer: peer.clone(), metrics: Arc::clone(&self.metrics), open: true })
    }
}

impl LinkState {
    fn connected(&self) -> bool {
        self.outbound.load(Ordering::Relaxed) && self.inbound.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, peer: &NodeId, metrics: &Metrics) {
        let label = Peer { peer: peer.to_string() };
        metrics.peer_connected.get_or_create(&label).set(i64::from(self.connected()));
        #[expect(clippy::cast_precision_loss, reason = "a metric in seconds")]
        let seconds = self.round_trip_us.load(Ordering::Relaxed) as f64 / 1e6;
        metrics.peer_round_trip.get_or_create(&label).set(seconds);
    }
}

/// Holds the mark that a peer's link to us is open.
struct InboundGuard {
    state: Arc<LinkState>,
    peer: NodeId,
    metrics: Arc<Metrics>,
    open: bool,
}

impl InboundGuard {
    /// Takes the mark away; true if it was the peer's last.
    fn close(mut self) -> bool {
        self.leave()
    }

    fn leave(&mut self) -> bool {
        if !std::mem::take(&mut self.open) {
            return false;
        }
        let before = self.state.inbound.fetch_sub(1, Ordering::Relaxed);
        self.state.publish(&self.peer, &self.metrics);
        before <= 1
    }
}

impl Drop for InboundGuard {
    fn drop(&mut self) {
        self.leave();
    }
}
