//! `cargo xtask sim`: builds the hostile-coordinator simulation and plays seeds.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    // Dependencies are optimised in the development profile too, so that one build serves tests and simulation.
    let build = ["build", "--locked", "-p", "limen-sim", "--features", "hostile", "--bin", "limen-sim"];
    command::run(workspace.cargo().args(build))?;
    let mut program = Command::new(workspace.target().join("debug/limen-sim"));
    let error = program.args(args).exec();
    Err(error).context("could not start limen-sim")
}
