//! Tests that documents name exist under that name.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Tree;

const RULE: &str = "test that is not there";
/// Names of tests are sentences; settings, fields and codes are shorter.
const FEWEST_UNDERSCORES: usize = 4;
/// What metrics begin with.
const METRIC: &str = "limen_";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.files.iter().filter(|file| [".rs", ".py", ".mjs"].iter().any(|end| file.path.ends_with(end)));
    let known: BTreeSet<&str> = sources.flat_map(|file| functions(&file.text)).collect();
    let mut findings = Vec::new();
    for file in tree.with_extension("md").filter(|file| file.path != "CHANGELOG.md") {
        for (number, line) in file.text.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2).filter(|name| is_sentence(name) && !known.contains(name)) {
                let what = format!("no function is called `{name}`: was it renamed?");
                findings.push(Finding::at(RULE, &file.path, number + 1, what));
            }
        }
    }
    findings
}

fn is_sentence(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_plain && !name.starts_with(METRIC) && name.matches('_').count() >= FEWEST_UNDERSCORES
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    let words = ["fn ", "def ", "function "];
    let starts = words.into_iter().flat_map(move |word| text.match_indices(word).map(move |(at, _)| at + word.len()));
    starts.filter_map(move |at| text.get(at..)?.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(document: &str) -> usize {
        let source = "#[test]\nfn a_key_signs_when_it_may() {}\n";
        let python = "def a_script_that_does_the_same():\n";
        check(&Tree::of(&[("docs/a.md", document), ("node/a.rs", source), ("client/a.py", python)])).len()
    }

    #[test]
    fn names_of_tests_that_are_gone_are_found() {
        assert_eq!(findings("| 1 | loss | `a_key_signs_when_it_may`, `a_script_that_does_the_same` |"), 0);
        assert_eq!(findings("`a_key_signs_when_it_might` and `a_key_that_was_never_made`"), 2);
    }

    #[test]
    fn settings_metrics_and_words_are_none_of_its_business() {
        assert_eq!(
            findings("`loosening_delay_secs`, `limen_node_freezes_made_so_far`, a_b_c_d_e_f, `Code::a_b_c_d_e`"),
            0
        );
    }
}
