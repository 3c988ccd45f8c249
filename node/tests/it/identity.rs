//! Signers that are known by a key in a device: links, statements, ledgers and log live by it, stop by name without it, and go
//! on by themselves when it is back.

use std::sync::{Arc, Mutex};

use limen_hsm::conformance::{Device, Mode};
use limen_hsm::{Kind, Provider as _};
use limen_node::clock::SystemClock;
use limen_node::config::Config;
use limen_node::node::{self, Node, StartError};
use limen_node::peers::Talks as _;
use limen_node::witness::Witness;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use limen_wire::pb::ledger_client::LedgerClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use tokio::net::TcpListener;

use crate::cluster::{Cluster, eventually, message_intent, shared_nonces, signature};
use crate::{evidence, stops};

/// Signers with a device each, the first one's in hand.
async fn in_devices(total: usize, required: u32) -> (Cluster, Arc<Device>) {
    let first = Mutex::new(None);
    let cluster = Cluster::start_in_devices(total, required, |socket| {
        let number = socket.file_stem().unwrap().as_encoded_bytes()[1];
        let device = Device::at_socket(socket, number.wrapping_mul(2));
        let key = device.software.identity().unwrap();
        first.lock().unwrap().get_or_insert(device);
        key
    });
    (cluster.await, first.into_inner().unwrap().unwrap())
}

fn code<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, tonic::Status>) -> Code {
    ApiError::from_status(&answer.unwrap_err()).expect("a refusal by name").code
}

/// The second signer does not count the first one any more.
async fn first_is_missed(cluster: &Cluster) {
    let shared = cluster.node(1).shared();
    eventually("the second to miss the first", || {
        let standing = shared.standings.shown(shared.peers().iter(), shared.time().uptime);
        standing.iter().any(|one| one.trouble.is_some())
    })
    .await;
}

/// What the first signer says to its operators of its device.
async fn trouble(cluster: &Cluster, kind: Kind) {
    let shared = cluster.node(0).shared();
    eventually("the alarm", || shared.token.trouble().is_some_and(|words| words.contains(kind.code()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_and_used_by_signers_whose_identities_lie_in_devices() {
    let (cluster, device) = in_devices(3, 2).await;
    let public: PublicKey = cluster.machines[0].public.parse().unwrap();
    assert_eq!(cluster.node(0).shared().identity.public_key(), public);
    assert_eq!(device.software.identity().unwrap(), public);
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("coins", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    // Nonces shared ahead come in batches that are signed whole: the longest of all that a node signs.
    let nonces = shared_nonces(&cluster, "words", &[1, 2]).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answers = cluster.sign_with(&intent, &[1, 2], nonces).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    let raw = crate::cluster::evm_transfer("coins", "t-1", 0, 1);
    let (_, transfer) = limen_wire::intent::seal_intent(&raw, &cluster.backend).unwrap();
    signature(&cluster.sign(&transfer, &[1, 3]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_absent_device_does_not_sign_is_refused_by_name_and_signed_when_it_is_back() {
    let (cluster, device) = in_devices(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (_, first) = message_intent(&cluster, "words", "m-0", "hello");
    signature(&cluster.sign(&first, &[1, 2]).await[0]);
    let (id, cancelled) = message_intent(&cluster, "words", "m-1", "never mind");
    let stop = pb::StopRequest { record: Some(stops::cancellation(&cluster, id)), intent: Some(cancelled) };
    let follow = pb::FollowRequest { root: empty_root(), ..pb::FollowRequest::default() };
    // Connected before it goes away.
    let mut coordinator = cluster.client(0);
    coordinator.status(pb::StatusRequest {}).await.unwrap();
    let mut keeper = evidence::client_as(&cluster, 0, &cluster.coordinator);
    let held = keeper.show_log(pb::ShowLogRequest::default()).await.unwrap().into_inner();
    assert_eq!(held.size, 0);

    device.set(Mode::Refuses(Kind::Gone));
    assert_eq!(code(coordinator.stop(stop.clone()).await), Code::HsmUnavailable, "its word of what it voids");
    assert_eq!(code(keeper.follow(follow.clone()).await), Code::HsmUnavailable, "its leaves");
    cluster.client(0).status(pb::StatusRequest {}).await.expect_err("nobody new gets a handshake");
    first_is_missed(&cluster).await;
    trouble(&cluster, Kind::Gone).await;
    // Nothing is kept from the others.
    let (_, meanwhile) = message_intent(&cluster, "words", "m-2", "without the first");
    signature(&cluster.sign(&meanwhile, &[2, 3]).await[0]);

    device.set(Mode::Works);
    let void = coordinator.stop(stop).await.unwrap().into_inner().void.expect("it was cancelled all the same");
    let opened = envelope::open(&void, PayloadType::LedgerVoid).unwrap();
    opened.verify("n1", &cluster.machines[0].public.parse().unwrap()).unwrap();
    assert!(!keeper.follow(follow).await.unwrap().into_inner().pending.is_empty());
    cluster.linked().await;
    let (_, after) = message_intent(&cluster, "words", "m-3", "with the first");
    signature(&cluster.sign(&after, &[1, 2]).await[0]);
    eventually("the end of the alarm", || cluster.node(0).shared().token.trouble().is_none()).await;
}

/// The root of a log of no leaves.
fn empty_root() -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(limen_evidence::merkle::empty_root().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_device_keeps_its_signer_from_nothing_but_its_own_words() {
    let (cluster, device) = in_devices(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    device.set(Mode::Silent);
    first_is_missed(&cluster).await;
    let (_, meanwhile) = message_intent(&cluster, "words", "m-1", "without the first");
    signature(&cluster.sign(&meanwhile, &[2, 3]).await[0]);
    // Bad news comes through on the links that are there.
    let record = stops::freeze("cluster", 1).1;
    cluster.client(1).stop(pb::StopRequest { record: Some(record), intent: None }).await.unwrap();
    let frozen = || cluster.node(0).shared().store.view().unwrap().freeze_rows().unwrap().len();
    eventually("the first to hear", || frozen() == 1).await;
    device.set(Mode::Works);
    cluster.linked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_starts_without_its_identity_and_is_back_with_it() {
    let (mut cluster, device) = in_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.stop(0).await;
    device.set(Mode::Refuses(Kind::Gone));
    let checked = node::check(&cluster.config(0)).unwrap_err();
    assert!(matches!(checked, StartError::Identity(_)), "{checked}");
    cluster.start_again(0, Arc::new(SystemClock)).await;
    cluster.client(0).status(pb::StatusRequest {}).await.expect_err("nobody gets a handshake");
    trouble(&cluster, Kind::Gone).await;
    device.set(Mode::Works);
    cluster.linked().await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
    node::check(&cluster.config(0)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_speaks_for_nobody() {
    let (mut cluster, device) = in_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    device.set(Mode::Another);
    first_is_missed(&cluster).await;
    trouble(&cluster, Kind::OtherKey).await;
    cluster.client(0).status(pb::StatusRequest {}).await.expect_err("nobody new gets a handshake");
    cluster.stop(0).await;
    let config = cluster.config(0);
    let refused = Node::start(&config, Arc::new(SystemClock)).await.unwrap_err();
    for refused in [refused, node::check(&config).unwrap_err()] {
        let StartError::OtherIdentity { node, found, pinned } = refused else { panic!("{refused}") };
        assert_eq!((node.as_str(), pinned.to_string()), ("n1", cluster.machines[0].public.clone()));
        assert_ne!(found, pinned);
    }
    device.set(Mode::Works);
    cluster.restart(0).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charter_that_pins_another_key_starts_nobody() {
    let (mut cluster, _device) = in_devices(2, 2).await;
    cluster.stop(0).await;
    // As if the second signer's key were written where the first one's belongs, in either form of identity.
    let text = cluster.charter();
    let (first, second) = (&cluster.machines[0].public, &cluster.machines[1].public);
    let swapped = text.replace(first, "first").replace(second, first).replace("first", second);
    std::fs::write(cluster.path("charter.toml"), swapped).unwrap();
    let refused = Node::start(&cluster.config(0), Arc::new(SystemClock)).await.unwrap_err();
    assert!(matches!(refused, StartError::OtherIdentity { .. }), "{refused}");
}

/// A witness keeps nothing in its device but its identity.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_signs_by_a_device_too_and_repeats_what_it_could_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::at_socket(&folder.path().join("w.sock"), 0x77);
    let key = device.software.identity().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ledger = format!(
        "[[witnesses]]\nid = \"w1\"\naddress = \"{address}\"\npublic_key = \"{key}\"\n\
         [[ledgers]]\nid = \"main\"\nmembers = [\"n1\", \"n2\", \"n3\", \"w1\"]\nquorum = 3\ncorrupt = 1\n"
    );
    let cluster = Cluster::start_with_ledger(3, 2, ledger).await;
    let text = format!(
        "node = \"w1\"\nwitness = true\nlisten = \"{address}\"\ndata_dir = \"w1\"\ncharter = \"charter.toml\"\n\
         [identity]\nkind = \"hsm\"\n[provider]\nkind = \"hsm_bridge\"\nsocket = \"{}\"\ntimeout_ms = 2000\n",
        folder.path().join("w.sock").display()
    );
    let config = Config::parse(&text, cluster.folder.path()).unwrap();
    node::check(&config).unwrap();
    let witness = Witness::start_on(&config, Arc::new(SystemClock), listener).await.unwrap();
    let who = &cluster.coordinator;
    let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
    let dials = tls::pinned_client(&identity, "w1", &key).unwrap();
    let mut keeper = LedgerClient::new(Dial::new(address.to_string(), "w1").lazy(dials).unwrap());
    let close = pb::LedgerCloseRequest { ledger: "main".to_owned(), through: 2, ..Default::default() };
    let first = keeper.close(close.clone()).await.unwrap().into_inner().closing.unwrap();
    device.set(Mode::Refuses(Kind::Gone));
    let further = pb::LedgerCloseRequest { through: 3, ..close.clone() };
    for request in [&close, &further] {
        assert_eq!(code(keeper.close(request.clone()).await), Code::HsmUnavailable);
    }
    device.set(Mode::Works);
    let again = keeper.close(close).await.unwrap().into_inner().closing.unwrap();
    assert_eq!(again.payload, first.payload, "the same answer");
    for closing in [again, keeper.close(further).await.unwrap().into_inner().closing.unwrap()] {
        envelope::open(&closing, PayloadType::LedgerClosing).unwrap().verify("w1", &key).unwrap();
    }
    witness.stop().await;
}
