//! The one library of the process: initialized or not, by which process, and what stops a panic.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use cryptoki_sys::*;

use crate::error::Fault;
use crate::log::Log;
use crate::module::Module;

/// No process has this number.
const NOBODY: u32 = 0;

static MODULE: RwLock<Option<Arc<Module>>> = RwLock::new(None);
/// The process that initialized the library. After a fork the child finds another number here than its own, before it touches
/// a lock that a thread of its parent may have held.
static OWNER: AtomicU32 = AtomicU32::new(NOBODY);

/// Takes the library into use. A child of a fork may do so anew; what it inherited it neither uses nor closes, for sockets and
/// event queue are still its parent's.
pub(crate) fn initialize(start: impl FnOnce() -> Result<Module, Fault>) -> Result<(), Fault> {
    let us = std::process::id();
    let owner = OWNER.load(Ordering::Acquire);
    if owner == us {
        return Err(Fault::Plain(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    }
    let mut place = match MODULE.try_write() {
        Ok(place) => place,
        Err(TryLockError::Poisoned(error)) => error.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(Fault::Plain(CKR_CANT_LOCK)),
    };
    if place.is_some() && owner == NOBODY {
        return Err(Fault::Plain(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    }
    let module = start()?;
    let _inherited = ManuallyDrop::new(place.replace(Arc::new(module)));
    OWNER.store(us, Ordering::Release);
    Ok(())
}

/// Gives the library up. Calls of other threads end by themselves.
pub(crate) fn finalize() -> Result<(), Fault> {
    let us = std::process::id();
    if OWNER.compare_exchange(us, NOBODY, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return Err(Fault::Plain(CKR_CRYPTOKI_NOT_INITIALIZED));
    }
    MODULE.write().unwrap_or_else(PoisonError::into_inner).take();
    Ok(())
}

/// The initialized library.
pub(crate) fn module() -> Result<Arc<Module>, Fault> {
    let none = Fault::Plain(CKR_CRYPTOKI_NOT_INITIALIZED);
    if OWNER.load(Ordering::Acquire) != std::process::id() {
        return Err(none);
    }
    MODULE.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(none)
}

/// Runs the body of an entry point: no panic gets out, and each failure leaves its reason.
pub(crate) fn answer(call: &'static str, body: impl FnOnce() -> Result<(), Fault>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(fault)) => {
            with_log(|log| log.failure(call, &fault));
            fault.code()
        }
        Err(_) => {
            with_log(|log| log.line(&format!("{call}: a defect in this library; report it (CKR_GENERAL_ERROR)")));
            CKR_GENERAL_ERROR
        }
    }
}

fn with_log(write: impl FnOnce(&Log)) {
    match module() {
        Ok(module) => write(module.log()),
        Err(_) => write(&Log::Stderr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(answer("C_Test", || panic!("planted")), CKR_GENERAL_ERROR);
        assert_eq!(answer("C_Test", || Ok(())), CKR_OK);
        assert_eq!(answer("C_Test", || Err(Fault::Plain(CKR_SLOT_ID_INVALID))), CKR_SLOT_ID_INVALID);
    }
}
