//! The door for other signers.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::pb::peer_server::Peer;
use limen_wire::tls;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::mesh::{self, PeerEvents};
use crate::shared::{CallerKind, Shared, parse_caller};
use crate::{keygen, service, upkeep};

/// The service for peers.
#[derive(Debug, Clone)]
pub struct PeerService {
    shared: Arc<Shared>,
}

impl PeerService {
    /// Serves this signer.
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type LinkStream = ReceiverStream<Result<pb::PeerMessage, Status>>;

    async fn link(&self, request: Request<Streaming<pb::PeerMessage>>) -> Result<Response<Self::LinkStream>, Status> {
        let refuse = |message: &str| Status::from(self.shared.refuse(ApiError::new(Code::NotEnrolled, message)));
        let name = tls::caller(&request, &self.shared.pins);
        let peer = match name.as_deref().and_then(parse_caller) {
            Some((CallerKind::Node, peer)) if peer != self.shared.me => peer,
            _ => return Err(refuse("only another signer of the charter may open a link")),
        };
        let shared = &self.shared;
        let events: Arc<dyn PeerEvents> = Arc::new(Events { shared: Arc::clone(shared) });
        let stop = shared.mesh_stop.clone();
        let answers = mesh::serve(&shared.mesh, peer, request.into_inner(), events, stop, &shared.links);
        answers.map(Response::new).ok_or_else(|| refuse("no link is kept to this signer"))
    }
}

struct Events {
    shared: Arc<Shared>,
}

impl Events {
    /// Runs what a message causes, beside the link; bounded by the store's queue, which refuses when it is full.
    fn spawn(
        &self,
        from: &NodeId,
        what: &'static str,
        work: impl Future<Output = Result<(), ApiError>> + Send + 'static,
    ) {
        let (shared, from) = (Arc::clone(&self.shared), from.clone());
        self.shared.links.spawn(async move {
            if let Err(error) = work.await {
                shared.metrics.drop_message(what);
                if let Some(count) = crate::ratelimit::WARNINGS.pass(what) {
                    tracing::warn!(peer = %from, %error, what, count, "refused what a peer passed on");
                }
            }
        });
    }
}

impl PeerEvents for Events {
    fn frame(&self, from: &NodeId, frame: pb::SessionFrame) {
        self.shared.sessions.deliver(from, frame);
    }
    fn nonce_batch(&self, from: &NodeId, batch: pb::Envelope) {
        let (shared, peer) = (Arc::clone(&self.shared), from.clone());
        // Reading points takes milliseconds per batch: not on the thread that serves links.
        self.spawn(from, "nonce_batch", async move {
            let task = Arc::clone(&shared);
            let lost = |_| ApiError::new(Code::Internal, "reading a nonce batch was cut off");
            shared.crypto.run(move || upkeep::keep_nonces(&task, &peer, &batch)).await.map_err(lost)?
        });
    }
    fn key_certificate(&self, from: &NodeId, certificate: pb::Envelope) {
        let shared = Arc::clone(&self.shared);
        self.spawn(from, "certificate", async move { keygen::activate(&shared, certificate).await });
    }
    fn stop_record(&self, from: &NodeId, record: pb::Envelope) {
        let shared = Arc::clone(&self.shared);
        self.spawn(from, "stop_record", async move { service::stop(&shared, record, false).await.map(drop) });
    }
    fn garbage(&self, from: &NodeId) {
        self.shared.sessions.dropped(from, "garbage");
    }
    fn lost(&self, peer: &NodeId) {
        self.shared.sessions.peer_lost(peer);
    }
}
