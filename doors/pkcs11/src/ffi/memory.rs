//! Reading and writing the program's memory. No reference to it outlives a call, none is made to what is written.

use cryptoki_sys::{CK_ULONG, CKR_ARGUMENTS_BAD, CKR_BUFFER_TOO_SMALL};

use crate::error::Fault;

const BAD: Fault = Fault::Plain(CKR_ARGUMENTS_BAD);

fn check<T>(pointer: *const T) -> Result<(), Fault> {
    if pointer.is_null() || !pointer.is_aligned() { Err(BAD) } else { Ok(()) }
}

/// A count or length of the program as one of ours, if so many `T` can be in memory at all.
pub(super) fn length<T>(count: CK_ULONG) -> Result<usize, Fault> {
    let count = usize::try_from(count).map_err(|_| BAD)?;
    let bytes = count.checked_mul(size_of::<T>()).and_then(|bytes| isize::try_from(bytes).ok());
    bytes.map(|_| count).ok_or(BAD)
}

/// One value.
///
/// # Safety
///
/// `from` is null or misaligned, which is refused, or may be read as one `T`, of which every bit pattern is one.
pub(super) unsafe fn read<T: Copy>(from: *const T) -> Result<T, Fault> {
    check(from)?;
    // SAFETY: not null, aligned, and readable as the caller says.
    Ok(unsafe { from.read() })
}

/// Bytes to be looked at within a call; null goes with length zero only.
///
/// # Safety
///
/// `from` is null, or `count` bytes there may be read, and nobody writes to them as long as the result lives.
pub(super) unsafe fn bytes<'a>(from: *const u8, count: CK_ULONG) -> Result<&'a [u8], Fault> {
    match length::<u8>(count)? {
        0 => Ok(&[]),
        count => {
            check(from)?;
            // SAFETY: not null, of a length that memory can have, and readable as the caller says.
            Ok(unsafe { std::slice::from_raw_parts(from, count) })
        }
    }
}

/// Writes one value.
///
/// # Safety
///
/// `to` is null or misaligned, which is refused, or one `T` may be written there.
pub(super) unsafe fn write<T: Copy>(to: *mut T, value: T) -> Result<(), Fault> {
    check(to)?;
    // SAFETY: not null, aligned, and writable as the caller says.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes several values, for which the room was checked before.
///
/// # Safety
///
/// `to` is null or misaligned, which is refused, or so many `T` may be written there.
pub(super) unsafe fn fill<T: Copy>(to: *mut T, values: &[T]) -> Result<(), Fault> {
    if values.is_empty() {
        return Ok(());
    }
    check(to)?;
    // SAFETY: not null, aligned, writable as the caller says, and `values` is ours and so elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len()) };
    Ok(())
}

/// PKCS#11's way to ask for lengths (section 5.2): says how much is `needed`, and whether there is a buffer to be filled.
///
/// # Safety
///
/// `count` is null or misaligned, which is refused, or may be read and written.
pub(super) unsafe fn room<T>(to: *mut T, count: *mut CK_ULONG, needed: usize) -> Result<bool, Fault> {
    // SAFETY: as the caller says.
    let offered = unsafe { read(count)? };
    let needed = CK_ULONG::try_from(needed).map_err(|_| BAD)?;
    // SAFETY: as the caller says.
    unsafe { write(count, needed)? };
    match to.is_null() {
        true => Ok(false),
        false if offered < needed => Err(Fault::Plain(CKR_BUFFER_TOO_SMALL)),
        false => Ok(true),
    }
}

/// A list by that way.
///
/// # Safety
///
/// As [`room`], and where `to` is not null, as many values as `count` says may be written there.
pub(super) unsafe fn list<T: Copy>(to: *mut T, count: *mut CK_ULONG, values: &[T]) -> Result<(), Fault> {
    // SAFETY: as the caller says.
    match unsafe { room(to, count, values.len())? } {
        // SAFETY: there is room, as was just found.
        true => unsafe { fill(to, values) },
        false => Ok(()),
    }
}
