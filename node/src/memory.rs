//! What a signer's memory must not become: a core dump, pages on a swap device, or what another process of the same user reads.
//! And what it must not keep: the daemon's allocator overwrites what is freed, and [`leaving_no_trace`] what lay on a stack.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};
use zeroize::Zeroize as _;

/// Why memory that holds shares cannot be protected here.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Core dumps stay possible.
    #[error("core dumps could not be turned off ({0}): a dump would hold opened shares")]
    CoreDumps(rustix::io::Errno),
    /// Others of the same user may read it.
    #[error("the process could not be made unreadable for others ({0}): a debugger would read opened shares")]
    Dumpable(rustix::io::Errno),
    /// It may be swapped out.
    #[error(
        "memory could not be locked ({0}): opened shares could be written to a swap device; allow it with \
         LimitMEMLOCK=infinity in the unit of this service (`ulimit -l unlimited` in a shell)"
    )]
    Lock(rustix::io::Errno),
    /// Asked for outside of development.
    #[error("danger_unlocked_memory works only under a development charter")]
    NotDevelopment,
}

/// Turns core dumps off and keeps debuggers of the same user out: for every process, before it reads its first secret.
pub fn hide() -> Result<(), MemoryError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(MemoryError::CoreDumps)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(MemoryError::Dumpable)
}

/// Keeps all memory, present and future, off the swap device: pages are locked as they are first touched. `unlocked` leaves it
/// out, loudly, under a development charter only.
pub fn lock(unlocked: bool, development: bool) -> Result<(), MemoryError> {
    if unlocked {
        if !development {
            return Err(MemoryError::NotDevelopment);
        }
        tracing::warn!("DANGER: danger_unlocked_memory is set: opened shares may be swapped to disk");
        return Ok(());
    }
    // With a limit that counts the lock would succeed now and an allocation fail later.
    let unlimited = Rlimit { current: None, maximum: None };
    match setrlimit(Resource::Memlock, unlimited) {
        Err(error) if !has_no_limit() => return Err(MemoryError::Lock(error)),
        _ => {}
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).map_err(MemoryError::Lock)
}

/// Whether the kernel holds this process to no limit of locked memory, whatever the limit says: it has `CAP_IPC_LOCK` (mlock(2)), as
/// root in most containers has, who may not raise limits. In a user namespace that capability counts for nothing here.
fn has_no_limit() -> bool {
    let capable = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    capable && std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_first_namespace(&map))
}

/// The first user namespace maps every user to itself (user_namespaces(7)).
fn is_first_namespace(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// How deep below its caller a step may leave something.
const STACK: usize = 256 * 1024;

/// Runs a step that works with secrets, and overwrites what it leaves on its thread's stack, 256 KiB deep, also if it panics: copies
/// that compilers and libraries make of numbers they compute with, and that no destructor knows of.
pub fn leaving_no_trace<T>(step: impl FnOnce() -> T) -> T {
    let _overwriting = Overwriting;
    in_a_frame_of_its_own(step)
}

struct Overwriting;

impl Drop for Overwriting {
    fn drop(&mut self) {
        overwrite_stack();
    }
}

#[inline(never)]
fn in_a_frame_of_its_own<T>(step: impl FnOnce() -> T) -> T {
    step()
}

/// Takes the place of the frames that have just ended.
#[inline(never)]
fn overwrite_stack() {
    let mut area = [0u8; STACK];
    std::hint::black_box(&mut area).zeroize();
    std::hint::black_box(&area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlocked_memory_is_for_development() {
        assert!(matches!(lock(true, false), Err(MemoryError::NotDevelopment)));
        assert!(lock(true, true).is_ok());
    }

    #[test]
    fn only_the_first_user_namespace_gives_capabilities_their_worth() {
        assert!(is_first_namespace("         0          0 4294967295\n"));
        for other in ["", "0 1000 1\n", "0 0 4294967294\n", "0 0 4294967295\n0 0 4294967295\n", "1 0 4294967295\n"] {
            assert!(!is_first_namespace(other), "{other:?}");
        }
    }
}
