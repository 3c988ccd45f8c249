//! kill -9 of any process in a loop under load: nothing lost, nothing twice, no nonce used again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use limen_client::{Client, SignedIntent};
use limen_wire::ids::IntentId;
use serde_json::Value;

use super::cluster::{Cluster, PATIENCE, message_of};

/// How long the loop runs; `LIMEN_KILL9_SECS=300` for the full campaign.
fn duration() -> Duration {
    let asked = std::env::var("LIMEN_KILL9_SECS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(25))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_of_any_process_under_load() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    let end = Instant::now() + duration();
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (client, key) = (cluster.client.clone(), key.clone());
            tokio::spawn(async move {
                sign_until(end, &client, |index| message_of(&client, &key, &format!("load-{worker}-{index}"))).await
            })
        })
        .collect();
    let kills = kill_in_turn(&mut cluster, end).await;
    let mut signatures = BTreeMap::new();
    for task in load {
        match task.await.unwrap() {
            Ok(made) => signatures.extend(made),
            Err(error) => panic!("{error}; {}", cluster.logs()),
        }
    }
    cluster.wait_linked().await;
    for (id, signature) in &signatures {
        let request = cluster.client.get(*id).await.unwrap();
        let again = cluster.client.verify(&request).await.unwrap();
        assert_eq!(again.signature, *signature, "request {id} has two signatures");
    }
    let nonces: BTreeSet<_> = signatures.values().map(|signature| signature[..32].to_vec()).collect();
    assert_eq!(nonces.len(), signatures.len(), "two signatures share their nonce");
    let partials = check_partials(&cluster);
    assert!(kills > 0 && signatures.len() > 3, "{kills} kills, {} signatures; {}", signatures.len(), cluster.logs());
    eprintln!("{kills} kills, {} signatures, {partials} partial signatures, none twice", signatures.len());
}

/// One request after the other, until the end.
async fn sign_until(
    end: Instant,
    client: &Client,
    make: impl Fn(u32) -> SignedIntent,
) -> Result<Vec<(IntentId, [u8; 64])>, String> {
    let mut signatures = Vec::new();
    while Instant::now() < end {
        let intent = make(u32::try_from(signatures.len()).unwrap());
        let signed = client.sign(&intent, PATIENCE).await.map_err(|error| format!("{}: {error}", intent.id()))?;
        signatures.push((intent.id(), signed.signature));
    }
    Ok(signatures)
}

/// One process after the other: dead for a moment, then back. Never more than one at a time, so that requests go on.
async fn kill_in_turn(cluster: &mut Cluster, end: Instant) -> u32 {
    let (mut kills, names) = (0u32, cluster.names());
    let mut moment: u64 = 137;
    while Instant::now() < end {
        let name = &names[kills as usize % names.len()];
        // Different moments in a fixed order: sessions take tens of milliseconds.
        moment = moment * 31 % 997;
        tokio::time::sleep(Duration::from_millis(200 + moment)).await;
        cluster.kill(name);
        tokio::time::sleep(Duration::from_millis(moment / 4)).await;
        cluster.start_one(name);
        cluster.wait_linked().await;
        kills += 1;
    }
    kills
}

/// Reads every partial signature that any signer ever emitted. A signer never says two different things in one session to
/// one receiver, and a session never lives in two boots of a signer: both would be a nonce used twice.
pub(super) fn check_partials(cluster: &Cluster) -> usize {
    let mut bodies: BTreeMap<(String, u64, u64), String> = BTreeMap::new();
    let mut boots: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut count = 0;
    for node in &cluster.config.nodes {
        let file = cluster.path().join(node.id.as_str()).join("partials.jsonl");
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            // A process that was killed while it wrote leaves half a line, which has left nobody.
            let Ok(partial) = serde_json::from_str::<Value>(line) else { continue };
            let text = |field: &str| partial[field].as_str().unwrap().to_owned();
            let (session, from, to) =
                (text("session"), partial["from"].as_u64().unwrap(), partial["to"].as_u64().unwrap());
            if let Some(before) = bodies.insert((session.clone(), from, to), text("body")) {
                assert_eq!(before, text("body"), "signer {from} emitted two partial signatures in session {session}");
            }
            if let Some(before) = boots.insert((session.clone(), from), text("boot")) {
                assert_eq!(before, text("boot"), "session {session} went on after a restart of signer {from}");
            }
            if let Some(before) = seen.insert((from, to, text("body")), session.clone()) {
                assert_eq!(before, session, "signer {from} emitted the same partial signature in two sessions");
            }
            count += 1;
        }
    }
    assert!(count > 0, "no partial signature was traced");
    count
}
