//! The evidence of signatures, from real processes: fetched, verified offline, and still there after the coordinator's disk
//! was lost or put back.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use limen_evidence::receipt::{Finality, Receipt};
use limen_evidence::trust::Trust;
use limen_wire::ids::{IntentId, KeyId};
use serde_json::Value;

use super::cluster::{COORDINATOR, Cluster, PATIENCE};

fn limen(cluster: &Cluster, args: &[&str]) -> Output {
    let config = cluster.path().join("client.toml");
    Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) async fn sign(cluster: &Cluster, key: &KeyId, text: &str) -> IntentId {
    let intent = cluster.message(key, text);
    let signed = cluster.client.sign(&intent, PATIENCE).await;
    signed.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    intent.id()
}

/// The receipt once it is final.
pub(super) async fn receipt(cluster: &Cluster, id: IntentId) -> Vec<u8> {
    let started = std::time::Instant::now();
    loop {
        let receipt = cluster.client.receipt(id).await.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
        if receipt.is_final {
            return receipt.bytes.to_vec();
        }
        assert!(started.elapsed() < PATIENCE, "not final; {}", cluster.logs());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_verify_offline_and_outlive_the_coordinators_disk() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    let first = sign(&cluster, &key, "first").await;
    let bytes = receipt(&cluster, first).await;
    // By the commands, as people do it.
    let trust = said(&limen(&cluster, &["charter", "trust", cluster.path().join("charter.toml").to_str().unwrap()]));
    let (pinned, file) = (cluster.path().join("trust.toml"), cluster.path().join("first.receipt"));
    std::fs::write(&pinned, &trust).unwrap();
    said(&limen(&cluster, &["receipt", &first.to_string(), "--out", file.to_str().unwrap()]));
    let again = limen(&cluster, &["receipt", &first.to_string(), "--out", file.to_str().unwrap()]);
    assert!(!again.status.success(), "a file is never written over");
    let verified = ["--output", "json", "verify", "receipt", file.to_str().unwrap(), "--require-final", "--trust"];
    let verified = said(&limen(&cluster, &[&verified[..], &[pinned.to_str().unwrap()]].concat()));
    let told: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((&told["verified"], &told["final"]), (&true.into(), &true.into()));
    assert_eq!(told["intent_id"], first.to_string());
    assert!(told["authorizations"].as_array().unwrap().len() == 2, "{told}");
    // Every flipped byte is refused, on a sample.
    let trust = Trust::from_toml(&trust).unwrap();
    for place in (0..bytes.len()).step_by(37) {
        let mut spoiled = bytes.clone();
        spoiled[place] ^= 1;
        let proves = Receipt::decode(&spoiled).and_then(|receipt| receipt.verify(&trust));
        assert!(proves.is_err(), "byte {place} of {}", bytes.len());
    }
    // The disk is kept, a second request signed, and the old disk put back.
    let data = cluster.path().join(COORDINATOR).join("data");
    let old: PathBuf = cluster.path().join("old-data");
    cluster.kill(COORDINATOR);
    copy(&data, &old);
    cluster.start_one(COORDINATOR);
    cluster.wait_linked().await;
    let second = sign(&cluster, &key, "second").await;
    receipt(&cluster, second).await;
    for (what, alarm) in [("put-back", true), ("lost", false)] {
        cluster.kill(COORDINATOR);
        std::fs::remove_dir_all(&data).unwrap();
        if alarm {
            copy(&old, &data);
        }
        cluster.start_one(COORDINATOR);
        cluster.wait_linked().await;
        let next = sign(&cluster, &key, what).await;
        for id in [first, next] {
            let bytes = receipt(&cluster, id).await;
            let verified = Receipt::decode(&bytes).unwrap().verify(&trust).unwrap();
            assert_eq!((verified.finality, verified.intent.id), (Finality::Final, id), "{what}");
        }
    }
    let log = std::fs::read_to_string(cluster.path().join("logs").join(format!("{COORDINATOR}.log"))).unwrap();
    assert_eq!(log.matches("ALARM: the nodes have cosigned a longer log").count(), 1, "{log}");
    assert!(log.contains("evidence log read back"), "{log}");
    assert!(!cluster.logs().contains("ALARM: the coordinator shows another log"), "{}", cluster.logs());
}
