//! The functions about objects: searches and attributes.

use cryptoki_sys::*;

use super::memory::{bytes, fill, length, read, write};
use super::plain;
use crate::error::Fault;
use crate::library::{answer, module};
use crate::objects::{Attribute, Object};

/// Most attributes in a template, and most bytes of a value in it.
const MAX_TEMPLATE: usize = 64;
const MAX_VALUE: CK_ULONG = 65_536;

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
