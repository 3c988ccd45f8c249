//! The private key is nowhere: in no file of any process, and in no set of too few shares.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use limen_client::NewIntent;
use limen_wire::ids::{KeyId, Protocol, Scheme};

use super::cluster::{COORDINATOR, Cluster, PATIENCE, binaries, signer};
use super::memory;
use super::needles::Needles;
use super::shares::{self, Share};

const SIGNERS: u16 = 5;
const REQUIRED: u16 = 3;

/// A key's name and its public half.
type Key = (KeyId, Vec<u8>);

#[tokio::test]
async fn the_private_key_is_nowhere() {
    let mut cluster = Cluster::start(SIGNERS, REQUIRED).await;
    let keys = make_and_use_keys(&cluster, "").await;
    let seen = cluster.pids().into_iter().flat_map(|pid| seen_from_outside(&cluster, pid)).collect::<Vec<_>>();
    for name in cluster.names() {
        cluster.kill(&name);
    }

    let shares: Vec<Share> = (1..=SIGNERS.into()).flat_map(|index| shares::of_signer(&cluster, index)).collect();
    assert_eq!(shares.len(), keys.len() * usize::from(SIGNERS));
    let mut whole = Vec::new();
    for (key, public_key) in &keys {
        let of_key: Vec<&Share> = shares.iter().filter(|share| share.key == *key).collect();
        whole.push((format!("the private key {key}"), check_every_set(&of_key, public_key)));
    }
    let mut needles = Needles::default();
    whole.iter().for_each(|(name, secret)| needles.add(name, *secret));
    for share in &shares {
        add_share(&mut needles, share);
    }
    for index in 1..=SIGNERS {
        let file = cluster.path().join(format!("signer-{index}/share-wrapping.key"));
        let key = hex::decode(std::fs::read_to_string(file).unwrap().trim()).unwrap();
        needles.add(&format!("the wrapping key of signer {index}"), key.try_into().unwrap());
    }

    let files = all_files(cluster.path());
    assert!(files.iter().filter(|file| file.extension().is_some_and(|end| end == "redb")).count() > 5, "{files:?}");
    assert!(files.iter().filter(|file| file.extension().is_some_and(|end| end == "log")).count() > 5, "{files:?}");
    for file in files.iter().filter(|file| file.file_name().is_none_or(|name| name != "share-wrapping.key")) {
        let content = std::fs::read(file).unwrap();
        assert_eq!(needles.find(&content), None, "{} holds a secret in the clear", file.display());
    }
    for (what, content) in seen {
        assert_eq!(needles.find(&content), None, "{what} holds a secret in the clear");
    }
    check_memory(&mut cluster, &keys, &whole, &shares).await;
    check_forgotten(&mut cluster, &keys).await;
    check_core_dumps(&mut cluster).await;
}

/// While they sign, no process holds a private key, or a share of another.
async fn check_memory(cluster: &mut Cluster, keys: &[Key], whole: &[(String, [u8; 32])], shares: &[Share]) {
    cluster.start_all();
    cluster.wait_linked().await;
    for round in 0..5 {
        sign_with_all(cluster, keys, &format!("again-{round}")).await;
    }
    let mut held = 0;
    for name in cluster.names() {
        let (own, others): (Vec<&Share>, Vec<&Share>) =
            shares.iter().partition(|share| signer(share.index.into()) == name);
        let mut forbidden = Needles::default();
        whole.iter().for_each(|(name, secret)| forbidden.add(name, *secret));
        others.iter().for_each(|share| forbidden.add(&whose(share), share.secret));
        let pid = cluster.pid(&name);
        let found = memory::search(pid, |piece| {
            forbidden.find(piece).inspect(|secret| eprintln!("{name} holds {secret} in memory")).is_some()
        });
        let Some(found) = found else {
            eprintln!("skipped: the kernel lets nobody read another process's memory");
            return;
        };
        assert!(!found, "{name} holds more than its own shares");
        // The search finds what is there: a signer's own shares, for a while after it has signed.
        for share in own {
            let mut needle = Needles::default();
            needle.add("own", share.secret);
            held += usize::from(memory::search(pid, |piece| needle.find(piece).is_some()) == Some(true));
        }
    }
    assert!(held >= usize::from(REQUIRED), "the signers that have just signed hold no share");
}

/// A share that is opened for each session is nowhere in memory once the session is over, and a new one neither once it is stored.
async fn check_forgotten(cluster: &mut Cluster, keys: &[Key]) {
    let signers: Vec<String> = cluster.names().into_iter().filter(|name| name != COORDINATOR).collect();
    for name in &signers {
        cluster.kill(name);
        let file = cluster.path().join(name).join("config.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{config}\n[shares]\nhold_secs = 0\n")).unwrap();
    }
    // What the coordinator knows of the old processes is not taken for the new ones.
    cluster.wait_for(|up, _| up == 0, "all signers gone").await;
    cluster.start_all_but(COORDINATOR);
    cluster.wait_linked().await;
    let mut keys = keys.to_vec();
    keys.extend(make_and_use_keys(cluster, "late-").await);
    for round in 0..5 {
        sign_with_all(cluster, &keys, &format!("forgotten-{round}")).await;
    }
    cluster.wait_idle().await;
    let dumps: Vec<_> = signers.iter().filter_map(|name| memory::dump(cluster.pid(name))).collect();
    if dumps.is_empty() {
        eprintln!("skipped: the kernel lets nobody read another process's memory");
    } else {
        assert_eq!(dumps.len(), signers.len());
    }
    signers.iter().for_each(|name| cluster.kill(name));
    for (index, dump) in (1..).zip(dumps) {
        let shares = shares::of_signer(cluster, index);
        assert_eq!(shares.len(), keys.len());
        let mut needles = Needles::default();
        shares.iter().for_each(|share| add_share(&mut needles, share));
        // What is no secret stands there.
        let has_name = |content: &Vec<u8>| content.windows(13).any(|window| window == b"late-messages");
        assert!(dump.iter().any(|(_, content)| has_name(content)), "signer {index}: not its memory");
        for (region, content) in dump {
            // How far from the end of the region: on a stack, how deep.
            let place = || content.len() - needles.place(&content).unwrap_or_default();
            assert_eq!(needles.find(&content), None, "signer {index} has not forgotten it: {region}, {}", place());
        }
    }
    cluster.wait_for(|up, _| up == 0, "all signers gone").await;
    cluster.start_all_but(COORDINATOR);
    cluster.wait_linked().await;
}

/// A signer that aborts, for whatever reason, leaves no core dump where another process leaves one.
async fn check_core_dumps(cluster: &mut Cluster) {
    let allowed = |program: &str| format!("ulimit -c unlimited && {program}");
    let shell = |line: String| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(cluster.path()).stdout(Stdio::null()).stderr(Stdio::null());
        shell
    };
    let ordinary = shell(allowed("kill -ABRT $$")).status().unwrap();
    if !ordinary.core_dumped() {
        eprintln!("skipped: this machine writes no core dumps at all");
        return;
    }
    let (name, node) = (signer(1), binaries().join("limen-node"));
    let line = allowed(&format!("exec {} --config {name}/config.toml", node.display()));
    let mut commands = shell(line);
    cluster.kill(&name);
    cluster.wait_for(|up, _| up == usize::from(SIGNERS) - 1, "one signer gone").await;
    let mut child = commands.spawn().unwrap();
    cluster.wait_linked().await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false), "an aborting signer left its memory on disk");
}

fn whose(share: &Share) -> String {
    format!("the share of signer {} for {}", share.index, share.key)
}

/// One key of each kind, each with a signature, so that everything that a signer ever writes has been written.
async fn make_and_use_keys(cluster: &Cluster, before: &str) -> Vec<Key> {
    let make = async |name, scheme, protocol| cluster.make_key(&format!("{before}{name}"), scheme, protocol).await;
    let ecdsa = make("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let ed25519 = make("messages", Scheme::EddsaEd25519, Protocol::Frost).await;
    let bip340 = make("schnorr", Scheme::SchnorrBip340, Protocol::Frost).await;
    let mut keys = Vec::new();
    for key in [ecdsa, ed25519, bip340] {
        let public_key = cluster.client.key(&key).await.unwrap().public_key;
        keys.push((key, public_key));
    }
    sign_with_all(cluster, &keys, &format!("{before}hello")).await;
    keys
}

async fn sign_with_all(cluster: &Cluster, keys: &[Key], text: &str) {
    for (key, public_key) in keys {
        let intent = match public_key.len() {
            33 => cluster.message(key, &format!("{text}-of-{key}")),
            _ => cluster.client.sign_intent(NewIntent::message(key.clone(), text.to_owned())).unwrap(),
        };
        let signed = cluster.client.sign(&intent, PATIENCE).await;
        signed.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
    }
}

/// The share itself, and pieces of what the protocol keeps beside it.
fn add_share(needles: &mut Needles, share: &Share) {
    needles.add(&whose(share), share.secret);
    for quarter in 1..4 {
        if let Some(piece) = share.setup[share.setup.len() * quarter / 4..].first_chunk::<32>() {
            let distinct: std::collections::BTreeSet<u8> = piece.iter().copied().collect();
            assert!(distinct.len() > 8, "the set-up beside {} is no secret", whose(share));
            needles.add(&format!("the set-up beside {}", whose(share)), *piece);
        }
    }
}

/// Interpolates every set of shares: those below `signers_required` give something else, all others the key.
fn check_every_set(shares: &[&Share], public_key: &[u8]) -> [u8; 32] {
    let mut key = None;
    for set in 1u32..1 << shares.len() {
        let chosen: Vec<&Share> =
            shares.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, share)| *share).collect();
        let (secret, public) = shares::join(&chosen);
        let enough = chosen.len() >= usize::from(REQUIRED);
        assert_eq!(public == public_key, enough, "{} shares of {}", chosen.len(), shares[0].key);
        if enough {
            assert_eq!(*key.get_or_insert(secret), secret, "every sufficient set gives the same key");
        }
    }
    key.unwrap()
}

/// What every user of the machine may see of a running process. It writes to no file outside the cluster's folder.
fn seen_from_outside(cluster: &Cluster, pid: u32) -> Vec<(String, Vec<u8>)> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let root = cluster.path().canonicalize().unwrap();
    for open in std::fs::read_dir(process.join("fd")).unwrap() {
        // A connection may have been closed since the folder was read.
        let Ok(target) = std::fs::read_link(open.unwrap().path()) else { continue };
        let elsewhere = target.is_file() && !target.starts_with(&root);
        assert!(!elsewhere, "process {pid} holds {} open", target.display());
    }
    let read = |name: &str| (format!("{name} of process {pid}"), std::fs::read(process.join(name)).unwrap());
    vec![read("cmdline"), read("environ")]
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}
