//! `limen-recover`: a key out of backups of its shares, offline.

mod arguments;
mod commands;
mod files;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

/// Wipes what is freed: what libraries copy on the way is gone with them.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match hide().and_then(|()| commands::run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            files::tell(&format!("limen-recover: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A crash must not write the key to a disk, and no debugger of the same user may look.
fn hide() -> anyhow::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).context("turning core dumps off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("keeping debuggers out")
}
