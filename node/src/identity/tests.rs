use std::pin::{Pin, pin};
use std::task::Poll;

use limen_hsm::conformance::{Device, Mode};
use limen_wire::envelope::{self, PayloadType};
use limen_wire::limits::ENVELOPE_PAYLOAD_BYTES;
use limen_wire::tls::{Pins, RemoteKey as _, pinned_client, pinned_server};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

use super::*;

/// The keys of a token that is here, and of one that may be put in its place.
struct Slot {
    _folder: tempfile::TempDir,
    device: Arc<Device>,
}

impl Slot {
    fn with(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::open(&folder.path().join("token.key"), 0xab);
        device.set(mode);
        Self { _folder: folder, device: Arc::new(device) }
    }

    fn own(&self) -> PublicKey {
        self.device.software.identity().unwrap()
    }
}

impl Drop for Slot {
    /// A test that fails waits for nobody.
    fn drop(&mut self) {
        self.device.set(Mode::Works);
    }
}

impl std::ops::Deref for Slot {
    type Target = Arc<Device>;

    fn deref(&self) -> &Self::Target {
        &self.device
    }
}

const EMPTY: Mode = Mode::Refuses(Kind::Gone);

fn me() -> NodeId {
    NodeId::new("n1").unwrap()
}

/// The identity that is pinned for the first token, whatever is in the slot.
fn of(slot: &Slot) -> Identity {
    Identity::in_token(Arc::clone(slot) as Arc<dyn Provider>, slot.own())
}

#[tokio::test]
async fn a_token_seals_as_a_file_does_up_to_the_longest_payload() {
    let slot = Slot::with(Mode::Works);
    let file = SigningKey::from_pkcs8_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    for identity in [of(&slot), file.into()] {
        for length in [0, 1, ENVELOPE_PAYLOAD_BYTES] {
            let unsigned = Unsigned::new(PayloadType::NonceBatch, vec![7; length]);
            let sealed = identity.seal(unsigned, &me()).await.unwrap();
            let opened = envelope::open(&sealed, PayloadType::NonceBatch).unwrap();
            opened.verify("n1", &identity.public_key()).unwrap();
        }
        let signature = identity.sign(b"message").unwrap();
        assert!(identity.public_key().verify(b"message", &signature));
        identity.look().unwrap();
    }
}

#[tokio::test]
async fn a_token_that_is_away_signs_nothing_and_goes_on_when_it_is_back() {
    let slot = Slot::with(EMPTY);
    let identity = of(&slot);
    assert_eq!(identity.look().unwrap_err().kind(), Kind::Gone);
    let error = identity.sign_aside(b"message".to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Gone);
    let told = ApiError::from(error);
    assert_eq!(told.code, Code::HsmUnavailable);
    assert!(told.message.contains("token_gone"), "{}", told.message);
    slot.set(Mode::Works);
    identity.sign_aside(b"message".to_vec()).await.unwrap();
    identity.look().unwrap();
}

#[test]
fn another_token_is_refused_by_name_although_it_signs() {
    let slot = Slot::with(Mode::Another);
    let identity = of(&slot);
    for error in [identity.sign(b"message").unwrap_err(), identity.look().unwrap_err()] {
        assert_eq!(error.kind(), Kind::OtherKey);
        let words = error.to_string();
        assert!(
            words.contains(&slot.own().to_string()) && words.contains(&slot.another.identity().unwrap().to_string()),
            "{words}"
        );
    }
    slot.set(Mode::Works);
    identity.sign(b"message").unwrap();
}

#[tokio::test]
async fn no_more_signatures_are_in_the_token_than_a_bridge_bears() {
    let slot = Slot::with(Mode::Silent);
    let identity = Arc::new(of(&slot));
    let Place::Token(token) = &identity.place else { panic!("it is in a token") };
    let sign = |number: usize| {
        let identity = Arc::clone(&identity);
        tokio::spawn(async move { identity.sign_aside(vec![u8::try_from(number).unwrap()]).await })
    };
    // As many as may are in it, side by side.
    let allowed: Vec<_> = (0..PLACES).map(sign).collect();
    let watched = Arc::clone(&slot.device);
    tokio::task::spawn_blocking(move || watched.until_inside(PLACES)).await.unwrap();
    assert_eq!((slot.inside(), token.places.available_permits()), (PLACES, 0));
    // One more waits outside until one of them is done.
    let mut more = pin!(identity.sign_aside(b"one more".to_vec()));
    assert!(has_to_wait(more.as_mut()).await);
    assert_eq!(slot.calls(), PLACES);
    slot.set(Mode::Works);
    for one in allowed {
        one.await.unwrap().unwrap();
    }
    more.await.unwrap();
    assert_eq!(slot.calls(), PLACES + 1);
}

/// Asks once; true if it has to wait.
async fn has_to_wait(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Speaks until both have nothing more to say.
fn shake(server: &mut ServerConnection, client: &mut ClientConnection) -> Result<(), rustls::Error> {
    while server.is_handshaking() || client.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

/// Between two nodes: as it ends for whoever notices first.
fn meet(server: &Identity, client: &Identity) -> Result<(), rustls::Error> {
    let pins = Pins::default().with("client", &client.public_key());
    let serves = pinned_server(&server.handshakes(&me()).unwrap(), pins).unwrap();
    let dials = pinned_client(&client.handshakes(&me()).unwrap(), "server", &server.public_key()).unwrap();
    let mut server = ServerConnection::new(serves).unwrap();
    let mut client = ClientConnection::new(dials, ServerName::try_from("server").unwrap()).unwrap();
    shake(&mut server, &mut client)
}

#[test]
fn tokens_shake_hands_in_either_role_and_only_the_right_ones() {
    let (here, there) = (Slot::with(Mode::Works), Slot::with(Mode::Works));
    let (server, client) = (of(&here), of(&there));
    meet(&server, &client).unwrap();
    for (slot, what) in [(&here, "the server's"), (&there, "the client's")] {
        slot.set(EMPTY);
        assert!(meet(&server, &client).is_err(), "{what} token is away");
        slot.set(Mode::Another);
        assert!(meet(&server, &client).is_err(), "{what} token is another one");
        slot.set(Mode::Works);
        meet(&server, &client).unwrap();
    }
}

#[test]
fn a_certificate_is_made_when_the_token_is_there_and_kept() {
    let slot = Slot::with(EMPTY);
    let identity = of(&slot);
    let Place::Token(token) = &identity.place else { panic!("it is in a token") };
    let handshakes = Handshakes::new(Arc::clone(token), &me());
    assert!(handshakes.certificate().unwrap_err().to_string().contains("token_gone"));
    slot.set(Mode::Works);
    let certificate = handshakes.certificate().unwrap();
    slot.set(EMPTY);
    assert_eq!(Handshakes::new(Arc::clone(token), &me()).certificate().unwrap(), certificate);
    let pins = Pins::default().with("n1", &slot.own());
    assert_eq!(pins.name_of(&certificate), Some("n1"));
}

#[test]
fn handshakes_that_crowd_a_silent_token_fail_and_leave_room_for_the_other_role() {
    let slot = Slot::with(Mode::Silent);
    let identity = of(&slot);
    let Place::Token(token) = &identity.place else { panic!("it is in a token") };
    let (serves, dials) = (Handshakes::new(Arc::clone(token), &me()), Handshakes::new(Arc::clone(token), &me()));
    std::thread::scope(|scope| {
        let strangers = [scope.spawn(|| serves.sign(b"one").is_ok()), scope.spawn(|| serves.sign(b"two").is_ok())];
        slot.until_inside(2);
        assert!(serves.sign(b"three").unwrap_err().to_string().contains("busy"));
        let own = scope.spawn(|| dials.sign(b"four").is_ok());
        slot.until_inside(3);
        slot.set(Mode::Works);
        assert!(strangers.into_iter().all(|stranger| stranger.join().unwrap()) && own.join().unwrap());
    });
    assert_eq!(slot.calls(), 3, "what waited in vain was never in the token");
    serves.sign(b"five").unwrap();
}

/// The multi-threaded runtime goes on while a handshake waits in the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_handshake_in_a_silent_token_holds_no_task_up() {
    let slot = Slot::with(Mode::Silent);
    let identity = of(&slot);
    let Place::Token(token) = &identity.place else { panic!("it is in a token") };
    let handshakes = Handshakes::new(Arc::clone(token), &me());
    let waits = tokio::spawn(async move { handshakes.sign(b"message").is_ok() });
    let watched = Arc::clone(&slot);
    tokio::task::spawn_blocking(move || watched.until_inside(1)).await.unwrap();
    tokio::spawn(async { tokio::task::yield_now().await }).await.unwrap();
    slot.set(Mode::Works);
    assert!(waits.await.unwrap());
}
