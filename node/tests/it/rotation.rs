//! A signer that goes on under another identity.

use std::sync::Arc;

use limen_node::node::{Node, StartError, former_identity};
use limen_wire::ids::{NodeId, Protocol, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::charters::{HOUR_MS, TestClock, stands, take, version};
use crate::cluster::{Cluster, machine, message_intent, signature};

async fn certificate(cluster: &Cluster, index: usize) -> pb::Envelope {
    let request = pb::ListKeySharesRequest::default();
    let shares = cluster.client(index).list_key_shares(request).await.unwrap().into_inner().shares;
    shares.into_iter().find(|share| share.key_id == "words").unwrap().certificate.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_goes_on_under_another_identity_with_the_keys_it_has() {
    let clock = Arc::new(TestClock::default());
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
}
