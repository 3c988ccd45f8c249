//! Requests go on while enough signers live, and say clearly when there are too few.

use limen_client::{Error, RequestState, Signed};
use limen_wire::error::Code;
use tokio::task::JoinSet;

use super::cluster::{COORDINATOR, Cluster, PATIENCE, signer};

#[tokio::test]
async fn one_of_three_may_die_at_any_moment() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    // It dies before the first signature is done, and later and later, while the others are under way.
    for (dead, done) in (1..=3).flat_map(|dead| [0, 1, 3, 5].map(|done| (dead, done))) {
        let mut running = JoinSet::new();
        for index in 0..6 {
            let (client, intent) = (cluster.client.clone(), cluster.message(&key, &format!("{dead}-{done}-{index}")));
            running.spawn(async move { client.sign(&intent, PATIENCE).await });
        }
        let check = |result: Result<Signed, Error>, logs: &dyn Fn() -> String| {
            result.unwrap_or_else(|error| panic!("with {dead} dead after {done}: {error}; {}", logs()));
        };
        for _ in 0..done {
            check(running.join_next().await.unwrap().unwrap(), &|| cluster.logs());
        }
        tokio::task::yield_now().await;
        cluster.kill(&signer(dead));
        while let Some(result) = running.join_next().await {
            check(result.unwrap(), &|| cluster.logs());
        }
        // So do requests that come while it is dead.
        let later = cluster.message(&key, &format!("{dead}-{done}-later"));
        check(cluster.client.sign(&later, PATIENCE).await, &|| cluster.logs());
        cluster.start_one(&signer(dead));
        cluster.wait_linked().await;
    }
}

#[tokio::test]
async fn with_two_dead_the_refusal_is_typed_and_one_returning_is_enough() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    cluster.kill(&signer(2));
    cluster.kill(&signer(3));
    cluster.wait_for(|up, _| up == 1, "two signers counted as unreachable").await;
    let intent = cluster.message(&key, "patience");
    let mut request = match cluster.client.submit(&intent).await {
        Ok(submitted) => submitted.request,
        Err(error) => panic!("a request is taken even then: {error}; {}", cluster.logs()),
    };
    let mut watch = cluster.client.watch(Some(intent.id()));
    while request.error.is_none() && !request.state.is_end() {
        request = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    }
    let error = request.error.clone().unwrap_or_else(|| panic!("{request:?}; {}", cluster.logs()));
    assert_eq!(error.code, Code::TooFewSigners, "{error}");
    assert!(!request.state.is_end(), "the request goes on by itself");

    // The others, and the coordinator, are the processes that they were; signer 2 stays dead.
    let before = cluster.pids();
    cluster.start_one(&signer(3));
    let done = cluster.client.wait(intent.id(), PATIENCE).await;
    let done = done.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    assert_eq!(done.state, RequestState::Signed, "{}", cluster.logs());
    cluster.client.verify(&done).await.unwrap();
    let later = cluster.client.sign(&cluster.message(&key, "later"), PATIENCE).await;
    later.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    assert!(before.iter().all(|pid| cluster.pids().contains(pid)), "nobody else was restarted");
    assert!(cluster.has_not_ended(), "a process ended by itself; {}", cluster.logs());
}

#[tokio::test]
async fn a_killed_coordinator_goes_on_where_it_was() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    let intents: Vec<_> = (0..8).map(|index| cluster.message(&key, &format!("restart-{index}"))).collect();
    let running: Vec<_> = intents
        .iter()
        .cloned()
        .map(|intent| {
            let client = cluster.client.clone();
            tokio::spawn(async move { client.sign(&intent, PATIENCE).await })
        })
        .collect();
    for _ in 0..3 {
        tokio::task::yield_now().await;
        cluster.kill(COORDINATOR);
        cluster.start_one(COORDINATOR);
        cluster.client.status().await.unwrap();
    }
    for (task, intent) in running.into_iter().zip(&intents) {
        let signed = task.await.unwrap().unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
        // Asked again, the cluster gives the same signature: it was made once.
        let again = cluster.client.verify(&cluster.client.get(intent.id()).await.unwrap()).await.unwrap();
        assert_eq!(signed.signature, again.signature);
    }
}
