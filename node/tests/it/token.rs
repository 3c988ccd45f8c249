//! Signers whose shares are sealed behind the bridge's socket, by a device that can be told to be away, to lie, and to say nothing.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limen_hsm::conformance::{Device, Mode};
use limen_hsm::{Anchor, Kind, Provider};
use limen_node::clock::{SystemClock, Uptime};
use limen_node::config::Config;
use limen_node::node::{self, Act};
use limen_node::store::{Options, Store};
use limen_node::vault::{Rotated, Vault, VaultError};
use limen_wire::ids::{Epoch, KekId, KeyId, Protocol, Scheme};
use limen_wire::pb;

use crate::charters::TestClock;
use crate::cluster::{self, Cluster, eventually, evm_transfer, message_intent, session, sign_request, signature};

/// Signers with a device each, the first one's in hand.
async fn behind_devices(total: usize, required: u32) -> (Cluster, Arc<Device>) {
    let first = Mutex::new(None);
    let cluster = Cluster::start_behind_bridges(total, required, |socket| {
        let device = Device::at_socket(socket, 0xa1);
        first.lock().unwrap().get_or_insert(device);
    });
    (cluster.await, first.into_inner().unwrap().unwrap())
}

/// What the first signer says to a sign call when it refuses.
async fn refusal(cluster: &Cluster, intent: &pb::Envelope) -> pb::Error {
    let request = sign_request(intent, &[1, 2], session());
    cluster::refusal(&cluster.client(0).sign(request).await.unwrap().into_inner()).clone()
}

fn works(cluster: &Cluster) -> bool {
    cluster.node(0).shared().metrics.token_works.get() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_away_stops_its_signer_by_name_and_only_until_it_is_back() {
    let (cluster, device) = behind_devices(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (_, first) = message_intent(&cluster, "words", "m-0", "hello");
    let answers = cluster.sign(&first, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));

    let (_, waits) = message_intent(&cluster, "words", "m-1", "hello again");
    let kinds = [
        Kind::Gone,
        Kind::PinLocked,
        Kind::PinWrong,
        Kind::NotLoggedIn,
        Kind::TimedOut,
        Kind::Busy,
        Kind::Device,
        Kind::OtherKey,
        Kind::Missing,
        Kind::Protocol,
        Kind::Dangerous,
    ];
    for kind in kinds {
        device.set(Mode::Refuses(kind));
        let error = refusal(&cluster, &waits).await;
        assert_eq!((error.code.as_str(), error.node.as_str()), ("hsm_unavailable", "n1"), "{kind:?}");
        assert!(error.message.contains(kind.code()), "{kind:?}: {}", error.message);
    }
    eventually("the watch to see it", || !works(&cluster)).await;
    assert!(cluster.node(0).shared().token.trouble().is_some());
    // Nothing is kept from the others.
    let (_, meanwhile) = message_intent(&cluster, "words", "m-2", "without the first");
    signature(&cluster.sign(&meanwhile, &[2, 3]).await[0]);

    // Eleven refusals have cost none of the eight sessions that an intent may have.
    device.set(Mode::Works);
    signature(&cluster.sign(&waits, &[1, 2]).await[0]);
    eventually("the watch to see it back", || works(&cluster)).await;
    assert_eq!(cluster.node(0).shared().token.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_says_nothing_holds_nobody_up() {
    let (cluster, device) = behind_devices(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (_, waits) = message_intent(&cluster, "words", "m-1", "hello");
    device.set(Mode::Silent);
    let error = refusal(&cluster, &waits).await;
    assert_eq!(error.code, "hsm_unavailable");
    assert!(error.message.contains(Kind::TimedOut.code()), "{}", error.message);
    device.set(Mode::Works);
    signature(&cluster.sign(&waits, &[1, 2]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lies_makes_no_signature() {
    let (cluster, device) = behind_devices(3, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("coins", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let (_, words) = message_intent(&cluster, "words", "m-1", "hello");
    let coins = evm_transfer("coins", "t-1", 0, 1);
    let (_, coins) = limen_wire::intent::seal_intent(&coins, &cluster.backend).unwrap();
    for mode in [Mode::Lies, Mode::Babbles] {
        device.set(mode);
        for intent in [&words, &coins] {
            assert_eq!(refusal(&cluster, intent).await.code, "share_damaged", "{mode:?}");
        }
    }
    device.set(Mode::Works);
    signature(&cluster.sign(&words, &[1, 2]).await[0]);
    signature(&cluster.sign(&coins, &[1, 2]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_starts_without_its_device_and_signs_by_no_other() {
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.stop(0).await;
    device.set(Mode::Refuses(Kind::Gone));
    let checked = node::check(&cluster.config(0)).unwrap_err();
    assert!(checked.to_string().contains("told to refuse"), "{checked}");
    cluster.restart(0).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    assert_eq!(refusal(&cluster, &intent).await.code, "hsm_unavailable");
    device.set(Mode::Works);
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);

    // Nobody at the socket, and then another device at it.
    let (_, intent) = message_intent(&cluster, "words", "m-2", "hello again");
    cluster.stop(0).await;
    let socket = cluster.socket(0);
    std::fs::rename(&socket, socket.with_extension("away")).unwrap();
    cluster.restart(0).await;
    let error = refusal(&cluster, &intent).await;
    assert_eq!(error.code, "hsm_unavailable");
    assert!(error.message.contains(Kind::Unreachable.code()), "{}", error.message);
    let keys = [socket.with_extension("key"), socket.with_extension("key.d")];
    for path in &keys {
        std::fs::rename(path, path.with_extension("first")).unwrap();
    }
    let other = Device::at_socket(&socket, 0xb2);
    let kek = first_kek(&cluster);
    assert_eq!(refusal(&cluster, &intent).await.code, "hsm_unavailable", "without the wrapping key");
    other.create_kek(&kek).unwrap();
    assert_eq!(refusal(&cluster, &intent).await.code, "share_damaged", "with one of the same name");
}

/// How many records the journal of a store has that nobody uses.
fn length(data: &Path) -> u64 {
    let options = Options::new("n1".parse().unwrap(), "test".parse().unwrap());
    let store = Store::open(data.parent().unwrap(), options).unwrap();
    store.view().unwrap().head().unwrap().length
}

/// The wrapping key of the first signer's hot shares.
fn first_kek(cluster: &Cluster) -> KekId {
    let shared = cluster.node(0).shared();
    let record = shared.store.view().unwrap().share(&key("words"), limen_wire::ids::Epoch(1), "core").unwrap().unwrap();
    let length = usize::from(record[12]);
    KekId::new(std::str::from_utf8(&record[13..13 + length]).unwrap()).unwrap()
}

fn key(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

/// Asks both signers to make a key by this order; gives what they say.
async fn make(cluster: &Cluster, order: &pb::Envelope) -> [pb::GenerateKeyResponse; 2] {
    let session = session();
    let calls = (0..2).map(|index| {
        let (mut client, order, session) = (cluster.client(index), order.clone(), session.clone());
        async move {
            let request = pb::GenerateKeyRequest {
                order: Some(order),
                session_id: session.into(),
                timeout_ms: 5_000,
                ..Default::default()
            };
            client.generate_key(request).await.unwrap().into_inner()
        }
    });
    cluster::all(calls).await.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_whose_share_a_token_does_not_take() {
    let (cluster, device) = behind_devices(2, 2).await;
    device.set(Mode::Refuses(Kind::Gone));
    let early = cluster.order("early", Scheme::EddsaEd25519, Protocol::Frost);
    let [first, second] = make(&cluster, &early).await;
    assert_eq!(first.refusal.unwrap().code, "hsm_unavailable");
    // The other one waited for it in vain, and has no share either.
    assert!(first.statement.is_none() && second.statement.is_none());
    device.set(Mode::Works);
    let [first, second] = make(&cluster, &early).await;
    assert!(first.statement.is_some() && second.statement.is_some(), "the name is not lost: {first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_share_waits_for_a_token_that_is_away_for_a_moment() {
    let (cluster, device) = behind_devices(2, 2).await;
    // Cut off at the first calls of a key's making, one after the other: as they find the wrapping key, rehearse, seal and read back.
    for calls in 0..9 {
        let key = cluster.order(&format!("key-{calls}"), Scheme::EddsaEd25519, Protocol::Frost);
        device.pull_after(calls);
        let back = Arc::clone(&device);
        let waking = tokio::spawn(async move {
            // Whatever the device was cut off at, somebody has been refused by then.
            tokio::time::timeout(Duration::from_secs(60), async {
                while !back.is_pulled() {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .ok();
            back.put_back();
        });
        let answers = make(&cluster, &key).await;
        waking.await.unwrap();
        if answers.iter().any(|answer| answer.statement.is_none()) {
            let answers = make(&cluster, &key).await;
            assert!(answers.iter().all(|answer| answer.statement.is_some()), "{calls}: {answers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_in_memory_is_opened_anew_when_its_time_is_over_however_busy_it_is() {
    let clock = Arc::new(TestClock::default());
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("asked", Scheme::EddsaEd25519, Protocol::Frost).await;
    (cluster.hold_secs, cluster.extra_config) = (60, "frost_nonces = 0\n".to_owned());
    for index in 0..2 {
        cluster.stop(index).await;
    }
    let opened = || device.opened();
    let stopped = opened();
    for index in 0..2 {
        cluster.start_again(index, Arc::clone(&clock) as _).await;
    }
    cluster.linked().await;
    // Each share has two records, and the first look opens both shares.
    eventually("the first look", || opened() == stopped + 4).await;
    let first = opened();
    for minute in 0..3 {
        for step in 0..3 {
            let (_, intent) = message_intent(&cluster, "words", &format!("m-{minute}-{step}"), "hello");
            signature(&cluster.sign(&intent, &[1, 2]).await[0]);
            assert_eq!(opened() - first, (minute + 1) * 2, "minute {minute}, signature {step}");
            clock.run_for(20_000);
            cluster.linked().await;
        }
    }
    // What the guard refuses leaves nothing in memory.
    let before = opened();
    for tries in 1..4 {
        let (_, asked) = message_intent(&cluster, "asked", "asked", "hello");
        assert_eq!(refusal(&cluster, &asked).await.code, "approvals_missing");
        assert_eq!(opened() - before, tries * 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_knows_a_disk_that_was_put_back_when_no_peer_does() {
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    eventually("an anchor", || device.software.anchor_read().unwrap().is_some()).await;
    let data = cluster.config(0).data_dir.join("limen-node.redb");
    // Nobody but the token can tell from here on.
    cluster.stop(1).await;
    cluster.stop(0).await;
    let older = std::fs::read(&data).unwrap();
    let before = device.software.anchor_read().unwrap().unwrap();
    assert_eq!(before.sequence, length(&data), "an end in order tells the token of the last record");
    cluster.start_again(0, Arc::new(SystemClock)).await;
    eventually("the anchor to move", || device.software.anchor_read().unwrap().unwrap().sequence > before.sequence)
        .await;
    assert_eq!(cluster.node(0).shared().standings.rolled_back(), None, "the newest disk is the right one");
    cluster.stop(0).await;

    let newest = std::fs::read(&data).unwrap();
    std::fs::write(&data, older).unwrap();
    cluster.start_again(0, Arc::new(SystemClock)).await;
    eventually("the alarm", || cluster.node(0).shared().metrics.rolled_back.get() == 1).await;
    let words = cluster.node(0).shared().standings.rolled_back().unwrap();
    assert!(words.contains("its token remembers another journal"), "{words}");
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let error = refusal(&cluster, &intent).await;
    assert!(matches!(error.code.as_str(), "no_standing" | "too_few_signers"), "{error:?}");
    let anchored = device.software.anchor_read().unwrap();
    cluster.stop(0).await;
    assert_eq!(device.software.anchor_read().unwrap(), anchored, "the older journal is not what the token is told");

    // The better disk, and everything goes on.
    std::fs::write(&data, newest).unwrap();
    cluster.start_again(0, Arc::new(SystemClock)).await;
    cluster.restart(1).await;
    assert_eq!(cluster.node(0).shared().standings.rolled_back(), None);
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_shorter_than_its_tokens_anchor_opens_no_share() {
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.stop(0).await;
    device.software.anchor_advance(&Anchor { sequence: 1_000_000, head: [7; 32] }).unwrap();
    let error = node::rotation(&cluster.config(0), Act::Rotate, &SystemClock).unwrap_err().to_string();
    assert!(error.contains("its token remembers 1000000 records"), "{error}");
    cluster.start_again(0, Arc::new(SystemClock)).await;
    let linked = || cluster.node(0).shared().mesh.health().iter().all(|link| link.connected);
    eventually("the alarm", || cluster.node(0).shared().metrics.rolled_back.get() == 1 && linked()).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let error = refusal(&cluster, &intent).await;
    assert_eq!(error.code, "no_standing", "{error:?}");
    assert!(error.message.contains("its token remembers 1000000 records"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapping_keys_are_rotated_with_proof() {
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("coins", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let before = first_kek(&cluster);
    cluster.stop(0).await;
    let config = cluster.config(0);
    let data = config.data_dir.join("limen-node.redb");
    let old_disk = std::fs::read(&data).unwrap();
    let rotate = |act| node::rotation(&config, act, &SystemClock);
    assert!(rotate(Act::DestroyOld).unwrap().destroyed.is_empty(), "nothing is old yet");

    // A device that opens everything as something else changes nothing.
    device.set(Mode::Lies);
    assert_eq!(rotate(Act::Rotate).unwrap().damaged.len(), 2);
    device.set(Mode::Works);
    // Pulled at every call, one after the other, it ends with one new wrapping key, and what was destroyed nothing needs.
    let done = pulled_at_every_call(&device, || rotate(Act::Rotate));
    assert_eq!((done.keys.as_slice(), done.sealing.len()), (&[key("coins"), key("words")][..], 1));
    assert!(device.software.keks().unwrap().contains(&before), "the old one stays until it is said");
    let both = std::fs::read(&data).unwrap();
    let gone = pulled_at_every_call(&device, || rotate(Act::DestroyOld));
    assert_eq!(device.software.keks().unwrap(), done.sealing);
    assert_eq!((gone.sealing, gone.damaged.len()), (done.sealing.clone(), 0));
    assert_ne!(done.sealing[0], before);
    cluster.restart(0).await;
    assert_eq!(first_kek(&cluster), done.sealing[0]);
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
    cluster.stop(0).await;

    // Copies of the disk from before the rotation open nothing any more, even beside the right device; those from its middle do.
    for (disk, opens) in [(&old_disk, false), (&both, true)] {
        std::fs::write(&data, disk).unwrap();
        assert_eq!(open(&config, &device, "words").is_ok(), opens);
    }
    // And no rotation begins from an older disk: it would destroy what the newest needs.
    let refused = rotate(Act::Rotate).unwrap_err().to_string();
    assert!(refused.contains("put back"), "{refused}");
    assert!(rotate(Act::DestroyOld).unwrap_err().to_string().contains("put back"));
}

/// Runs an act until it is done, with a device that answers one call more each time.
fn pulled_at_every_call(device: &Device, act: impl Fn() -> Result<Rotated, node::StartError>) -> Rotated {
    for calls in 0..100 {
        device.pull_after(calls);
        let done = act();
        device.put_back();
        match done {
            Ok(done) => {
                assert!(calls > 2, "it was never pulled");
                return done;
            }
            Err(error) => assert!(error.to_string().contains("pulled in the middle"), "{error}"),
        }
    }
    unreachable!("it does not end")
}

/// Opens a share of a signer that does not run.
fn open(config: &Config, device: &Arc<Device>, name: &str) -> Result<(), VaultError> {
    let options = Options::new(config.node.clone(), "test".parse().unwrap());
    let store = Store::open(&config.data_dir, options).unwrap();
    let provider = Arc::clone(device) as Arc<dyn Provider>;
    let vault = Vault::new("test".parse().unwrap(), config.node.clone(), provider, store, Duration::ZERO);
    vault.open(&key(name), Epoch::FIRST, Uptime(0)).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_goes_on_beside_a_damaged_share_and_takes_a_key_made_beforehand() {
    let (mut cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("one", Scheme::EddsaEd25519, Protocol::Frost).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let before = first_kek(&cluster);
    let shared = Arc::clone(cluster.node(0).shared());
    let epoch = limen_wire::ids::Epoch(1);
    let mut spoilt = shared.store.view().unwrap().share(&key("one"), epoch, "core").unwrap().unwrap();
    *spoilt.last_mut().unwrap() ^= 1;
    shared.store.write(move |txn| txn.put_share(&key("one"), epoch, "core", &spoilt)).await.unwrap();
    drop(shared);
    cluster.stop(0).await;
    let config = cluster.config(0);
    let second = KekId::new(format!("{}2", before.as_str().strip_suffix('1').unwrap())).unwrap();
    device.software.create_kek(&second).unwrap();
    let done = node::rotation(&config, Act::Rotate, &SystemClock).unwrap();
    assert_eq!((done.keys.as_slice(), done.sealing.as_slice()), (&[key("words")][..], &[second.clone()][..]));
    assert_eq!(done.damaged[0].0, key("one"));
    let done = node::rotation(&config, Act::DestroyOld, &SystemClock).unwrap();
    assert!(done.destroyed.is_empty(), "the damaged share names the old one still");
    let mut keks = vec![before, second];
    keks.sort();
    assert_eq!(device.software.keks().unwrap(), keks);

    let daemon = env!("CARGO_BIN_EXE_limen-node");
    std::fs::write(cluster.path("n1.toml"), format!("danger_unlocked_memory = true\n{}", cluster.config_text(0)))
        .unwrap();
    let run = |act: &str| {
        let mut command = std::process::Command::new(daemon);
        let said = command.arg("--config").arg(cluster.path("n1.toml")).arg(act).output().unwrap();
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let (success, said) = run("rotate-wrapping-keys");
    assert!(!success && said.contains("DAMAGED: the share of key one"), "{said}");
    let (success, said) = run("destroy-old-wrapping-keys");
    assert!(success && said.contains("1 shares opened, 1 wrapping keys destroyed"), "{said}");
    cluster.restart(0).await;
    let nowhere = Config { data_dir: cluster.path("nowhere"), ..cluster.config(0) };
    let error = node::rotation(&nowhere, Act::Rotate, &SystemClock).unwrap_err().to_string();
    assert!(error.contains("there is no store in"), "{error}");
    let error = node::rotation(&cluster.config(0), Act::Rotate, &SystemClock).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}
