//! `cargo xtask bench`: builds with optimisation and runs the measuring program.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let packages = ["-p", "limen-cli", "-p", "limen-node", "-p", "limen-coordinator", "-p", "limen-hsm-bridge"];
    command::run(workspace.cargo().args(["build", "--release", "--locked", "--bins"]).args(packages))?;
    let bench = ["build", "--release", "--locked", "-p", "limen-sim", "--features", "bench", "--bin", "limen-bench"];
    command::run(workspace.cargo().args(bench))?;
    let binaries = workspace.target().join("release");
    let mut program = Command::new(binaries.join("limen-bench"));
    program.arg("--bin-dir").arg(&binaries);
    program.arg("--results").arg(workspace.target().join("bench"));
    let error = program.args(args).exec();
    Err(error).context("could not start limen-bench")
}
