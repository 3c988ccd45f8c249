//! One outgoing link: dial, send, measure, and dial again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limen_wire::ids::NodeId;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::peer_client::PeerClient;
use limen_wire::tls::Dial;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Greeting, LinkState, Queued};
use crate::entropy;
use crate::identity::IdentityError;
use crate::metrics::Metrics;

/// Messages in the hands of the transport.
const PIPE: usize = 64;
/// A message that waited longer belongs to a session that has given up.
const STALE: Duration = Duration::from_secs(10);
/// Time between round-trip probes.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Silence after which a link counts as dead.
const SILENCE: Duration = Duration::from_secs(4);
/// How long the transport may refuse to take a message.
const STALLED: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps a link to one peer.
pub(super) struct Dialler {
    pub(super) peer: NodeId,
    pub(super) address: String,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) state: Arc<LinkState>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) boot: [u8; 16],
    pub(super) greeting: Greeting,
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("dialling failed: {0}")]
    Dial(#[from] limen_wire::tls::TlsError),
    #[error("the link was refused or lost: {}", .0.message())]
    Status(#[from] tonic::Status),
    #[error("the greeting is not signed: {0}")]
    Identity(#[from] IdentityError),
    #[error("the peer closed the link")]
    Closed,
    #[error("no answer for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the peer took no message for {} s", STALLED.as_secs())]
    Stalled,
}

impl Dialler {
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Queued>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let error = match self.link(&mut queue).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if self.state.outbound.swap(false, Ordering::Relaxed) {
                tracing::info!(peer = %self.peer, %error, "link lost");
            } else {
                tracing::debug!(peer = %self.peer, %error, "no link");
            }
            self.state.publish(&self.peer, &self.metrics);
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, until it ends; `Ok` once the queue is closed.
    async fn link(&self, queue: &mut mpsc::Receiver<Queued>) -> Result<(), LinkError> {
        let channel = Dial::new(&self.address, self.peer.as_str()).lazy(Arc::clone(&self.tls))?;
        let mut client = PeerClient::new(channel)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES);
        let (pipe, messages) = mpsc::channel(PIPE);
        let mut answers = client.link(ReceiverStream::new(messages)).await?.into_inner();
        for message in (self.greeting)(&self.peer).await? {
            push(&pipe, message).await?;
        }
        let mut probe = Probe::new();
        let mut ticks = tokio::time::interval(PING_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                queued = queue.recv() => {
                    let Some(queued) = queued else { return Ok(()) };
                    if queued.since.elapsed() > STALE {
                        self.metrics.drop_message("stale");
                    } else {
                        push(&pipe, queued.message).await?;
                    }
                }
                answer = answers.next() => self.answered(answer.ok_or(LinkError::Closed)??, &mut probe),
                _ = ticks.tick() => {
                    if probe.heard.elapsed() > SILENCE {
                        return Err(LinkError::Silent);
                    }
                    push(&pipe, probe.next(&self.boot)).await?;
                }
            }
        }
    }

    fn answered(&self, answer: pb::PeerMessage, probe: &mut Probe) {
        let Some(pb::peer_message::Kind::Pong(pong)) = answer.kind else {
            return self.metrics.drop_message("unexpected_answer");
        };
        let Some(sample) = probe.answered(pong.nonce) else { return };
        let old = self.state.round_trip_us.load(Ordering::Relaxed);
        // RFC 6298's smoothing: one eighth of the new sample
        let smoothed = if old == 0 { sample } else { old.saturating_mul(7).saturating_add(sample) / 8 };
        self.state.round_trip_us.store(smoothed.max(1), Ordering::Relaxed);
        if !self.state.outbound.swap(true, Ordering::Relaxed) {
            tracing::info!(peer = %self.peer, round_trip_us = sample, "link up");
        }
        self.state.publish(&self.peer, &self.metrics);
    }
}

async fn push(pipe: &mpsc::Sender<pb::PeerMessage>, message: pb::PeerMessage) -> Result<(), LinkError> {
    match tokio::time::timeout(STALLED, pipe.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(LinkError::Closed),
        Err(_) => Err(LinkError::Stalled),
    }
}

fn jittered(pause: Duration) -> Duration {
    let [byte] = *entropy::random::<1>();
    // between half and one and a half
    pause.mul_f64(f64::from(byte) / 255.0 + 0.5)
}

/// Round-trip probes: one at a time counts.
struct Probe {
    nonce: u64,
    sent: Instant,
    heard: Instant,
}

impl Probe {
    fn new() -> Self {
        let now = Instant::now();
        Self { nonce: 0, sent: now, heard: now }
    }

    fn next(&mut self, boot: &[u8; 16]) -> pb::PeerMessage {
        self.nonce = self.nonce.wrapping_add(1);
        self.sent = Instant::now();
        pb::PeerMessage {
            kind: Some(pb::peer_message::Kind::Ping(pb::Ping { nonce: self.nonce, boot: boot.to_vec().into() })),
        }
    }

    /// Microseconds, if this answers the newest probe.
    fn answered(&mut self, nonce: u64) -> Option<u64> {
        if nonce != self.nonce {
            return None;
        }
        self.heard = Instant::now();
        u64::try_from(self.sent.elapsed().as_micros()).ok()
    }
}
