use std::collections::BTreeSet;

use super::*;
use crate::charter::Charter;

/// What the reader says that it takes.
fn taken(place: &str, unknown: &str) -> BTreeSet<String> {
    let sample = include_str!("../../development.sample.toml");
    let text = sample.replacen(place, &format!("{place}\n{unknown}"), 1);
    let error = Charter::from_toml(&text).unwrap_err().to_string();
    let list = error.split("expected one of").nth(1).unwrap_or_else(|| panic!("no list in {error}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_that_is_read_is_explained_and_no_other() {
    let explained: BTreeSet<String> = KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(taken("[[rules]]", "no_such_key = 1"), explained);
}

#[test]
fn every_class_is_explained_and_no_other() {
    let explained: BTreeSet<String> = CLASSES.iter().map(|class| class.as_str().to_owned()).collect();
    assert_eq!(taken("[[rules]]", "require = \"no such class\""), explained);
}

#[test]
fn the_page_is_what_is_generated() {
    let page = include_str!("../../../docs/rule-keys.md");
    assert!(page == super::page(), "run `cargo run -p limen-policy --example rule_keys > docs/rule-keys.md`");
}
