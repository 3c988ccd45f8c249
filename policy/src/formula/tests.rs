//! Reading and writing formulas.

use super::{Formula, FormulaError, MAX_LEAVES};

fn parse(text: &str) -> Formula {
    Formula::parse(text).unwrap()
}

#[test]
fn what_is_written_reads_back() {
    for text in [
        "1 of treasury",
        "2 of treasury and 1 terminal of risk",
        "1 of a or 2 of b",
        "(1 of a or 2 of b) and 1 of c",
        "1 of a then 1 of b then 2 terminal of c",
        "(1 of a and 1 of b) then (1 of c or 1 of d)",
    ] {
        let read = parse(text);
        assert_eq!(parse(&read.to_string()), read, "{text}");
    }
}

#[test]
fn and_binds_closer_than_then_and_then_closer_than_or() {
    assert_eq!(parse("1 of a and 1 of b then 1 of c or 1 of d"), parse("((1 of a and 1 of b) then 1 of c) or 1 of d"));
}

#[test]
fn ways_are_all_choices_with_their_stages() {
    let ways = parse("(1 of a or 2 of b) and (1 of c then 1 of d)").ways().unwrap();
    let text = |way: &super::Way| way.iter().map(|s| format!("{}:{}", s.stage, s.leaf)).collect::<Vec<_>>().join(", ");
    let mut texts: Vec<_> = ways.iter().map(text).collect();
    texts.sort();
    assert_eq!(texts, ["0:1 of a, 0:1 of c, 1:1 of d", "0:1 of c, 0:2 of b, 1:1 of d"]);
}

#[test]
fn a_chain_after_a_longer_branch_starts_after_all_of_it() {
    let ways = parse("(1 of a and (1 of b then 1 of c)) then 1 of d").ways().unwrap();
    let last = ways[0].iter().find(|staged| staged.leaf.group.as_str() == "d").unwrap();
    assert_eq!(last.stage, 2);
}

#[test]
fn nonsense_is_refused_with_the_place() {
    let at = |text: &str| match Formula::parse(text) {
        Err(FormulaError::Syntax { at, .. }) => at,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(at(""), "the end");
    assert_eq!(at("2 treasury"), "treasury");
    assert_eq!(at("2 of"), "the end");
    assert_eq!(at("2 of Treasury"), "Treasury");
    assert_eq!(at("(1 of a"), "the end");
    assert_eq!(at("1 of a)"), ")");
    assert_eq!(at("1 of a xor 1 of b"), "xor");
    assert_eq!(at("1 of a and"), "the end");
    assert_eq!(at("+1 of a"), "+1");
    assert_eq!(at("1 terminal a"), "a");
}

#[test]
fn nobody_and_crowds_cannot_be_asked_for() {
    for text in ["0 of a", "33 of a", "300 of a"] {
        assert!(matches!(Formula::parse(text), Err(FormulaError::Count { .. })), "{text}");
    }
}

#[test]
fn caps_hold() {
    let deep = format!("{}1 of a{}", "(".repeat(20), ")".repeat(20));
    assert_eq!(Formula::parse(&deep), Err(FormulaError::TooDeep));
    let long = vec!["1 of a"; MAX_LEAVES + 1].join(" and ");
    assert!(matches!(Formula::parse(&long), Err(FormulaError::TooManyLeaves { .. })));
    let wide = ["(1 of a or 1 of b or 1 of c)"; 5].join(" and ");
    assert_eq!(Formula::parse(&wide), Err(FormulaError::TooManyWays));
}
