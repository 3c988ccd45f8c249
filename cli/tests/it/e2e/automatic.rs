//! Somebody has stolen a requester's key and tries what the rules let through: the signers stop listening to it by themselves.

use limen_client::{NewIntent, RequestState};
use limen_wire::effects::ChainId;
use limen_wire::ids::KeyId;
use limen_wire::intent::Payload;

use super::cluster::{PATIENCE, signer};
use super::freezes::{Stage, stage};

/// A bare digest, which no rule here allows.
async fn tries(stage: &Stage, key: &KeyId, name: &str) {
    let client = &stage.cluster.client;
    let chain = Some(ChainId::eip155(31337));
    let intent = NewIntent::new(key.clone(), chain, Payload::RawDigest([name.as_bytes()[0]; 32]));
    let intent = client.sign_intent(intent.idempotency_key(name)).unwrap();
    let request = client.submit(&intent).await.unwrap();
    assert_eq!(request.request.state, RequestState::Denied, "{request:?}");
}

/// The coordinator asks signers for their status now and then.
async fn shows_in_status(stage: &Stage) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
    let asking = async {
        loop {
            ticks.tick().await;
            let status = stage.succeeds(&stage.limen(&["status"]));
            let signers = status["signers"].as_array().unwrap();
            if signers.iter().all(|signer| signer["automatic_freezes"].as_array().is_some_and(|all| all.len() == 1)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("every signer tells whom it has frozen");
}

#[tokio::test]
async fn signers_freeze_a_requester_by_themselves_until_people_lift_it() {
    let (mut stage, key) = stage("automatic_freeze = { refused = 3, within_secs = 600 }\n").await;
    for name in ["first", "first", "second"] {
        tries(&stage, &key, name).await;
    }
    let before = stage.cluster.message(&key, "before");
    stage.cluster.client.submit(&before).await.unwrap();
    stage.until(&before, |request| request.state == RequestState::Signed).await;
    assert_eq!(stage.freezes(), serde_json::json!([]));

    tries(&stage, &key, "third").await;
    let all = |shown: &serde_json::Value| shown.as_array().unwrap().len() == 3;
    let shown = stage.until_freezes("frozen by all three", all).await;
    let of = |index: usize, what: &str| shown[index][what].clone();
    let ids: Vec<String> = (0..3).map(|index| of(index, "id").as_str().unwrap().to_owned()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "each signer's freeze is its own: {shown}");
    for index in 0..3 {
        assert_eq!((of(index, "node"), of(index, "automatic")), (signer(index + 1).into(), true.into()));
        assert_eq!((of(index, "refused"), of(index, "within_secs")), (3.into(), 600.into()));
        assert!(of(index, "scope").as_str().unwrap().starts_with("requester:"), "{shown}");
    }
    // A process that is killed has forgotten nothing.
    stage.cluster.kill(&signer(1));
    stage.cluster.start_one(&signer(1));
    stage.cluster.wait_linked().await;
    let again = stage.until_freezes("frozen after the restart", all).await;
    assert_eq!(again[0]["id"], ids[0].as_str());
    shows_in_status(&stage).await;

    let good = stage.cluster.message(&key, "good");
    stage.cluster.client.submit(&good).await.unwrap();
    let waits = |request: &limen_client::Request| {
        let statuses = request.signer_decisions.iter().flat_map(|one| &one.requirements);
        let automatic = statuses.filter(|status| status.missing.starts_with("automatic freeze"));
        request.state == RequestState::AwaitingApproval && automatic.count() >= 2
    };
    stage.until(&good, waits).await;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let lift: Vec<&str> = ["unfreeze"].into_iter().chain(ids).collect();
    stage.succeeds(&stage.says("ben", &lift));
    let said = stage.freezes();
    assert!(all(&said) && said[0]["lifted_by"] == serde_json::json!(["ben"]) && said[0]["lifting"] == false, "{said}");
    stage.succeeds(&stage.says("carol", &lift));
    stage.until_freezes("lifted", |shown| shown == &serde_json::json!([])).await;
    let signed = stage.until(&good, |request| request.state == RequestState::Signed).await;
    stage.cluster.client.verify(&signed).await.unwrap();
    // Counting has begun anew.
    for name in ["fourth", "fifth"] {
        tries(&stage, &key, name).await;
    }
    assert_eq!(stage.freezes(), serde_json::json!([]));
}
