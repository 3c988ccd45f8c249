//! Signers that do not know how their peers stand sign nothing.

use std::path::Path;
use std::sync::Arc;

use limen_node::clock::{Clock, Millis, SystemClock};
use limen_node::metrics::Reason;
use limen_node::peers::Talks as _;
use limen_node::store::stops::StopHead;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::freeze::Freeze;
use limen_wire::ids::{IntentId, NodeId, Protocol, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::standing::{ChainHead, Standing};

use crate::cluster::{Cluster, eventually, message_intent, person_key, refusal, session, sign_request, signature};

async fn words() -> Cluster {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster
}

/// Why this signer would not sign now, by its standing alone.
fn trouble(cluster: &Cluster, index: usize, needed: usize) -> Option<String> {
    let shared = cluster.node(index).shared();
    let checked = shared.standings.check(shared.peers().iter(), needed, shared.time().uptime);
    checked.err().map(|error| error.message)
}

fn freeze() -> pb::Envelope {
    let freeze = Freeze {
        id: IntentId::new([0; 32]),
        cluster: "test".parse().unwrap(),
        person: "anna".parse().unwrap(),
        credential: "anna-terminal".parse().unwrap(),
        scope: "cluster".parse().unwrap(),
        reason: "burglars".to_owned(),
        nonce: [1; 32],
    };
    seal(PayloadType::Freeze, freeze.to_payload(), "anna-terminal", &person_key())
}

/// A signer slept through a freeze and is woken while all who know of it are away: it does not sign, and once somebody is back
/// it hears first.
#[tokio::test(flavor = "multi_thread")]
async fn stale_signer_woken_alone() {
    let mut cluster = words().await;
    cluster.stop(2).await;
    cluster.client(0).stop(pb::StopRequest { record: Some(freeze()), intent: None }).await.unwrap();
    let live = |cluster: &Cluster, index: usize| {
        cluster.node(index).shared().store.view().unwrap().freeze_rows().unwrap().len()
    };
    eventually("the freeze at signer 2", || live(&cluster, 1) == 1).await;
    cluster.stop(0).await;
    cluster.stop(1).await;
    cluster.start_again(2, Arc::new(SystemClock)).await;
    let alone = trouble(&cluster, 2, 1).unwrap();
    assert!(alone.contains("n1 has not said how it stands"), "{alone}");
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answer = cluster.client(2).sign(sign_request(&intent, &[1, 3], session())).await.unwrap().into_inner();
    refusal(&answer);
    cluster.restart(0).await;
    assert_eq!(live(&cluster, 2), 1, "who stands well has handed over what it knew");
    for answer in cluster.sign(&intent, &[1, 3]).await {
        assert_eq!(refusal(&answer).code, "frozen");
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Somebody puts an old copy of a signer's disk back: the peers remember better.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_whose_store_was_put_back_signs_nothing() {
    let mut cluster = words().await;
    cluster.stop(2).await;
    let (data, old) = (cluster.path("n3"), cluster.path("n3.old"));
    copy(&data, &old);
    cluster.restart(2).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 3]).await[1]);
    let now = || cluster.node(2).shared().store.view().unwrap().head().unwrap().length;
    let me = NodeId::new("n3").unwrap();
    let remembered = || {
        let held = cluster.node(0).shared().store.view().unwrap().remembered(&me).unwrap();
        held.map(|held| limen_wire::standing::JournalHead::open(&held).unwrap().0.head.length)
    };
    eventually("the journal's memory", || remembered() == Some(now())).await;
    cluster.stop(2).await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    cluster.start_again(2, Arc::new(SystemClock)).await;
    eventually("the alarm", || cluster.node(2).shared().metrics.rolled_back.get() == 1).await;
    let (_, next) = message_intent(&cluster, "words", "m-2", "again");
    let peer = NodeId::new("n1").unwrap();
    eventually("the link", || cluster.node(2).shared().mesh.connected(&peer)).await;
    let answer = cluster.client(2).sign(sign_request(&next, &[1, 3], session())).await.unwrap().into_inner();
    let error = refusal(&answer);
    assert!(error.code == "no_standing" && error.message.contains("put back"), "{error:?}");
    let status = cluster.client(2).status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert!(status.rolled_back.contains("remembers"), "{}", status.rolled_back);
    // The others go on.
    let answers = cluster.sign(&next, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

struct FastClock;

impl Clock for FastClock {
    fn now(&self) -> Millis {
        Millis(SystemClock.now().0 + 31_000)
    }
    fn monotonic(&self) -> std::time::Duration {
        SystemClock.monotonic()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_with_a_wrong_clock_signs_nothing() {
    let mut cluster = words().await;
    cluster.stop(2).await;
    cluster.start_again(2, Arc::new(FastClock)).await;
    cluster.linked().await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answer = cluster.client(2).sign(sign_request(&intent, &[1, 3], session())).await.unwrap().into_inner();
    let error = refusal(&answer);
    assert!(error.code == "no_standing" && error.message.contains("clock"), "{error:?}");
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

/// A word that was signed slowly and overtaken by the peer's own stop records is not that of a store that was put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_its_own_records_have_overtaken_is_no_old_store() {
    let mut cluster = words().await;
    // Nobody else says anything meanwhile.
    cluster.stop(1).await;
    cluster.stop(2).await;
    let shared = cluster.node(0).shared();
    let (peer, now) = (NodeId::new("n2").unwrap(), shared.time());
    let key = limen_wire::tls::read_signing_key(&cluster.machines[1].key).unwrap();
    let read = StopHead { length: 6, hash: [6; 32] };
    let (of, cursor) = (peer.clone(), read);
    shared.store.write(move |txn| txn.put_cursor(&of, &cursor)).await.unwrap();
    let told = |nonce: u8, read_then: u64| {
        shared.standings.asked(&peer, [nonce; 32], now.uptime, read_then);
        let said = Standing {
            cluster: "test".parse().unwrap(),
            node: peer.clone(),
            receiver: shared.me.clone(),
            nonce: [nonce; 32],
            clock_ms: now.wall.0,
            charter: shared.charter().hash(),
            stops: ChainHead { length: 5, hash: [5; 32] },
            journal: None,
            remembered: None,
            ledgers: Vec::new(),
            log: None,
            other_log: false,
        };
        seal(PayloadType::Standing, said.to_payload(), "n2", &key)
    };
    let why = || shared.standings.check([&peer].into_iter(), 1, now.uptime).map_err(|error| error.message);
    limen_node::standing::talk::hear(shared.as_ref(), &peer, told(1, 4)).await.unwrap();
    assert_eq!(why(), Ok(()), "it held five when four were read, and six were read of it since");
    limen_node::standing::talk::hear(shared.as_ref(), &peer, told(2, 6)).await.unwrap();
    assert!(why().unwrap_err().contains("stop records"), "six were read before it was asked, and it holds five");
}

/// Every part of a peer's word is spoiled once: it does not count, and is counted as refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_word_counts_for_nothing() {
    let cluster = words().await;
    let shared = cluster.node(0).shared();
    let (peer, now) = (NodeId::new("n2").unwrap(), shared.time());
    let key = limen_wire::tls::read_signing_key(&cluster.machines[1].key).unwrap();
    let good = |nonce: u8| {
        shared.standings.asked(&peer, [nonce; 32], now.uptime, 0);
        Standing {
            cluster: "test".parse().unwrap(),
            node: peer.clone(),
            receiver: shared.me.clone(),
            nonce: [nonce; 32],
            clock_ms: now.wall.0,
            charter: shared.charter().hash(),
            stops: ChainHead::default(),
            journal: None,
            remembered: None,
            ledgers: Vec::new(),
            log: None,
            other_log: false,
        }
    };
    let sealed =
        |said: &Standing, signer: &str, key: &SigningKey| seal(PayloadType::Standing, said.to_payload(), signer, key);
    let other = NodeId::new("n3").unwrap();
    let head = |node: &NodeId, signer: &str, key: &SigningKey| {
        let head = ChainHead { length: 1_000_000, hash: [9; 32] };
        let said = limen_wire::standing::JournalHead { cluster: "test".parse().unwrap(), node: node.clone(), head };
        Some(seal(PayloadType::JournalHead, said.to_payload(), signer, key))
    };
    let spoiled = [
        sealed(&good(1), "n2", &person_key()),
        sealed(&good(2), "n3", &key),
        sealed(&Standing { cluster: "else".parse().unwrap(), ..good(3) }, "n2", &key),
        sealed(&Standing { node: other.clone(), ..good(4) }, "n2", &key),
        sealed(&Standing { receiver: other.clone(), ..good(5) }, "n2", &key),
        sealed(&Standing { nonce: [99; 32], ..good(6) }, "n2", &key),
        // What it claims to remember of us is not our word; what it shows of itself is not its own.
        sealed(&Standing { remembered: head(&shared.me, "n1", &key), ..good(7) }, "n2", &key),
        sealed(&Standing { remembered: head(&peer, "n2", &key), ..good(8) }, "n2", &key),
        sealed(&Standing { journal: head(&peer, "n2", &person_key()), ..good(9) }, "n2", &key),
        sealed(&Standing { journal: head(&other, "n2", &key), ..good(10) }, "n2", &key),
        pb::Envelope::default(),
    ];
    for (number, said) in spoiled.into_iter().enumerate() {
        let refused = limen_node::standing::talk::hear(shared.as_ref(), &peer, said).await;
        assert!(refused.is_err(), "number {number}");
    }
    assert_eq!(shared.standings.rolled_back(), None);
    limen_node::standing::talk::hear(shared.as_ref(), &peer, sealed(&good(11), "n2", &key)).await.unwrap();
    let refused = |reason| shared.metrics.dropped.get_or_create(&Reason { reason }).get();
    assert_eq!(refused("standing"), 0, "the real ones all held");
}
