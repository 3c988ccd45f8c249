//! The functions about library, slot, token and sessions: from pointers to values and back.

use std::ffi::c_void;
use std::path::Path;

use cryptoki_sys::*;

use super::memory::{fill, length, list, read, write};
use super::plain;
use crate::config::{Config, VARIABLE};
use crate::error::{ConfigFault, Fault};
use crate::library::{answer, finalize, initialize, module};
use crate::mechanism::Mechanism;
use crate::module::Module;
use crate::token::{SLOT, library_info, slot_info};

/// Most random bytes a call.
const MAX_RANDOM: usize = 1024 * 1024;

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
