//! Stop records from people and from peers: who may bring them, and that every signer hears them in the end.

use limen_node::metrics::Reason;
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::freeze::{Freeze, Unfreeze};
use limen_wire::ids::{FreezeEpoch, IntentId, Protocol, Scheme, SliceHash};
use limen_wire::intent::{Cancellation, Intent};
use limen_wire::pb;
use limen_wire::pb::peer_client::PeerClient;
use limen_wire::pb::peer_message::Kind;
use limen_wire::pb::signer_client::SignerClient;
use limen_wire::pb::stops_client::StopsClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::cluster::{Cluster, Machine, eventually, machine, message_intent, person_key, refusal, signature};

/// A connection to a signer with the certificate and key of that name in the cluster's folder.
fn channel(cluster: &Cluster, index: usize, who: &str) -> Channel {
    let identity =
        TlsIdentity::from_pem_files(&cluster.path(&format!("{who}.crt")), &cluster.path(&format!("{who}.key")));
    let server = cluster.machines[index].public.parse().unwrap();
    let config = tls::pinned_client(&identity.unwrap(), "n", &server).unwrap();
    Dial::new(cluster.addresses[index].to_string(), "n").lazy(config).unwrap()
}

pub(crate) fn client(cluster: &Cluster, index: usize) -> StopsClient<Channel> {
    StopsClient::new(channel(cluster, index, "client"))
}

pub(crate) fn freeze(scope: &str, nonce: u8) -> (IntentId, pb::Envelope) {
    let freeze = Freeze {
        id: IntentId::new([0; 32]),
        cluster: "test".parse().unwrap(),
        person: "anna".parse().unwrap(),
        credential: "anna-terminal".parse().unwrap(),
        scope: scope.parse().unwrap(),
        reason: "burglars".to_owned(),
        nonce: [nonce; 32],
    };
    let envelope = seal(PayloadType::Freeze, freeze.to_payload(), "anna-terminal", &person_key());
    (Freeze::open(&envelope).unwrap().0.id, envelope)
}

fn unfreeze(id: IntentId) -> pb::Envelope {
    let unfreeze = Unfreeze {
        id: IntentId::new([0; 32]),
        cluster: "test".parse().unwrap(),
        person: "anna".parse().unwrap(),
        credential: "anna-terminal".parse().unwrap(),
        freezes: vec![id],
        reason: String::new(),
    };
    seal(PayloadType::Unfreeze, unfreeze.to_payload(), "anna-terminal", &person_key())
}

fn rejection(intent_id: IntentId, nonce: u8) -> pb::Envelope {
    let approval = Approval {
        cluster: "test".parse().unwrap(),
        intent_id,
        effects_digest: [0; 32],
        decoder_version: 0,
        slice: SliceHash::new([0; 32]),
        freeze_epoch: FreezeEpoch::NONE,
        person: "anna".parse().unwrap(),
        credential: "anna-terminal".parse().unwrap(),
        preceding: None,
        expires_at_secs: u64::MAX,
        verdict: Verdict::Reject,
        reason: "not this".to_owned(),
        nonce: [nonce; 32],
    };
    let proof = Proof::Signature(person_key().sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }.to_envelope()
}

pub(crate) fn cancellation(cluster: &Cluster, id: IntentId) -> pb::Envelope {
    let record = pb::Cancellation {
        version: 1,
        cluster: "test".to_owned(),
        requester: "backend".to_owned(),
        intent_id: id.as_bytes().to_vec().into(),
        reason: String::new(),
    };
    seal(PayloadType::Cancellation, record.encode_to_vec(), "backend", &cluster.backend)
}

async fn hand_in(cluster: &Cluster, index: usize, record: pb::Envelope) {
    let answer = client(cluster, index).hand_in(pb::HandInRequest { record: Some(record) }).await.unwrap();
    assert_eq!(answer.into_inner().node, format!("n{}", index + 1));
}

fn taken(cluster: &Cluster, index: usize) -> u64 {
    cluster.node(index).shared().store.view().unwrap().stop_head().unwrap().length
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hands_stop_records_in_and_may_do_nothing_else() {
    let cluster = Cluster::start(2, 2).await;
    hand_in(&cluster, 0, freeze("cluster", 1).1).await;
    let held = client(&cluster, 0).list_freezes(pb::ListFreezesRequest {}).await.unwrap().into_inner();
    assert_eq!((held.node.as_str(), held.freezes.len()), ("n1", 1));
    assert_eq!(held.freezes[0].freeze, Some(freeze("cluster", 1).1));
    // Every other door stays shut.
    let mut signer = SignerClient::new(channel(&cluster, 0, "client"));
    assert_eq!(signer.status(pb::StatusRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(signer.announce(pb::AnnounceRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(signer.sign(pb::SignRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(signer.stop(pb::StopRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    let (_send, messages) = mpsc::channel(1);
    let link = PeerClient::new(channel(&cluster, 0, "client")).link(ReceiverStream::new(messages)).await;
    assert_eq!(link.unwrap_err().code(), Code::Unauthenticated);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(&cluster, 0, "client"));
    let checked = health.check(tonic_health::pb::HealthCheckRequest::default()).await;
    assert_eq!(checked.unwrap_err().code(), Code::Unauthenticated);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(&cluster, 0, "c1"));
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    // A certificate of nobody's authority does not get in.
    machine(cluster.folder.path(), "stranger");
    let mut stranger = StopsClient::new(channel(&cluster, 0, "stranger"));
    assert!(stranger.list_freezes(pb::ListFreezesRequest {}).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_too_much_are_refused_by_name() {
    let cluster = Cluster::start(2, 2).await;
    let refused = async |record: Option<pb::Envelope>| {
        client(&cluster, 0).hand_in(pb::HandInRequest { record }).await.unwrap_err().code()
    };
    assert_eq!(refused(None).await, Code::InvalidArgument);
    let approval = pb::Envelope { payload_type: PayloadType::Approval.as_str().to_owned(), ..Default::default() };
    assert_eq!(refused(Some(approval)).await, Code::InvalidArgument);
    let mut altered = freeze("cluster", 1).1;
    altered.payload = vec![0xff; 100].into();
    assert_eq!(refused(Some(altered)).await, Code::InvalidArgument);
    let mut forged = freeze("cluster", 1).1;
    forged.signatures[0].signature = vec![1; 64].into();
    assert_eq!(refused(Some(forged)).await, Code::Unauthenticated);
    let mut large = freeze("cluster", 1).1;
    large.payload = vec![0; limen_wire::limits::STOP_RECORD_BYTES].into();
    assert_eq!(refused(Some(large)).await, Code::OutOfRange);
    assert_eq!(taken(&cluster, 0), 0);
    // One caller's haste is bounded, whatever it connects by.
    let mut eager = client(&cluster, 0);
    let mut codes = Vec::new();
    for _ in 0..2 * limen_node::stops::quota::BURST {
        codes.extend(eager.list_freezes(pb::ListFreezesRequest {}).await.err().map(|status| status.code()));
    }
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_given_to_one_signer_stops_all_until_it_is_lifted() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (id, record) = freeze("key:words", 1);
    hand_in(&cluster, 0, record).await;
    eventually("the freeze at all signers", || (0..3).all(|index| taken(&cluster, index) == 1)).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    for signers in [[1, 2], [2, 3], [1, 3]] {
        for answer in cluster.sign(&intent, &signers).await {
            assert_eq!(refusal(&answer).code, "frozen");
        }
    }
    let shown = pb::AnnounceRequest { intent: Some(intent.clone()), ..Default::default() };
    let answer = cluster.client(1).announce(shown).await.unwrap().into_inner();
    assert!(answer.requirements[0].missing.contains("burglars"), "{answer:?}");
    assert_eq!(answer.freeze_epoch, FreezeEpoch::of([id]).as_bytes()[..]);
    hand_in(&cluster, 2, unfreeze(id)).await;
    let live = |index: usize| cluster.node(index).shared().store.view().unwrap().freeze_rows().unwrap().len();
    eventually("the end of the freeze", || (0..3).all(|index| live(index) == 0)).await;
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

/// A signer that was down hears everything when it comes back, from whoever has it, and so does one that had lost its way.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_signer_missed_it_hears_when_it_comes_back() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key("asked", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (rejected, intent) = message_intent(&cluster, "asked", "m-1", "never seen anywhere");
    let (cancelled, _) = message_intent(&cluster, "asked", "m-2", "neither");
    cluster.stop(2).await;
    hand_in(&cluster, 0, freeze("chain:eip155:1", 1).1).await;
    hand_in(&cluster, 0, rejection(rejected, 1)).await;
    hand_in(&cluster, 0, cancellation(&cluster, cancelled)).await;
    eventually("the records at signer 2", || taken(&cluster, 1) == 3).await;
    cluster.stop(0).await;
    // Whoever brought them is gone: signer 2 passes them on.
    cluster.restart(2).await;
    eventually("the records at signer 3", || taken(&cluster, 2) == 3).await;
    let shown = pb::AnnounceRequest { intent: Some(intent), ..Default::default() };
    let refused = cluster.client(2).announce(shown).await.unwrap_err();
    assert!(refused.message().contains("anna rejected it: not this"), "{refused}");
    let view = cluster.node(2).shared().store.view().unwrap();
    assert!(view.stop(&cancelled, "backend").unwrap().is_some());
    assert_eq!(view.freeze_rows().unwrap().len(), 1);
}

/// "Never allowed by me": the word that gives a limit back, by a signer that has not seen the request. Whose the request is
/// its own bytes tell, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_voids_what_it_never_saw_only_by_the_bytes_of_what_its_requester_cancels() {
    let cluster = Cluster::start(2, 2).await;
    let (id, intent) = message_intent(&cluster, "words", "m-1", "never seen anywhere");
    let (_, other) = message_intent(&cluster, "words", "m-2", "another");
    let stop = async |record: &pb::Envelope, intent: Option<pb::Envelope>| {
        let asked = pb::StopRequest { record: Some(record.clone()), intent };
        cluster.client(0).stop(asked).await.unwrap().into_inner().void
    };
    let good = cancellation(&cluster, id);
    let altered = pb::Envelope { payload: [&intent.payload[..], &[0]].concat().into(), ..intent.clone() };
    for shown in [None, Some(pb::Envelope::default()), Some(other.clone()), Some(altered)] {
        assert_eq!(stop(&good, shown.clone()).await, None, "{shown:?}");
    }
    // Cancelled by somebody else who is enrolled: that stops nothing of the backend's.
    let record = Cancellation::open(&cancellation(&cluster, Intent::open(&other).unwrap().0.id)).unwrap().0;
    let payload = pb::Cancellation {
        version: 1,
        cluster: "test".to_owned(),
        requester: "security".to_owned(),
        intent_id: record.intent_id.as_bytes().to_vec().into(),
        reason: String::new(),
    };
    let foreign = seal(PayloadType::Cancellation, payload.encode_to_vec(), "security", &cluster.security);
    assert_eq!(stop(&foreign, Some(other)).await, None);
    let void = stop(&good, Some(intent)).await.unwrap();
    let opened = limen_wire::envelope::open(&void, PayloadType::LedgerVoid).unwrap();
    opened.verify("n1", &cluster.machines[0].public.parse().unwrap()).unwrap();
    let said: pb::LedgerVoid = opened.decode("void").unwrap();
    assert_eq!(said.intent_id[..], id.as_bytes()[..]);
}

/// A link to a signer as this machine.
async fn link(cluster: &Cluster, to: usize, who: &Machine) -> mpsc::Sender<pb::PeerMessage> {
    let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
    let config = tls::pinned_client(&identity, "n", &cluster.machines[to].public.parse().unwrap()).unwrap();
    let (send, receive) = mpsc::channel(64);
    let channel = Dial::new(cluster.addresses[to].to_string(), "n").lazy(config).unwrap();
    let mut answers = PeerClient::new(channel).link(ReceiverStream::new(receive)).await.unwrap().into_inner();
    tokio::spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
    send
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hands_over_rubbish_changes_nothing() {
    let cluster = Cluster::start(3, 2).await;
    let insider = link(&cluster, 0, &cluster.machines[1]).await;
    let page = |records: Vec<pb::Envelope>, head: [u8; 32], length: u64| {
        let page = pb::StopsPage { after: 0, records, length, head: head.to_vec().into() };
        pb::PeerMessage { kind: Some(Kind::StopsPage(page)) }
    };
    let good = freeze("cluster", 1);
    insider.send(page(vec![good.1.clone()], [9; 32], 1)).await.unwrap();
    insider.send(page(vec![pb::Envelope::default()], [0; 32], 1)).await.unwrap();
    insider.send(page(vec![good.1.clone(); 257], [0; 32], 257)).await.unwrap();
    let head = limen_node::store::stops::StopHead::default().after(good.0.as_bytes());
    insider.send(page(vec![good.1.clone()], head.hash, 0)).await.unwrap();
    let dropped = || {
        let counter = cluster.node(0).shared().metrics.dropped.get_or_create(&Reason { reason: "stops_page" });
        counter.get()
    };
    eventually("the refusals", || dropped() == 4).await;
    assert_eq!(taken(&cluster, 0), 0);
    // A record in a page of the right shape counts for what it proves.
    let mut forged = freeze("cluster", 2).1;
    forged.signatures[0].signature = vec![1; 64].into();
    let (first, second) = (Freeze::open(&forged).unwrap().0.id, good.0);
    let head = limen_node::store::stops::StopHead::default().after(first.as_bytes()).after(second.as_bytes());
    insider.send(page(vec![forged, good.1], head.hash, 2)).await.unwrap();
    eventually("the one that counts", || taken(&cluster, 0) == 1).await;
}
