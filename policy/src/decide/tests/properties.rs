//! What no set of rules may break.

use proptest::prelude::*;

use super::*;

/// Rules to choose from: every verb, with and without requirements.
const POOL: [&str; 11] = [
    "allow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"5\"\ndestinations = \"anywhere\"",
    "allow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"50\"\ndestinations = [\"book:exchange\"]\napprovals = \"1 of risk\"",
    "allow = \"transfer\"\nasset = \"usdt\"\nmax_amount = \"5\"\ndestinations = \"anywhere\"\ndelay_secs = 60",
    "allow = \"transfer\"\nasset_group = \"coins\"\nmax_amount = \"7\"\ndestinations = \"anywhere\"",
    "require = \"transfer\"\nasset_group = \"coins\"\nmore_than = \"3\"\napprovals = \"1 of risk\"",
    "deny = \"transfer\"\nasset_group = \"coins\"\nmore_than = \"42\"",
    "allow = \"fee\"\nasset = \"eth\"\nmax_amount = \"0.01\"",
    "require = \"transfer\"\nasset = \"eth\"\nmore_than = \"2\"\napprovals = \"1 of treasury\"",
    "require = \"transfer\"\ndestinations_except = [\"tag:venue\"]\ndelay_secs = 120",
    "deny = \"transfer\"\nasset = \"eth\"\nmore_than = \"40\"",
    "deny = \"transfer\"\ndestinations_except = [\"tag:venue\"]\nvaults = [\"reserve\"]",
];

fn written(chosen: &[usize]) -> String {
    let rule = |which: &usize| format!("[[rules]]\nname = \"rule {which}\"\n{}\n", POOL[*which]);
    chosen.iter().map(rule).collect()
}

/// Some rules, in some order.
fn some_rules() -> impl Strategy<Value = Vec<usize>> {
    let all = Just((0..POOL.len()).collect::<Vec<_>>()).prop_shuffle();
    all.prop_flat_map(|all| (0..=all.len()).prop_map(move |count| all[..count].to_vec()))
}

fn some_effects() -> impl Strategy<Value = Vec<Effect>> {
    let one = (0u128..60 * ETHER, 0usize..3, 0usize..2).prop_map(|(amount, what, to)| match what {
        0 => transfer(eth(), amount, [ALICE, MALLORY][to]),
        1 => transfer(token(), amount % 10_000_000, [ALICE, MALLORY][to]),
        _ => fee(amount / 3000),
    });
    proptest::collection::vec(one, 0..5)
}

fn under(rules: &[usize], key: &str, list: &[Effect]) -> Decision {
    decide(&with_rules(&written(rules)), &intent("backend", key), &effects(list.to_vec()))
}

fn asked(decision: &Decision) -> BTreeSet<String> {
    decision.requirements.iter().map(|one| one.rule.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither the order of rules nor that of effects changes whether something is allowed, nor by which rules.
    #[test]
    fn order_never_matters(
        amounts in proptest::collection::vec((0u128..12 * ETHER, 0usize..3, 0usize..2), 0..6),
        rules in Just((0..charter().rules.len()).collect::<Vec<_>>()).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let list: Vec<_> = amounts.iter().map(|(amount, what, to)| match what {
            0 => transfer(eth(), *amount, [ALICE, MALLORY][*to]),
            1 => transfer(token(), *amount % 10_000_000, [ALICE, MALLORY][*to]),
            _ => fee(*amount / 1000),
        }).collect();
        let first = decision(list.clone());
        let mut shuffled = charter();
        shuffled.rules = rules.iter().map(|i| charter().rules[*i].clone()).collect();
        let mut other = list;
        if !other.is_empty() {
            let middle = usize::try_from(seed).unwrap_or(0) % other.len();
            other.rotate_left(middle);
        }
        let second = decide(&shuffled, &intent("backend", "treasury"), &effects(other));
        prop_assert_eq!(first.allowed, second.allowed);
        prop_assert_eq!(first.rules, second.rules);
    }

    /// Raising an amount never turns a denial into an allowance.
    #[test]
    fn more_is_never_allowed_where_less_is_not(amount in 0u128..20 * ETHER, more in 0u128..20 * ETHER) {
        let small = decision(vec![transfer(eth(), amount, ALICE)]).allowed;
        let large = decision(vec![transfer(eth(), amount + more, ALICE)]).allowed;
        prop_assert!(small || !large);
    }

    /// No order of the rules changes anything of a decision.
    #[test]
    fn shuffling_rules_changes_nothing(rules in some_rules(), list in some_effects(), by in 0usize..11) {
        let mut shuffled = rules.clone();
        if !shuffled.is_empty() {
            let middle = by % shuffled.len();
            shuffled.rotate_left(middle);
            shuffled.reverse();
        }
        for key in ["treasury", "reserve"] {
            prop_assert_eq!(under(&rules, key, &list), under(&shuffled, key, &list));
        }
    }

    /// One rule more: an allow takes no denial and no requirement away, a require allows nothing, a deny neither.
    #[test]
    fn one_rule_more_is_only_what_its_verb_says(rules in some_rules(), list in some_effects()) {
        let Some((added, before)) = rules.split_last() else { return Ok(()) };
        for key in ["treasury", "reserve"] {
            let (old, new) = (under(before, key, &list), under(&rules, key, &list));
            let denied = |decision: &Decision| {
                decision.reasons.iter().filter(|reason| reason.contains("denies it")).cloned().collect::<BTreeSet<_>>()
            };
            prop_assert!(denied(&new).is_superset(&denied(&old)), "a denial is gone");
            if old.allowed && new.allowed {
                prop_assert!(asked(&new).is_superset(&asked(&old)), "a requirement is gone");
            }
            if !POOL[*added].starts_with("allow") {
                prop_assert!(old.allowed || !new.allowed, "what does not allow has allowed");
            }
        }
    }

    /// One effect more never turns a denial into an allowance, and takes no requirement away but those of rules that allow so much
    /// no longer.
    #[test]
    fn one_effect_more_allows_nothing(rules in some_rules(), list in some_effects()) {
        let Some((_, fewer)) = list.split_last() else { return Ok(()) };
        if fewer.is_empty() {
            return Ok(());
        }
        let (small, large) = (under(&rules, "treasury", fewer), under(&rules, "treasury", &list));
        if large.allowed && small.allowed {
            let mut gone = asked(&small).difference(&asked(&large)).cloned().collect::<Vec<_>>().into_iter();
            let allows = |name: &String| POOL[name.trim_start_matches("rule ").parse::<usize>().unwrap()].starts_with("allow");
            prop_assert!(gone.all(|name| allows(&name)));
        }
    }
}
