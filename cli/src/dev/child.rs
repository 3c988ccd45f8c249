//! A program that ends when its parent ends, however that happens.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// The process that must stay alive
    parent: i32,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Asks the kernel for the signal (kept across `exec`), then becomes the program.
pub(crate) fn run(args: &ChildArgs) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("could not bind this process to its parent's life")?;
    // The parent may have ended before the line above.
    if getppid() != Pid::from_raw(args.parent) {
        bail!("the parent process {} is gone already", args.parent);
    }
    let Some((program, rest)) = args.command.split_first() else { bail!("no program named") };
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("could not start {program}"))
}
