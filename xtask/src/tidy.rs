//! `cargo xtask tidy`: the rules of the house that a compiler does not check.
//!
//! Each check is a function from the source tree (or from what cargo says of it) to findings, so that
//! its tests can show it an input that it must refuse.

mod adr;
mod arrows;
mod hygiene;
mod lengths;
mod links;
mod named;
mod pure;
mod rooms;
mod schema;
mod source;
mod units;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::switches;
use crate::workspace::Workspace;

use source::Tree;

const HELP: &str = "\
Check the rules of the house that a compiler does not check.

Usage: cargo xtask tidy [--accept-proto] [--shrink]

  --accept-proto   record additions to the wire schema in wire/proto/baseline.txt
  --shrink         lower the lengths in .config/lengths.txt to what they are now, and drop what is gone

Checks: crate arrows; pure crates link no runtime and no socket; files up to 800 lines and functions up
to 70; relative links and names of tests in Markdown; TODO(#123) form; no machine paths, no registry hosts; wire schema
lint and breaking changes; ADR sections; pure crates read no clock, file or environment; every crate
says what lives in it; service units in deploy/ are hardened.";

/// One broken rule, where, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    place: String,
    rule: &'static str,
    what: String,
}

impl Finding {
    fn new(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), rule, what: what.into() }
    }

    /// A finding at a line, counted from one.
    fn at(rule: &'static str, file: &str, line: usize, what: impl Into<String>) -> Self {
        Self::new(rule, format!("{file}:{line}"), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.place, self.rule, self.what)
    }
}

pub(crate) fn main(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let Some(given) = switches(args, &["--accept-proto", "--shrink"], HELP)? else {
        return Ok(ExitCode::SUCCESS);
    };
    if given.iter().any(|a| a == "--accept-proto") {
        schema::accept(&Tree::read(workspace.root())?, workspace)?;
    }
    if given.iter().any(|a| a == "--shrink") {
        lengths::shrink(&Tree::read(workspace.root())?, workspace)?;
    }
    let findings = check(workspace)?;
    print(&findings);
    println!("tidy: {} findings", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every finding in the workspace, in order of place.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let tree = Tree::read(workspace.root())?;
    let metadata = workspace.metadata()?;
    let mut findings = Vec::new();
    findings.extend(arrows::check(&arrows::Graph::from_metadata(&metadata)?));
    findings.extend(pure::check(workspace)?);
    findings.extend(pure::check_sources(&tree));
    findings.extend(lengths::check(&tree));
    findings.extend(links::check(&tree, workspace.root()));
    findings.extend(named::check(&tree));
    findings.extend(hygiene::check(&tree));
    findings.extend(schema::check(&tree));
    findings.extend(adr::check(&tree));
    findings.extend(units::check(&tree));
    findings.extend(rooms::check(&tree, &rooms::Room::from_metadata(&metadata, workspace.root())?));
    findings.sort();
    Ok(findings)
}

pub(crate) fn print(findings: &[Finding]) {
    for finding in findings {
        println!("{finding}");
    }
}
