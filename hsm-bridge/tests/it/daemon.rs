//! The daemon as a process: killed, at a token that goes and comes, with a PIN that is wrong.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use limen_hsm::bridge::tcp::client_config;
use limen_hsm::{BridgeClient, Kind, Provider as _, conformance};
use limen_wire::keys::PublicKey;
use limen_wire::tls::{TlsIdentity, read_signing_key};

use crate::soft::{PIN, Soft, kek, names};

#[test]
fn check_config_reads_no_pin_and_no_library() {
    let Some(soft) = Soft::new() else { return };
    std::fs::remove_file(soft.path("pin")).unwrap();
    assert!(soft.run(&["--check-config"]).status.success());
    std::fs::write(soft.path("bridge.toml"), "colour = 1").unwrap();
    assert!(!soft.run(&["--check-config"]).status.success());
}

/// Every way by which a PIN comes, but for a person's.
#[test]
fn a_pin_comes_by_credential_and_by_descriptor() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let text = std::fs::read_to_string(soft.path("bridge.toml")).unwrap();
    let doctor = |pin: &str| {
        std::fs::write(soft.path("bridge.toml"), text.replace("{ file = \"pin\" }", pin)).unwrap();
        soft.command(&["doctor"])
    };
    let mut with = doctor("{ credential = \"pin\" }");
    assert!(with.env("CREDENTIALS_DIRECTORY", soft.path("")).output().unwrap().status.success());
    let without = doctor("{ credential = \"pin\" }").output().unwrap();
    assert!(!without.status.success());
    assert!(String::from_utf8_lossy(&without.stderr).contains("CREDENTIALS_DIRECTORY is not set"));
    // Standard input is a descriptor like others.
    let mut with = doctor("{ descriptor = 0 }");
    let pin = std::fs::File::open(soft.path("pin")).unwrap();
    let done = with.stdin(pin).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_init_made_the_doctor_finds_good() {
    let Some(soft) = Soft::new() else { return };
    let before = soft.run(&["doctor"]);
    let said = String::from_utf8_lossy(&before.stdout);
    assert_eq!(before.status.code(), Some(1), "{said}");
    assert!(said.contains("BAD   holds no identity"), "{said}");
    let made = soft.init();
    assert!(made.contains("identity p256:"), "{made}");
    assert_eq!(soft.init(), made, "making it again changes nothing");
    let after = soft.run(&["doctor"]);
    let said = String::from_utf8_lossy(&after.stdout);
    assert_eq!(after.status.code(), Some(0), "{said}");
    for words in
        ["good  seals by aes-256-gcm", "good  seals by aes-256-cbc-hmac-sha256", "good  wrapping key vault opens"]
    {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    assert!(!said.contains("BAD") && !said.contains(PIN), "{said}");
}

/// Killed again and again while calls run: every call ends in success or by name, and the next daemon goes on.
#[test]
fn a_killed_daemon_is_a_named_error_and_work_resumes_by_itself() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let mut daemon = soft.daemon();
    let client = soft.client();
    let sealed = client.seal(&kek(), b"c", b"secret").unwrap();
    let (over, done, lost) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let _daemon = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    match client.unseal(&kek(), b"c", &sealed) {
                        Ok(opened) => {
                            assert_eq!(opened.as_slice(), b"secret");
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::Unreachable, "{error}");
                            lost.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        for _ in 0..3 {
            let before = done.load(Ordering::SeqCst);
            while done.load(Ordering::SeqCst) < before + 20 {
                std::thread::yield_now();
            }
            daemon.kill();
            let before = lost.load(Ordering::SeqCst);
            while lost.load(Ordering::SeqCst) == before {
                std::thread::yield_now();
            }
            daemon = soft.daemon();
        }
        over.store(true, Ordering::SeqCst);
        daemon
    });
    assert_eq!(client.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
}

/// SoftHSM2 never finds a token again that was away: the process ends, and its supervisor, here this test, starts it anew.
#[test]
fn a_token_that_goes_is_named_and_one_that_comes_back_is_used() {
    let Some(soft) = Soft::new() else { return };
    soft.configure(&["node1"], "[limits]\nrestart_secs = 1");
    soft.init();
    let daemon = soft.daemon();
    let client = soft.client();
    let sealed = client.seal(&kek(), b"c", b"secret").unwrap();
    soft.move_tokens("tokens", "away");
    for error in [
        client.unseal(&kek(), b"c", &sealed).unwrap_err(),
        client.seal(&kek(), b"c", b"secret").unwrap_err(),
        client.sign_identity(b"message").unwrap_err(),
        client.describe().unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Gone, "{error}");
    }
    soft.move_tokens("away", "tokens");
    daemon.wait();
    let _daemon = soft.daemon();
    assert_eq!(client.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
}

#[test]
fn a_wrong_pin_is_tried_once_whoever_restarts_the_daemon() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    soft.write_pin("4321");
    for _ in 0..2 {
        let _daemon = soft.daemon();
        for _ in 0..2 {
            let error = soft.client().random(8).unwrap_err();
            assert_eq!(error.kind(), Kind::PinWrong, "{error}");
            assert!(error.to_string().contains("pin-refused-"), "the mark is named: {error}");
            assert!(!error.to_string().contains("4321"), "{error}");
        }
    }
    // Nothing tries, also with the right one, before a person has looked at it.
    soft.write_pin(PIN);
    let _daemon = soft.daemon();
    assert_eq!(soft.client().random(8).unwrap_err().kind(), Kind::PinWrong);
    let mark = names(&soft.path("state")).into_iter().find(|name| name.starts_with("pin-refused-")).unwrap();
    std::fs::remove_file(soft.path("state").join(mark)).unwrap();
    soft.client().random(8).unwrap();
}

#[test]
fn rubbish_on_the_socket_harms_nobody_else() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let _daemon = soft.daemon();
    let client = soft.client();
    client.describe().unwrap();
    for rubbish in [&[0xff; 64][..], &[0, 0, 0, 9, 1, 2], &[0, 0, 0, 3, 0xff, 0xff, 0xff], &[0, 0, 0, 0]] {
        let mut stream = UnixStream::connect(soft.path("run/bridge.sock")).unwrap();
        stream.write_all(rubbish).unwrap();
        client.describe().unwrap();
    }
}

#[test]
fn a_second_daemon_does_not_take_the_socket_away() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let _daemon = soft.daemon();
    let second = soft.run(&["serve"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another limen-hsm-bridge serves"), "{said}");
    soft.client().describe().unwrap();
}

/// A PEM certificate with its key, and the public key that others pin.
fn machine(soft: &Soft, name: &str) -> (TlsIdentity, PublicKey) {
    let made = rcgen::generate_simple_self_signed(vec![format!("{name}.internal")]).unwrap();
    let (certificate, key) = (soft.path(&format!("{name}.crt")), soft.path(&format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    (TlsIdentity::from_pem_files(&certificate, &key).unwrap(), read_signing_key(&key).unwrap().public_key())
}

/// Every promise from another machine, and nothing at all for those that are not known.
#[test]
fn a_signer_on_another_machine_is_known_by_its_key() {
    let Some(soft) = Soft::new() else { return };
    let ((_, bridge), (signer, signer_key), (stranger, stranger_key)) =
        (machine(&soft, "bridge"), machine(&soft, "signer"), machine(&soft, "stranger"));
    // Asked of the system, and free again.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = format!(
        "[tls]\nlisten = \"{address}\"\ncertificate = \"bridge.crt\"\nkey = \"bridge.key\"\ncallers = [\"{signer_key}\"]"
    );
    soft.configure(&["node1"], &tls);
    soft.init();
    let _daemon = soft.daemon();
    let client = |identity: &TlsIdentity, bridge: &PublicKey, patience| {
        BridgeClient::over_tls(address, client_config(identity, bridge).unwrap(), Duration::from_millis(patience))
    };
    for (identity, bridge) in [(&stranger, &bridge), (&signer, &stranger_key)] {
        let error = client(identity, bridge, 20_000).describe().unwrap_err();
        assert!([Kind::Protocol, Kind::Unreachable].contains(&error.kind()), "{error}");
    }
    // Whoever only holds connections open is no hindrance, and one that says nothing is not waited for.
    let _silent: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = client_config(&signer, &bridge).unwrap();
    let waiting = BridgeClient::over_tls(deaf.local_addr().unwrap(), config, Duration::from_millis(50));
    assert_eq!(waiting.describe().unwrap_err().kind(), Kind::TimedOut);
    conformance::run(&|| Box::new(client(&signer, &bridge, 20_000)));
}

/// What docs/hsm.md says of it: `cargo test -p limen-hsm-bridge what_a_call_costs -- --nocapture`. The bound is a loose one, for
/// machines that do much else.
#[test]
fn what_a_call_costs() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let _daemon = soft.daemon();
    let client = soft.client();
    let (secret, context) = ([7; 32], [1; 32]);
    let sealed = client.seal(&kek(), &context, &secret).unwrap();
    let middle = |name: &str, call: &dyn Fn()| {
        let mut took: Vec<_> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                call();
                begun.elapsed()
            })
            .collect();
        took.sort();
        println!("{name}: p50 {:?}, p90 {:?}", took[100], took[180]);
        assert!(took[100] < Duration::from_millis(100), "{name}: {:?}", took[100]);
    };
    middle("seal 32 bytes", &|| drop(client.seal(&kek(), &context, &secret).unwrap()));
    middle("unseal 32 bytes", &|| drop(client.unseal(&kek(), &context, &sealed).unwrap()));
    middle("sign", &|| assert_eq!(client.sign_identity(&secret).unwrap().len(), 64));
    middle("32 random bytes", &|| drop(client.random(32).unwrap()));
}
