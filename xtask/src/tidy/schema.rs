//! The wire schema: style of `.proto` files, and changes that would break what is already out there.
//!
//! `wire/proto/baseline.txt` holds one line for every field, enum value and method. A line that is gone or
//! different breaks old signers, stored records or clients, and fails. A new line is recorded with
//! `cargo xtask tidy --accept-proto`. To break on purpose, edit the baseline by hand, in plain sight.

mod lint;
mod parse;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use super::Finding;
use super::source::Tree;
use crate::workspace::Workspace;
use parse::Definition;

const RULE: &str = "wire schema";
const BASELINE: &str = "wire/proto/baseline.txt";

/// One line of the baseline: a full name, and what it stands for on the wire.
type Shapes = BTreeMap<String, String>;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let (definitions, mut findings) = read(tree);
    findings.extend(definitions.iter().flat_map(lint::check));
    if !definitions.is_empty() {
        let baseline = tree.find(BASELINE).map_or("", |file| file.text.as_str());
        findings.extend(compare(&shapes(&definitions), &parse_baseline(baseline)));
    }
    findings
}

/// Adds what is new to the baseline; refuses when something is gone or different.
pub(crate) fn accept(tree: &Tree, workspace: &Workspace) -> Result<()> {
    let (definitions, _) = read(tree);
    let now = shapes(&definitions);
    let before = parse_baseline(tree.find(BASELINE).map_or("", |file| file.text.as_str()));
    let broken: Vec<String> = breaks(&now, &before).map(|f| f.to_string()).collect();
    if !broken.is_empty() {
        bail!("additions only; this breaks what is already out there:\n{}", broken.join("\n"));
    }
    let mut text = String::from(
        "# The wire schema as it was last accepted: `cargo xtask tidy --accept-proto` adds, nothing removes.\n",
    );
    for (name, shape) in &now {
        text.push_str(&format!("{name} = {shape}\n"));
    }
    fs::write(workspace.path(BASELINE), text).with_context(|| format!("could not write {BASELINE}"))
}

fn read(tree: &Tree) -> (Vec<Definition>, Vec<Finding>) {
    let mut definitions = Vec::new();
    let mut findings = Vec::new();
    for file in tree.with_extension("proto").filter(|file| file.path.starts_with("wire/proto/")) {
        match parse::file(&file.path, &file.text) {
            Ok(found) => definitions.extend(found),
            Err(error) => findings.push(Finding::new(RULE, &file.path, format!("could not be read: {error}"))),
        }
    }
    (definitions, findings)
}

fn shapes(definitions: &[Definition]) -> Shapes {
    let shaped = definitions.iter().filter_map(|d| d.shape.as_ref().map(|shape| (d.name.clone(), shape.clone())));
    shaped.collect()
}

fn parse_baseline(text: &str) -> Shapes {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, shape)| (name.to_owned(), shape.to_owned())).collect()
}

fn compare(now: &Shapes, before: &Shapes) -> Vec<Finding> {
    let added = now.keys().filter(|name| !before.contains_key(*name));
    let unrecorded =
        added.map(|name| Finding::new(RULE, name, "is new: record it with `cargo xtask tidy --accept-proto`"));
    breaks(now, before).chain(unrecorded).collect()
}

fn breaks<'a>(now: &'a Shapes, before: &'a Shapes) -> impl Iterator<Item = Finding> + 'a {
    before.iter().filter_map(|(name, shape)| match now.get(name) {
        None => Some(Finding::new(RULE, name, "was removed or renamed: keep it, and mark it deprecated")),
        Some(found) if found != shape => {
            Some(Finding::new(RULE, name, format!("was `{shape}` and is `{found}`: add a new one instead")))
        }
        Some(_) => None,
    })
}

#[cfg(test)]
mod tests;
