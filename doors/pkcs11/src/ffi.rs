//! The C interface: the one place with unsafe code. Everything unsafe here reads or writes memory that the calling program
//! has named; pointers are checked for null and alignment, lengths against bounds, and whether they are the program's own to
//! give is its promise by PKCS#11 (v2.40 base specification, section 5.1).
#![allow(unsafe_code, reason = "PKCS#11 is a C interface")]
#![allow(non_snake_case, reason = "the names are those of PKCS#11")]

mod general;
mod memory;
mod objects;
mod signing;

use cryptoki_sys::*;

use crate::error::Fault;
use crate::library::answer;
use general::*;
use objects::*;
use signing::*;

const fn plain<T>(code: CK_RV) -> Result<T, Fault> {
    Err(Fault::Plain(code))
}

/// What is not offered. By PKCS#11 no entry of the table is empty.
macro_rules! refusals {
    ($($name:ident($($arg:ident: $type:ident),*);)*) => {
        $(
            /// Takes whatever there is and looks at nothing.
            unsafe extern "C" fn $name<$($type),*>($(_: $type),*) -> CK_RV {
                CKR_FUNCTION_NOT_SUPPORTED
            }
        )*
    };
}

refusals! {
    no2(a: A, b: B);
    no3(a: A, b: B, c: C);
    no4(a: A, b: B, c: C, d: D);
    no5(a: A, b: B, c: C, d: D, e: E);
    no6(a: A, b: B, c: C, d: D, e: E, f: F);
    no8(a: A, b: B, c: C, d: D, e: E, f: F, g: G, h: H);
}

/// Calls in the background are no longer part of PKCS#11.
unsafe extern "C" fn not_parallel(_: CK_SESSION_HANDLE) -> CK_RV {
    CKR_FUNCTION_NOT_PARALLEL
}

/// Every function, in the order of PKCS#11 v2.40.
static FUNCTIONS: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    version: CK_VERSION { major: 2, minor: 40 },
    C_Initialize: Some(C_Initialize),
    C_Finalize: Some(C_Finalize),
    C_GetInfo: Some(C_GetInfo),
    C_GetFunctionList: Some(C_GetFunctionList),
    C_GetSlotList: Some(C_GetSlotList),
    C_GetSlotInfo: Some(C_GetSlotInfo),
    C_GetTokenInfo: Some(C_GetTokenInfo),
    C_GetMechanismList: Some(C_GetMechanismList),
    C_GetMechanismInfo: Some(C_GetMechanismInfo),
    C_InitToken: Some(no4),
    C_InitPIN: Some(no3),
    C_SetPIN: Some(no5),
    C_OpenSession: Some(C_OpenSession),
    C_CloseSession: Some(C_CloseSession),
    C_CloseAllSessions: Some(C_CloseAllSessions),
    C_GetSessionInfo: Some(C_GetSessionInfo),
    C_GetOperationState: Some(no3),
    C_SetOperationState: Some(no5),
    C_Login: Some(C_Login),
    C_Logout: Some(C_Logout),
    C_CreateObject: Some(no4),
    C_CopyObject: Some(no5),
    C_DestroyObject: Some(no2),
    C_GetObjectSize: Some(no3),
    C_GetAttributeValue: Some(C_GetAttributeValue),
    C_SetAttributeValue: Some(no4),
    C_FindObjectsInit: Some(C_FindObjectsInit),
    C_FindObjects: Some(C_FindObjects),
    C_FindObjectsFinal: Some(C_FindObjectsFinal),
    C_EncryptInit: Some(no3),
    C_Encrypt: Some(no5),
    C_EncryptUpdate: Some(no5),
    C_EncryptFinal: Some(no3),
    C_DecryptInit: Some(no3),
    C_Decrypt: Some(no5),
    C_DecryptUpdate: Some(no5),
    C_DecryptFinal: Some(no3),
    C_DigestInit: Some(no2),
    C_Digest: Some(no5),
    C_DigestUpdate: Some(no3),
    C_DigestKey: Some(no2),
    C_DigestFinal: Some(no3),
    C_SignInit: Some(C_SignInit),
    C_Sign: Some(C_Sign),
    C_SignUpdate: Some(C_SignUpdate),
    C_SignFinal: Some(C_SignFinal),
    C_SignRecoverInit: Some(no3),
    C_SignRecover: Some(no5),
    C_VerifyInit: Some(no3),
    C_Verify: Some(no5),
    C_VerifyUpdate: Some(no3),
    C_VerifyFinal: Some(no3),
    C_VerifyRecoverInit: Some(no3),
    C_VerifyRecover: Some(no5),
    C_DigestEncryptUpdate: Some(no5),
    C_DecryptDigestUpdate: Some(no5),
    C_SignEncryptUpdate: Some(no5),
    C_DecryptVerifyUpdate: Some(no5),
    C_GenerateKey: Some(no5),
    C_GenerateKeyPair: Some(no8),
    C_WrapKey: Some(no6),
    C_UnwrapKey: Some(no8),
    C_DeriveKey: Some(no6),
    C_SeedRandom: Some(C_SeedRandom),
    C_GenerateRandom: Some(C_GenerateRandom),
    C_GetFunctionStatus: Some(not_parallel),
    C_CancelFunction: Some(not_parallel),
    C_WaitForSlotEvent: Some(no3),
};

/// The way in: hands out the table of functions. Works before `C_Initialize`.
///
/// # Safety
///
/// `list` is null, or points to a place for one pointer. The table is never written to.
// SAFETY: no other symbol of this name is linked into the library; PKCS#11 prescribes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    answer("C_GetFunctionList", || {
        let table = (&raw const FUNCTIONS).cast_mut();
        // SAFETY: the program names a place of its own for one pointer.
        unsafe { memory::write(list, table) }
    })
}

#[cfg(test)]
mod tests;
