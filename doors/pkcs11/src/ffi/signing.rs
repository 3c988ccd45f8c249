//! The functions that sign.

use cryptoki_sys::*;

use super::memory::{bytes, fill, read, room};
use super::plain;
use crate::library::{answer, module};
use crate::mechanism::{Mechanism, SIGNATURE_BYTES};

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
