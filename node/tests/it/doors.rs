//! Who gets in, and what becomes of what does not belong.

use std::sync::Arc;

use limen_node::metrics::Reason;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;
use limen_wire::pb::peer_client::PeerClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::cluster::{Cluster, Machine, eventually, machine, message_intent, session, signature};

fn dropped(cluster: &Cluster, index: usize, reason: &'static str) -> u64 {
    cluster.node(index).shared().metrics.dropped.get_or_create(&Reason { reason }).get()
}

/// A link to a signer as this machine.
async fn link(cluster: &Cluster, to: usize, who: &Machine) -> Result<mpsc::Sender<pb::PeerMessage>, tonic::Status> {
    let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
    let config = tls::pinned_client(&identity, "n", &cluster.machines[to].public.parse().unwrap()).unwrap();
    let channel = Dial::new(cluster.addresses[to].to_string(), "n").lazy(config).unwrap();
    let (send, receive) = mpsc::channel(4096);
    let mut client = PeerClient::new(channel).max_encoding_message_size(16 << 20);
    let answers = client.link(ReceiverStream::new(receive)).await?.into_inner();
    // the answers are not read; the stream lives as long as the test's runtime
    tokio::spawn(async move {
        let mut answers = answers;
        while let Ok(Some(_)) = answers.message().await {}
    });
    Ok(send)
}

fn frame(session: &[u8], from: u32, round: u32, body: Vec<u8>) -> pb::PeerMessage {
    let frame = pb::SessionFrame {
        session_id: session.to_vec().into(),
        round,
        from,
        to: 0,
        tag: vec![1; 32].into(),
        body: body.into(),
    };
    pb::PeerMessage { kind: Some(pb::peer_message::Kind::Frame(frame)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_get_in_and_machines_keep_to_their_doors() {
    let cluster = Cluster::start(3, 2).await;
    let stranger = machine(cluster.folder.path(), "stranger");
    let refused = || cluster.node(0).shared().metrics.refused_connections.get();
    let before = refused();
    assert!(cluster.client_as(0, &stranger).status(pb::StatusRequest {}).await.is_err());
    assert!(link(&cluster, 0, &stranger).await.is_err());
    eventually("the refusals", || refused() >= before + 2).await;
    // a signer is no coordinator, a coordinator is no signer
    let status = cluster.client_as(0, &cluster.machines[1]).status(pb::StatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let status = link(&cluster, 0, &cluster.coordinator).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    // a signer that dials a server with another key than the pinned one does not talk to it
    let identity = TlsIdentity::from_pem_files(&cluster.coordinator.certificate, &cluster.coordinator.key).unwrap();
    let config = tls::pinned_client(&identity, "n", &stranger.public.parse().unwrap()).unwrap();
    let channel = Dial::new(cluster.addresses[0].to_string(), "n").lazy(config).unwrap();
    let mut client = pb::signer_client::SignerClient::new(channel);
    assert!(client.status(pb::StatusRequest {}).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_tls_are_refused_and_counted() {
    let cluster = Cluster::start(2, 2).await;
    let before = cluster.node(0).shared().metrics.refused_connections.get();
    let mut socket = TcpStream::connect(cluster.addresses[0]).await.unwrap();
    socket.write_all(&[0x42; 4096]).await.unwrap();
    let mut rest = Vec::new();
    drop(socket.read_to_end(&mut rest).await);
    eventually("the refusal", || cluster.node(0).shared().metrics.refused_connections.get() > before).await;
    cluster.client(0).status(pb::StatusRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insider_that_floods_a_session_with_nonsense_does_not_harm_it() {
    let cluster = Arc::new(Cluster::start(3, 2).await);
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let used = session();
    // signer 3 is pinned but not in the set; signer 2 is in the set and sends nonsense beside its own frames
    let outsider = link(&cluster, 0, &cluster.machines[2]).await.unwrap();
    let insider = link(&cluster, 0, &cluster.machines[1]).await.unwrap();
    for round in 0..4 {
        outsider.send(frame(&used, 3, round, vec![1; 64])).await.unwrap();
        outsider.send(frame(&used, 2, round, vec![1; 64])).await.unwrap();
        insider.send(frame(&used, 2, round, vec![2; 64])).await.unwrap();
        insider.send(frame(&used, 3, round, vec![2; 64])).await.unwrap();
        insider.send(frame(&used, 1, round, vec![2; 64])).await.unwrap();
    }
    insider.send(frame(&used, 2, 999, Vec::new())).await.unwrap();
    insider.send(frame(&used[..31], 2, 1, Vec::new())).await.unwrap();
    insider.send(pb::PeerMessage { kind: None }).await.unwrap();
    insider.send(frame(&used, 2, 1, vec![3; (1 << 20) + 1])).await.unwrap();
    eventually("the nonsense", || dropped(&cluster, 0, "oversize") == 1 && dropped(&cluster, 0, "garbage") == 3).await;

    let (_, intent) = message_intent(&cluster, "words", "m-1", "unharmed");
    let answers = cluster.sign_in(&intent, &[1, 2], used.clone()).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    assert_eq!(dropped(&cluster, 0, "outside_signer_set"), 8);
    assert!(dropped(&cluster, 0, "wrong_tag") + dropped(&cluster, 0, "wrong_sender") > 0);
    // what comes after the end is a straggler
    insider.send(frame(&used, 2, 1, vec![2; 64])).await.unwrap();
    eventually("the straggler", || dropped(&cluster, 0, "after_end") >= 1).await;
}

/// The last-round frame that a signer sent in its newest session, from its trace.
fn traced_frame(cluster: &Cluster, name: &str) -> pb::SessionFrame {
    let trace = std::fs::read_to_string(cluster.path(&format!("{name}.partials"))).unwrap();
    let line: serde_json::Value = serde_json::from_str(trace.lines().last().unwrap()).unwrap();
    let bytes = |field: &str| hex::decode(line[field].as_str().unwrap()).unwrap().into();
    let number = |field: &str| u32::try_from(line[field].as_u64().unwrap()).unwrap();
    pb::SessionFrame {
        session_id: bytes("session"),
        round: number("round"),
        from: number("from"),
        to: number("to"),
        tag: bytes("tag"),
        body: bytes("body"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_frame_is_dropped_in_its_own_session_and_in_every_other() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let first = session();
    let (_, intent) = message_intent(&cluster, "words", "m-1", "first");
    let answers = cluster.sign_in(&intent, &[1, 2], first.clone()).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    let real = traced_frame(&cluster, "n2");
    assert_eq!((real.session_id.as_ref(), real.from), (first.as_slice(), 2));
    let insider = link(&cluster, 0, &cluster.machines[1]).await.unwrap();
    let replay =
        |frame: &pb::SessionFrame| pb::PeerMessage { kind: Some(pb::peer_message::Kind::Frame(frame.clone())) };
    let after_end = dropped(&cluster, 0, "after_end");
    insider.send(replay(&real)).await.unwrap();
    eventually("the replay after the end", || dropped(&cluster, 0, "after_end") > after_end).await;
    // the same bytes under the name of the next session, there before its own frames
    let second = session();
    insider.send(replay(&pb::SessionFrame { session_id: second.clone().into(), ..real })).await.unwrap();
    insider.send(pb::PeerMessage { kind: None }).await.unwrap();
    eventually("the mark behind the replay", || dropped(&cluster, 0, "garbage") == 1).await;
    let (_, intent) = message_intent(&cluster, "words", "m-2", "second");
    let answers = cluster.sign_in(&intent, &[1, 2], second).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    assert_eq!(dropped(&cluster, 0, "wrong_tag"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_every_bound_ends_only_its_own_link() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let other = link(&cluster, 0, &cluster.machines[2]).await.unwrap();
    other.send(frame(&session(), 3, 1, vec![0; 5 << 20])).await.unwrap();
    eventually("the refusal", || dropped(&cluster, 0, "garbage") == 1).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "unharmed");
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_on_loopback_without_secrets() {
    let cluster = Cluster::start_metrics(2, 2).await;
    let address = cluster.node(0).metrics_address().unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    for name in
        ["limen_node_sessions_running", "limen_node_peer_connected{peer=\"n2\"} 1", "limen_node_store_commit_seconds"]
    {
        assert!(text.contains(name), "{name} in {text}");
    }
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /etc/passwd HTTP/1.1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404"));
}
