//! What a signer says first on a new link.

use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;
use limen_wire::pb::peer_message::Kind;
use limen_wire::pb::peer_server::{Peer, PeerServer};
use limen_wire::tls::{self, Pins, TlsIdentity};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::{Cluster, shared_nonces};

/// A peer that hands on what it is told, and says nothing.
struct Listens(mpsc::Sender<pb::PeerMessage>);

#[tonic::async_trait]
impl Peer for Listens {
    type LinkStream = ReceiverStream<Result<pb::PeerMessage, Status>>;

    async fn link(&self, request: Request<Streaming<pb::PeerMessage>>) -> Result<Response<Self::LinkStream>, Status> {
        let (told, mut messages) = (self.0.clone(), request.into_inner());
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let _open = answers;
            while let Ok(Some(message)) = messages.message().await {
                if told.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Bad news waits for nothing: neither for certificates to be read nor for nonces.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_begins_with_the_question_for_stop_records() {
    let mut cluster = Cluster::start(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    shared_nonces(&cluster, "words", &[1, 2]).await;
    cluster.stop(1).await;
    let second = &cluster.machines[1];
    let identity = TlsIdentity::from_pem_files(&second.certificate, &second.key).unwrap();
    let pins = Pins::default().with("n1", &cluster.machines[0].public.parse().unwrap());
    let listener = TcpListener::bind(cluster.addresses[1]).await.unwrap();
    let incoming = tls::incoming(listener, tls::pinned_server(&identity, pins).unwrap(), |_, _| {});
    let (told, mut hears) = mpsc::channel(1024);
    let server = tonic::transport::Server::builder().add_service(PeerServer::new(Listens(told)));
    let serving = tokio::spawn(server.serve_with_incoming(incoming));

    let mut kinds = Vec::new();
    while !kinds.contains(&"nonces") {
        let message = tokio::time::timeout(crate::cluster::PATIENCE, hears.recv()).await.unwrap().unwrap();
        kinds.push(match message.kind.unwrap() {
            Kind::StopsAfter(_) => "question",
            Kind::KeyEpoch(_) => "certificate",
            Kind::NonceBatch(_) => "nonces",
            other => panic!("{other:?} is no greeting"),
        });
    }
    assert_eq!(kinds, ["question", "certificate", "nonces"]);
    serving.abort();
}
