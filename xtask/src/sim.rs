//! `cargo xtask sim`: builds the hostile-coordinator simulation and plays seeds.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{command, verify};

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let error = command(workspace)?.args(args).exec();
    Err(error).context("could not start limen-sim")
}

/// The program, built.
pub(crate) fn command(workspace: &Workspace) -> Result<Command> {
    // Dependencies are optimised in the development profile too, so that one build serves tests and simulation: with the
    // same features as there, or everything would be compiled again.
    command::run(workspace.cargo().arg("build").args(verify::EVERYTHING).args(["--bin", "limen-sim"]))?;
    Ok(Command::new(workspace.target().join("debug/limen-sim")))
}
