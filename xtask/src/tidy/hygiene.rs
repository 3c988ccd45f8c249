//! What must not stand in a file: a to-do without an issue, a path of one machine, a registry's host.

use super::Finding;
use super::source::{SourceFile, Tree};

/// Built from halves, so that this file passes its own check.
const TO_DO: &str = concat!("TO", "DO");
const UNWANTED_MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("C:\\", "Users"),
];
const REGISTRY_HOSTS: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi.org/", "simple"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let locked = file.path.ends_with("package-lock.json") || file.path.ends_with("Cargo.lock");
    for (number, line) in file.text.lines().enumerate() {
        let mut found = |rule, what: String| findings.push(Finding::at(rule, &file.path, number + 1, what));
        if !locked {
            marks(line, &mut found);
        }
        if let Some(path) = MACHINE_PATHS.iter().find(|path| line.contains(*path)) {
            found("machine path", format!("`{path}…` exists on one machine only"));
        }
        if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(*host)) {
            found("registry host", format!("`{host}`: name packages, the client knows where they are"));
        }
        if locked && line.contains("\"resolved\": \"http") {
            found("registry host", "a lock file without addresses: set omit-lockfile-registry-resolved".to_owned());
        }
    }
    findings
}

fn marks(line: &str, found: &mut impl FnMut(&'static str, String)) {
    if words(line, TO_DO).any(|rest| !has_issue(rest)) {
        found("to-do", format!("write {TO_DO}(#123) with the number of an open issue"));
    }
    if let Some(mark) = UNWANTED_MARKS.iter().find(|mark| words(line, mark).next().is_some()) {
        found("to-do", format!("`{mark}`: write {TO_DO}(#123), or do it now"));
    }
}

/// What follows each occurrence of `word` as a whole word.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).filter_map(move |(at, _)| {
        let rest = &line[at + word.len()..];
        let inside = line[..at].ends_with(is_word) || rest.starts_with(is_word);
        (!inside).then_some(rest)
    })
}

fn has_issue(rest: &str) -> bool {
    let digits = rest.strip_prefix("(#").and_then(|r| r.split_once(')')).map(|(digits, _)| digits);
    digits.is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        check(&Tree::of(&[("a/src/lib.rs", text)])).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_to_do_needs_an_issue() {
        assert_eq!(rules(&format!("// {TO_DO}: later")), ["to-do"]);
        assert_eq!(rules(&format!("// {TO_DO}(#): later")), ["to-do"]);
        assert_eq!(rules(&format!("// {} later", UNWANTED_MARKS[0])), ["to-do"]);
        assert!(rules(&format!("// {TO_DO}(#12): later; {TO_DO}S are words, {}L too", UNWANTED_MARKS[1])).is_empty());
    }

    #[test]
    fn machine_paths_and_registry_hosts_are_found() {
        assert_eq!(rules(&format!("let x = \"{}me/x\";", MACHINE_PATHS[0])), ["machine path"]);
        assert_eq!(rules(&format!("// see {}", REGISTRY_HOSTS[0])), ["registry host"]);
        let lock = check(&Tree::of(&[("a/package-lock.json", "  \"resolved\": \"https://example.org/x.tgz\",")]));
        assert_eq!(lock.len(), 1);
    }
}
