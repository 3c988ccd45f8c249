use std::sync::atomic::Ordering;

use limen_wire::intent::Payload;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::fake::{Fake, SIGNATURE, module, module_with};
use crate::objects::handle;
use crate::session::MAX_SESSIONS;

const SERIAL: CK_FLAGS = CKF_SERIAL_SESSION;

fn code<T>(outcome: Result<T, Fault>) -> CK_RV {
    outcome.err().map_or(CKR_OK, |fault| fault.code())
}

fn release() -> CK_OBJECT_HANDLE {
    handle(0, Class::Private)
}

fn documents() -> CK_OBJECT_HANDLE {
    handle(2, Class::Private)
}

#[test]
fn a_cluster_that_cannot_be_asked_is_no_token() {
    let fake = Fake::default();
    fake.gone.store(true, Ordering::Relaxed);
    let module = module(&fake);
    assert_eq!(code(module.open_session(SERIAL)), CKR_TOKEN_NOT_PRESENT);
    fake.gone.store(false, Ordering::Relaxed);
    let session = module.open_session(SERIAL).unwrap();
    // What is known now stays known.
    fake.gone.store(true, Ordering::Relaxed);
    assert!(module.open_session(SERIAL).is_ok());
    module.begin_signing(session, Mechanism::Ecdsa, release()).unwrap();
    assert_eq!(code(module.sign(session, &[7; 32])), CKR_DEVICE_REMOVED);
    assert_eq!(code(module.sign(session, &[7; 32])), CKR_OPERATION_NOT_INITIALIZED, "it has ended");
}

#[test]
fn what_cannot_be_shown_is_told_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fake = Fake::default();
    let module = module_with(&fake, Log::open(Some(file.path())).unwrap());
    let told = || std::fs::read_to_string(file.path()).unwrap();
    for _ in 0..3 {
        module.open_session(SERIAL).unwrap();
        assert_eq!(told().lines().count(), 2, "{}", told());
    }
    assert!(told().contains("key schnorr is not shown") && told().contains("there is no key nowhere"));
    fake.gone.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        module.open_session(SERIAL).unwrap();
        assert_eq!(told().lines().count(), 3, "{}", told());
    }
    assert!(told().ends_with("(CKR_TOKEN_NOT_PRESENT)\n"));
}

#[test]
fn sessions_are_serial_and_bounded() {
    let module = module(&Fake::default());
    assert_eq!(code(module.open_session(0)), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    let writing = module.open_session(SERIAL | CKF_RW_SESSION).unwrap();
    assert_eq!(module.session_info(writing).unwrap().state, CKS_RW_PUBLIC_SESSION);
    assert_eq!(module.session_info(writing).unwrap().flags, SERIAL | CKF_RW_SESSION);
    let handles: Vec<_> = (1..MAX_SESSIONS).map(|_| module.open_session(SERIAL).unwrap()).collect();
    assert_eq!(code(module.open_session(SERIAL)), CKR_SESSION_COUNT);
    let info = module.token_info();
    assert_eq!((info.ulSessionCount, info.ulRwSessionCount), (MAX_SESSIONS as CK_ULONG, 1));
    module.close_session(handles[0]).unwrap();
    assert_eq!(code(module.close_session(handles[0])), CKR_SESSION_HANDLE_INVALID);
    let fresh = module.open_session(SERIAL).unwrap();
    assert!(!handles.contains(&fresh), "no handle is used twice");
    module.close_all_sessions();
    assert_eq!(code(module.session_info(fresh)), CKR_SESSION_HANDLE_INVALID);
}

#[test]
fn a_login_changes_what_is_said_and_nothing_else() {
    let module = module(&Fake::default());
    let (one, two) = (module.open_session(SERIAL).unwrap(), module.open_session(SERIAL).unwrap());
    assert_eq!(module.session_info(one).unwrap().state, CKS_RO_PUBLIC_SESSION);
    assert_eq!(module.token.objects().len(), 4);
    assert_eq!(code(module.logout(one)), CKR_USER_NOT_LOGGED_IN);
    module.login(one, CKU_USER).unwrap();
    assert_eq!(code(module.login(two, CKU_USER)), CKR_USER_ALREADY_LOGGED_IN);
    assert_eq!(module.session_info(two).unwrap().state, CKS_RO_USER_FUNCTIONS);
    assert_eq!(code(module.login(two, CKU_SO)), CKR_USER_TYPE_INVALID);
    assert_eq!(code(module.login(two, CKU_CONTEXT_SPECIFIC)), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(code(module.login(two, 99)), CKR_USER_TYPE_INVALID);
    assert_eq!(code(module.login(99, CKU_USER)), CKR_SESSION_HANDLE_INVALID);
    module.close_session(one).unwrap();
    module.close_session(two).unwrap();
    let three = module.open_session(SERIAL).unwrap();
    assert_eq!(module.session_info(three).unwrap().state, CKS_RO_PUBLIC_SESSION, "a login ends with the last session");
}

#[test]
fn objects_are_found_by_what_they_are() {
    let module = module(&Fake::default());
    let session = module.open_session(SERIAL).unwrap();
    let find = |template: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]| {
        module.find(session, template).unwrap();
        assert_eq!(code(module.find(session, template)), CKR_OPERATION_ACTIVE);
        let mut found = module.found(session, 1).unwrap();
        found.extend(module.found(session, 100).unwrap());
        assert!(module.found(session, 100).unwrap().is_empty());
        module.end_search(session).unwrap();
        found
    };
    assert_eq!(find(&[]).len(), 4);
    let private = (CKA_CLASS, CKO_PRIVATE_KEY.to_ne_bytes().to_vec());
    assert_eq!(find(std::slice::from_ref(&private)), [release(), documents()]);
    assert_eq!(find(&[private.clone(), (CKA_LABEL, b"documents".to_vec())]), [documents()]);
    assert_eq!(find(&[private.clone(), (CKA_ID, vec![1])]), [release()]);
    assert!(find(&[private, (CKA_VALUE, Vec::new())]).is_empty());
    assert_eq!(code(module.found(session, 1)), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(code(module.end_search(session)), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(code(module.find(99, &[])), CKR_SESSION_HANDLE_INVALID);
}

#[test]
fn each_mechanism_asks_for_what_it_says() {
    let fake = Fake::default();
    let module = module(&fake);
    let session = module.open_session(SERIAL).unwrap();
    let sign = |mechanism, key, parts: &[&[u8]]| {
        module.begin_signing(session, mechanism, key).unwrap();
        parts.iter().for_each(|part| module.add(session, part).unwrap());
        assert_eq!(module.sign_parts(session).unwrap(), SIGNATURE);
    };
    sign(Mechanism::Ecdsa, release(), &[&[7; 16], &[7; 16]]);
    sign(Mechanism::EcdsaSha256, release(), &[b"some ", b"bytes"]);
    sign(Mechanism::Eddsa, documents(), &[b"a ", b"document"]);
    sign(Mechanism::Eddsa, documents(), &[]);
    let asked = fake.asked.lock().unwrap();
    let hashed = Payload::RawDigest(Sha256::digest(b"some bytes").into());
    let message = |text: &'static str| Payload::Message(text.as_bytes().into());
    assert_eq!(*asked, [Payload::RawDigest([7; 32]), hashed, message("a document"), message("")]);
}

#[test]
fn what_cannot_be_signed_is_refused_before_anybody_is_asked() {
    let fake = Fake::default();
    let module = module(&fake);
    let session = module.open_session(SERIAL).unwrap();
    let begin = |mechanism, key| module.begin_signing(session, mechanism, key);
    assert_eq!(code(begin(Mechanism::Ecdsa, documents())), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(code(begin(Mechanism::Eddsa, release())), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(code(begin(Mechanism::Ecdsa, handle(0, Class::Public))), CKR_KEY_FUNCTION_NOT_PERMITTED);
    for none in
        [0, handle(1, Class::Private), handle(3, Class::Private), handle(9, Class::Private), CK_OBJECT_HANDLE::MAX]
    {
        assert_eq!(code(begin(Mechanism::Ecdsa, none)), CKR_KEY_HANDLE_INVALID, "{none}");
    }
    for length in [0, 31, 33, 64] {
        begin(Mechanism::Ecdsa, release()).unwrap();
        assert_eq!(code(module.sign(session, &vec![7; length])), CKR_DATA_LEN_RANGE);
    }
    begin(Mechanism::Eddsa, documents()).unwrap();
    assert_eq!(code(begin(Mechanism::Eddsa, documents())), CKR_OPERATION_ACTIVE);
    module.add(session, &vec![7; limen_chain::MAX_MESSAGE_BYTES]).unwrap();
    assert_eq!(code(module.add(session, &[7])), CKR_DATA_LEN_RANGE, "no signer takes more");
    assert_eq!(code(module.add(session, &[7])), CKR_OPERATION_NOT_INITIALIZED, "and that ends it");
    begin(Mechanism::EcdsaSha256, release()).unwrap();
    module.add(session, b"a part").unwrap();
    assert_eq!(code(module.sign(session, b"all")), CKR_OPERATION_ACTIVE, "parts end by C_SignFinal");
    assert!(fake.asked.lock().unwrap().is_empty());
}
