//! A signer that goes on under another identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_node::clock::{Clock, Millis, SystemClock};
use limen_node::node::{Node, StartError, former_identity};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::error::Code;
use limen_wire::ids::{CharterHash, NodeId, Protocol, Scheme};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use limen_wire::standing::{ChainHead, JournalHead, Standing};
use limen_wire::statement::KeyStatement;
use limen_wire::tls::read_signing_key;

use crate::charters::{HOUR_MS, stands, take, version};
use crate::cluster::{Cluster, eventually, machine, message_intent, signature};

/// The machine's clocks, with running time that a test adds.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn run_for(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Millis {
        SystemClock.now()
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn certificate(cluster: &Cluster, index: usize) -> pb::Envelope {
    let request = pb::ListKeySharesRequest::default();
    let shares = cluster.client(index).list_key_shares(request).await.unwrap().into_inner().shares;
    shares.into_iter().find(|share| share.key_id == "words").unwrap().certificate.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_goes_on_under_another_identity_with_the_keys_it_has() {
    let clock = Arc::new(Ahead::default());
    let mut cluster = Cluster::start_by(3, 2, Arc::clone(&clock) as _).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let first = cluster.charter_hash();

    // What it has stated is read from its own disk, or from another member's.
    cluster.stop(1).await;
    let former = former_identity(&cluster.config(1), None).unwrap();
    cluster.start_again(1, Arc::clone(&clock) as _).await;
    cluster.stop(0).await;
    let by_another = former_identity(&cluster.config(0), Some(NodeId::new("n2").unwrap())).unwrap();
    cluster.start_again(0, Arc::clone(&clock) as _).await;
    cluster.linked().await;
    assert_eq!(former, by_another);
    assert_eq!(former.matches("\n    \"").count(), 1, "one key, one statement: {former}");

    let old = cluster.machines[1].public.clone();
    let new = machine(cluster.folder.path(), "n2-new");
    let words = "[[rules]]\nname = \"words\"";
    let edits = [(&*old, &*new.public), (words, &*format!("{former}\n{words}"))];
    let next = version(&cluster, &[first], 2, &edits);
    take(&cluster, 0, &next.envelope).await.unwrap();
    stands(&cluster, next.hash, pb::CharterState::Waiting).await;
    let text = crate::charters::text_after(&cluster, &[first], 2, &edits);
    let old_file = std::fs::read_to_string(cluster.path("charter.toml")).unwrap();
    let old_key = read_signing_key(&cluster.path("n2.key")).unwrap();
    let old_pair = ["n2.crt", "n2.key"].map(|name| std::fs::read(cluster.path(name)).unwrap());

    // Not before the version is in force.
    cluster.stop(1).await;
    std::fs::write(cluster.path("charter.toml"), &text).unwrap();
    for (from, to) in [(&new.certificate, "n2.crt"), (&new.key, "n2.key")] {
        std::fs::copy(from, cluster.path(to)).unwrap();
    }
    let early = Node::start(&cluster.config(1), Arc::clone(&clock) as _).await.err().unwrap();
    assert!(matches!(early, StartError::OtherIdentity { .. }), "{early}");
    std::fs::write(cluster.path("charter.toml"), &old_file).unwrap();
    for (bytes, to) in old_pair.iter().zip(["n2.crt", "n2.key"]) {
        std::fs::write(cluster.path(to), bytes).unwrap();
    }
    cluster.start_again(1, Arc::clone(&clock) as _).await;
    cluster.linked().await;
    // What the others remember of its journal is its word under the identity before.
    let me = NodeId::new("n2").unwrap();
    let remembers =
        |index: usize| cluster.node(index).shared().store.view().unwrap().remembered(&me).unwrap().is_some();
    eventually("what is remembered", || remembers(0) && remembers(2)).await;
    clock.run_for(2 * HOUR_MS);
    stands(&cluster, next.hash, pb::CharterState::InForce).await;

    // From then on the one before does not begin, and the other one does, once every machine knows it.
    cluster.stop(1).await;
    let late = Node::start(&cluster.config(1), Arc::clone(&clock) as _).await.err().unwrap();
    assert!(matches!(late, StartError::OtherIdentity { .. }), "{late}");
    std::fs::write(cluster.path("charter.toml"), &text).unwrap();
    for (from, to) in [(&new.certificate, "n2.crt"), (&new.key, "n2.key")] {
        std::fs::copy(from, cluster.path(to)).unwrap();
    }
    for index in [0, 2] {
        cluster.stop(index).await;
    }
    for index in 0..3 {
        cluster.start_again(index, Arc::clone(&clock) as _).await;
    }
    cluster.machines[1] = new;
    cluster.linked().await;

    // The certificate is the one of before, and counts by the charter in force and not without its list.
    let certificate = certificate(&cluster, 1).await;
    assert!(KeyStatement::from_certificate(&certificate, &next.charter).is_ok());
    let bare = |node: &NodeId| -> Option<PublicKey> { next.charter.node_key(node) };
    assert!(KeyStatement::from_certificate(&certificate, &bare).is_err());
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answers = cluster.sign(&intent, &[2, 3]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));

    former_words_count_against_it(&cluster, next.hash, &old_key).await;
}

/// What it said of its journal under the identity before counts against a store that was put back, and only as its own.
async fn former_words_count_against_it(cluster: &Cluster, charter: CharterHash, old_key: &SigningKey) {
    let me = NodeId::new("n2").unwrap();
    let shared = cluster.node(1).shared();
    let (peer, key) = (NodeId::new("n1").unwrap(), read_signing_key(&cluster.machines[0].key).unwrap());
    let head = ChainHead { length: 1_000_000, hash: [9; 32] };
    let ours = JournalHead { cluster: "test".parse().unwrap(), node: me.clone(), head };
    let told = |by: &SigningKey| {
        let nonce = [7; 32];
        shared.standings.asked(&peer, nonce, shared.time().uptime, 0);
        let standing = Standing {
            cluster: "test".parse().unwrap(),
            node: peer.clone(),
            receiver: me.clone(),
            nonce,
            clock_ms: shared.time().wall.0,
            charter,
            stops: ChainHead::default(),
            journal: None,
            remembered: Some(seal(PayloadType::JournalHead, ours.to_payload(), "n2", by)),
            ledgers: Vec::new(),
            log: None,
            other_log: false,
        };
        seal(PayloadType::Standing, standing.to_payload(), "n1", &key)
    };
    let refused = limen_node::standing::talk::hear(shared.as_ref(), &peer, told(&key)).await.unwrap_err();
    assert!(refused.code == Code::BadSignature && shared.standings.rolled_back().is_none(), "{refused}");
    limen_node::standing::talk::hear(shared.as_ref(), &peer, told(old_key)).await.unwrap();
    assert!(shared.standings.rolled_back().unwrap().contains("remembers 1000000 records"));
}
