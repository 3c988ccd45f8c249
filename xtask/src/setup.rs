//! Installs what is missing, by package name, saying what and why.
//!
//! Nothing is fetched by address: Debian, npm and Python packages and crates come through their own clients, in
//! exact versions that lock files and requirement files in this repository name.

mod debian;
mod kryoptic;
mod npm;
mod python;
mod stamp;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{command, switches};

pub(crate) use python::tool as python_tool;

const HELP: &str = "\
Install what is missing, by package name.

Usage: cargo xtask setup [--offline]

  --offline   install nothing; only say what is there and what is not

Debian packages are installed when we are root; otherwise the command is printed. npm packages go to
node_modules beside their package.json, Python packages to a virtual environment in the build folder,
where the tests' second PKCS#11 token is built too.";

/// What a command is about to need; each needs what those before it do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The ceremonies: tokens.
    Ceremonies,
    /// The development cluster: a chain to pay on.
    Up,
    /// The checks and every test.
    Everything,
}

/// How far we may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Allowed,
    Offline,
}

/// One thing that is missing, and what does not work without it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) consequence: String,
    pub(crate) remedy: String,
}

/// An npm project of ours.
struct NpmProject {
    folder: &'static str,
    why: &'static str,
    need: Need,
}

const NPM_PROJECTS: &[NpmProject] = &[
    NpmProject {
        folder: "cli/dev-chain",
        why: "anvil (an Ethereum development chain) and a compiled ERC-20 token for `up`",
        need: Need::Up,
    },
    NpmProject {
        folder: "chain/tests/differential",
        why: "an independent Ethereum library that our codecs are compared with",
        need: Need::Everything,
    },
];

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let Some(given) = switches(args, &["--offline"], HELP)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let network = if given.is_empty() { Network::Allowed } else { Network::Offline };
    let started = Instant::now();
    let missing = prepare(workspace, Need::Everything, network)?;
    report(&missing);
    if missing.is_empty() {
        println!("setup: everything is there ({:.1} s)", started.elapsed().as_secs_f64());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Installs what `need` asks for and returns what could not be had.
pub(crate) fn prepare(workspace: &Workspace, need: Need, network: Network) -> Result<Vec<Missing>> {
    let mut missing = debian::prepare(workspace, need, network)?;
    for project in NPM_PROJECTS.iter().filter(|p| p.need <= need) {
        missing.extend(npm::prepare(&workspace.path(project.folder), project.folder, project.why, network));
    }
    if need == Need::Everything {
        missing.extend(python::prepare(workspace, network));
        missing.extend(kryoptic::prepare(workspace, network));
    }
    Ok(missing)
}

/// Tells what is missing on the error stream.
pub(crate) fn report(missing: &[Missing]) {
    for item in missing {
        eprintln!(
            "setup: missing: {}\n       without it: {}\n       to get it: {}",
            item.what, item.consequence, item.remedy
        );
    }
}

/// `cargo nextest`: the plugin on the search path, else the one in our virtual environment.
pub(crate) fn nextest(workspace: &Workspace) -> Option<PathBuf> {
    command::on_path("cargo-nextest").or_else(|| python_tool(workspace, "cargo-nextest"))
}
