//! The functions that are offered: from pointers to values and back. What they do stands in [`crate::module`].

use std::ffi::c_void;
use std::path::Path;

use cryptoki_sys::*;

use super::memory::{bytes, fill, length, list, read, room, write};
use crate::config::{Config, VARIABLE};
use crate::error::{ConfigFault, Fault};
use crate::library::{answer, finalize, initialize, module};
use crate::mechanism::{Mechanism, SIGNATURE_BYTES};
use crate::module::Module;
use crate::objects::{Attribute, Object};
use crate::token::{SLOT, library_info, slot_info};

/// Most attributes in a template, and most bytes of a value in it.
const MAX_TEMPLATE: usize = 64;
const MAX_VALUE: CK_ULONG = 65_536;
/// Most random bytes a call.
const MAX_RANDOM: usize = 1024 * 1024;

const fn plain<T>(code: CK_RV) -> Result<T, Fault> {
    Err(Fault::Plain(code))
}

fn check_slot(slot: CK_SLOT_ID) -> Result<(), Fault> {
    if slot == SLOT { Ok(()) } else { plain(CKR_SLOT_ID_INVALID) }
}

/// Locks are the operating system's; a program that insists on its own is refused.
fn check_arguments(arguments: &CK_C_INITIALIZE_ARGS) -> Result<(), Fault> {
    let own = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    let (all, none) = (own.iter().all(|own| *own), !own.iter().any(|own| *own));
    if !arguments.pReserved.is_null() || !(all || none) {
        return plain(CKR_ARGUMENTS_BAD);
    }
    if all && arguments.flags & CKF_OS_LOCKING_OK == 0 {
        return plain(CKR_CANT_LOCK);
    }
    // A name is resolved in a thread.
    if arguments.flags & CKF_LIBRARY_CANT_CREATE_OS_THREADS != 0 {
        return plain(CKR_NEED_TO_CREATE_THREADS);
    }
    Ok(())
}

pub(super) unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    answer("C_Initialize", || {
        if !arguments.is_null() {
            // SAFETY: what is not null is a CK_C_INITIALIZE_ARGS of the program.
            check_arguments(&unsafe { read(arguments.cast::<CK_C_INITIALIZE_ARGS>())? })?;
        }
        initialize(|| {
            let file = std::env::var_os(VARIABLE).ok_or(ConfigFault::NotNamed)?;
            let (config, client) = Config::from_file(Path::new(&file))?;
            Module::new(&config, &client)
        })
    })
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    answer("C_Finalize", || if reserved.is_null() { finalize() } else { plain(CKR_ARGUMENTS_BAD) })
}

pub(super) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    answer("C_GetInfo", || {
        module()?;
        // SAFETY: the program names a CK_INFO of its own.
        unsafe { write(info, library_info()) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotList(_: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    answer("C_GetSlotList", || {
        module()?;
        // SAFETY: the program names a count of its own, and a list of so many or null.
        unsafe { list(slots, count, &[SLOT]) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    answer("C_GetSlotInfo", || {
        module()?;
        check_slot(slot)?;
        // SAFETY: the program names a CK_SLOT_INFO of its own.
        unsafe { write(info, slot_info()) }
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    answer("C_GetTokenInfo", || {
        let module = module()?;
        check_slot(slot)?;
        // SAFETY: the program names a CK_TOKEN_INFO of its own.
        unsafe { write(info, module.token_info()) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    mechanisms: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_GetMechanismList", || {
        module()?;
        check_slot(slot)?;
        // SAFETY: the program names a count of its own, and a list of so many or null.
        unsafe { list(mechanisms, count, &Mechanism::ALL.map(Mechanism::number)) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    answer("C_GetMechanismInfo", || {
        module()?;
        check_slot(slot)?;
        let mechanism = Mechanism::of_number(mechanism)?;
        // SAFETY: the program names a CK_MECHANISM_INFO of its own.
        unsafe { write(info, mechanism.info()) }
    })
}

pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _: *mut c_void,
    _: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    answer("C_OpenSession", || {
        let module = module()?;
        check_slot(slot)?;
        // Before the session is there: a handle that nobody gets would stay open for ever.
        // SAFETY: the program names a handle of its own.
        unsafe { write(session, CK_INVALID_HANDLE)? };
        let opened = module.open_session(flags)?;
        // SAFETY: as before.
        unsafe { write(session, opened) }
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_CloseSession", || module()?.close_session(session))
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    answer("C_CloseAllSessions", || {
        let module = module()?;
        check_slot(slot)?;
        module.close_all_sessions();
        Ok(())
    })
}

pub(super) unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    answer("C_GetSessionInfo", || {
        let found = module()?.session_info(session)?;
        // SAFETY: the program names a CK_SESSION_INFO of its own.
        unsafe { write(info, found) }
    })
}

/// The PIN is not even read.
pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    _: *mut CK_UTF8CHAR,
    _: CK_ULONG,
) -> CK_RV {
    answer("C_Login", || module()?.login(session, user))
}

pub(super) unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_Logout", || module()?.logout(session))
}

pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_GetAttributeValue", || {
        let (class, key) = module()?.object(session, object)?;
        let object = Object { class, key: &key };
        let mut outcome = Ok(());
        for at in 0..template_length(count)? {
            let place = template.wrapping_add(at);
            // SAFETY: the program names so many attributes of its own, each with so many bytes or null.
            outcome = outcome.and(unsafe { answer_attribute(&object, place)? });
        }
        outcome
    })
}

fn template_length(count: CK_ULONG) -> Result<usize, Fault> {
    length::<CK_ATTRIBUTE>(count)?;
    usize::try_from(count).ok().filter(|count| *count <= MAX_TEMPLATE).ok_or(Fault::Plain(CKR_ARGUMENTS_BAD))
}

/// Answers one attribute of a template. The inner result is about this attribute: the others are answered all the same.
///
/// # Safety
///
/// `place` is null or misaligned, which is refused, or an attribute that may be written; its `pValue` is null, or as many bytes
/// as it says may be written there.
unsafe fn answer_attribute(object: &Object<'_>, place: *mut CK_ATTRIBUTE) -> Result<Result<(), Fault>, Fault> {
    // SAFETY: as the caller says.
    let mut asked = unsafe { read(place)? };
    let to = asked.pValue.cast::<u8>();
    let (length, outcome) = match object.attribute(asked.type_) {
        Attribute::Sensitive => (CK_UNAVAILABLE_INFORMATION, plain(CKR_ATTRIBUTE_SENSITIVE)),
        Attribute::Unknown => (CK_UNAVAILABLE_INFORMATION, plain(CKR_ATTRIBUTE_TYPE_INVALID)),
        Attribute::Value(value) => {
            let needed = CK_ULONG::try_from(value.len()).unwrap_or(CK_UNAVAILABLE_INFORMATION);
            match to.is_null() {
                true => (needed, Ok(())),
                false if asked.ulValueLen < needed => (CK_UNAVAILABLE_INFORMATION, plain(CKR_BUFFER_TOO_SMALL)),
                // SAFETY: as the caller says, and there is room, as was just found.
                false => (needed, unsafe { fill(to, &value) }),
            }
        }
    };
    asked.ulValueLen = length;
    // SAFETY: as the caller says.
    unsafe { write(place, asked)? };
    Ok(outcome)
}

pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_FindObjectsInit", || {
        let module = module()?;
        module.check_session(session)?;
        let mut wanted = Vec::new();
        for at in 0..template_length(count)? {
            // SAFETY: the program names so many attributes of its own.
            let attribute = unsafe { read(template.wrapping_add(at))? };
            if attribute.ulValueLen > MAX_VALUE {
                return plain(CKR_ATTRIBUTE_VALUE_INVALID);
            }
            // SAFETY: each of them with so many bytes, which nobody writes to meanwhile.
            let value = unsafe { bytes(attribute.pValue.cast(), attribute.ulValueLen)? };
            wanted.push((attribute.type_, value.to_vec()));
        }
        module.find(session, &wanted)
    })
}

pub(super) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    at_most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_FindObjects", || {
        let module = module()?;
        let at_most = length::<CK_OBJECT_HANDLE>(at_most)?;
        // Before anything is taken from what was found.
        // SAFETY: the program names a count of its own.
        unsafe { write(count, 0)? };
        if objects.is_null() && at_most > 0 {
            return plain(CKR_ARGUMENTS_BAD);
        }
        let found = module.found(session, at_most)?;
        // SAFETY: the program names room for so many handles, and these are no more.
        unsafe { fill(objects, &found)? };
        // SAFETY: as before.
        unsafe { write(count, CK_ULONG::try_from(found.len()).unwrap_or_default()) }
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_FindObjectsFinal", || module()?.end_search(session))
}

pub(super) unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_SignInit", || {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the program names a CK_MECHANISM of its own.
        let asked = unsafe { read(mechanism)? };
        let mechanism = Mechanism::of_number(asked.mechanism)?;
        // To Ed25519 a parameter would mean another signature (Ed25519ctx), even an empty one.
        if asked.ulParameterLen != 0 || !asked.pParameter.is_null() {
            return plain(CKR_MECHANISM_PARAM_INVALID);
        }
        module.begin_signing(session, mechanism, key)
    })
}

pub(super) unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    answer("C_Sign", || {
        let module = module()?;
        module.check_signing(session)?;
        // SAFETY: the program names a length of its own.
        if !unsafe { room(signature, signature_length, SIGNATURE_BYTES)? } {
            return Ok(());
        }
        // SAFETY: and so many bytes, which it does not change during the call.
        let signed = module.sign(session, unsafe { bytes(data, data_length)? })?;
        // SAFETY: and a buffer of that length, in which there is room, as was found.
        unsafe { fill(signature, &signed) }
    })
}

pub(super) unsafe extern "C" fn C_SignUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
) -> CK_RV {
    answer("C_SignUpdate", || {
        let module = module()?;
        module.check_signing(session)?;
        // SAFETY: the program names so many bytes, which it does not change during the call.
        module.add(session, unsafe { bytes(part, part_length)? })
    })
}

pub(super) unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    answer("C_SignFinal", || {
        let module = module()?;
        module.check_signing(session)?;
        // SAFETY: the program names a length of its own.
        if !unsafe { room(signature, signature_length, SIGNATURE_BYTES)? } {
            return Ok(());
        }
        let signed = module.sign_parts(session)?;
        // SAFETY: and a buffer of that length, in which there is room, as was found.
        unsafe { fill(signature, &signed) }
    })
}

pub(super) unsafe extern "C" fn C_SeedRandom(session: CK_SESSION_HANDLE, _: *mut CK_BYTE, _: CK_ULONG) -> CK_RV {
    answer("C_SeedRandom", || {
        module()?.check_session(session)?;
        plain(CKR_RANDOM_SEED_NOT_SUPPORTED)
    })
}

/// From the operating system, not from the cluster.
pub(super) unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    to: *mut CK_BYTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_GenerateRandom", || {
        module()?.check_session(session)?;
        let count = length::<u8>(count)?;
        if count > MAX_RANDOM {
            return plain(CKR_ARGUMENTS_BAD);
        }
        let mut drawn = vec![0; count];
        getrandom::getrandom(&mut drawn)
            .map_err(|error| Fault::System { what: "draw random bytes", reason: error.to_string() })?;
        // SAFETY: the program names so many bytes of its own.
        unsafe { fill(to, &drawn) }
    })
}
