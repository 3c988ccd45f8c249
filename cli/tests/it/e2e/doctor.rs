//! Whoever is woken runs `limen doctor`: all is well, then one signer is gone.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{Cluster, PATIENCE, signer, witness};

fn limen(cluster: &Cluster, args: &[&str]) -> Output {
    let config = cluster.path().join("client.toml");
    Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
}

/// The worst finding of each check that is not well.
fn troubles(output: &Output) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = answer["findings"].as_array().unwrap().iter();
    let not_well = all.filter(|one| one["weight"] != "ok");
    not_well
        .inspect(|one| assert_ne!(one["remedy"], "", "{one}"))
        .map(|one| (text(one, "weight"), text(one, "check")))
        .collect()
}

#[tokio::test]
async fn doctor_finds_a_cluster_well_and_names_the_signer_that_is_gone() {
    let mut cluster = Cluster::start_house(3, 2, 1).await;
    let started = Instant::now();
    // Until everybody has vouched for everybody.
    let well = loop {
        let output = limen(&cluster, &["doctor", "--json"]);
        if troubles(&output).is_empty() {
            break output;
        }
        assert!(started.elapsed() < PATIENCE, "{:?}; {}", troubles(&output), cluster.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(well.status.code(), Some(0));
    let text = String::from_utf8(limen(&cluster, &["doctor"]).stdout).unwrap();
    for words in
        ["signer-3 standing", "signer-1 clock", "straight way signer-2", "witness-1 ledger main", "0 bad, 0 warnings"]
    {
        assert!(text.contains(words), "{words} is missing in {text}");
    }

    cluster.kill(&signer(2));
    cluster.wait_for(|up, linked| up == 2 && linked == 2, "signer 2 counted as gone").await;
    let output = limen(&cluster, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found = troubles(&output);
    let found: Vec<_> = found.iter().map(|(weight, check)| (weight.as_str(), check.as_str())).collect();
    let expected = [
        ("warn", "enough signers"),
        ("warn", "signer-1 links"),
        ("bad", "signer-2"),
        ("warn", "signer-3 links"),
        ("warn", "straight way signer-2"),
    ];
    assert_eq!(found, expected, "{}", cluster.logs());

    cluster.kill(&witness(1));
    let file = cluster.path().join("bundle.json");
    let made = limen(&cluster, &["support-bundle", "--out", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let signers = bundle["cluster"]["signers"].as_array().unwrap();
    assert_eq!(signers.iter().map(|one| one["reachable"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(bundle["cluster"]["witnesses"][0]["reachable"], false);
    assert_eq!(bundle["cluster"]["charter_hash"], signers[0]["last_said"]["charter_hash"]);
    let people = std::fs::read_dir(cluster.path().join("people")).unwrap().map(|entry| entry.unwrap().path());
    let text = bundle.to_string();
    for key in people.chain([cluster.config.key.clone(), cluster.config.envelope_key.clone()]) {
        let pem = std::fs::read_to_string(&key).unwrap();
        let mut body = pem.lines().filter(|line| !line.contains("--") && line.len() > 8);
        assert!(body.all(|line| !text.contains(line)), "{}", key.display());
    }
}
