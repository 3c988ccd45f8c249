//! Every decision record says why, and what was rejected.

use super::Finding;
use super::source::Tree;

const RULE: &str = "decision record";
const SECTIONS: &[&str] = &["Context", "Decision", "Rejected", "Consequences"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers: Vec<&str> = Vec::new();
    for file in tree.with_extension("md") {
        let Some(name) = file.path.strip_prefix("docs/adr/").filter(|name| *name != "README.md") else {
            continue;
        };
        let (number, rest) = name.split_once('-').unwrap_or((name, ""));
        if number.len() != 4 || !number.chars().all(|c| c.is_ascii_digit()) || rest.is_empty() {
            findings.push(Finding::new(RULE, &file.path, "name it NNNN-title.md"));
        } else if numbers.contains(&number) {
            findings.push(Finding::new(RULE, &file.path, format!("number {number} is taken")));
        }
        numbers.push(number);
        let headings: Vec<&str> = file.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        for section in SECTIONS.iter().filter(|section| !headings.iter().any(|h| h.starts_with(*section))) {
            findings.push(Finding::new(RULE, &file.path, format!("the section `## {section}` is missing")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# 1. x\n## Context\n## Decision\n## Rejected options\n## Consequences\n";

    #[test]
    fn a_complete_record_passes() {
        assert!(check(&Tree::of(&[("docs/adr/0001-x.md", GOOD)])).is_empty());
    }

    #[test]
    fn a_missing_section_a_bad_name_and_a_taken_number_are_found() {
        assert_eq!(check(&Tree::of(&[("docs/adr/0001-x.md", "# 1\n## Context\n## Decision\n## Rejected\n")])).len(), 1);
        assert_eq!(check(&Tree::of(&[("docs/adr/first.md", GOOD)])).len(), 1);
        assert_eq!(check(&Tree::of(&[("docs/adr/0001-x.md", GOOD), ("docs/adr/0001-y.md", GOOD)])).len(), 1);
    }
}
