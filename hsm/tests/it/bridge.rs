use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use limen_hsm::bridge::{frame, messages};
use limen_hsm::conformance::{Device, Mode};
use limen_hsm::{BridgeClient, DangerSoftware, HeldKind, HsmError, Kind, Provider, conformance};
use limen_wire::ids::{HeldId, KekId};
use limen_wire::pb;
use prost::Message as _;

const PATIENCE: Duration = Duration::from_secs(20);

fn software(folder: &Path) -> DangerSoftware {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join("wrap.key");
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
    file.write_all("ab".repeat(32).as_bytes()).unwrap();
    DangerSoftware::open(&path, true).unwrap()
}

/// Listens, and does with each connection what it is told, until the test ends.
fn bridge(folder: &Path, each: impl Fn(UnixStream) + Send + Sync + 'static) -> PathBuf {
    let socket = folder.join("bridge.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (each, stream) = (Arc::clone(&each), stream.unwrap());
            std::thread::spawn(move || each(stream));
        }
    });
    socket
}

fn send(stream: &mut UnixStream, answer: &[u8]) {
    // The client may have gone away for what it found wrong.
    frame::write(stream, answer, std::time::Instant::now() + PATIENCE).ok();
}

fn kek() -> KekId {
    KekId::new("k").unwrap()
}

fn client(socket: &Path) -> BridgeClient {
    BridgeClient::new(socket, PATIENCE)
}

#[test]
fn every_promise_holds_through_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let provider = software(folder.path());
    let socket = bridge(folder.path(), move |stream| conformance::serve(&provider, stream));
    conformance::run(&|| Box::new(client(&socket)));
}

#[test]
fn no_bridge_is_a_named_error_and_the_next_call_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = client(&folder.path().join("bridge.sock"));
    let error = waiting.describe().unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("bridge.sock"), "{error}");
    let provider = software(folder.path());
    bridge(folder.path(), move |stream| conformance::serve(&provider, stream));
    assert_eq!(waiting.describe().unwrap().kind, "danger_software");
}

/// Each connection serves one call and dies: what may happen twice goes on by itself, what may not is never sent where it could.
#[test]
fn connections_that_died_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let provider = software(folder.path());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let socket = bridge(folder.path(), move |mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        if let Ok(Some(call)) = frame::wait(&mut stream, PATIENCE) {
            send(&mut stream, &messages::answer(&provider, call));
        }
    });
    let client = client(&socket);
    client.create_kek(&kek()).unwrap();
    for number in 0..5u8 {
        let sealed = client.seal(&kek(), &[number], b"secret").unwrap();
        assert_eq!(client.unseal(&kek(), &[number], &sealed).unwrap().as_slice(), b"secret");
    }
    client.destroy_kek(&kek()).unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 12);
}

#[test]
fn a_bridge_that_dies_within_a_call_is_a_named_error() {
    let folder = tempfile::tempdir().unwrap();
    let socket = bridge(folder.path(), |mut stream| {
        frame::wait(&mut stream, PATIENCE).ok();
    });
    let client = client(&socket);
    assert_eq!(client.random(8).unwrap_err().kind(), Kind::Unreachable);
    let error = client.create_kek(&kek()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("whether it was done is not known"), "{error}");
}

#[test]
fn a_bridge_that_says_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = bridge(folder.path(), |stream| {
        std::thread::park_timeout(PATIENCE);
        drop(stream);
    });
    let impatient = BridgeClient::new(socket, Duration::from_millis(50));
    let error = impatient.random(8).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(error.to_string().contains("50 ms"), "{error}");
}

/// Whatever is still said on a connection that was given up, nobody reads: neither as an answer to its call nor to the next one.
#[test]
fn an_answer_after_the_deadline_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::at_socket(&folder.path().join("bridge.sock"), 0xab);
    let impatient = BridgeClient::new(folder.path().join("bridge.sock"), Duration::from_secs(2));
    let key = impatient.identity().unwrap();
    for round in 0..2 {
        device.set(Mode::Silent);
        let error = impatient.sign_identity(b"late").unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut, "{error}");
        // The device signs now, and says so to nobody.
        let before = device.calls();
        device.set(Mode::Works);
        let signature = impatient.sign_identity(b"next").unwrap();
        assert!(key.verify(b"next", &signature) && !key.verify(b"late", &signature), "{round}");
        assert_eq!(impatient.random(round + 1).unwrap().len(), round + 1);
        assert_eq!(device.calls(), before + 2, "each was asked once");
    }
}

#[test]
fn a_refused_connection_tells_why() {
    let folder = tempfile::tempdir().unwrap();
    let socket = bridge(folder.path(), |mut stream| {
        send(&mut stream, &messages::refuse(&HsmError::new(Kind::Busy, "take the connection", "there are too many")));
    });
    let error = client(&socket).random(8).unwrap_err();
    assert_eq!((error.kind(), error.detail()), (Kind::Busy, "there are too many"));
}

#[test]
fn answers_that_are_none_are_named() {
    use pb::hsm_answer::Result as Says;
    let answer = |id, result| pb::HsmAnswer { id, result }.encode_to_vec();
    let bytes = |length| Some(Says::Bytes(vec![1; length].into()));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("does not decode", vec![0xff; 9]),
        ("is empty", answer(1, None)),
        ("answered by 2", answer(2, bytes(8))),
        ("answered by 0", answer(0, bytes(8))),
        ("to another call", answer(1, Some(Says::Done(pb::HsmDone {})))),
        ("out of bounds", answer(1, bytes(9))),
        ("unknown code", answer(1, Some(Says::Refusal(pb::HsmRefusal::default())))),
        ("usable P-256", answer(1, Some(Says::Identity(vec![9; 33].into())))),
        ("head has 32", answer(1, Some(Says::Anchor(pb::HsmAnchor { sequence: 1, head: vec![0; 31].into() })))),
        ("is not a name", answer(1, Some(Says::Keks(pb::HsmKeks { names: vec!["A b".to_owned()] })))),
        ("a mechanism", answer(1, Some(Says::Description(pb::HsmDescription::default())))),
    ];
    for (words, answer) in cases {
        let folder = tempfile::tempdir().unwrap();
        let socket = bridge(folder.path(), move |mut stream| {
            frame::wait(&mut stream, PATIENCE).ok();
            send(&mut stream, &answer);
        });
        let error = client(&socket).random(8).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{words}");
        assert!(error.to_string().contains(words), "{words} is missing in {error}");
    }
}

#[test]
fn a_frame_beyond_the_bound_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let socket = bridge(folder.path(), |mut stream| {
        frame::wait(&mut stream, PATIENCE).ok();
        stream.write_all(&u32::MAX.to_be_bytes()).ok();
        std::thread::park_timeout(PATIENCE);
    });
    let error = client(&socket).random(8).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.to_string().contains("4294967295 bytes"), "{error}");
}

#[test]
fn calls_that_are_none_are_refused_in_the_answer() {
    use pb::hsm_request::Call;
    let folder = tempfile::tempdir().unwrap();
    let provider = software(folder.path());
    let call = |call| pb::HsmRequest { id: 7, call }.encode_to_vec();
    let anchor = pb::HsmAnchor { sequence: 1, head: vec![1; 5].into() };
    for (words, kind, frame) in [
        ("", Kind::Protocol, vec![0xff; 9]),
        ("it is empty", Kind::Protocol, call(None)),
        ("is not a name", Kind::Input, call(Some(Call::CreateKek(pb::HsmCreateKek { kek: "../up".to_owned() })))),
        ("has 9999 bytes", Kind::Input, call(Some(Call::Random(pb::HsmRandom { count: 9999 })))),
        ("no anchor", Kind::Protocol, call(Some(Call::AdvanceAnchor(pb::HsmAdvanceAnchor { to: None })))),
        ("32 bytes", Kind::Protocol, call(Some(Call::AdvanceAnchor(pb::HsmAdvanceAnchor { to: Some(anchor) })))),
    ] {
        let (_, answer) = messages::read_answer(messages::answer(&provider, frame).to_vec()).unwrap();
        let messages::Answer::Refused(error) = answer else { unreachable!("{words}: it was taken") };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{words} is missing in {error}");
    }
}

#[test]
fn every_kind_of_error_crosses_the_wire() {
    let codes: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes.len(), Kind::ALL.len(), "each has a code of its own");
    for kind in Kind::ALL {
        let sent = messages::refuse(&HsmError::new(*kind, "try", "why"));
        let (id, answer) = messages::read_answer(sent.to_vec()).unwrap();
        let messages::Answer::Refused(error) = answer else { unreachable!("{kind:?}") };
        assert_eq!((id, error.kind(), error.tried(), error.detail()), (0, *kind, "try", "why"));
        assert!(error.to_string().contains(kind.remedy()));
    }
}

/// What older bridges took for "destroy this key", should a signer that was broken into send it.
#[test]
fn no_message_destroys_a_held_key() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, name) = (software(folder.path()), HeldId::new("k").unwrap());
    provider.create_held(&name, HeldKind::EcdsaP256).unwrap();
    // Field 1 is the number of the call, field 18 named the key.
    let call = [&[8, 7, 0x92, 1, 3, 10, 1][..], b"k"].concat();
    let answer = pb::HsmAnswer::decode(messages::answer(&provider, call).as_slice()).unwrap();
    assert!(matches!(answer.result, Some(pb::hsm_answer::Result::Refusal(_))), "{answer:?}");
    assert_eq!(provider.held_names().unwrap(), [name]);
}
