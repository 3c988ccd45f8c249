//! Kryoptic, the second PKCS#11 token of the tests: built once from its crate, in the versions of a lock file, into the build folder.

use anyhow::Result;

use super::stamp::Stamp;
use super::{Missing, Network};
use crate::command;
use crate::workspace::Workspace;

const FOLDER: &str = "hsm-bridge/kryoptic";
const WHY: &str = "Kryoptic, a PKCS#11 token that differs from SoftHSM, for the tests";

pub(super) fn prepare(workspace: &Workspace, network: Network) -> Option<Missing> {
    let (manifest, lock) = (workspace.path(FOLDER).join("Cargo.toml"), workspace.path(FOLDER).join("Cargo.lock"));
    let target = workspace.target().join("kryoptic");
    let stamp = Stamp::new(target.join(".limen-stamp"), &[&manifest, &lock]);
    if stamp.is_fresh() {
        return None;
    }
    let missing = |remedy: String| Missing {
        what: format!("a build of {FOLDER} ({WHY})"),
        consequence: "the tests on a second token fail".to_owned(),
        remedy,
    };
    if network == Network::Offline {
        return Some(missing("cargo xtask setup".to_owned()));
    }
    println!("setup: building {FOLDER}, once, a minute or two: {WHY}");
    stamp.clear();
    let build = || -> Result<()> {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--quiet", "--locked", "--package", "kryoptic", "--manifest-path"]).arg(&manifest);
        command::run(cargo.arg("--target-dir").arg(&target))?;
        stamp.write()
    };
    build().err().map(|error| missing(format!("cargo xtask setup (it failed: {error:#})")))
}
