//! The door for other signers.

use std::collections::HashMap;
use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::pb::peer_server::Peer;
use limen_wire::tls;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::mesh::{self, PassedOn, PeerEvents};
use crate::peers::Talk;
use crate::shared::{CallerKind, Shared, parse_caller};
use crate::{epochs, peers, upkeep};

/// What one peer has passed on and nobody has read yet; more is dropped and counted.
const WAITING: usize = 1024;
/// Questions how we stand that wait: a later one makes an earlier one old, so only the latest is answered.
const QUESTIONS: usize = 64;
/// The same in bytes, of both.
const WAITING_BYTES: usize = 8 << 20;

/// The service for peers.
#[derive(Debug, Clone)]
pub struct PeerService {
    shared: Arc<Shared>,
    desks: Arc<HashMap<NodeId, Desk>>,
}

impl PeerService {
    /// Serves this signer. Must be called within the runtime.
    pub fn new(shared: Arc<Shared>) -> Self {
        let charter = shared.charter();
        let peers = charter.nodes.iter().map(|node| &node.id).filter(|peer| **peer != shared.me);
        let desks = peers.map(|peer| (peer.clone(), Desk::start(&shared, peer))).collect();
        Self { shared, desks: Arc::new(desks) }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type LinkStream = ReceiverStream<Result<pb::PeerMessage, Status>>;

    async fn link(&self, request: Request<Streaming<pb::PeerMessage>>) -> Result<Response<Self::LinkStream>, Status> {
        let refuse = |code, message: &str| Status::from(self.shared.refuse(ApiError::new(code, message)));
        let name = tls::caller(&request, &self.shared.pins);
        let peer = match name.as_deref().and_then(parse_caller) {
            Some((CallerKind::Node, peer)) if peer != self.shared.me => peer,
            _ => return Err(refuse(Code::NotEnrolled, "only another signer of the charter may open a link")),
        };
        let shared = &self.shared;
        let events: Arc<dyn PeerEvents> =
            Arc::new(Events { shared: Arc::clone(shared), desks: Arc::clone(&self.desks) });
        let stop = shared.mesh_stop.clone();
        let answers = mesh::serve(&shared.mesh, peer, request.into_inner(), events, stop, &shared.links);
        answers
            .map(Response::new)
            .ok_or_else(|| refuse(Code::Overloaded, "this signer keeps enough links of this peer"))
    }
}

struct Events {
    shared: Arc<Shared>,
    desks: Arc<HashMap<NodeId, Desk>>,
}

impl PeerEvents for Events {
    fn frame(&self, from: &NodeId, frame: pb::SessionFrame) {
        self.shared.sessions.deliver(from, frame);
    }
    fn passed_on(&self, from: &NodeId, message: PassedOn) {
        if !self.desks.get(from).is_some_and(|desk| desk.put(message)) {
            self.shared.sessions.dropped(from, "peer_overload");
        }
    }
    fn garbage(&self, from: &NodeId) {
        self.shared.sessions.dropped(from, "garbage");
    }
    fn lost(&self, peer: &NodeId) {
        self.shared.sessions.peer_lost(peer);
    }
}

/// What one peer has passed on is read here one after the other, so that it takes neither memory nor threads from what
/// the other peers send, and a later batch never comes before an earlier one. Questions how we stand have a line of their own:
/// an answer is signed, perhaps by a token that takes its time, and bad news does not wait for that.
#[derive(Debug)]
struct Desk {
    queue: mpsc::Sender<Waiting>,
    questions: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// A message with its place.
type Waiting = (PassedOn, OwnedSemaphorePermit);

/// What waits to be read.
struct Line {
    waiting: mpsc::Receiver<Waiting>,
    /// A later one makes the earlier ones old.
    only_latest: bool,
}

impl Line {
    /// The next one to be read; `None` once nothing can come.
    async fn next(&mut self) -> Option<Waiting> {
        let mut next = self.waiting.recv().await?;
        while self.only_latest
            && let Ok(later) = self.waiting.try_recv()
        {
            next = later;
        }
        Some(next)
    }
}

impl Desk {
    fn start(shared: &Arc<Shared>, peer: &NodeId) -> Self {
        let (desk, lines) = Self::new();
        for mut line in lines {
            let (task, stop, peer) = (Arc::clone(shared), shared.mesh_stop.clone(), peer.clone());
            shared.links.spawn(async move {
                while let Some(Some((message, _room))) = stop.run_until_cancelled(line.next()).await {
                    let what = message.name();
                    if let Err(error) = read(&task, &peer, message).await {
                        task.metrics.drop_message(what);
                        if let Some(count) = crate::ratelimit::WARNINGS.pass(what) {
                            tracing::warn!(%peer, %error, what, count, "refused what a peer passed on");
                        }
                    }
                }
            });
        }
        desk
    }

    fn new() -> (Self, [Line; 2]) {
        let ((queue, all), (questions, latest)) = (mpsc::channel(WAITING), mpsc::channel(QUESTIONS));
        let desk = Self { queue, questions, room: Arc::new(Semaphore::new(WAITING_BYTES)) };
        (desk, [Line { waiting: all, only_latest: false }, Line { waiting: latest, only_latest: true }])
    }

    /// `false` if there is no room.
    fn put(&self, mut message: PassedOn) -> bool {
        let bytes = u32::try_from(message.bytes()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else { return false };
        message.detach();
        let line = match &message {
            PassedOn::Talk(Talk::StandingCall(_)) => &self.questions,
            _ => &self.queue,
        };
        line.try_send((message, room)).is_ok()
    }
}

async fn read(shared: &Arc<Shared>, from: &NodeId, message: PassedOn) -> Result<(), ApiError> {
    match message {
        // Reading points takes milliseconds per batch: not on the threads that serve links.
        PassedOn::NonceBatch(batch) => {
            let (task, peer) = (Arc::clone(shared), from.clone());
            let lost = |_| ApiError::new(Code::Internal, "reading a nonce batch was cut off");
            shared.crypto.run(move || upkeep::keep_nonces(&task, &peer, &batch)).await.map_err(lost)?
        }
        PassedOn::KeyEpoch(news) => epochs::take(shared, *news).await,
        PassedOn::Talk(said) => peers::read(shared.as_ref(), from, said).await,
    }
}

#[cfg(test)]
mod tests;
