//! `cargo xtask up`: set-up, build, and the development cluster's story.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command;
use crate::setup::{self, Need, Network};
use crate::workspace::Workspace;

/// The folder with the development chain's npm packages.
const DEV_CHAIN: &str = "cli/dev-chain";

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let asks_for_help = args.iter().any(|a| a == "--help" || a == "-h");
    if !asks_for_help {
        let missing = setup::prepare(workspace, Need::Up, Network::Allowed)?;
        setup::report(&missing);
    }
    build(workspace)?;
    // The child takes our place: Ctrl-C and the exit code are its own.
    let error = story(workspace, args).exec();
    Err(error).context("could not start the development cluster")
}

fn build(workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    eprintln!("up: building the signer, its bridge to a token, the coordinator and the command");
    let packages = ["-p", "limen-cli", "-p", "limen-node", "-p", "limen-coordinator", "-p", "limen-hsm-bridge"];
    command::run(workspace.cargo().args(["build", "--locked", "--bins"]).args(packages))?;
    eprintln!("up: built in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// `limen dev up` runs in the caller's folder, so that a relative `--dir` means what it says.
fn story(workspace: &Workspace, args: &[String]) -> Command {
    let binaries = workspace.target().join("debug");
    let mut limen = Command::new(binaries.join("limen"));
    limen.args(["dev", "up"]);
    limen.arg("--bin-dir").arg(&binaries);
    limen.arg("--dev-chain").arg(workspace.path(DEV_CHAIN));
    limen.args(args);
    limen
}
