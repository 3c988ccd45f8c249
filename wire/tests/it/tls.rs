//! Who gets in: pinned keys for machines, an authority for clients, nobody else.

use std::sync::{Arc, Mutex};

use limen_wire::keys::SigningKey;
use limen_wire::tls::{self, Dial, Pins, RemoteKey, RemoteKeyError, TlsIdentity};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;

struct Machine {
    tls: TlsIdentity,
    key: SigningKey,
}

fn machine(name: &str) -> Machine {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&pair).unwrap();
    let pem = pair.serialize_pem();
    Machine {
        tls: TlsIdentity::from_pem(certificate.pem().as_bytes(), pem.as_bytes()).unwrap(),
        key: SigningKey::from_pkcs8_pem(&pem).unwrap(),
    }
}

/// A key that "signs elsewhere": by this one here, under that one's certificate, or not at all.
#[derive(Debug)]
struct Elsewhere {
    certificate: CertificateDer<'static>,
    signs: Option<SigningKey>,
}

impl RemoteKey for Elsewhere {
    fn certificate(&self) -> Result<CertificateDer<'static>, RemoteKeyError> {
        Ok(self.certificate.clone())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], RemoteKeyError> {
        self.signs.as_ref().map(|key| key.sign(message)).ok_or_else(|| "the token is away".into())
    }
}

/// Shows one key and signs by what `signs` makes of it.
fn elsewhere(signs: impl FnOnce(SigningKey) -> Option<SigningKey>) -> Machine {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap().der().clone();
    let key = || SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap();
    Machine { tls: TlsIdentity::remote(Arc::new(Elsewhere { certificate, signs: signs(key()) })), key: key() }
}

/// Connects once; gives what the server accepted (the caller's name) and refused.
async fn meet(server: &Machine, caller: &Machine, let_in: Pins, server_is: &SigningKey) -> (Option<String>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refused = Arc::new(Mutex::new(0usize));
    let counter = Arc::clone(&refused);
    let config = tls::pinned_server(&server.tls, let_in.clone()).unwrap();
    let mut incoming = tls::incoming(listener, config, move |_, _| *counter.lock().unwrap() += 1);
    let client = tls::pinned_client(&caller.tls, "server", &server_is.public_key()).unwrap();
    let channel = Dial::new(address, "server").lazy(client).unwrap();
    let call = tokio::spawn(async move {
        let mut client = limen_wire::pb::signer_client::SignerClient::new(channel);
        client.status(limen_wire::pb::StatusRequest {}).await.is_ok()
    });
    let accepted = tokio::select! {
        stream = incoming.next() => stream.and_then(Result::ok),
        _ = call => None,
    };
    let name = accepted.and_then(|stream| {
        let certificates = stream.get_ref().1.peer_certificates()?;
        let_in.name_of(certificates.first()?).map(str::to_owned)
    });
    let count = *refused.lock().unwrap();
    (name, count)
}

#[tokio::test]
async fn a_pinned_machine_gets_in_under_its_name() {
    let (server, caller) = (machine("a"), machine("b"));
    let pins = Pins::default().with("signer-2", &caller.key.public_key());
    let (name, refused) = meet(&server, &caller, pins, &server.key).await;
    assert_eq!((name.as_deref(), refused), (Some("signer-2"), 0));
}

#[tokio::test]
async fn a_key_that_lies_elsewhere_serves_and_calls() {
    let (server, caller) = (elsewhere(Some), elsewhere(Some));
    let pins = Pins::default().with("signer-2", &caller.key.public_key());
    let (name, refused) = meet(&server, &caller, pins, &server.key).await;
    assert_eq!((name.as_deref(), refused), (Some("signer-2"), 0));
}

#[tokio::test]
async fn a_signature_by_another_key_than_the_certificates_gets_nowhere() {
    let other = || elsewhere(|_| Some(machine("a").key));
    let (right, wrong) = (elsewhere(Some), other());
    let pins = Pins::default().with("signer-2", &wrong.key.public_key());
    assert_eq!(meet(&right, &wrong, pins, &right.key).await.0, None, "a caller");
    let pins = Pins::default().with("signer-2", &right.key.public_key());
    assert_eq!(meet(&wrong, &right, pins, &wrong.key).await.0, None, "a server");
}

#[tokio::test]
async fn a_key_that_does_not_sign_ends_the_handshake() {
    let (right, away) = (elsewhere(Some), elsewhere(|_| None));
    let pins = Pins::default().with("signer-2", &away.key.public_key());
    assert_eq!(meet(&right, &away, pins, &right.key).await.0, None, "a caller");
    let pins = Pins::default().with("signer-2", &right.key.public_key());
    assert_eq!(meet(&away, &right, pins, &away.key).await.0, None, "a server");
}

#[tokio::test]
async fn another_key_does_not_get_in_whatever_its_certificate_says() {
    let (server, caller, known) = (machine("a"), machine("b"), machine("b"));
    let pins = Pins::default().with("signer-2", &known.key.public_key());
    let (name, refused) = meet(&server, &caller, pins, &server.key).await;
    assert_eq!((name, refused), (None, 1));
}

#[tokio::test]
async fn a_server_with_another_key_is_not_talked_to() {
    let (server, caller, expected) = (machine("a"), machine("b"), machine("a"));
    let pins = Pins::default().with("signer-2", &caller.key.public_key());
    let (name, _) = meet(&server, &caller, pins, &expected.key).await;
    assert_eq!(name, None);
}

#[tokio::test]
async fn silent_strangers_are_bounded() {
    let server = machine("a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, mut refusals) = tokio::sync::mpsc::channel(64);
    let config = tls::pinned_server(&server.tls, Pins::default()).unwrap();
    let _incoming = tls::incoming(listener, config, move |_, reason| drop(count.try_send(reason)));
    let mut silent = Vec::new();
    for _ in 0..33 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let reason = refusals.recv().await.unwrap();
    assert!(reason.contains("too many"), "{reason}");
}
