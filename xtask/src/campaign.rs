//! `cargo xtask campaign`: builds the program that breaks disks and signers, and starts it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{command, verify};

/// Those that are part of every change.
pub(crate) const NAMES: &[&str] = &["crash-points", "disk", "bitrot", "rollback", "kill", "token"];

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let mut program = program(workspace)?;
    let has = |name: &str| args.iter().any(|arg| arg == name || arg.starts_with(&format!("{name}=")));
    // A long run goes on where it was stopped.
    if let Some(name) = args.first().filter(|name| NAMES.contains(&name.as_str()))
        && !["--short", "--round", "--resume", "--help"].into_iter().any(has)
    {
        program.arg("--resume").arg(workspace.target().join("campaign").join(format!("{name}.json")));
    }
    let error = program.args(args).exec();
    Err(error).context("could not start limen-campaign")
}

/// The program, built: with the same features as the tests, or everything would be compiled again.
pub(crate) fn program(workspace: &Workspace) -> Result<Command> {
    let programs = ["limen-campaign", "limen-node", "limen-coordinator", "limen-hsm-bridge"];
    let programs = programs.iter().flat_map(|program| ["--bin", program]);
    command::run(workspace.cargo().arg("build").args(verify::EVERYTHING).args(programs))?;
    Ok(Command::new(workspace.target().join("debug/limen-campaign")))
}
