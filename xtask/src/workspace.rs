//! Where the workspace stands, and what cargo says of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// The checkout that this program was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Cargo tells us where our manifest is; the workspace is its parent.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().with_context(|| format!("{} has no parent folder", manifest.display()))?;
        Ok(Self { root: root.to_path_buf() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the workspace.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo's build folder.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::env::current_dir().unwrap_or_default().join(dir),
            None => self.path("target"),
        }
    }

    /// A program, run in the workspace's root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that runs us. What it told *us* through the environment must not reach the next build.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        if ci() {
            command.env("CARGO_TERM_COLOR", "never");
            // Nothing is built twice there, and what incremental builds keep is more than half of the build folder.
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// `cargo metadata` of our own packages, without resolving dependencies.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let text = command::capture(self.cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
        serde_json::from_str(&text).context("cargo metadata did not print JSON")
    }
}

/// Whether an automatic run asked for plain output.
pub(crate) fn ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}
