//! The coordinator dies before and after the write that puts a request into each state; what it finds when it is started
//! again ends right, once, with real signers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_client::{Client, NewIntent, Request, RequestState, SignedIntent};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::{IntentId, KeyId};
use limen_wire::intent::Payload;
use serde_json::Value;

use super::cluster::{COORDINATOR, Cluster, PATIENCE, signer};
use super::crashes::check_partials;

const BOTH: [&str; 2] = ["before", "after"];

/// A cluster whose coordinator can be told where to die.
struct Stage {
    cluster: Cluster,
    key: KeyId,
    sound: String,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::start(3, 2).await;
        let key = cluster.make_ecdsa_key().await;
        let sound = std::fs::read_to_string(cluster.path().join(COORDINATOR).join("config.toml")).unwrap();
        Self { cluster, key, sound }
    }

    fn start(&mut self, more: &str) {
        let text = format!("{}{more}", self.sound);
        std::fs::write(self.cluster.path().join(COORDINATOR).join("config.toml"), text).unwrap();
        self.cluster.start_one(COORDINATOR);
    }

    /// From now on the coordinator dies at this write.
    async fn doom(&mut self, at: &str, moment: &str, reachable: usize) {
        self.cluster.kill(COORDINATOR);
        self.start(&format!("\n[danger_crash]\nat = \"{at}\"\nmoment = \"{moment}\"\n"));
        self.cluster.wait_for(|up, _| up == reachable, "the signers that live are reachable, the others not").await;
    }

    /// It has died where it should, and is started again as it should be.
    async fn revive(&mut self) {
        self.cluster.wait_dead(COORDINATOR).await;
        self.start("");
    }

    fn lose_the_disk(&self) {
        std::fs::remove_dir_all(self.cluster.path().join(COORDINATOR).join("data")).unwrap();
    }

    fn client(&self) -> Client {
        self.cluster.client.clone()
    }

    fn message_named(&self, name: &str, text: &str, secs: u64) -> SignedIntent {
        let payload = Payload::EvmMessage(text.to_owned().into_bytes().into());
        let intent = NewIntent::new(self.key.clone(), Some(ChainId::eip155(31337)), payload);
        let intent = intent.idempotency_key(name).expires_in(Duration::from_secs(secs));
        self.client().sign_intent(intent).unwrap()
    }

    fn lasting(&self, name: &str, secs: u64) -> SignedIntent {
        self.message_named(name, name, secs)
    }

    /// More than the rules allow in one request.
    fn forbidden(&self, name: &str) -> SignedIntent {
        let chain = ChainId::eip155(31337);
        let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
        let amount = Amount::from_u128(11_000_000_000_000_000_000);
        let fees =
            Eip1559Fees { nonce: 0, gas_limit: 21_000, max_fee_per_gas: 1_000_000_000, max_priority_fee_per_gas: 1 };
        let bytes = transfer(&Transfer { chain: chain.clone(), to, amount }, &fees).unwrap();
        let intent = NewIntent::evm_transaction(self.key.clone(), chain, bytes).idempotency_key(name);
        self.client().sign_intent(intent).unwrap()
    }

    /// The end, asked for in every way that a client has.
    async fn ended(&self, intent: &SignedIntent, state: RequestState) -> Request {
        let client = self.client();
        let waited = client.wait(intent.id(), PATIENCE).await;
        let waited = waited.unwrap_or_else(|error| panic!("{error}; {}", self.cluster.logs()));
        assert_eq!(waited.state, state, "{:?}; {}", waited.error, self.cluster.logs());
        let again = client.submit(intent).await.unwrap();
        assert!(again.repeated, "it is known");
        assert_eq!(again.request.state, state);
        waited
    }

    /// Sessions of which some signer has emitted a partial signature, by intent.
    fn sessions(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut sessions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &self.cluster.config.nodes {
            let file = self.cluster.path().join(node.id.as_str()).join("partials.jsonl");
            for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
                let partial: Value = serde_json::from_str(line).unwrap();
                let text = |field: &str| partial[field].as_str().unwrap().to_owned();
                sessions.entry(text("intent")).or_default().insert(text("session"));
            }
        }
        sessions
    }

    fn coordinators_log(&self) -> String {
        std::fs::read_to_string(self.cluster.path().join("logs").join(format!("{COORDINATOR}.log"))).unwrap()
    }
}

#[tokio::test]
async fn a_request_is_signed_once_wherever_the_coordinator_dies() {
    let mut stage = Stage::set().await;
    let mut signed: BTreeMap<IntentId, [u8; 64]> = BTreeMap::new();
    for at in ["evaluated", "signing", "signed"] {
        for moment in BOTH {
            stage.doom(at, moment, 3).await;
            let intent = stage.cluster.message(&stage.key, &format!("{moment}-{at}"));
            let (client, asked) = (stage.client(), intent.clone());
            let signing = tokio::spawn(async move { client.sign(&asked, PATIENCE).await });
            stage.revive().await;
            let made = signing.await.unwrap();
            let made = made.unwrap_or_else(|error| panic!("{moment} {at}: {error}; {}", stage.cluster.logs()));
            let end = stage.ended(&intent, RequestState::Signed).await;
            assert_eq!(stage.client().verify(&end).await.unwrap().signature, made.signature);
            signed.insert(intent.id(), made.signature);
        }
    }
    check_partials(&stage.cluster);
    let sessions = stage.sessions();
    assert_eq!(sessions.len(), signed.len());
    for (intent, sessions) in sessions {
        assert_eq!(sessions.len(), 1, "{intent} was signed in {sessions:?}");
    }
    // The signers remember the same signatures, each of them only one: else taking over from them is an alarm.
    stage.cluster.kill(COORDINATOR);
    stage.lose_the_disk();
    stage.start("");
    for (id, signature) in signed {
        let request = stage.client().wait(id, PATIENCE).await.unwrap();
        assert_eq!(stage.client().verify(&request).await.unwrap().signature, signature);
    }
    wait_for_log(&stage, "memory read", 6).await;
    assert!(!stage.coordinators_log().contains("ALARM"), "{}", stage.cluster.logs());
}

/// Every signer's memory is read twice: when the cluster is new, and after the loss.
async fn wait_for_log(stage: &Stage, line: &str, times: usize) {
    let started = Instant::now();
    while stage.coordinators_log().matches(line).count() < times {
        assert!(started.elapsed() < PATIENCE, "{line:?} is not {times} times in the log; {}", stage.cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_request_ends_without_a_signature_wherever_the_coordinator_dies() {
    let mut stage = Stage::set().await;
    denied(&mut stage).await;
    possibly_signed(&mut stage).await;
    stage.cluster.kill(&signer(2));
    stage.cluster.kill(&signer(3));
    cancelled(&mut stage).await;
    expired(&mut stage).await;
    let made = stage.sessions();
    assert!(made.is_empty(), "nothing was signed, yet {made:?}");
    assert!(!stage.coordinators_log().contains("ALARM"), "{}", stage.cluster.logs());
}

/// The coordinator loses its disk while only the one signer answers that has not seen the name; the others know better.
#[tokio::test]
async fn a_request_under_a_name_that_signers_know_fails_wherever_the_coordinator_dies() {
    let mut stage = Stage::set().await;
    for moment in BOTH {
        stage.cluster.kill(&signer(3));
        let first = stage.cluster.message(&stage.key, moment);
        stage.client().sign(&first, PATIENCE).await.unwrap();
        for name in [COORDINATOR.to_owned(), signer(1), signer(2)] {
            stage.cluster.kill(&name);
        }
        stage.lose_the_disk();
        stage.cluster.start_one(&signer(3));
        let crash = format!("[danger_crash]\nat = \"failed\"\nmoment = \"{moment}\"\n");
        // The table of timings is the configuration's last.
        stage.start(&format!("rebuild_patience_ms = 500\n\n{crash}"));
        stage.cluster.wait_for(|up, _| up == 1, "one signer is reachable").await;
        let other = stage.message_named(moment, "other", 600);
        stage.client().submit(&other).await.unwrap();
        stage.cluster.start_one(&signer(1));
        stage.cluster.start_one(&signer(2));
        stage.revive().await;
        let end = stage.ended(&other, RequestState::Failed).await;
        assert_eq!(end.error.unwrap().code, Code::IdempotencyConflict);
        assert!(stage.coordinators_log().contains("two signed intents under one idempotency key"));
        stage.cluster.wait_linked().await;
    }
    assert!(stage.sessions().values().all(|sessions| sessions.len() == 1));
    assert_eq!(stage.sessions().len(), BOTH.len(), "only the first of each name was signed");
}

async fn denied(stage: &mut Stage) {
    for moment in BOTH {
        stage.doom("denied", moment, 3).await;
        let intent = stage.forbidden(&format!("denied-{moment}"));
        let (client, asked) = (stage.client(), intent.clone());
        let submitting = tokio::spawn(async move { client.submit(&asked).await });
        stage.revive().await;
        submitting.await.unwrap().unwrap();
        let end = stage.ended(&intent, RequestState::Denied).await;
        assert_eq!(end.error.unwrap().code, Code::PolicyDenied);
    }
}

/// Dies with a session in the books that never was, and stays dead until the request has expired.
async fn possibly_signed(stage: &mut Stage) {
    for moment in BOTH {
        stage.doom("signing", "after", 3).await;
        let intent = stage.lasting(&format!("possibly-{moment}"), 3);
        let expired = Instant::now() + Duration::from_secs(4);
        drop(tokio::spawn({
            let (client, asked) = (stage.client(), intent.clone());
            async move { client.submit(&asked).await }
        }));
        stage.cluster.wait_dead(COORDINATOR).await;
        tokio::time::sleep_until(expired.into()).await;
        stage.start(&format!("\n[danger_crash]\nat = \"possibly_signed\"\nmoment = \"{moment}\"\n"));
        stage.revive().await;
        stage.ended(&intent, RequestState::PossiblySigned).await;
    }
}

/// Two of three signers are dead: the request waits, and its requester loses patience.
async fn cancelled(stage: &mut Stage) {
    for at in ["stopping", "cancelled"] {
        for moment in BOTH {
            stage.doom(at, moment, 1).await;
            let intent = stage.lasting(&format!("{at}-{moment}"), 300);
            let request = stage.client().submit(&intent).await.unwrap().request;
            until_waiting(stage, request).await;
            let (client, id) = (stage.client(), intent.id());
            let cancelling = tokio::spawn(async move { client.cancel(id, "no longer wanted").await });
            stage.revive().await;
            let cancelled = cancelling.await.unwrap();
            let cancelled =
                cancelled.unwrap_or_else(|error| panic!("{at} {moment}: {error}; {}", stage.cluster.logs()));
            assert_eq!(cancelled.state, RequestState::Cancelled);
            stage.ended(&intent, RequestState::Cancelled).await;
        }
    }
}

async fn until_waiting(stage: &Stage, mut request: Request) {
    let mut watch = stage.client().watch(Some(request.id()));
    while request.error.is_none() && !request.state.is_end() {
        request = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    }
    assert_eq!(request.error.unwrap().code, Code::TooFewSigners);
}

/// Still only one signer lives when time is up.
async fn expired(stage: &mut Stage) {
    for moment in BOTH {
        stage.doom("expired", moment, 1).await;
        let intent = stage.lasting(&format!("expired-{moment}"), 2);
        stage.client().submit(&intent).await.unwrap();
        stage.revive().await;
        stage.ended(&intent, RequestState::Expired).await;
    }
}
