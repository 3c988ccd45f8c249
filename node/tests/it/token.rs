//! Signers whose shares are sealed behind the bridge's socket: spoken to as the daemon speaks, by a software provider that can be
//! told to be away, to lie, and to say nothing.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use limen_hsm::bridge::{frame, messages};
use limen_hsm::{Anchor, DangerSoftware, Description, HsmError, Kind, Provider};
use limen_node::clock::SystemClock;
use limen_node::node;
use limen_node::store::{Options, Store};
use limen_wire::ids::{KekId, KeyId, Protocol, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use zeroize::Zeroizing;

use crate::cluster::{
    self, Cluster, eventually, evm_transfer, message_intent, session, sign_request, signature, write_private,
};

/// What a device does with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Works,
    Refuses(Kind),
    /// Says that it works, and opens everything as 32 zeros.
    Lies,
    /// Says that it works, and opens everything as something of another length.
    Babbles,
    /// Answers nothing until it is told otherwise.
    Silent,
}

/// A device behind a socket.
struct Device {
    software: DangerSoftware,
    mode: Mutex<Mode>,
    told: Condvar,
}

impl Device {
    /// Serves at this socket from now on; the byte is what its key file holds.
    fn serve(socket: &Path, key: u8) -> Arc<Self> {
        let key_file = socket.with_extension("key");
        if !key_file.exists() {
            write_private(&key_file, &hex::encode([key; 32]));
        }
        let software = DangerSoftware::open(&key_file, true).unwrap();
        let device = Arc::new(Self { software, mode: Mutex::new(Mode::Works), told: Condvar::new() });
        let (listener, served) = (UnixListener::bind(socket).unwrap(), Arc::clone(&device));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, device) = (stream.unwrap(), Arc::clone(&served));
                std::thread::spawn(move || {
                    while let Ok(Some(call)) = frame::wait(&mut stream, Duration::from_secs(60)) {
                        let answer = messages::answer(&*device, call);
                        let until = std::time::Instant::now() + Duration::from_secs(60);
                        if frame::write(&mut stream, &answer, until).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        device
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.told.notify_all();
    }

    fn check(&self) -> Result<Mode, HsmError> {
        let mode = self.told.wait_while(self.mode.lock().unwrap(), |mode| *mode == Mode::Silent).unwrap();
        match *mode {
            Mode::Refuses(kind) => Err(HsmError::new(kind, "seal", "the device was told to refuse")),
            mode => Ok(mode),
        }
    }
}

macro_rules! through {
    ($($name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $of),*) -> Result<$answer, HsmError> {
            self.check()?;
            self.software.$name($($arg),*)
        })*
    };
}

impl Provider for Device {
    through! {
        describe() -> Description;
        create_kek(kek: &KekId) -> ();
        destroy_kek(kek: &KekId) -> ();
        keks() -> Vec<KekId>;
        seal(kek: &KekId, context: &[u8], secret: &[u8]) -> Vec<u8>;
        identity() -> PublicKey;
        sign_identity(message: &[u8]) -> [u8; 64];
        random(count: usize) -> Zeroizing<Vec<u8>>;
        anchor_read() -> Option<Anchor>;
        anchor_advance(to: &Anchor) -> ();
    }

    fn unseal(&self, kek: &KekId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        match self.check()? {
            Mode::Lies => Ok(vec![0; 32].into()),
            Mode::Babbles => Ok(vec![7; 4096].into()),
            _ => self.software.unseal(kek, context, sealed),
        }
    }
}

/// Signers with a device each, the first one's in hand.
async fn behind_devices(total: usize, required: u32) -> (Cluster, Arc<Device>) {
    let first = Mutex::new(None);
    let cluster = Cluster::start_behind_bridges(total, required, |socket| {
        let device = Device::serve(socket, 0xa1);
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
    let other = Device::serve(&socket, 0xb2);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_stated_before_its_share_was_read_back() {
    let (cluster, device) = behind_devices(2, 2).await;
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    device.set(Mode::Refuses(Kind::Gone));
    let order = cluster.order("late", Scheme::EddsaEd25519, Protocol::Frost);
    let session = session();
    let calls = (0..2).map(|index| {
        let (mut client, order, session) = (cluster.client(index), order.clone(), session.clone());
        async move {
            let request = pb::GenerateKeyRequest { order: Some(order), session_id: session.into(), timeout_ms: 0 };
            client.generate_key(request).await.unwrap().into_inner()
        }
    });
    let answers = crate::cluster::all(calls).await;
    let error = answers[0].refusal.clone().unwrap();
    assert_eq!(error.code, "hsm_unavailable");
    assert!(answers[0].statement.is_none() && answers[1].statement.is_some());
    device.set(Mode::Works);
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);
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
    let error = node::rotate(&cluster.config(0), &SystemClock).unwrap_err().to_string();
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
    let old_disk = std::fs::read(config.data_dir.join("limen-node.redb")).unwrap();

    // Cut off at every call, it is run again, and ends with one wrapping key.
    device.set(Mode::Refuses(Kind::Gone));
    node::rotate(&config, &SystemClock).unwrap_err();
    device.set(Mode::Lies);
    node::rotate(&config, &SystemClock).unwrap_err();
    assert!(device.software.keks().unwrap().contains(&before), "what could not be opened anew is not destroyed");
    device.set(Mode::Works);
    let done = node::rotate(&config, &SystemClock).unwrap();
    assert_eq!(done.keys, [key("coins"), key("words")]);
    assert_eq!(device.software.keks().unwrap(), done.made);
    assert_eq!(done.made.len(), 1);
    assert!(done.destroyed.contains(&before) && !done.made.contains(&before));
    cluster.restart(0).await;
    assert_eq!(first_kek(&cluster), done.made[0]);
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    signature(&cluster.sign(&intent, &[1, 2]).await[0]);

    // A copy of the disk from before opens nothing any more, even beside the right device.
    cluster.stop(0).await;
    std::fs::write(config.data_dir.join("limen-node.redb"), old_disk).unwrap();
    cluster.start_again(0, Arc::new(SystemClock)).await;
    let vault = Arc::clone(&cluster.node(0).shared().vault);
    let opened = tokio::task::spawn_blocking(move || vault.open(&key("words"), limen_node::clock::Uptime(0)).map(drop));
    let error = opened.await.unwrap().unwrap_err().to_string();
    assert!(error.contains(before.as_str()), "{error}");
}
