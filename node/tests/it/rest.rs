//! Shares at rest, and the daemon as a process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use limen_node::store::rows::{KeyRow, share_name};
use limen_wire::ids::{Epoch, KeyId, Protocol, Scheme};

use crate::cluster::{Cluster, eventually, message_intent, refusal, session, sign_request, signature};

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn nothing_at_rest(scheme: Scheme, protocol: Protocol) {
    let mut cluster = Cluster::start(3, 2).await;
    let public = cluster.make_key("treasury", scheme, protocol).await;
    let key = KeyId::new("treasury").unwrap();
    let mut secrets = Vec::new();
    for index in 0..3 {
        let shared = cluster.node(index).shared();
        let view = shared.store.view().unwrap();
        let row = view.key(&key).unwrap().unwrap().share.unwrap();
        let share = shared.vault.read(&view, &key, &row).unwrap();
        // a share alone is not the key: what it would verify is its own point, not the public key
        let own = share.public().verifying_share(share.index()).unwrap();
        assert_ne!(own.as_bytes(), share.public().public_key.as_bytes());
        assert!(!public.is_empty());
        let core = share.export_core().to_vec();
        // the scalar itself: the last 32 bytes of its encoding
        secrets.push(core[core.len() - 32..].to_vec());
        let setup = share.export_setup().unwrap();
        if let Some(part) = setup.get(setup.len() / 2..setup.len() / 2 + 32) {
            secrets.push(part.to_vec());
        }
    }
    for index in 0..3 {
        cluster.stop(index).await;
    }
    let mut found = Vec::new();
    files(cluster.folder.path(), &mut found);
    assert!(found.iter().any(|(name, _)| name.ends_with(".redb")));
    for (name, bytes) in &found {
        for secret in &secrets {
            let reversed: Vec<u8> = secret.iter().rev().copied().collect();
            assert!(!holds(bytes, secret), "{name} holds a share");
            assert!(!holds(bytes, &reversed), "{name} holds a share backwards");
            assert!(!holds(bytes, hex::encode(secret).as_bytes()), "{name} holds a share in hexadecimal");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_a_dkls23_share() {
    nothing_at_rest(Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_a_frost_share() {
    nothing_at_rest(Scheme::EddsaEd25519, Protocol::Frost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_moved_to_another_place_does_not_load() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key("one", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("two", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (one, two) = (KeyId::new("one").unwrap(), KeyId::new("two").unwrap());
    assert_eq!(share_name(&one, Epoch(1), "core"), "one/1/core");
    let shared = cluster.node(0).shared().clone();
    let sealed = shared.store.view().unwrap().share(&two, Epoch(1), "core").unwrap().unwrap();
    shared.store.write(move |txn| txn.put_share(&one, Epoch(1), "core", &sealed)).await.unwrap();
    drop(shared);
    cluster.stop(0).await;
    cluster.restart(0).await;
    eventually("the damage to be seen", || cluster.node(0).shared().metrics.shares_damaged.get() == 1).await;
    let (_, intent) = message_intent(&cluster, "one", "m-1", "hello");
    let request = sign_request(&intent, &[1, 2], session());
    assert_eq!(refusal(&cluster.client(0).sign(request).await.unwrap().into_inner()).code, "share_damaged");
    let (_, intent) = message_intent(&cluster, "two", "m-2", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
}

/// What a signer knows of a key comes from rows of its own disk: each part of it is bound by its own signed statement.
#[tokio::test(flavor = "multi_thread")]
async fn facts_of_a_key_that_were_changed_on_disk_are_not_taken_up() {
    let mut cluster = Cluster::start(2, 2).await;
    let names = ["chain-code", "statement", "foreign", "no-public", "cut", "whole"];
    for name in names {
        cluster.make_key(name, Scheme::EddsaEd25519, Protocol::Frost).await;
    }
    let store = cluster.node(0).shared().store.clone();
    let row = |name: &str| store.view().unwrap().key(&KeyId::new(name).unwrap()).unwrap().unwrap();
    let mut spoilt: Vec<(KeyId, KeyRow)> = names.map(|name| (KeyId::new(name).unwrap(), row(name))).into();
    let foreign = row("whole").share.unwrap();
    for (name, row) in &mut spoilt {
        let share = row.share.as_mut().unwrap();
        let middle = share.public.len() / 2;
        match name.as_str() {
            "chain-code" => share.public[middle] ^= 1,
            "statement" => *share.statement.last_mut().unwrap() ^= 1,
            "foreign" => *share = foreign.clone(),
            "no-public" => share.public.clear(),
            "cut" => share.statement.truncate(middle),
            _ => {}
        }
    }
    store.write(move |txn| spoilt.iter().try_for_each(|(name, row)| txn.put_key(name, row))).await.unwrap();
    drop(store);
    cluster.stop(0).await;
    cluster.restart(0).await;
    for name in names {
        let known = cluster.node(0).shared().key(&KeyId::new(name).unwrap()).is_some();
        assert_eq!(known, name == "whole", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_checks_its_configuration_starts_and_stops_on_sigterm() {
    let mut cluster = Cluster::start(2, 2).await;
    cluster.stop(0).await;
    let config = cluster.path("n1.toml");
    let text = format!("danger_unlocked_memory = true\n{}", cluster.config_text(0));
    std::fs::write(&config, &text).unwrap();
    let daemon = env!("CARGO_BIN_EXE_limen-node");
    let check = Command::new(daemon).arg("--config").arg(&config).arg("--check-config").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));

    let mut child = Command::new(daemon).arg("--config").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains("DANGER: danger_unlocked_memory is set")));
    assert!(lines.any(|line| line.contains("signer started")));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(lines.any(|line| line.contains("signer stopped")));
    assert!(child.wait().unwrap().success());

    std::fs::write(&config, text.replace("[limits]", "[limits]\ncolour = 1")).unwrap();
    let refused = Command::new(daemon).arg("--config").arg(&config).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("colour"));
}

/// Opened shares get on no disk: nothing is swapped out or dumped. Where the system does not let a signer lock its memory, it
/// does not start.
#[tokio::test(flavor = "multi_thread")]
async fn a_signers_memory_stays_in_memory() {
    let mut cluster = Cluster::start(2, 2).await;
    cluster.stop(0).await;
    let config = cluster.path("n1.toml");
    std::fs::write(&config, cluster.config_text(0)).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_limen-node"));
    let mut child = daemon.arg("--config").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.contains("signer started") || line.contains("memory could not be locked"));
    if said.expect("it starts or says why not").contains("could not be locked") {
        assert!(!child.wait().unwrap().success());
        return;
    }
    let about = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap();
    let status = about("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    assert_ne!(locked.trim(), "0 kB");
    let limits = about("limits");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    child.kill().unwrap();
    child.wait().unwrap();
}
