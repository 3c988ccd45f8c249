//! `cargo xtask …`: everything a developer does with this workspace, with nothing to learn but one command.
//!
//! Links none of our crates, so that it builds in seconds and still works when they do not.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks on its standard streams")]

mod bench;
mod campaign;
mod ceremony_demo;
mod command;
mod mutants;
mod offline;
mod setup;
mod sim;
mod tidy;
mod up;
mod verify;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
Set up, run, test and measure Limen.

Usage: cargo xtask <command> [options]

Commands:
  up [args…]     install what is missing, build, start a development cluster and run its story;
                 every argument goes to `limen dev up` (try `cargo xtask up --help`)
  ceremony-demo [args…]
                 build, and show ceremonies over real processes: five people begin a house, make its keys, give them new
                 shares; every argument goes to `limen dev ceremony` (try `cargo xtask ceremony-demo --help`)
  test           everything that must hold before a change lands: format, tidy, dependencies, lints,
                 documentation, build, tests. Options: --quick (no dependency check, no documentation),
                 --offline (install nothing; say which phases are skipped)
  bench [args…]  build with optimisation and measure; every argument goes to `limen-bench`
  sim [args…]    play programs of a hostile coordinator against signers and judge every signature:
                 --seeds N, --from K, --statistics; --seed N replays one
  campaign NAME  break a signer's disk and look what is left: crash-points, disk, bitrot, rollback; or kill
                 signers. Goes on where it was stopped. Options: --short (as with every change), --rounds N, --round N, --resume FILE,
                 --json FILE
  mutants        plant known defects, one after the other, in a copy of the tree: each must be found.
                 Options: --only N, --rotate K (K of them, others each day), --check (they still apply)
  offline        build limen-recover as one file for a machine without network, optimised and without shared libraries
  tidy           crate arrows, lengths, links, to-do form, machine paths, wire schema, ADRs, purity.
                 Options: --accept-proto (record additions to the wire schema), --shrink (lower the
                 allowed lengths to what they are now)
  setup          install what is missing, by package name, saying what and why. Option: --offline
  fmt            format every crate

cargo xtask <command> --help explains one command.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let Some((name, rest)) = args.split_first() else {
        println!("{HELP}");
        return Ok(ExitCode::FAILURE);
    };
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::locate()?;
    match name.as_str() {
        "up" => up::main(&workspace, rest),
        "ceremony-demo" => ceremony_demo::main(&workspace, rest),
        "test" => verify::main(&workspace, rest),
        "bench" => bench::main(&workspace, rest),
        "sim" => sim::main(&workspace, rest),
        "campaign" => campaign::main(&workspace, rest),
        "mutants" => mutants::main(&workspace, rest),
        "offline" => offline::main(&workspace, rest),
        "tidy" => tidy::main(&workspace, rest),
        "setup" => setup::main(&workspace, rest),
        "fmt" => {
            command::run(workspace.cargo().args(["fmt", "--all"]).args(rest))?;
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command `{other}`; `cargo xtask --help` lists them"),
    }
}

/// Splits a command's own switches from `--help`, and refuses what it does not know.
fn switches(args: &[String], known: &[&str], help: &str) -> Result<Option<Vec<String>>> {
    if args.iter().any(|a| a == "--help" || a == "-h") {
        println!("{help}");
        return Ok(None);
    }
    if let Some(unknown) = args.iter().find(|a| !known.contains(&a.as_str())) {
        bail!("unknown option `{unknown}`\n\n{help}");
    }
    Ok(Some(args.to_vec()))
}
