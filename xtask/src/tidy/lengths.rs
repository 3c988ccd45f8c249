//! Files up to 800 lines, functions up to 70 lines of code, and a list of exceptions that may only shrink.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use super::Finding;
use super::source::{Tree, functions};
use crate::workspace::Workspace;

const RULE: &str = "length";
const FILE_LIMIT: usize = 800;
const FUNCTION_LIMIT: usize = 70;
/// One exception a line: a path or `path::function`, and its length today.
const ALLOWED: &str = ".config/lengths.txt";
/// Hand-written text; generated and lock files are as long as they are.
const KINDS: &[&str] = &["rs", "md", "proto", "py", "mjs", "js", "sh"];

type Lengths = BTreeMap<String, usize>;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let allowed = allowed(tree);
    let actual = too_long(tree);
    let mut findings: Vec<Finding> = actual.iter().filter_map(|(place, lines)| over(place, *lines, &allowed)).collect();
    for (place, listed) in &allowed {
        let now = actual.get(place);
        if now.is_none_or(|lines| lines < listed) {
            findings.push(Finding::new(
                RULE,
                ALLOWED,
                format!("{place} has become shorter: run `cargo xtask tidy --shrink`"),
            ));
        }
    }
    findings
}

fn over(place: &str, lines: usize, allowed: &Lengths) -> Option<Finding> {
    let limit = if place.contains("::") { FUNCTION_LIMIT } else { FILE_LIMIT };
    match allowed.get(place) {
        None => Some(Finding::new(RULE, place, format!("{lines} lines, {limit} are allowed: split it"))),
        Some(listed) if lines > *listed => {
            Some(Finding::new(RULE, place, format!("{lines} lines; the list allows {listed}, and it may only shrink")))
        }
        Some(_) => None,
    }
}

/// Everything beyond the limits, by place.
fn too_long(tree: &Tree) -> Lengths {
    let mut found = Lengths::new();
    for kind in KINDS {
        for file in tree.with_extension(kind) {
            let lines = file.text.lines().count();
            if lines > FILE_LIMIT {
                found.insert(file.path.clone(), lines);
            }
        }
    }
    for file in tree.with_extension("rs") {
        for function in functions(&file.text).into_iter().filter(|f| f.lines > FUNCTION_LIMIT) {
            let lines = found.entry(format!("{}::{}", file.path, function.name)).or_default();
            *lines = function.lines.max(*lines);
        }
    }
    found
}

fn allowed(tree: &Tree) -> Lengths {
    let text = tree.find(ALLOWED).map_or("", |file| file.text.as_str());
    let entry = |line: &str| {
        let (place, lines) = line.trim().rsplit_once(' ')?;
        Some((place.trim().to_owned(), lines.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

/// Lowers every listed length to what it is now; never raises or adds one.
pub(crate) fn shrink(tree: &Tree, workspace: &Workspace) -> Result<()> {
    let actual = too_long(tree);
    let mut text = String::from(
        "# Exceptions to the length limits. This list may only shrink: split code instead of adding to it.\n",
    );
    for (place, listed) in allowed(tree) {
        if let Some(lines) = actual.get(&place) {
            text.push_str(&format!("{place} {}\n", listed.min(*lines)));
        }
    }
    fs::write(workspace.path(ALLOWED), text).with_context(|| format!("could not write {ALLOWED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_function_is_found() {
        let text = function(FUNCTION_LIMIT + 1);
        let findings = check(&Tree::of(&[("a/src/b.rs", &text)]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "a/src/b.rs::long");
        assert!(check(&Tree::of(&[("a/src/b.rs", &function(FUNCTION_LIMIT))])).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        let text = "// line\n".repeat(FILE_LIMIT + 1);
        assert_eq!(check(&Tree::of(&[("a/src/b.rs", &text)])).len(), 1);
    }

    #[test]
    fn the_list_of_exceptions_may_only_shrink() {
        let text = function(80);
        let with_list = |list: &str| check(&Tree::of(&[("a/src/b.rs", &text), (ALLOWED, list)]));
        assert!(with_list("# why\na/src/b.rs::long 80\n").is_empty());
        assert_eq!(with_list("a/src/b.rs::long 79\n").len(), 1, "it grew");
        assert_eq!(with_list("a/src/b.rs::long 81\n").len(), 1, "it shrank and the list must follow");
        assert_eq!(with_list("a/src/b.rs::long 80\na/src/b.rs::gone 90\n").len(), 1, "a stale entry");
    }
}
