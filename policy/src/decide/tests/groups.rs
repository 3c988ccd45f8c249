//! Groups of assets: several that are added up in one unit, whatever decimal places each of them has.

use super::*;

/// A coin with 18 and a token with 6 decimal places, both counted with 18.
const COINS: &str = "asset_group = \"coins\"\n";
const TOKEN: u128 = 1_000_000;

fn rule(verb: &str, more: &str) -> String {
    format!("[[rules]]\nname = \"{verb} coins\"\n{verb} = \"transfer\"\n{COINS}{more}\n")
}

fn judged(rules: &str, coins: u128, tokens: u128) -> Decision {
    let list = vec![transfer(eth(), coins, ALICE), transfer(token(), tokens, ALICE)];
    decide(&with_rules(rules), &intent("backend", "treasury"), &effects(list))
}

#[test]
fn what_is_in_a_group_is_added_up_in_its_unit() {
    let rules = rule("allow", "max_amount = \"10\"\ndestinations = \"anywhere\"");
    assert!(judged(&rules, 4 * ETHER, 6 * TOKEN).allowed);
    for (coins, tokens) in [(4 * ETHER + 1, 6 * TOKEN), (4 * ETHER, 6 * TOKEN + 1), (0, 10 * TOKEN + 1)] {
        let denied = judged(&rules, coins, tokens);
        assert!(!denied.allowed && denied.reasons[0].contains("at most 10000000000000000000"), "{denied:?}");
    }
    let stranger = Asset::Erc20(ChainId::eip155(31337), address(MALLORY));
    let list = vec![transfer(stranger, 1, ALICE)];
    assert!(!decide(&with_rules(&rules), &intent("backend", "treasury"), &effects(list)).allowed);
}

#[test]
fn a_sum_beyond_256_bits_is_never_allowed_and_always_asked_about() {
    let huge = |rules: &str| {
        // It fits as it is, and no longer in the unit of the group.
        let amount = Amount::MAX.checked_div_rem_u64(500_000_000_000).unwrap().0;
        let list = vec![Effect::Transfer { asset: token(), amount, from: address(US), to: address(ALICE) }];
        let mut charter = with_rules(rules);
        charter.limits.clear();
        decide(&charter, &intent("backend", "treasury"), &effects(list))
    };
    let most = "115792089237316195423570985008687907853269984665640564039457";
    let allow = rule("allow", &format!("max_amount = \"{most}\"\ndestinations = \"anywhere\""));
    let denied = huge(&allow);
    assert!(!denied.allowed && denied.reasons[0].contains("no sum beyond 256 bits"), "{denied:?}");
    let plain =
        allow.replace(COINS, "asset = \"usdt\"\n").replace("allow coins", "plain").replace(most, &"9".repeat(60));
    assert!(huge(&plain).allowed);
    let asked = huge(&format!("{plain}{}", rule("require", "more_than = \"1\"\napprovals = \"1 of risk\"")));
    assert_eq!(asked.requirements.len(), 1, "{asked:?}");
    assert!(!huge(&format!("{plain}{}", rule("deny", "more_than = \"1\""))).allowed);
}

#[test]
fn limits_count_a_group_in_its_unit() {
    let limit = format!(
        "[[limits]]\nid = \"coins\"\n{COINS}per = \"all\"\nwindow_secs = 60\nmax_amount = \"10\"\nsplit_amount = \"10\"\n"
    );
    let rules = format!("{limit}{}", rule("allow", "max_amount = \"100\"\ndestinations = \"anywhere\""));
    let allowed = judged(&rules, 4 * ETHER, 6 * TOKEN);
    let coins = allowed.charges.iter().find(|charge| charge.limit.as_str() == "coins").unwrap();
    assert_eq!(coins.amount, Amount::from_u128(10 * ETHER));
    let denied = judged(&rules, 4 * ETHER, 6 * TOKEN + 1);
    assert!(
        !denied.allowed && denied.reasons.iter().any(|why| why.contains("limit coins allows at most")),
        "{denied:?}"
    );
}

/// Who is in the group is part of what people approve.
#[test]
fn another_member_makes_approvals_lapse() {
    let rules = rule("allow", "max_amount = \"10\"\ndestinations = \"anywhere\"\napprovals = \"1 of risk\"");
    let slice = |members: &str| {
        let sample = include_str!("../../../development.sample.toml");
        let head = &sample[..sample.find("[[rules]]").unwrap()];
        let group = format!("[asset_groups.coins]\nassets = [{members}]\ndecimals = 18\n");
        let charter = Charter::from_toml(&format!("{head}{group}{rules}")).unwrap();
        let list = effects(vec![transfer(eth(), 1, ALICE)]);
        decide(&charter, &intent("backend", "treasury"), &list).slice
    };
    assert_eq!(slice("\"usdt\", \"eth\""), slice("\"eth\", \"usdt\""));
    assert_ne!(slice("\"eth\""), slice("\"eth\", \"usdt\""));
}

#[test]
fn a_group_that_changes_loosens_rules_whichever_way() {
    use crate::diff::{Direction, diff};
    let with = |members: &str, decimals: u8, more: &str| {
        let sample = include_str!("../../../development.sample.toml");
        let head = &sample[..sample.find("[[rules]]").unwrap()];
        let group = format!("[asset_groups.coins]\nassets = [{members}]\ndecimals = {decimals}\n");
        Charter::from_toml(&format!("{head}{group}{more}")).unwrap()
    };
    let ways = |more: &str, (from, before): (&str, u8), (to, after): (&str, u8)| -> BTreeSet<Direction> {
        diff(&with(from, before, more), &with(to, after, more)).into_iter().map(|change| change.direction).collect()
    };
    let (few, all) = (("\"eth\"", 18), ("\"eth\", \"usdt\"", 18));
    let allow = rule("allow", "max_amount = \"10\"\ndestinations = \"anywhere\"");
    for more in [allow, rule("deny", "more_than = \"1\"")] {
        assert_eq!(ways(&more, few, all), [Direction::Loosens].into());
        assert_eq!(ways(&more, all, few), [Direction::Loosens].into());
    }
    let limit =
        format!("[[limits]]\nid = \"coins\"\n{COINS}per = \"all\"\nwindow_secs = 60\nmax_count = 1\nsplit_count = 1\n");
    assert_eq!(ways(&limit, few, all), [Direction::Tightens].into());
    assert_eq!(ways(&limit, all, few), [Direction::Loosens].into());
    assert_eq!(ways(&limit, few, ("\"eth\"", 19)), [Direction::Loosens].into());
    assert_eq!(ways("", few, all), BTreeSet::new());
}
