//! `cargo xtask ceremony-demo`: set-up, build, and ceremonies over real processes.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command;
use crate::setup::{self, Need, Network};
use crate::workspace::Workspace;

/// Every program of the show.
const PACKAGES: [&str; 6] =
    ["limen-cli", "limen-ceremony", "limen-node", "limen-coordinator", "limen-hsm-bridge", "limen-recover"];

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let asks_for_help = args.iter().any(|a| a == "--help" || a == "-h");
    if !asks_for_help {
        let missing = setup::prepare(workspace, Need::Ceremonies, Network::Allowed)?;
        setup::report(&missing);
    }
    let started = Instant::now();
    eprintln!("ceremony-demo: building {}", PACKAGES.join(", "));
    let packages = PACKAGES.iter().flat_map(|name| ["-p", name]);
    command::run(workspace.cargo().args(["build", "--locked", "--bins"]).args(packages))?;
    eprintln!("ceremony-demo: built in {:.1} s", started.elapsed().as_secs_f64());
    // The child takes our place: Ctrl-C and the exit code are its own.
    let binaries = workspace.target().join("debug");
    let mut limen = Command::new(binaries.join("limen"));
    let error = limen.args(["dev", "ceremony"]).arg("--bin-dir").arg(&binaries).args(args).exec();
    Err(error).context("could not start the show")
}
