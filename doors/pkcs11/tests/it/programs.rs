//! Programs that load the library, each in a process of its own: the tests in `e2e` run them on their clusters.

use std::io::BufRead as _;
use std::sync::Barrier;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256};

use crate::e2e::library;

fn ed25519() -> Mechanism<'static> {
    Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519))
}

fn initialized() -> Pkcs11 {
    let token = Pkcs11::new(library()).unwrap();
    token.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    token
}

fn session(token: &Pkcs11) -> Session {
    let slots = token.get_slots_with_initialized_token().unwrap();
    token.open_ro_session(slots[0]).unwrap()
}

fn find(session: &Session, class: ObjectClass, label: &str) -> ObjectHandle {
    let wanted = [Attribute::Class(class), Attribute::Label(label.into())];
    let found = session.find_objects(&wanted).unwrap();
    assert_eq!(found.len(), 1, "{label}");
    found[0]
}

fn private(session: &Session, label: &str) -> ObjectHandle {
    find(session, ObjectClass::PRIVATE_KEY, label)
}

/// What stands in the octet string of `CKA_EC_POINT`.
fn point(session: &Session, label: &str) -> Vec<u8> {
    let object = find(session, ObjectClass::PUBLIC_KEY, label);
    match session.get_attributes(object, &[AttributeType::EcPoint]).unwrap().pop() {
        Some(Attribute::EcPoint(der)) => der[2..].to_vec(),
        other => panic!("{other:?}"),
    }
}

fn check_ecdsa(session: &Session, label: &str, digest: &[u8], signature: &[u8]) {
    let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(&point(session, label)).unwrap();
    key.verify_prehash(digest, &k256::ecdsa::Signature::from_slice(signature).unwrap()).unwrap();
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn signs() {
    let token = initialized();
    let session = session(&token);
    session.login(UserType::User, None).unwrap();
    let digest = Sha256::digest(b"some bytes");
    for label in ["release", "release of a child"] {
        let key = private(&session, label);
        let signature = session.sign(&Mechanism::Ecdsa, key, &digest).unwrap();
        check_ecdsa(&session, label, &digest, &signature);
    }
    assert_ne!(point(&session, "release"), point(&session, "release of a child"));

    let key = private(&session, "release");
    session.sign_init(&Mechanism::EcdsaSha256, key).unwrap();
    for part in [&b"some "[..], b"", b"bytes"] {
        session.sign_update(part).unwrap();
    }
    check_ecdsa(&session, "release", &digest, &session.sign_final().unwrap());

    let message = b"a document";
    let signature = session.sign(&ed25519(), private(&session, "documents"), message).unwrap();
    let key = point(&session, "documents").try_into().unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap().verify_strict(message, &signature).unwrap();

    threads_sign_side_by_side(&token);
    let all = session.find_objects(&[]).unwrap();
    assert_eq!(all.len(), 6, "neither a key without a mechanism nor one that does not exist is shown");
    let (one, two) = (session.generate_random_vec(32).unwrap(), session.generate_random_vec(32).unwrap());
    assert_ne!(one, two);
    drop(session);
    token.finalize().unwrap();
    println!("nothing was refused");
}

fn threads_sign_side_by_side(token: &Pkcs11) {
    std::thread::scope(|scope| {
        for number in 0..4u8 {
            scope.spawn(move || {
                let session = session(token);
                let digest = [number; 32];
                let signature = session.sign(&Mechanism::Ecdsa, private(&session, "release"), &digest).unwrap();
                check_ecdsa(&session, "release", &digest, &signature);
            });
        }
    });
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> RvError {
    match outcome.unwrap_err() {
        Error::Pkcs11(code, _) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn is_refused() {
    let token = initialized();
    let session = session(&token);
    // As long as a digest: to signers it is one, and no rule allows digests of this key.
    let outcome = session.sign(&ed25519(), private(&session, "documents"), &[7; 32]);
    assert_eq!(code(outcome), RvError::FunctionRejected);
    let signature = session.sign(&ed25519(), private(&session, "documents"), b"a document").unwrap();
    assert_eq!(signature.len(), 64, "the session goes on");
    let key = private(&session, "release");
    assert_eq!(code(session.sign(&Mechanism::Ecdsa, key, &[7; 31])), RvError::DataLenRange);
    assert_eq!(code(session.sign(&Mechanism::Ecdsa, key, &[7; 33])), RvError::DataLenRange);
    assert_eq!(code(session.sign(&ed25519(), key, &[7; 32])), RvError::KeyTypeInconsistent);
    assert_eq!(code(session.sign(&Mechanism::EcdsaSha384, key, &[7; 32])), RvError::MechanismInvalid);
    assert!(session.get_attributes(key, &[AttributeType::Value]).unwrap().is_empty());
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn waits() {
    let token = initialized();
    let begun = Barrier::new(2);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let session = session(&token);
            let key = private(&session, "slow");
            begun.wait();
            for _ in 0..2 {
                assert_eq!(code(session.sign(&ed25519(), key, b"in an hour")), RvError::FunctionCanceled);
            }
        });
        let session = session(&token);
        let key = private(&session, "documents");
        begun.wait();
        session.sign(&ed25519(), key, b"a document").unwrap();
        assert!(!waiting.is_finished(), "whoever waits holds nobody up");
    });
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn loses_its_coordinator() {
    let token = initialized();
    let session = session(&token);
    let key = private(&session, "documents");
    session.sign(&ed25519(), key, b"a document").unwrap();
    println!("signed once");
    let mut told = std::io::stdin().lock().lines().map_while(Result::ok);
    assert_eq!(told.next().as_deref(), Some("gone"));
    assert_eq!(code(session.sign(&ed25519(), key, b"another document")), RvError::DeviceRemoved);
    println!("refused");
    assert_eq!(told.next().as_deref(), Some("back"));
    session.sign(&ed25519(), key, b"another document").unwrap();
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn finds_no_coordinator() {
    let token = initialized();
    let slots = token.get_slots_with_token().unwrap();
    assert_eq!(code(token.open_ro_session(slots[0])), RvError::TokenNotPresent);
}

#[test]
#[ignore = "run by e2e, in a process of its own"]
fn forks() {
    let token = initialized();
    let session = session(&token);
    let key = private(&session, "documents");
    session.sign(&ed25519(), key, b"a document").unwrap();
    in_a_child(|| {
        let refused = token.get_slots_with_token().err();
        let is_refused = matches!(refused, Some(Error::Pkcs11(RvError::CryptokiNotInitialized, _)));
        let again = Pkcs11::new(library()).unwrap();
        let initialized = again.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).is_ok();
        let own = again.open_ro_session(again.get_slots_with_token().unwrap()[0]).unwrap();
        let signature = own.sign(&ed25519(), private(&own, "documents"), b"by the child");
        is_refused && initialized && signature.is_ok()
    });
    session.sign(&ed25519(), key, b"by the parent, on its own connection").unwrap();
}

/// Runs something in a child of a fork and expects it to be true.
#[allow(unsafe_code, reason = "fork has no safe form")]
fn in_a_child(act: impl FnOnce() -> bool) {
    // SAFETY: the child touches nothing that another thread of this process could hold, and ends at once.
    match unsafe { libc::fork() } {
        0 => {
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or(false);
            // SAFETY: ends the process without running anything of the parent's.
            unsafe { libc::_exit(if good { 0 } else { 1 }) }
        }
        child => {
            let mut status = 0;
            // SAFETY: our own child, and a place of ours for its status.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((waited, status), (child, 0));
        }
    }
}
