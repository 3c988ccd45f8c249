//! npm packages: `npm ci` beside a package.json, in the versions of its lock file.

use std::path::Path;
use std::process::Command;

use super::stamp::Stamp;
use super::{Missing, Network};
use crate::command;

/// Installs the project in `folder`; a project that does not exist needs nothing.
pub(super) fn prepare(folder: &Path, name: &str, why: &str, network: Network) -> Option<Missing> {
    let manifest = folder.join("package.json");
    let lock = folder.join("package-lock.json");
    if !manifest.is_file() {
        return None;
    }
    let stamp = Stamp::new(folder.join("node_modules/.limen-stamp"), &[&manifest, &lock]);
    if stamp.is_fresh() {
        return None;
    }
    let missing =
        |remedy: String| Missing { what: format!("npm packages of {name}"), consequence: format!("no {why}"), remedy };
    let by_hand = format!("cd {name} && npm ci");
    if network == Network::Offline || command::on_path("npm").is_none() {
        return Some(missing(by_hand));
    }
    println!("setup: installing npm packages of {name}: {why}");
    stamp.clear();
    let installed = command::capture(&mut install(folder)).and_then(|_| stamp.write());
    installed.err().map(|error| missing(format!("{by_hand} (it failed: {error:#})")))
}

/// Install scripts are not run: the packages that we use carry their programs ready-made.
fn install(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]);
    npm
}
