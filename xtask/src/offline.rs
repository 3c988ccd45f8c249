//! `cargo xtask offline`: `limen-recover` as one file that runs on any Linux of this architecture, without libraries beside it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::command;
use crate::workspace::Workspace;

const HELP: &str = "\
Build limen-recover for an offline machine: optimised, one file, no shared libraries.

Usage: cargo xtask offline

It lies in target/offline afterwards; compare its SHA-256 with that of another builder.";

/// ELF, program header types (System V ABI): the dynamic linker's path.
const PT_INTERP: u32 = 3;

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    if crate::switches(args, &[], HELP)?.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    let target = workspace.target().join("offline");
    let triple = host()?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--locked", "-p", "limen-recover", "--target", &triple]);
    // With a target named, build scripts and macros, which are loaded as libraries, are built as ever.
    command::run(cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_TARGET_DIR", &target))?;
    let program = target.join(&triple).join("release/limen-recover");
    let bytes = std::fs::read(&program).with_context(|| format!("reading {}", program.display()))?;
    ensure!(stands_alone(&bytes)?, "{} asks for a dynamic linker: it is not one file", program.display());
    let sum = Command::new("sha256sum").arg(&program).output().context("starting sha256sum")?;
    print!("{}", String::from_utf8_lossy(&sum.stdout));
    shows(&program)?;
    Ok(ExitCode::SUCCESS)
}

/// Whom rustc builds for, if not told otherwise.
fn host() -> Result<String> {
    let said = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let said = String::from_utf8(said.stdout).context("rustc prints text")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

/// It reads a sample, with nothing of this machine around it.
fn shows(program: &Path) -> Result<()> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recover/tests/vectors/ecdsa-secp256k1/1.backup");
    let done = Command::new(program).arg("show").arg(sample).env_clear().current_dir("/").output()?;
    ensure!(done.status.success(), "it does not run: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Whether an executable of 64 bits asks for no dynamic linker.
fn stands_alone(elf: &[u8]) -> Result<bool> {
    let at = |place: usize, length: usize| -> Result<u64> {
        let end = place.checked_add(length).context("a place beyond memory")?;
        let bytes = elf.get(place..end).context("it ends within its headers")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    };
    ensure!(elf.starts_with(b"\x7fELF\x02\x01"), "it is no executable of 64 bits, little-endian");
    let (table, size, count) =
        (usize::try_from(at(32, 8)?)?, usize::try_from(at(54, 2)?)?, usize::try_from(at(56, 2)?)?);
    ensure!(count > 0, "it has no program headers");
    for number in 0..count {
        let place =
            number.checked_mul(size).and_then(|past| past.checked_add(table)).context("a place beyond memory")?;
        if at(place, 4)? == u64::from(PT_INTERP) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one program header of this type.
    fn elf(kind: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64 + 56, 0);
        (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, kind);
        bytes
    }

    #[test]
    fn who_asks_for_a_dynamic_linker_does_not_stand_alone() {
        assert!(stands_alone(&elf(1)).unwrap());
        assert!(!stands_alone(&elf(3)).unwrap());
        assert!(stands_alone(&elf(1)[..70]).is_ok() && stands_alone(&elf(1)[..65]).is_err());
        assert!(stands_alone(b"#!/bin/sh").is_err());
        // This test itself is linked as everything else is.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!cfg!(target_env = "gnu") || cfg!(target_feature = "crt-static") || !stands_alone(&own).unwrap());
    }
}
