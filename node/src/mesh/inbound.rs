//! Links that peers have dialled: what comes in on them goes to its place.

use std::sync::Arc;

use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::pb::peer_message::Kind;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::Mesh;
use crate::metrics::Reason;
use crate::peers::{self, Talk};

/// Answers that wait for the transport; a peer that does not take them gets no more.
const ANSWERS: usize = 16;

/// What peers pass on among themselves.
#[derive(Debug)]
pub enum PassedOn {
    /// Nonce commitments shared ahead.
    NonceBatch(pb::Envelope),
    /// What proves which of a key's shares sign.
    KeyEpoch(Box<pb::KeyEpoch>),
    /// Something said.
    Talk(Talk),
}

impl PassedOn {
    /// Its name in metrics and the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NonceBatch(_) => "nonce_batch",
            Self::KeyEpoch(_) => "key_epoch",
            Self::Talk(talk) => talk.name(),
        }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::NonceBatch(envelope) => envelope.encoded_len(),
            Self::KeyEpoch(news) => news.encoded_len(),
            Self::Talk(talk) => talk.bytes(),
        }
    }

    /// Copies what is part of the transport's whole buffer, which is longer than what was counted.
    pub fn detach(&mut self) {
        match self {
            Self::NonceBatch(envelope) => peers::detach(envelope),
            Self::KeyEpoch(news) => {
                let past = news.past.iter_mut().flat_map(|past| past.certificate.iter_mut().chain(&mut past.order));
                let now = news.certificate.iter_mut().chain(&mut news.order).chain(&mut news.switched);
                now.chain(past).for_each(peers::detach);
            }
            Self::Talk(talk) => talk.detach(),
        }
    }
}

/// What peers cause. Calls must not block.
pub trait PeerEvents: Send + Sync + 'static {
    /// A session frame.
    fn frame(&self, from: &NodeId, frame: pb::SessionFrame);
    /// Something to be read.
    fn passed_on(&self, from: &NodeId, message: PassedOn);
    /// A message without meaning here.
    fn garbage(&self, from: &NodeId);
    /// The peer's last link has ended.
    fn lost(&self, peer: &NodeId);
}

/// Serves a link until it ends. Gives the stream of answers, or nothing to a stranger or a peer with links enough.
pub fn serve<S>(
    mesh: &Arc<Mesh>,
    peer: NodeId,
    mut messages: S,
    events: Arc<dyn PeerEvents>,
    stop: CancellationToken,
    tasks: &tokio_util::task::TaskTracker,
) -> Option<ReceiverStream<Result<pb::PeerMessage, tonic::Status>>>
where
    S: Stream<Item = Result<pb::PeerMessage, tonic::Status>> + Send + Unpin + 'static,
{
    let open = mesh.inbound(&peer)?;
    let (metrics, mesh) = (Arc::clone(&mesh.metrics), Arc::clone(mesh));
    let (answers, stream) = mpsc::channel(ANSWERS);
    tasks.spawn(async move {
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => break,
                message = messages.next() => message,
            };
            match message {
                Some(Ok(pb::PeerMessage { kind: Some(kind) })) => match kind {
                    Kind::Frame(frame) => {
                        let direction = Reason { reason: "received" };
                        metrics.frames.get_or_create(&direction).inc();
                        metrics.frame_bytes.get_or_create(&direction).inc_by(frame.body.len() as u64);
                        events.frame(&peer, frame);
                    }
                    Kind::Ping(ping) => {
                        mesh.note_boot(&peer, &ping.boot);
                        drop(answers.try_send(Ok(pb::PeerMessage { kind: Some(Kind::Pong(ping)) })));
                    }
                    Kind::NonceBatch(batch) => events.passed_on(&peer, PassedOn::NonceBatch(batch)),
                    Kind::KeyEpoch(news) => events.passed_on(&peer, PassedOn::KeyEpoch(Box::new(news))),
                    kind => match Talk::of(kind) {
                        Some(talk) => events.passed_on(&peer, PassedOn::Talk(talk)),
                        // a pong has no place on this side
                        None => events.garbage(&peer),
                    },
                },
                Some(Ok(pb::PeerMessage { kind: None })) => events.garbage(&peer),
                Some(Err(status)) => {
                    // An oversized or undecodable message ends the stream with one of these codes; a lost connection
                    // ends it with others.
                    if matches!(status.code(), tonic::Code::OutOfRange | tonic::Code::Internal) {
                        events.garbage(&peer);
                    }
                    break;
                }
                None => break,
            }
        }
        if open.close() {
            events.lost(&peer);
        }
    });
    Some(ReceiverStream::new(stream))
}
