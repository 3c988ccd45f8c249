//! New shares for keys by the command, in a cluster of processes that signs all the while.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limen_client::{Client, NewIntent, SignedIntent};
use limen_evidence::receipt::Receipt;
use limen_evidence::trust::Trust;
use limen_wire::ids::{Epoch, IntentId, KeyId, Protocol, Scheme};
use serde_json::Value;

use super::cluster::{COORDINATOR, Cluster, PATIENCE, message_of, signer};
use super::receipts::receipt;

fn limen(cluster: &Cluster, args: &[&str]) -> Output {
    let config = cluster.path().join("client.toml");
    Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
}

const WORDS: &str = "words";

/// Something to sign that the key's scheme takes.
fn intent(client: &Client, key: &KeyId, text: &str) -> SignedIntent {
    if key.as_str() != WORDS {
        return message_of(client, key, text);
    }
    let words = NewIntent::message(key.clone(), text.as_bytes().to_vec());
    client.sign_intent(words.idempotency_key(format!("words-{text}"))).unwrap()
}

async fn sign(cluster: &Cluster, key: &KeyId, text: &str) -> IntentId {
    let intent = intent(&cluster.client, key, text);
    let signed = cluster.client.sign(&intent, PATIENCE).await;
    signed.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    intent.id()
}

fn refresh(cluster: &Cluster, which: &[&str]) -> Value {
    let output = limen(cluster, &[&["--output", "json", "key", "refresh"], which].concat());
    assert!(output.status.success(), "{}; {}", String::from_utf8_lossy(&output.stderr), cluster.logs());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_made_anew_while_everybody_signs() {
    let mut cluster = Cluster::start(3, 2).await;
    let keys = [cluster.make_ecdsa_key().await, cluster.make_key(WORDS, Scheme::EddsaEd25519, Protocol::Frost).await];
    let before = sign(&cluster, &keys[0], "before").await;
    let old_receipt = receipt(&cluster, before).await;
    let public_keys = [
        cluster.client.key(&keys[0]).await.unwrap().public_key,
        cluster.client.key(&keys[1]).await.unwrap().public_key,
    ];
    // Requests of both keys come without a pause.
    let stop = Arc::new(AtomicBool::new(false));
    let (client, asked, stopped) = (cluster.client.clone(), keys.clone(), Arc::clone(&stop));
    let busy = tokio::spawn(async move {
        let mut signed = 0usize;
        while !stopped.load(Ordering::Relaxed) {
            for key in &asked {
                let intent = intent(&client, key, &format!("meanwhile-{signed}"));
                client.sign(&intent, PATIENCE).await.map_err(|error| error.to_string())?;
                signed += 1;
            }
        }
        Ok::<_, String>(signed)
    });
    let each: Vec<Value> =
        tokio::task::block_in_place(|| keys.iter().map(|key| refresh(&cluster, &[key.as_str()])).collect());
    // As a timer does it, in the order of names.
    let all = tokio::task::block_in_place(|| refresh(&cluster, &["--all", "--pause", "0"]));
    for (epoch, told) in [(2, &each), (3, all.as_array().unwrap())] {
        assert_eq!(told.len(), keys.len());
        for (key, public_key) in keys.iter().zip(&public_keys) {
            let told = told.iter().find(|told| told["key_id"] == key.as_str()).unwrap();
            assert_eq!((&told["epoch"], &told["attested"]), (&epoch.into(), &true.into()));
            assert_eq!(told["public_key"], hex::encode(public_key), "a key's public key never changes");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let signed = busy.await.unwrap().unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    assert!(signed > 2, "nobody signed meanwhile");
    // What was signed with shares that are over is proved still, also by a coordinator that has lost its disk.
    let after = sign(&cluster, &keys[0], "after").await;
    let trust = limen(&cluster, &["charter", "trust", cluster.path().join("charter.toml").to_str().unwrap()]);
    let trust = Trust::from_toml(&String::from_utf8(trust.stdout).unwrap()).unwrap();
    let verified = |bytes: &[u8]| Receipt::decode(bytes).unwrap().verify(&trust).unwrap();
    verified(&old_receipt);
    verified(&receipt(&cluster, before).await);
    verified(&receipt(&cluster, after).await);
    cluster.kill(COORDINATOR);
    std::fs::remove_dir_all(cluster.path().join(COORDINATOR).join("data")).unwrap();
    cluster.start_one(COORDINATOR);
    cluster.wait_for(|up, links| up == 3 && links == 6, "the rebuilt coordinator sees all").await;
    verified(&receipt(&cluster, before).await);
    let info = cluster.client.list_keys(Some(&keys[1])).await.unwrap().remove(0);
    assert_eq!(cluster.client.admit(&info).unwrap().epoch, Epoch(3));
    // A signer that starts anew takes up the shares in force.
    cluster.kill(&signer(1));
    cluster.start_one(&signer(1));
    cluster.wait_for(|up, links| up == 3 && links == 6, "the signer is back").await;
    for key in &keys {
        sign(&cluster, key, "in-the-end").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committee_that_the_charter_does_not_name_is_refused_in_words() {
    let cluster = Cluster::start(3, 2).await;
    let key = cluster.make_key(WORDS, Scheme::EddsaEd25519, Protocol::Frost).await;
    let to_two = ["key", "reshare", key.as_str(), "--node", "signer-1", "--node", "signer-2", "--required", "2"];
    let refused = limen(&cluster, &to_two);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("[[committees]]"), "{words}");
    let few = limen(&cluster, &["key", "refresh", "none"]);
    assert!(String::from_utf8_lossy(&few.stderr).contains("none"), "{few:?}");
    let protocol = limen(&cluster, &["key", "refresh", key.as_str(), "--protocol", "dkls23"]);
    assert!(String::from_utf8_lossy(&protocol.stderr).contains("dkls23"), "{protocol:?}");
}
