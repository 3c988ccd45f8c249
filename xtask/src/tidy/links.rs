//! Relative links in Markdown lead somewhere.

use std::path::Path;

use super::Finding;
use super::source::{SourceFile, Tree};

const RULE: &str = "dead link";

pub(crate) fn check(tree: &Tree, root: &Path) -> Vec<Finding> {
    let exists = |path: &str| tree.find(path).is_some() || root.join(path).exists();
    tree.with_extension("md").flat_map(|file| check_file(file, exists)).collect()
}

fn check_file(file: &SourceFile, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line).filter(|target| is_relative(target)) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            match resolve(&file.path, path) {
                Some(resolved) if exists(&resolved) => {}
                Some(_) => {
                    findings.push(Finding::at(RULE, &file.path, number + 1, format!("`{target}` does not exist")));
                }
                None => findings.push(Finding::at(
                    RULE,
                    &file.path,
                    number + 1,
                    format!("`{target}` leads out of the repository"),
                )),
            }
        }
    }
    findings
}

/// What stands between `](` and `)`, outside code spans.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let outside_code = line.split('`').step_by(2);
    outside_code.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next())
}

fn is_relative(target: &str) -> bool {
    !target.is_empty() && !target.starts_with('#') && !target.contains("://") && !target.starts_with("mailto:")
}

/// Resolves `target` against the folder of `file`; none when it climbs out of the root.
fn resolve(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<Finding> {
        check(&Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", "")]), Path::new("nowhere"))
    }

    #[test]
    fn dead_links_are_found() {
        assert_eq!(findings("see [c](c.md) and [d](../d.md#part)").len(), 2);
        assert_eq!(findings("[out](../../etc/passwd)").len(), 1);
    }

    #[test]
    fn live_links_addresses_anchors_and_code_are_left_alone() {
        let text =
            "[b](b.md#x) [r](../README.md) [w](https://example.org/x) [h](#here) `[x](y.md)`\n```\n[z](z.md)\n```\n";
        assert_eq!(findings(text), Vec::new());
    }
}
