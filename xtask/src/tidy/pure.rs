//! Pure crates take time, randomness and identity as arguments: they link no runtime and no socket, and
//! their source does not ask the machine for anything.

use anyhow::Result;

use super::Finding;
use super::source::{Tree, shipped_code};
use crate::command;
use crate::workspace::Workspace;

const RULE: &str = "pure crate";

/// Crates whose default features must link neither a runtime nor a socket.
const LINK_FREE: &[&str] =
    &["limen-wire", "limen-chain", "limen-policy", "limen-evidence", "limen-mpc", "limen-recover"];

/// Packages that mean a runtime or a socket.
const IMPURE: &[&str] = &["tokio", "hyper", "mio", "socket2", "tonic", "async-std", "smol", "reqwest", "ureq"];

/// Folders whose source must not ask the machine for the time, randomness, files or settings.
const SILENT: &[&str] = &["chain/src/", "policy/src/", "mpc/src/", "evidence/src/"];

/// What their source must not mention.
const QUESTIONS: &[&str] = &[
    "SystemTime",
    "Instant",
    "std::env",
    "env::var",
    "std::fs",
    "fs::read",
    "std::net",
    "thread_rng",
    "OsRng",
    "from_entropy",
];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in LINK_FREE {
        let tree = ["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}", "--locked"];
        findings.extend(check_tree(name, &command::capture(workspace.cargo().args(tree))?));
    }
    Ok(findings)
}

/// `listing` has one package a line: its name, a blank, its version.
fn check_tree(name: &str, listing: &str) -> Vec<Finding> {
    let mut linked: Vec<&str> = listing.lines().filter_map(|line| line.split(' ').next()).collect();
    linked.sort_unstable();
    linked.dedup();
    let impure = linked.into_iter().filter(|package| IMPURE.contains(package));
    impure
        .map(|package| {
            Finding::new(
                RULE,
                name,
                format!("links {package}; `cargo tree -p {name} -e normal -i {package}` shows why"),
            )
        })
        .collect()
}

pub(crate) fn check_sources(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .with_extension("rs")
        .filter(|file| SILENT.iter().any(|folder| file.path.starts_with(folder)) && !file.is_test())
    {
        for (number, line) in shipped_code(&file.text).lines().enumerate() {
            if let Some(question) = QUESTIONS.iter().find(|question| mentions(line, question)) {
                findings.push(Finding::at(
                    RULE,
                    &file.path,
                    number + 1,
                    format!("mentions `{question}`: take it as an argument"),
                ));
            }
        }
    }
    findings
}

/// Whole words only: `Instantiated` is not a clock.
fn mentions(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_in_the_tree_is_found_once() {
        let listing = "limen-mpc v0.1.0 (mpc)\nsha2 v0.10.9\ntokio v1.48.0\ntokio v1.48.0 (*)\ntokio-util v0.7.0\n";
        let findings = check_tree("limen-mpc", listing);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("links tokio"));
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_found() {
        let tree = Tree::of(&[
            ("policy/src/rule.rs", "use std::time::Instant;\n// SystemTime in words is fine\nstruct Instantiated;\n"),
            ("policy/src/rule_tests.rs", "use std::time::Instant;"),
            ("policy/src/more.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
            ("node/src/clock.rs", "use std::time::Instant;"),
        ]);
        let findings = check_sources(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "policy/src/rule.rs:1");
    }
}
