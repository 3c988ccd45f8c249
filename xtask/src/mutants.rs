//! `cargo xtask mutants`: plants known defects in a copy of the tree, one after the other. A test or the simulation must find
//! each; one that survives, no longer applies or does not compile is a failure.
//!
//! A planted defect is a unified diff in `sim/mutants` with two lines before it: what is wrong, and what finds it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::workspace::Workspace;

const HELP: &str = "\
Plant known defects, one after the other, in a copy of the tree: tests or the simulation must find each.

Usage: cargo xtask mutants [--check | --only N | --rotate K]

  --check      only see that all of them still apply
  --only N     this one
  --rotate K   K of them, others each day

The copy and its build folder are in target/mutants; remove that folder after an update of Rust.";

/// A planted defect.
pub(crate) struct Mutant {
    number: usize,
    name: String,
    patch: PathBuf,
    what: String,
    finder: Finder,
}

/// Where a crate's tests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Beside the code.
    Lib,
    /// In its integration binary, `tests/it`.
    It,
}

impl Target {
    /// How cargo is told.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Lib => &["--lib"],
            Self::It => &["--test", "it"],
        }
    }
}

/// What must find it.
#[derive(Debug, PartialEq, Eq)]
enum Finder {
    /// Tests of a crate, by the beginning or a part of their names.
    Test { package: String, target: Target, filter: String },
    /// So many seeds of the simulation.
    Sim { seeds: u64 },
}

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let mutants = all(workspace)?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let chosen = match words.as_slice() {
        ["--help" | "-h"] => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        ["--check"] => {
            check(workspace, &mutants)?;
            println!("mutants: all {} apply", mutants.len());
            return Ok(ExitCode::SUCCESS);
        }
        [] => mutants,
        ["--only", number] => {
            let number: usize = number.parse().with_context(|| format!("`{number}` is no number"))?;
            mutants.into_iter().filter(|mutant| mutant.number == number).collect()
        }
        ["--rotate", count] => rotate(mutants, count.parse().with_context(|| format!("`{count}` is no number"))?),
        _ => bail!("unknown options `{}`\n\n{HELP}", args.join(" ")),
    };
    if chosen.is_empty() {
        bail!("there is no such planted defect");
    }
    let survived = plant(workspace, &chosen)?;
    println!("mutants: {} planted, {} found, {survived} survived", chosen.len(), chosen.len() - survived);
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plants so many, others each day; gives how many survived.
pub(crate) fn rotating(workspace: &Workspace, count: usize) -> Result<usize> {
    plant(workspace, &rotate(all(workspace)?, count))
}

/// All planted defects, by number.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Mutant>> {
    let folder = workspace.path("sim/mutants");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    let mut mutants = Vec::new();
    for entry in entries {
        let patch = entry?.path();
        if patch.extension().is_some_and(|extension| extension == "patch") {
            mutants.push(read(patch)?);
        }
    }
    mutants.sort_by_key(|mutant| mutant.number);
    Ok(mutants)
}

fn read(patch: PathBuf) -> Result<Mutant> {
    let text = std::fs::read_to_string(&patch).with_context(|| format!("could not read {}", patch.display()))?;
    let stem = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (number, name) = stem.split_once('-').with_context(|| format!("{stem}: a name is NUMBER-WORDS"))?;
    let number = number.parse().with_context(|| format!("{stem}: a name begins with a number"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("# "));
    let (Some(what), Some(finder)) = (lines.next(), lines.next()) else {
        bail!("{stem}: two lines with `# ` come first: what is wrong, and what finds it");
    };
    let finder = finder_of(finder).with_context(|| format!("{stem}: `{finder}` finds nothing"))?;
    Ok(Mutant { number, name: name.to_owned(), what: what.to_owned(), finder, patch })
}

fn finder_of(text: &str) -> Result<Finder> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [word @ ("test" | "it"), package, filter] => {
            let target = if *word == "it" { Target::It } else { Target::Lib };
            Ok(Finder::Test { package: (*package).to_owned(), target, filter: (*filter).to_owned() })
        }
        ["sim", seeds] => Ok(Finder::Sim { seeds: seeds.parse()? }),
        _ => bail!("write `test PACKAGE NAME`, `it PACKAGE NAME` or `sim SEEDS`"),
    }
}

/// So many, beginning further on each day.
fn rotate(mutants: Vec<Mutant>, count: usize) -> Vec<Mutant> {
    #[expect(clippy::disallowed_methods, reason = "which day it is decides which ones")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (day, total) = (usize::try_from(now.as_secs() / 86_400).unwrap_or(0), mutants.len().max(1));
    let first = day.wrapping_mul(count) % total;
    let chosen = |place: usize| (place + total - first) % total < count;
    mutants.into_iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, mutant)| mutant).collect()
}

/// Sees that they apply to the tree as it is.
pub(crate) fn check(workspace: &Workspace, mutants: &[Mutant]) -> Result<()> {
    let mut stale = Vec::new();
    for mutant in mutants {
        let mut apply = workspace.command("git");
        apply.args(["apply", "--check"]).arg(&mutant.patch);
        if !command::succeeds(&mut apply) {
            stale.push(format!("{:02}-{}", mutant.number, mutant.name));
        }
    }
    if !stale.is_empty() {
        bail!("planted defects that no longer apply: {}; plant them anew where the code is now", stale.join(", "));
    }
    Ok(())
}

/// Plants one after the other; gives how many survived.
fn plant(workspace: &Workspace, mutants: &[Mutant]) -> Result<usize> {
    let home = workspace.target().join("mutants");
    let tree = home.join("tree");
    seed(workspace, &home.join("target/debug"))?;
    let mut survived = 0;
    for mutant in mutants {
        copy(workspace, &tree)?;
        let started = Instant::now();
        apply(&tree, &mutant.patch)?;
        let found = is_found(workspace, &tree, &home.join("target"), &mutant.finder)?;
        let (word, seconds) = (if found { "found" } else { "SURVIVED" }, started.elapsed().as_secs_f64());
        println!("mutant {:02}: {word} in {seconds:.0} s: {}", mutant.number, mutant.what);
        survived += usize::from(!found);
    }
    copy(workspace, &tree)?;
    Ok(survived)
}

/// A new build folder begins with what our own has of other people's crates, by hard links. Cargo would take our crates' parts
/// for the copy's, as it names them by their place in the workspace: those are left out.
fn seed(workspace: &Workspace, fresh: &Path) -> Result<()> {
    let ours = workspace.target().join("debug");
    if fresh.exists() || !ours.join("deps").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(fresh).with_context(|| format!("could not make {}", fresh.display()))?;
    let mut link = Command::new("cp");
    link.args(["--archive", "--link"]).args(["deps", "build", ".fingerprint"].map(|part| ours.join(part))).arg(fresh);
    command::run(&mut link)?;
    let mut drop_ours = Command::new("find");
    drop_ours.arg(fresh).args(["-depth", "(", "-name", "limen*", "-o", "-name", "liblimen*", "-o", "-name", "xtask*"]);
    drop_ours.args([")", "-exec", "rm", "-rf", "{}", "+"]);
    command::run(&mut drop_ours)
}

/// Brings the copy level with the tree; what is the same is not touched, so that nothing else is built again.
fn copy(workspace: &Workspace, tree: &Path) -> Result<()> {
    let listed = command::capture(workspace.command("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    for file in listed.split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (workspace.path(file), tree.join(file));
        let Ok(content) = std::fs::read(&from) else { continue };
        if std::fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        let folder = to.parent().unwrap_or(tree);
        std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
        std::fs::write(&to, content).with_context(|| format!("could not write {}", to.display()))?;
    }
    Ok(())
}

fn apply(tree: &Path, patch: &Path) -> Result<()> {
    let mut git = Command::new("git");
    // The copy lies within our repository and is none of its own: git must not look further up.
    git.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree)).arg("apply").arg(patch);
    command::run(&mut git)
}

/// Builds, which must succeed, and runs what finds it, which must not.
fn is_found(workspace: &Workspace, tree: &Path, target: &Path, finder: &Finder) -> Result<bool> {
    let cargo = |words: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.current_dir(tree).env("CARGO_TARGET_DIR", target).args(words).stdout(Stdio::null());
        cargo
    };
    let features: &[&str] = match finder {
        Finder::Test { package, .. } if package != "limen-sim" => &[],
        _ => &["--features", "hostile"],
    };
    match finder {
        Finder::Test { package, target, filter } => {
            let words =
                [&["test", "--quiet", "--locked", "-p", package.as_str()][..], target.words(), features].concat();
            let build = [words.as_slice(), &["--no-run"]].concat();
            command::run(&mut cargo(&build))?;
            // A name that no test has would pass for a defect that no test finds.
            let named = [words.as_slice(), &["--", "--list", filter.as_str()]].concat();
            if !command::capture(cargo(&named).stdout(Stdio::piped()))?.lines().any(|line| line.ends_with(": test")) {
                bail!("no test of {package} is named `{filter}`, where the planted defect says one finds it");
            }
            let run = [words.as_slice(), &["--", filter.as_str()]].concat();
            Ok(!command::succeeds(&mut cargo(&run)))
        }
        Finder::Sim { seeds } => {
            let words = ["--quiet", "--locked", "-p", "limen-sim", "--bin", "limen-sim"];
            command::run(&mut cargo(&[&["build"], &words[..], features].concat()))?;
            let mut sim = Command::new(target.join("debug/limen-sim"));
            Ok(!command::succeeds(sim.args(["--seeds", &seeds.to_string(), "--first"])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(number: usize) -> Mutant {
        let finder = Finder::Sim { seeds: 1 };
        Mutant { number, name: String::new(), patch: PathBuf::new(), what: String::new(), finder }
    }

    #[test]
    fn finders_are_read() {
        let tests = |target| Finder::Test { package: "limen-node".to_owned(), target, filter: "guard::".to_owned() };
        assert_eq!(finder_of("test limen-node guard::").unwrap(), tests(Target::Lib));
        assert_eq!(finder_of("it limen-node guard::").unwrap(), tests(Target::It));
        assert_eq!(finder_of("sim 400").unwrap(), Finder::Sim { seeds: 400 });
        assert!(finder_of("sim").is_err() && finder_of("sim many").is_err() && finder_of("look").is_err());
    }

    #[test]
    fn some_are_chosen_each_day() {
        assert_eq!(rotate((1..=30).map(mutant).collect(), 5).len(), 5);
        assert_eq!(rotate((1..=3).map(mutant).collect(), 5).len(), 3);
    }

    #[test]
    fn thirty_are_planted_and_apply() {
        let workspace = Workspace::locate().unwrap();
        let mutants = all(&workspace).unwrap();
        assert!(mutants.len() >= 30);
        assert!(mutants.iter().enumerate().all(|(place, mutant)| mutant.number == place + 1));
        check(&workspace, &mutants).unwrap();
    }
}
