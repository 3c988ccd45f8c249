//! The evidence log at real signers: they hand their leaves in, hold all of them, cosign only what grew out of what they hold,
//! and stop when their own are missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use limen_evidence::checkpoint::SignedCheckpoint;
use limen_evidence::leaf::Leaf;
use limen_evidence::merkle::{Frontier, leaf_hash};
use limen_node::clock::{Clock, Millis, SystemClock};
use limen_wire::error::ApiError;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;
use limen_wire::pb::evidence_client::EvidenceClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use tonic::transport::Channel;

use crate::cluster::{Cluster, Machine, eventually, message_intent, refusal, session, sign_request, signature};

/// Time that only the test moves.
struct Hand {
    start: Millis,
    passed: AtomicU64,
}

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self { start: SystemClock.now(), passed: AtomicU64::new(0) })
    }
    fn pass(&self, millis: u64) {
        self.passed.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(self.start.0 + self.passed.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }
}

pub(crate) fn client_as(cluster: &Cluster, index: usize, who: &Machine) -> EvidenceClient<Channel> {
    let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
    let server = cluster.machines[index].public.parse().unwrap();
    let config = tls::pinned_client(&identity, "n", &server).unwrap();
    EvidenceClient::new(Dial::new(cluster.addresses[index].to_string(), "n").lazy(config).unwrap())
}

/// A keeper of the log that does what the test says.
#[derive(Clone, Default)]
struct Log(Vec<Bytes>);

impl Log {
    /// Its first `end` leaves, shown from `start` on.
    fn part(&self, start: usize, end: usize) -> pb::FollowRequest {
        let mut tree = Frontier::new();
        self.0[..end].iter().for_each(|leaf| drop(tree.append(leaf_hash(leaf)).unwrap()));
        pb::FollowRequest {
            size: self.0.len() as u64,
            start: start as u64,
            leaves: self.0[start..end].to_vec(),
            root: Bytes::copy_from_slice(tree.root().as_bytes()),
            checkpoint: Bytes::new(),
            cosign: false,
        }
    }

    fn all(&self) -> pb::FollowRequest {
        pb::FollowRequest { cosign: true, ..self.part(0, self.0.len()) }
    }
}

async fn follow(cluster: &Cluster, index: usize, request: pb::FollowRequest) -> Result<pb::FollowResponse, ApiError> {
    let answer = client_as(cluster, index, &cluster.coordinator).follow(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| ApiError::from_status(&status).unwrap())
}

/// The code of a refusal.
fn code(answer: Result<pb::FollowResponse, ApiError>) -> &'static str {
    answer.unwrap_err().code.as_str()
}

/// Takes in what these signers have, each leaf once. They must hold nothing yet, and are shown nothing.
async fn collect(cluster: &Cluster, log: &mut Log, signers: &[usize]) {
    for index in signers {
        let answer = follow(cluster, *index, Log::default().part(0, 0)).await.unwrap();
        log.0.extend(answer.pending.into_iter().filter(|leaf| !log.0.contains(leaf)).collect::<Vec<_>>());
    }
}

/// One checkpoint with the cosignatures of these signers.
async fn cosigned(cluster: &Cluster, log: &Log, signers: &[usize]) -> SignedCheckpoint {
    let (mut all, mut checkpoint) = (Vec::new(), None);
    for index in signers {
        let note = follow(cluster, *index, log.all()).await.unwrap().cosigned;
        let note = SignedCheckpoint::parse(&note).unwrap();
        all.extend(note.signatures().to_vec());
        checkpoint = Some(note.checkpoint().clone());
    }
    SignedCheckpoint::new(checkpoint.unwrap(), all).unwrap()
}

async fn shown(cluster: &Cluster, index: usize, log: &Log, note: &SignedCheckpoint) -> Result<(), ApiError> {
    let request = pb::FollowRequest { checkpoint: note.to_note().into_bytes().into(), ..log.part(0, log.0.len()) };
    follow(cluster, index, request).await.map(drop)
}

async fn words(clock: &Arc<Hand>) -> Cluster {
    let cluster = Cluster::start_patient(3, 2, Arc::clone(clock) as Arc<dyn Clock>).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster
}

fn pending(cluster: &Cluster, index: usize) -> u64 {
    cluster.node(index).shared().store.view().unwrap().pending_leaf_count().unwrap()
}

/// Two signers sign; each has an authorization and the signature to hand in.
async fn signed(cluster: &Cluster, name: &str) {
    let (_, intent) = message_intent(cluster, "words", name, name);
    let before = (pending(cluster, 0), pending(cluster, 1));
    for answer in cluster.sign(&intent, &[1, 2]).await {
        signature(&answer);
    }
    eventually("the leaves", || (pending(cluster, 0), pending(cluster, 1)) == (before.0 + 2, before.1 + 2)).await;
}

async fn refused(cluster: &Cluster, name: &str) {
    let (_, intent) = message_intent(cluster, "words", name, name);
    for index in [0, 1] {
        let request = sign_request(&intent, &[1, 2], session());
        let answer = cluster.client(index).sign(request).await.unwrap().into_inner();
        assert_eq!(refusal(&answer).code, "leaf_missing", "signer {}", index + 1);
    }
}

/// A coordinator hides what was allowed: the signers stop, whatever it shows short of a log that enough of them cosigned, and
/// go on by themselves once their leaves are in one.
#[tokio::test(flavor = "multi_thread")]
async fn missing_leaf() {
    let clock = Hand::new();
    let cluster = words(&clock).await;
    signed(&cluster, "m-1").await;
    clock.pass(29_000);
    cluster.linked().await;
    clock.pass(29_000);
    cluster.linked().await;
    signed(&cluster, "m-2").await;
    clock.pass(2_000);
    refused(&cluster, "m-3").await;
    // All leaves but the first signer's authorization of m-1.
    let mut log = Log::default();
    collect(&cluster, &mut log, &[0, 1]).await;
    assert_eq!(log.0.len(), 6, "two authorizations and a signature of each request");
    let is_of = |leaf: &Bytes, node: &str| match Leaf::decode(leaf).unwrap() {
        Leaf::Authorization(leaf) => leaf.unverified().node.as_str() == node,
        Leaf::Signature(_) => false,
    };
    let hidden = log.0.iter().position(|leaf| is_of(leaf, "n1")).unwrap();
    let hidden = log.0.remove(hidden);
    let note = cosigned(&cluster, &log, &[0, 1, 2]).await;
    for index in [0, 1] {
        shown(&cluster, index, &log, &note).await.unwrap();
    }
    assert_eq!((pending(&cluster, 0), pending(&cluster, 1)), (1, 0));
    let (_, intent) = message_intent(&cluster, "words", "m-4", "m-4");
    let answer = cluster.client(0).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
    assert_eq!(refusal(&answer).code, "leaf_missing");
    // In the log, but cosigned by too few, or by nobody: the second's name stands under the first's signature.
    log.0.push(hidden);
    let alone = cosigned(&cluster, &log, &[0]).await;
    shown(&cluster, 0, &log, &alone).await.unwrap();
    assert_eq!(pending(&cluster, 0), 1, "one of two cosignatures");
    let both = cosigned(&cluster, &log, &[0, 1]).await;
    let forged = both.to_note();
    let (first, second) = (both.signatures()[0].to_string(), both.signatures()[1].to_string());
    let swapped = forged.replace(first.split(' ').nth(2).unwrap(), second.split(' ').nth(2).unwrap());
    let swapped = SignedCheckpoint::parse(swapped.as_bytes()).unwrap();
    let _ = shown(&cluster, 0, &log, &swapped).await;
    let older = SignedCheckpoint::new(note.checkpoint().clone(), both.signatures().to_vec()).unwrap();
    assert_eq!(shown(&cluster, 0, &log, &older).await.unwrap_err().code.as_str(), "bad_signature");
    assert_eq!(pending(&cluster, 0), 1);
    shown(&cluster, 0, &log, &both).await.unwrap();
    assert_eq!(pending(&cluster, 0), 0);
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]), "it goes on by itself");
}

/// Another leaf, a smaller tree, another root: no cosignature, an alarm, and nothing of it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_not_cosigned() {
    let clock = Hand::new();
    let mut cluster = words(&clock).await;
    signed(&cluster, "m-1").await;
    let mut log = Log::default();
    collect(&cluster, &mut log, &[0, 1]).await;
    cosigned(&cluster, &log, &[0, 1, 2]).await;
    let alarm = |cluster: &Cluster| {
        (cluster.node(0).shared().metrics.log_forked.get(), cluster.node(0).shared().log_alarm.words())
    };
    assert_eq!(alarm(&cluster), (0, String::new()));
    let mut other = log.clone();
    other.0[0] = Bytes::from_static(b"what was never allowed");
    let mut longer = other.clone();
    longer.0.push(Bytes::from_static(b"and more"));
    let shorter = Log(log.0[..2].to_vec());
    let beyond = pb::FollowRequest { start: 3, leaves: vec![longer.0[3].clone()], ..longer.all() };
    let wrong_root = pb::FollowRequest { root: Bytes::from_static(&[7; 32]), ..log.all() };
    for (what, request) in [
        ("another leaf", other.all()),
        ("another leaf and one more", longer.all()),
        ("a smaller tree", shorter.all()),
        ("leaves that continue another tree", beyond),
        ("another root", wrong_root),
    ] {
        assert_eq!(code(follow(&cluster, 0, request).await), "log_forked", "{what}");
        let (metric, words) = alarm(&cluster);
        assert!(metric == 1 && words.contains("the coordinator shows"), "{what}: {words}");
        let status = cluster.client(0).status(pb::StatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.log_alarm, status.log_size), (words, 3), "{what}");
        follow(&cluster, 0, log.all()).await.unwrap();
        assert_eq!(alarm(&cluster), (0, String::new()), "the right log ends it");
    }
    // What was cosigned outlives the process, and a wiped keeper reads it back.
    cluster.stop(0).await;
    cluster.start_again(0, Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(code(follow(&cluster, 0, other.all()).await), "log_forked");
    let ask = pb::ShowLogRequest { start: 1, most: 2, sizes: vec![0, 3, 4] };
    let held = client_as(&cluster, 0, &cluster.coordinator).show_log(ask).await.unwrap().into_inner();
    assert_eq!((held.size, held.leaves, held.roots.len()), (3, log.0[1..].to_vec(), 3));
    assert_eq!((&held.roots[1], held.roots[2].len()), (&log.all().root, 0));
}

/// Only the log's keeper is heard, and only within bounds.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_followed_within_bounds() {
    let clock = Hand::new();
    let cluster = words(&clock).await;
    let peer = client_as(&cluster, 0, &cluster.machines[1]).follow(Log::default().all()).await.unwrap_err();
    assert_eq!(ApiError::from_status(&peer).unwrap().code.as_str(), "not_enrolled");
    let many = Log((0..513).map(|number: u32| Bytes::copy_from_slice(&number.to_be_bytes())).collect());
    let long = Log(vec![Bytes::from(vec![0; 65_536])]);
    let heavy = Log(vec![Bytes::from(vec![0; 65_535]); 33]);
    for (what, request) in [
        ("many", many.all()),
        ("long", long.all()),
        ("heavy", heavy.all()),
        ("no root", pb::FollowRequest { root: Bytes::new(), ..Log::default().all() }),
        ("more than there are", pb::FollowRequest { size: 1, ..many.part(0, 2) }),
        ("beyond all numbers", pb::FollowRequest { start: u64::MAX, ..many.part(0, 2) }),
    ] {
        assert_eq!(code(follow(&cluster, 0, request).await), "malformed", "{what}");
    }
    // Page by page.
    assert_eq!(follow(&cluster, 0, many.part(0, 512)).await.unwrap().size, 512);
    let ahead = pb::FollowRequest { start: 513, leaves: Vec::new(), ..many.all() };
    let answer = follow(&cluster, 0, ahead).await.unwrap();
    assert_eq!((answer.size, answer.cosigned.len()), (512, 0), "it says from where it must be shown");
    let answer = follow(&cluster, 0, pb::FollowRequest { cosign: true, ..many.part(500, 513) }).await.unwrap();
    assert_eq!(answer.size, 513);
    assert_eq!(SignedCheckpoint::parse(&answer.cosigned).unwrap().checkpoint().size(), 513);
    let sizes = vec![0; 65];
    let mut client = client_as(&cluster, 0, &cluster.coordinator);
    let refused = client.show_log(pb::ShowLogRequest { start: 0, most: 0, sizes }).await.unwrap_err();
    assert_eq!(ApiError::from_status(&refused).unwrap().code.as_str(), "malformed");
}

/// A coordinator shows one signer another log than the rest, and neither can know it from what it was shown: standing does.
/// The one that stands alone signs nothing; the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn signers_find_out_that_they_were_shown_different_logs() {
    let clock = Hand::new();
    let mut cluster = words(&clock).await;
    let one = Log(vec![Bytes::from_static(b"one"), Bytes::from_static(b"and more")]);
    let other = Log(vec![Bytes::from_static(b"other")]);
    for (index, log) in [(0, &one), (1, &one), (2, &other)] {
        follow(&cluster, index, log.all()).await.unwrap();
    }
    let alarm = |cluster: &Cluster, index: usize| cluster.node(index).shared().log_alarm.words();
    eventually("the alarms", || {
        (
            alarm(&cluster, 0).contains("n3 holds another log at 1 leaves"),
            alarm(&cluster, 2).contains("n1 says that this signer holds another"),
        ) == (true, true)
    })
    .await;
    eventually("all alarms", || alarm(&cluster, 2).contains("n2 says") && alarm(&cluster, 1).contains("n3")).await;
    assert_eq!(cluster.node(2).shared().metrics.log_forked.get(), 1);
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answer = cluster.client(2).sign(sign_request(&intent, &[1, 3], session())).await.unwrap().into_inner();
    assert_eq!(refusal(&answer).code, "no_standing", "{answer:?}");
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    // The way back: its operator names the log that it shall forget. Another name does nothing.
    let root = hex::encode(&other.all().root);
    for (name, size) in [("00".repeat(32), 1), (root, 0)] {
        cluster.stop(2).await;
        cluster.top_config = format!("danger_leaf_patience_secs = 60\ngive_up_log = \"{name}\"\n");
        cluster.start_again(2, Arc::clone(&clock) as Arc<dyn Clock>).await;
        assert_eq!(cluster.node(2).shared().store.view().unwrap().log_size().unwrap(), size);
    }
    follow(&cluster, 2, one.all()).await.unwrap();
    cluster.linked().await;
    eventually("the end of the alarms", || (0..3).all(|index| alarm(&cluster, index).is_empty())).await;
}
