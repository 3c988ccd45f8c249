//! As a program in C would call it, and as none should.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::fake::{Fake, SIGNATURE, module};
use crate::library;
use crate::objects::{Class, handle};

/// The library is one for the process, whatever runs its tests side by side.
static ALONE: Mutex<()> = Mutex::new(());

/// An initialized library with a session; finalized when dropped.
struct Program {
    session: CK_SESSION_HANDLE,
    fake: Fake,
    _alone: MutexGuard<'static, ()>,
}

/// Calls an entry of the table.
macro_rules! call {
    ($name:ident($($arg:expr),* $(,)?)) => {{
        let entry = FUNCTIONS.$name.unwrap();
        // SAFETY: pointers are null, or to values of the test with the lengths that it says.
        unsafe { entry($($arg),*) }
    }};
}

mod any_order;

impl Program {
    fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let fake = Fake::default();
        library::initialize(|| Ok(module(&fake))).unwrap();
        let mut session = 0;
        assert_eq!(call!(C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session)), CKR_OK);
        Self { session, fake, _alone: alone }
    }

    fn begin(&self, number: CK_MECHANISM_TYPE) -> CK_RV {
        let mut mechanism = CK_MECHANISM { mechanism: number, pParameter: null_mut(), ulParameterLen: 0 };
        call!(C_SignInit(self.session, &mut mechanism, handle(0, Class::Private)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        assert_eq!(call!(C_Finalize(null_mut())), CKR_OK);
    }
}

#[test]
fn the_table_is_full_and_says_2_40() {
    let mut list = null_mut();
    // SAFETY: a place for one pointer.
    assert_eq!(unsafe { C_GetFunctionList(&mut list) }, CKR_OK);
    // SAFETY: null is what is tested.
    assert_eq!(unsafe { C_GetFunctionList(null_mut()) }, CKR_ARGUMENTS_BAD);
    // SAFETY: the table is a static.
    let table = unsafe { &*list };
    assert_eq!((table.version.major, table.version.minor), (2, 40));
    let entries = (size_of::<CK_FUNCTION_LIST>() - 8) / size_of::<usize>();
    assert_eq!(entries, 68);
    let first = (&raw const table.C_Initialize).cast::<usize>();
    // SAFETY: within the table, of which every entry has the size of a pointer.
    assert!((0..entries).all(|at| unsafe { first.add(at).read() } != 0), "no entry is empty");
}

#[test]
fn nothing_works_before_and_after() {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dead = CKR_CRYPTOKI_NOT_INITIALIZED;
    let check = || {
        assert_eq!(call!(C_GetInfo(null_mut())), dead);
        assert_eq!(call!(C_GetSlotList(CK_TRUE, null_mut(), null_mut())), dead);
        assert_eq!(call!(C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, null_mut())), dead);
        assert_eq!(call!(C_Sign(1, null_mut(), 0, null_mut(), null_mut())), dead);
        assert_eq!(call!(C_Finalize(null_mut())), dead);
    };
    check();
    drop(alone);
    drop(Program::start());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    check();
}

#[test]
fn it_is_initialized_once_and_with_locks_of_the_system() {
    let program = Program::start();
    assert_eq!(call!(C_Initialize(null_mut())), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    unsafe extern "C" fn mutex(_: *mut *mut c_void) -> CK_RV {
        CKR_OK
    }
    unsafe extern "C" fn act(_: *mut c_void) -> CK_RV {
        CKR_OK
    }
    let answer = |args: CK_C_INITIALIZE_ARGS| call!(C_Initialize((&raw const args).cast_mut().cast()));
    let own = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(mutex),
        DestroyMutex: Some(act),
        LockMutex: Some(act),
        UnlockMutex: Some(act),
        ..CK_C_INITIALIZE_ARGS::default()
    };
    assert_eq!(answer(own), CKR_CANT_LOCK);
    assert_eq!(answer(CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..own }), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_eq!(answer(CK_C_INITIALIZE_ARGS { LockMutex: None, ..own }), CKR_ARGUMENTS_BAD);
    let reserved = CK_C_INITIALIZE_ARGS { pReserved: (&raw const own).cast_mut().cast(), ..Default::default() };
    assert_eq!(answer(reserved), CKR_ARGUMENTS_BAD);
    let no_threads = CK_C_INITIALIZE_ARGS { flags: CKF_LIBRARY_CANT_CREATE_OS_THREADS, ..Default::default() };
    assert_eq!(answer(no_threads), CKR_NEED_TO_CREATE_THREADS);
    assert_eq!(call!(C_Finalize((&raw const own).cast_mut().cast())), CKR_ARGUMENTS_BAD);
    drop(program);
}

#[test]
fn null_where_a_place_is_needed_is_refused() {
    let program = Program::start();
    let at = program.session;
    assert_eq!(call!(C_GetInfo(null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetSlotList(CK_TRUE, null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetSlotInfo(0, null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetTokenInfo(0, null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetMechanismList(0, null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetMechanismInfo(0, CKM_ECDSA, null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_OpenSession(0, CKF_SERIAL_SESSION, null_mut(), None, null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetSessionInfo(at, null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetAttributeValue(at, 1, null_mut(), 1)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_FindObjectsInit(at, null_mut(), 1)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_FindObjectsInit(at, null_mut(), 0)), CKR_OK);
    assert_eq!(call!(C_FindObjects(at, null_mut(), 1, null_mut())), CKR_ARGUMENTS_BAD);
    let mut count = 9;
    assert_eq!((call!(C_FindObjects(at, null_mut(), 1, &mut count)), count), (CKR_ARGUMENTS_BAD, 0));
    assert_eq!(call!(C_SignInit(at, null_mut(), 2)), CKR_ARGUMENTS_BAD);
    assert_eq!(program.begin(CKM_ECDSA), CKR_OK);
    assert_eq!(call!(C_Sign(at, null_mut(), 32, null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_SignUpdate(at, null_mut(), 32)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_SignFinal(at, null_mut(), null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GenerateRandom(at, null_mut(), 8)), CKR_ARGUMENTS_BAD);
}

#[test]
fn lengths_and_places_that_cannot_be_are_refused() {
    let program = Program::start();
    let at = program.session;
    let mut byte = [0u8; 32];
    let mut attribute = CK_ATTRIBUTE { type_: CKA_ID, pValue: byte.as_mut_ptr().cast(), ulValueLen: CK_ULONG::MAX };
    assert_eq!(call!(C_FindObjectsInit(at, &mut attribute, 1)), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(call!(C_FindObjectsInit(at, &mut attribute, CK_ULONG::MAX)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetAttributeValue(at, 1, &mut attribute, 65)), CKR_ARGUMENTS_BAD);
    assert_eq!(program.begin(CKM_ECDSA), CKR_OK);
    assert_eq!(call!(C_SignUpdate(at, byte.as_mut_ptr(), CK_ULONG::MAX)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GenerateRandom(at, byte.as_mut_ptr(), CK_ULONG::MAX)), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GenerateRandom(at, byte.as_mut_ptr(), 1024 * 1024 + 1)), CKR_ARGUMENTS_BAD);
    let crooked = byte.as_mut_ptr().wrapping_add(1 + byte.as_ptr().align_offset(8));
    assert_eq!(call!(C_GetSlotList(CK_TRUE, null_mut(), crooked.cast())), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(C_GetSessionInfo(at, crooked.cast())), CKR_ARGUMENTS_BAD);
    for slot in [1, CK_ULONG::MAX] {
        assert_eq!(call!(C_GetSlotInfo(slot, null_mut())), CKR_SLOT_ID_INVALID);
        assert_eq!(call!(C_CloseAllSessions(slot)), CKR_SLOT_ID_INVALID);
    }
    for session in [0, at + 1, CK_ULONG::MAX] {
        assert_eq!(call!(C_CloseSession(session)), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(call!(C_GenerateRandom(session, byte.as_mut_ptr(), 1)), CKR_SESSION_HANDLE_INVALID);
        assert_eq!(call!(C_Sign(session, null_mut(), 0, null_mut(), null_mut())), CKR_SESSION_HANDLE_INVALID);
    }
    assert_eq!(call!(C_GetAttributeValue(at, 99, null_mut(), 0)), CKR_OBJECT_HANDLE_INVALID);
}

#[test]
fn lists_tell_their_length_first() {
    let _program = Program::start();
    let mut count = 0;
    assert_eq!((call!(C_GetMechanismList(0, null_mut(), &mut count)), count), (CKR_OK, 3));
    let mut list = [0; 4];
    count = 2;
    assert_eq!((call!(C_GetMechanismList(0, list.as_mut_ptr(), &mut count)), count), (CKR_BUFFER_TOO_SMALL, 3));
    assert_eq!(list, [0; 4]);
    count = 4;
    assert_eq!((call!(C_GetMechanismList(0, list.as_mut_ptr(), &mut count)), count), (CKR_OK, 3));
    assert_eq!(list, [CKM_ECDSA, CKM_ECDSA_SHA256, CKM_EDDSA, 0]);
    let mut info = CK_MECHANISM_INFO::default();
    for mechanism in &list[..3] {
        assert_eq!(call!(C_GetMechanismInfo(0, *mechanism, &mut info)), CKR_OK);
        assert_eq!(info.flags & (CKF_SIGN | CKF_VERIFY), CKF_SIGN);
    }
    assert_eq!(call!(C_GetMechanismInfo(0, CKM_RSA_PKCS, &mut info)), CKR_MECHANISM_INVALID);
}

#[test]
fn asking_for_the_length_of_a_signature_asks_nobody_and_ends_nothing() {
    let program = Program::start();
    let at = program.session;
    let mut digest = [7u8; 32];
    let mut signature = [0u8; 80];
    let mut length = 0;
    assert_eq!(program.begin(CKM_ECDSA), CKR_OK);
    let data = digest.as_mut_ptr();
    assert_eq!((call!(C_Sign(at, data, 32, null_mut(), &mut length)), length), (CKR_OK, 64));
    length = 63;
    let to = signature.as_mut_ptr();
    assert_eq!((call!(C_Sign(at, data, 32, to, &mut length)), length), (CKR_BUFFER_TOO_SMALL, 64));
    assert!(program.fake.asked.lock().unwrap().is_empty());
    length = 80;
    assert_eq!((call!(C_Sign(at, data, 32, to, &mut length)), length), (CKR_OK, 64));
    assert_eq!((&signature[..64], &signature[64..]), (&SIGNATURE[..], &[0; 16][..]));
    assert_eq!(program.fake.asked.lock().unwrap().len(), 1);
    assert_eq!(call!(C_Sign(at, data, 32, to, &mut length)), CKR_OPERATION_NOT_INITIALIZED);

    assert_eq!(program.begin(CKM_ECDSA_SHA256), CKR_OK);
    assert_eq!(call!(C_SignUpdate(at, data, 32)), CKR_OK);
    assert_eq!(call!(C_SignUpdate(at, null_mut(), 0)), CKR_OK);
    length = 0;
    assert_eq!((call!(C_SignFinal(at, null_mut(), &mut length)), length), (CKR_OK, 64));
    // A program may have its signature written over its data.
    let place = signature.as_mut_ptr();
    assert_eq!((call!(C_SignFinal(at, place, &mut length)), length), (CKR_OK, 64));
    assert_eq!(program.begin(CKM_ECDSA), CKR_OK);
    assert_eq!(call!(C_Sign(at, place, 32, place, &mut length)), CKR_OK);
    assert_eq!(program.fake.asked.lock().unwrap().len(), 3);
}

#[test]
fn a_parameter_would_mean_another_signature() {
    let program = Program::start();
    let mut parameter = CK_EDDSA_PARAMS::default();
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_EDDSA,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<CK_EDDSA_PARAMS>() as CK_ULONG,
    };
    let documents = handle(2, Class::Private);
    assert_eq!(call!(C_SignInit(program.session, &mut mechanism, documents)), CKR_MECHANISM_PARAM_INVALID);
    mechanism.pParameter = null_mut();
    assert_eq!(call!(C_SignInit(program.session, &mut mechanism, documents)), CKR_MECHANISM_PARAM_INVALID);
    mechanism.ulParameterLen = 0;
    assert_eq!(call!(C_SignInit(program.session, &mut mechanism, documents)), CKR_OK);
    assert_eq!(program.begin(CKM_ECDSA), CKR_OPERATION_ACTIVE);
}

#[test]
fn every_attribute_of_a_template_is_answered() {
    let program = Program::start();
    let (mut label, mut id) = ([0u8; 16], [0u8; 0]);
    let ask = |type_, to: *mut u8, room| CK_ATTRIBUTE { type_, pValue: to.cast(), ulValueLen: room };
    let mut template = [
        ask(CKA_VALUE, label.as_mut_ptr(), 16),
        ask(CKA_MODULUS, null_mut(), 0),
        ask(CKA_ID, id.as_mut_ptr(), 0),
        ask(CKA_EC_POINT, null_mut(), 0),
        ask(CKA_LABEL, label.as_mut_ptr(), 16),
    ];
    let private = handle(0, Class::Private);
    assert_eq!(call!(C_GetAttributeValue(program.session, private, template.as_mut_ptr(), 5)), CKR_ATTRIBUTE_SENSITIVE);
    let none = CK_UNAVAILABLE_INFORMATION;
    assert_eq!(template.map(|one| one.ulValueLen), [none, none, none, 67, 7]);
    assert_eq!(&label[..8], b"release\0");
    let at = template[1..].as_mut_ptr();
    assert_eq!(call!(C_GetAttributeValue(program.session, private, at, 1)), CKR_ATTRIBUTE_TYPE_INVALID);
    template[2].ulValueLen = 0;
    let at = template[2..].as_mut_ptr();
    assert_eq!(call!(C_GetAttributeValue(program.session, private, at, 1)), CKR_BUFFER_TOO_SMALL);
}

#[test]
fn objects_are_found_by_templates_of_a_program() {
    let program = Program::start();
    let at = program.session;
    let mut class = CKO_PRIVATE_KEY;
    let length = size_of::<CK_OBJECT_CLASS>() as CK_ULONG;
    let mut wanted = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: length };
    assert_eq!(call!(C_FindObjectsInit(at, &mut wanted, 1)), CKR_OK);
    let (mut found, mut count) = ([0; 8], 0);
    assert_eq!(call!(C_FindObjects(at, found.as_mut_ptr(), 8, &mut count)), CKR_OK);
    assert_eq!((count, &found[..3]), (2, &[handle(0, Class::Private), handle(2, Class::Private), 0][..]));
    assert_eq!((call!(C_FindObjects(at, found.as_mut_ptr(), 8, &mut count)), count), (CKR_OK, 0));
    assert_eq!(call!(C_FindObjectsFinal(at)), CKR_OK);
}

#[test]
fn what_is_not_offered_says_so() {
    let program = Program::start();
    let at = program.session;
    let no = CKR_FUNCTION_NOT_SUPPORTED;
    assert_eq!(call!(C_InitToken(0, null_mut(), 0, null_mut())), no);
    assert_eq!(call!(C_DestroyObject(at, 1)), no);
    assert_eq!(call!(C_VerifyInit(at, null_mut(), 1)), no);
    assert_eq!(call!(C_DecryptInit(at, null_mut(), 2)), no);
    let keys = (null_mut(), null_mut());
    assert_eq!(call!(C_GenerateKeyPair(at, null_mut(), null_mut(), 0, null_mut(), 0, keys.0, keys.1)), no);
    assert_eq!(call!(C_WrapKey(at, null_mut(), 1, 2, null_mut(), null_mut())), no);
    assert_eq!(call!(C_DeriveKey(at, null_mut(), 2, null_mut(), 0, null_mut())), no);
    assert_eq!(call!(C_GetFunctionStatus(at)), CKR_FUNCTION_NOT_PARALLEL);
    assert_eq!(call!(C_SeedRandom(at, null_mut(), 0)), CKR_RANDOM_SEED_NOT_SUPPORTED);
}

#[test]
fn random_bytes_are_written_where_they_belong() {
    let program = Program::start();
    let mut drawn = [0u8; 48];
    assert_eq!(call!(C_GenerateRandom(program.session, drawn.as_mut_ptr(), 32)), CKR_OK);
    assert!(drawn[..32] != [0; 32] && drawn[32..] == [0; 16]);
    assert_eq!(call!(C_GenerateRandom(program.session, null_mut(), 0)), CKR_OK);
}

#[test]
fn a_configuration_that_is_not_there_is_no_start() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Tests run without the variable.
    assert_eq!(call!(C_Initialize(null_mut())), CKR_FUNCTION_FAILED);
    assert_eq!(call!(C_GetInfo(null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
}
