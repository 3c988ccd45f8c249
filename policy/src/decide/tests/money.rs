//! Rules in money: what is asked for without a price, and what a price makes of it.

use std::collections::BTreeMap;

use limen_wire::check::Price;
use limen_wire::ids::{CheckerId, CurrencyId};
use proptest::prelude::*;

use super::*;
use crate::check::{Finding, Quotes};

const RULES: &str = r#"
[[rules]]
name = "payments"
allow = "transfer"
asset_group = "all"
currency = "usd"
max_amount = "1000"
destinations = "anywhere"

[[rules]]
name = "somebody looks"
require = "transfer"
asset_group = "all"
currency = "usd"
more_than = "100"
approvals = "1 of treasury"

[[rules]]
name = "not so much of the coin"
deny = "transfer"
asset = "eth"
currency = "usd"
more_than = "500"
"#;

fn money(rules: &str) -> Charter {
    money_with(include_str!("../../../development.sample.toml"), rules)
}

fn money_with(text: &str, rules: &str) -> Charter {
    let head = &text[..text.find("[[rules]]").unwrap()];
    let group = "[asset_groups.all]\nassets = [\"eth\", \"usdt\"]\ndecimals = 18\n\n[currencies.usd]";
    Charter::from_toml(&format!("{}{rules}", head.replacen("[currencies.usd]", group, 1))).unwrap()
}

/// Quotes of so many cents for `10^scale` of the smallest unit of these.
fn quotes(all: &[(Asset, u128, u32)]) -> Quotes {
    let usd = CurrencyId::new("usd").unwrap();
    let finding = |(asset, cents, scale): &(Asset, u128, u32)| {
        let price = Price { value: Amount::from_u128(*cents), scale: *scale };
        Finding::unproved(CheckerId::new("rates").unwrap(), [].into(), [((asset.clone(), usd.clone()), price)].into())
    };
    Quotes::of(&all.iter().map(finding).collect::<Vec<_>>())
}

fn decided(charter: &Charter, list: Vec<Effect>, quotes: &Quotes) -> Decision {
    let when = When { quotes, ..When::at(0) };
    super::super::decide(charter, &intent("backend", "treasury"), &effects(list), &when)
}

fn asked(decision: &Decision) -> Vec<&str> {
    decision.requirements.iter().map(|one| one.rule.as_str()).collect()
}

const PRICE_OF_ETH: &str = "price of eip155:31337/slip44:60 in usd";

#[test]
fn without_a_price_nothing_is_settled_and_it_is_asked_for() {
    let charter = money(RULES);
    for list in [vec![transfer(eth(), 1, ALICE)], vec![transfer(eth(), 1, ALICE), transfer(token(), 1, ALICE)]] {
        let decision = decided(&charter, list.clone(), Quotes::none());
        assert!(decision.allowed && decision.timed, "{decision:?}");
        assert!(
            asked(&decision).contains(&"somebody looks") && asked(&decision).contains(&PRICE_OF_ETH),
            "{decision:?}"
        );
        assert_eq!(decision.requirements.len(), 1 + list.len());
        assert_eq!(decision.asking, decision.requirements);
        let price = decision.requirements.iter().find(|one| one.rule == PRICE_OF_ETH).unwrap();
        let wire = price.to_wire();
        assert_eq!((wire.price_of.as_str(), wire.currency.as_str()), ("eip155:31337/slip44:60", "usd"));
        let (rates, other) = (CheckerId::new("rates").unwrap(), CheckerId::new("balance-watch").unwrap());
        assert!(price.hears(&charter, &rates) && !price.hears(&charter, &other));
    }
    // A price of one of two is not enough, and neither is one in other money.
    let both = || vec![transfer(eth(), 1, ALICE), transfer(token(), 1, ALICE)];
    let decision = decided(&charter, both(), &quotes(&[(eth(), 1, 0)]));
    assert!(asked(&decision).iter().any(|rule| rule.starts_with("price of eip155:31337/erc20")), "{decision:?}");
    assert!(!asked(&decision).contains(&PRICE_OF_ETH));
    let chf = Price { value: Amount::from_u128(1), scale: 0 };
    let chf = [((eth(), CurrencyId::new("chf").unwrap()), chf)].into();
    let chf = Quotes::of(&[Finding::unproved(CheckerId::new("rates").unwrap(), [].into(), chf)]);
    assert!(asked(&decided(&charter, vec![transfer(eth(), 1, ALICE)], &chf)).contains(&PRICE_OF_ETH));
    // What no rule in money is about needs no price.
    assert!(decided(&charter, vec![fee(1)], Quotes::none()).requirements.is_empty());
}

/// One unit of the coin is worth 250.00, one of the token 1.00.
#[test]
fn what_it_is_worth_decides_and_is_rounded_up() {
    let charter = money(RULES);
    let prices = quotes(&[(eth(), 25_000, 18), (token(), 100, 6)]);
    let at = |coins: u128, tokens: u128| {
        let list = vec![transfer(eth(), coins, ALICE), transfer(token(), tokens, ALICE)];
        let decision = decided(&charter, list, &prices);
        (decision.allowed, decision.requirements.len(), decision.reasons.join("; "))
    };
    assert_eq!(at(ETHER / 5, 50_000_000), (true, 0, String::new()));
    assert_eq!(at(ETHER / 5, 50_000_001), (true, 1, String::new()), "a hundredth of a cent is a cent");
    assert_eq!(at(2 * ETHER, 500_000_000), (true, 1, String::new()));
    let (allowed, _, why) = at(2 * ETHER, 500_000_001);
    assert!(
        !allowed && why.contains("rule \"payments\" covers at most 100000 in one request, observed 100001"),
        "{why}"
    );
    let (allowed, _, why) = at(2 * ETHER + 1, 0);
    assert!(!allowed && why.contains("rule \"not so much of the coin\" denies it"), "{why}");
}

#[test]
fn the_highest_price_counts() {
    let charter = money(RULES);
    let list = || vec![transfer(eth(), ETHER, ALICE)];
    let low = (eth(), 10_000, 18);
    assert_eq!(asked(&decided(&charter, list(), &quotes(std::slice::from_ref(&low)))), [""; 0]);
    // The same in another scale, and higher by a cent.
    let high = (eth(), 10_001_000, 21);
    for both in [[low.clone(), high.clone()], [high, low]] {
        assert_eq!(asked(&decided(&charter, list(), &quotes(&both))), ["somebody looks"]);
    }
}

/// A coordinator that shows several prices gets by each bound of each rule what is stricter.
#[test]
fn each_bound_is_compared_with_the_price_that_speaks_against_the_request() {
    const BANDS: &str = r#"
[[rules]]
name = "larger ones"
allow = "transfer"
asset = "eth"
currency = "usd"
more_than = "100"
max_amount = "1000"
destinations = "anywhere"

[[rules]]
name = "small ones are looked at"
require = "transfer"
asset = "eth"
currency = "usd"
max_amount = "500"
approvals = "1 of treasury"

[[rules]]
name = "none in the middle"
deny = "transfer"
asset = "eth"
currency = "usd"
more_than = "600"
max_amount = "700"
"#;
    let charter = money(BANDS);
    let at = |dollars: &[u128]| {
        let all: Vec<_> = dollars.iter().map(|dollars| (eth(), dollars * 100, 18)).collect();
        let decision = decided(&charter, vec![transfer(eth(), ETHER, ALICE)], &quotes(&all));
        (decision.allowed, decision.requirements.len())
    };
    // One price: as written.
    assert_eq!([at(&[100]), at(&[101]), at(&[500]), at(&[501])], [(false, 0), (true, 1), (true, 1), (true, 0)]);
    assert_eq!([at(&[650]), at(&[701]), at(&[1000]), at(&[1001])], [(false, 0), (true, 0), (true, 0), (false, 0)]);
    // Two: what allows has to allow at both, what asks or denies does so if either price, or one between them, is within.
    assert_eq!(at(&[100, 501]), (false, 0), "it may be too little for what allows");
    assert_eq!(at(&[501, 1001]), (false, 0), "or too much");
    assert_eq!(at(&[500, 501]), (true, 1), "and so little that somebody has to look");
    assert_eq!([at(&[550, 601]), at(&[700, 900]), at(&[550, 900])], [(false, 0); 3]);
    assert_eq!([at(&[501, 600]), at(&[701, 1000])], [(true, 0); 2]);
}

#[test]
fn a_worth_beyond_all_bounds_is_not_allowed() {
    let charter = money(RULES);
    let decision = decided(&charter, vec![transfer(eth(), u128::MAX, ALICE)], &quotes(&[(eth(), u128::MAX, 0)]));
    assert!(!decision.allowed, "{decision:?}");
    let beyond = [(eth(), u128::MAX, 0), (token(), u128::MAX, 0)];
    let both = vec![transfer(eth(), u128::MAX, ALICE), transfer(token(), u128::MAX, ALICE)];
    let decision = decided(&charter, both, &quotes(&beyond));
    assert!(decision.reasons.iter().any(|why| why.contains("no sum beyond 256 bits")), "{decision:?}");
    assert!(decision.reasons.iter().any(|why| why.contains("\"not so much of the coin\" denies it")), "{decision:?}");
}

/// Prices come and go; what people have approved stays, unless somebody else may say what things are worth.
#[test]
fn approvals_outlast_prices_but_not_who_attests_them() {
    let charter = money(RULES);
    let list = || vec![transfer(eth(), ETHER, ALICE)];
    let slice = |charter: &Charter, cents| decided(charter, list(), &quotes(&[(eth(), cents, 18)])).slice;
    let unpriced = decided(&charter, list(), Quotes::none()).slice;
    for cents in [1, 10_001, 60_000, 1_000_000] {
        assert_eq!(slice(&charter, cents), unpriced);
        let asking = decided(&charter, list(), &quotes(&[(eth(), cents, 18)])).asking;
        assert!(asking.iter().any(|one| one.rule == "somebody looks"), "a no is heard at any price");
    }
    let text = include_str!("../../../development.sample.toml");
    let other = text.replacen("max_age_secs = 120", "max_age_secs = 121", 1);
    let head = other[..other.find("[[rules]]").unwrap()].to_owned();
    let group = "[asset_groups.all]\nassets = [\"eth\", \"usdt\"]\ndecimals = 18\n\n[currencies.usd]";
    let later = Charter::from_toml(&format!("{}{RULES}", head.replacen("[currencies.usd]", group, 1))).unwrap();
    assert_ne!(slice(&later, 1), unpriced);
}

const LIMIT: &str = r#"
[[limits]]
id = "an-hour"
asset_group = "all"
currency = "usd"
per = "all"
window_secs = 3600
max_amount = "800"
split_amount = "800"

[[rules]]
name = "anything"
allow = "transfer"
asset = "eth"
max_amount = "1000"
destinations = "anywhere"

[[rules]]
name = "tokens"
allow = "transfer"
asset = "usdt"
max_amount = "1000000"
destinations = "anywhere"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "1"
"#;

fn charged(decision: &Decision) -> Option<u128> {
    let mut hour = decision.charges.iter().filter(|charge| charge.limit.as_str() == "an-hour");
    hour.next().map(|charge| charge.amount.to_u64().unwrap().into())
}

/// Transfers and the largest fee, in both assets, each asset rounded up.
#[test]
fn a_limit_in_money_counts_what_everything_is_worth() {
    let charter = money(LIMIT);
    let prices = quotes(&[(eth(), 25_000, 18), (token(), 100, 6)]);
    let list = || vec![transfer(eth(), ETHER, ALICE), transfer(token(), 3_000_000, ALICE), fee(1)];
    let decision = decided(&charter, list(), &prices);
    assert!(decision.allowed && decision.timed && decision.requirements.is_empty(), "{decision:?}");
    assert_eq!(charged(&decision), Some(25_001 + 300));
    // Of two prices the higher one.
    let both = quotes(&[(eth(), 25_000, 18), (token(), 100, 6), (eth(), 30_000, 18), (token(), 99, 6)]);
    assert_eq!(charged(&decided(&charter, list(), &both)), Some(30_001 + 300));
}

#[test]
fn without_a_price_nobody_can_tell_what_it_takes_of_a_limit() {
    let charter = money(LIMIT);
    let list = || vec![transfer(eth(), 1, ALICE), transfer(token(), 1, ALICE)];
    for prices in [quotes(&[]), quotes(&[(token(), 100, 6)])] {
        let decision = decided(&charter, list(), &prices);
        assert!(decision.allowed && decision.timed && charged(&decision).is_none(), "{decision:?}");
        assert!(asked(&decision).contains(&PRICE_OF_ETH), "{decision:?}");
    }
    // What the limit is not about needs no price.
    let needs: Vec<_> = super::super::takes(&charter, &intent("backend", "treasury"), &effects(list()))
        .unwrap()
        .iter()
        .map(|take| take.sum.needs().count())
        .collect();
    assert_eq!(needs.iter().sum::<usize>(), 2, "{needs:?}");
}

/// A price at which it is too much denies it now, and not for good.
#[test]
fn more_than_a_limit_in_money_allows_alone_is_denied_at_that_price() {
    let charter = money(LIMIT);
    let list = || vec![transfer(eth(), ETHER, ALICE)];
    let (fits, over) = (quotes(&[(eth(), 80_000, 18)]), quotes(&[(eth(), 80_001, 18)]));
    let decision = decided(&charter, list(), &fits);
    assert_eq!((decision.allowed, charged(&decision)), (true, Some(80_000)));
    let denied = decided(&charter, list(), &over);
    assert!(!denied.allowed && !denied.for_good && denied.timed, "{denied:?}");
    assert_eq!(denied.reasons, ["limit an-hour allows at most 80000, this request alone takes 80001"]);
    assert_eq!(denied.slice, decision.slice);
    let beyond = decided(&charter, list(), &quotes(&[(eth(), u128::MAX, 0)]));
    assert!(!beyond.allowed && !beyond.for_good, "{beyond:?}");
    let most = [((eth(), CurrencyId::new("usd").unwrap()), Price { value: Amount::MAX, scale: 0 })].into();
    let most = Quotes::of(&[Finding::unproved(CheckerId::new("rates").unwrap(), [].into(), most)]);
    let beyond = decided(&charter, vec![transfer(eth(), 2, ALICE)], &most);
    assert!(
        !beyond.for_good && beyond.reasons.iter().any(|why| why.contains("limit an-hour: it is worth more")),
        "{beyond:?}"
    );
}

/// What people approve has the limit in it and who attests prices in its money, but no price.
#[test]
fn approvals_are_bound_to_a_limit_in_money_and_its_sources_of_prices() {
    let slice =
        |text: &str, prices: &Quotes| decided(&money_with(text, LIMIT), vec![transfer(eth(), 1, ALICE)], prices).slice;
    let text = include_str!("../../../development.sample.toml");
    let unpriced = slice(text, Quotes::none());
    assert_eq!(slice(text, &quotes(&[(eth(), 7, 0)])), unpriced);
    for (from, to) in [
        ("max_age_secs = 120", "max_age_secs = 121"),
        ("[currencies.usd]\ndecimals = 2", "[currencies.usd]\ndecimals = 3"),
    ] {
        assert_ne!(slice(&text.replacen(from, to, 1), Quotes::none()), unpriced, "{to}");
    }
    assert_eq!(slice(&text.replacen("max_age_secs = 600", "max_age_secs = 601", 1), Quotes::none()), unpriced);
    let other = LIMIT.replacen("max_amount = \"800\"", "max_amount = \"801\"", 1);
    let other = decided(&money_with(text, &other), vec![transfer(eth(), 1, ALICE)], Quotes::none());
    assert_ne!(other.slice, unpriced);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A reference in machine integers.
    #[test]
    fn the_decision_is_that_of_the_highest_worth_rounded_up(
        coins in 0u128..10_000_000, tokens in 0u128..10_000_000,
        of_coin in proptest::collection::vec((1u128..5_000, 0u32..5), 1..4),
        of_token in proptest::collection::vec((1u128..5_000, 0u32..5), 1..4),
    ) {
        let charter = money(RULES);
        let quoted = |asset: Asset, all: &[(u128, u32)]| -> Vec<_> {
            all.iter().map(|(cents, scale)| (asset.clone(), *cents, *scale)).collect()
        };
        let prices = quotes(&[quoted(eth(), &of_coin), quoted(token(), &of_token)].concat());
        let worth = |amount: u128, all: &[(u128, u32)]| {
            all.iter().map(|(cents, scale)| (amount * cents).div_ceil(10u128.pow(*scale))).max().unwrap()
        };
        let (coin, token_) = (worth(coins, &of_coin), worth(tokens, &of_token));
        let decision = decided(&charter, vec![transfer(eth(), coins, ALICE), transfer(token(), tokens, ALICE)], &prices);
        prop_assert_eq!(decision.allowed, coin + token_ <= 100_000 && coin <= 50_000, "{} {}", coin, token_);
        if decision.allowed {
            prop_assert_eq!(!decision.requirements.is_empty(), coin + token_ > 10_000);
        }
        let by_rule: BTreeMap<_, _> = decision.requirements.iter().map(|one| (&one.rule, one)).collect();
        prop_assert!(!by_rule.contains_key(&PRICE_OF_ETH.to_owned()));
    }
}
