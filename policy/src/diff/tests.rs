//! Every dimension of a charter, changed one at a time.

use super::*;

const SAMPLE: &str = include_str!("../../development.sample.toml");

fn edited(from: &str, to: &str) -> Charter {
    assert!(SAMPLE.contains(from), "the sample no longer contains {from:?}");
    Charter::from_toml(&SAMPLE.replacen(from, to, 1)).unwrap_or_else(|error| panic!("{from} → {to}: {error}"))
}

fn sample() -> Charter {
    Charter::from_toml(SAMPLE).unwrap()
}

/// The directions of an edit and of its opposite.
fn both_ways(from: &str, to: &str) -> (Vec<Change>, Vec<Change>) {
    let (old, new) = (sample(), edited(from, to));
    (diff(&old, &new), diff(&new, &old))
}

fn is_only(changes: &[Change], direction: Direction) -> bool {
    !changes.is_empty() && changes.iter().all(|change| change.direction == direction)
}

#[test]
fn nothing_changes_where_nothing_does() {
    assert!(diff(&sample(), &edited("# The rules.", "# All the rules.")).is_empty());
}

/// An edit that tightens, whose opposite therefore loosens.
#[test]
fn what_tightens_one_way_loosens_the_other() {
    for (from, to) in [
        ("max_sessions = 16", "max_sessions = 15"),
        ("max_expiry_secs = 86400", "max_expiry_secs = 3600"),
        ("max_denied = 10000", "max_denied = 9999"),
        ("max_amount = \"10\"", "max_amount = \"9\""),
        ("max_amount = \"0.05\"", "max_amount = \"0.04\""),
        ("destinations = \"anywhere\"", "destinations = [\"tag:venue\"]"),
        ("max_amount = \"1000000\"", "max_amount = \"999999\""),
        ("max_count = 500", "max_count = 499"),
        ("split_amount = \"5000\"", "split_amount = \"1\""),
        ("split_count = 100", "split_count = 99"),
        ("window_secs = 86400", "window_secs = 86401"),
        ("more_than = \"100000\"", "more_than = \"99999\""),
        ("more_than = \"100000\"\n", ""),
        ("delay_secs = 3600\n# From", "delay_secs = 3601\n# From"),
        ("delay_secs = 86400", "delay_secs = 86401"),
        ("delay_from = \"first-sight\"", "delay_from = \"formula-met\""),
        ("loosening_delay_secs = 86400", "loosening_delay_secs = 86401"),
        ("unfreeze_delay_secs = 3600", "unfreeze_delay_secs = 3601"),
        ("refused = 20", "refused = 19"),
        ("within_secs = 3600", "within_secs = 3601"),
        ("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]"),
        ("people = [\"dora\"]", "people = [\"dora\", \"anna\"]"),
        ("keys = [\"greeter\"]", "keys = [\"greeter\", \"other\"]"),
        ("name = \"gas\"\nallow = \"fee\"", "name = \"gas\"\nrequesters = [\"backend\"]\nallow = \"fee\""),
        ("duties = [\"keys\"]", "duties = [\"keys\", \"request\"]"),
    ] {
        if !SAMPLE.contains(from) {
            // the opposite stands in the sample
            let (back, forth) = both_ways(to, from);
            assert!(
                is_only(&forth, Direction::Tightens) && is_only(&back, Direction::Loosens),
                "{from} → {to}: {back:?}"
            );
            continue;
        }
        let (forth, back) = both_ways(from, to);
        let widened = ["\"other\"]", "\"request\"]", "\"x\"]"].iter().any(|end| to.ends_with(end));
        let (forth, back) = if widened { (back, forth) } else { (forth, back) };
        assert!(is_only(&forth, Direction::Tightens), "{from} → {to}: {forth:?}");
        assert!(is_only(&back, Direction::Loosens), "{to} → {from}: {back:?}");
    }
}

/// Edits of which nobody can tell, both ways.
#[test]
fn what_is_not_understood_loosens_both_ways() {
    let node_key = "p256:0355b17f2052cc9e1baa1639e3eb1fd7b363e2418fed3bbecc38398e33aeec87b1";
    let other_key = "p256:036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    for (from, to) in [
        ("cluster = \"sample\"", "cluster = \"other\""),
        (node_key, other_key),
        ("decimals = 6", "decimals = 7"),
        ("tier = \"cold\"", "tier = \"hot\""),
        ("keys = [\"reserve\"]", "keys = [\"reserve\", \"treasury\"]"),
        ("per = \"all\"", "per = \"key\""),
        ("id = \"usdt-a-day\"", "id = \"usdt-daily\""),
        ("vaults = [\"reserve\"]\nrequesters", "requesters"),
        ("approvals = \"2 terminal of treasury\"", "approvals = \"3 terminal of treasury\""),
        ("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"3 of treasury and 1 of risk\""),
        ("guardians = \"risk\"", "guardians = \"treasury\""),
        ("unfreeze = \"2 of treasury\"", "unfreeze = \"3 of treasury\""),
        ("id = \"boris-terminal\"", "id = \"boris-token\""),
        ("allow = \"message\"", "allow = \"deploy\""),
        (
            "address = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"",
            "address = \"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"",
        ),
        ("destinations_except = [\"tag:venue\"]", "destinations = [\"tag:venue\"]"),
        // Rules that allow and ask: what they match no more, another rule may allow without asking.
        ("[\"book:exchange\", \"tag:venue\"]", "[\"book:exchange\"]"),
        ("names = [\"eip7702-delegation\"]", "names = [\"eip7702-delegation\", \"x\"]"),
        ("max_amount = \"1000\"\ndest", "max_amount = \"999\"\ndest"),
    ] {
        let (forth, back) = both_ways(from, to);
        let loosens = |changes: &[Change]| changes.iter().any(|change| change.direction == Direction::Loosens);
        assert!(loosens(&forth), "{from} → {to}: {forth:?}");
        assert!(loosens(&back), "{to} → {from}: {back:?}");
    }
}

#[test]
fn signers_that_freeze_by_themselves_and_no_longer_do() {
    let (gone, back) = both_ways("automatic_freeze = { refused = 20, within_secs = 3600 }\n", "");
    assert!(is_only(&gone, Direction::Loosens) && is_only(&back, Direction::Tightens), "{gone:?} {back:?}");
    let words =
        "no signer freezes a requester by itself any more, as it did after 20 requests within 3600 s were denied";
    assert_eq!(gone[0].sentence, words);
    let words = "each signer freezes by itself a requester of whom it denies 20 requests within 3600 s";
    assert_eq!(back[0].sentence, words);
    let (more, _) = both_ways("refused = 20", "refused = 21");
    assert_eq!(more[0].sentence, "the number of denied requests that freeze their requester goes up from 20 to 21");
    let (mixed, _) = both_ways("refused = 20, within_secs = 3600", "refused = 10, within_secs = 60");
    assert_eq!(mixed.iter().map(|one| one.direction).collect::<Vec<_>>(), [Direction::Loosens, Direction::Tightens]);
}

#[test]
fn rules_that_come_and_go() {
    let ask =
        "[[rules]]\nname = \"ask\"\nrequire = \"message\"\napprovals = \"1 of risk\"\n\n[[rules]]\nname = \"eth\"";
    let (forth, back) = both_ways("[[rules]]\nname = \"eth\"", ask);
    assert!(is_only(&forth, Direction::Tightens) && is_only(&back, Direction::Loosens));
    let allow = "[[rules]]\nname = \"more\"\nallow = \"deploy\"\n\n[[rules]]\nname = \"eth\"";
    let (forth, back) = both_ways("[[rules]]\nname = \"eth\"", allow);
    assert!(is_only(&forth, Direction::Loosens) && is_only(&back, Direction::Tightens));
    assert_eq!(forth[0].sentence, "rule \"more\" is new: allow deploy");
}

#[test]
fn an_exception_of_a_rule_that_denies_lets_something_through() {
    let (forth, _) = both_ways(
        "destinations_except = [\"tag:venue\"]",
        "destinations_except = [\"tag:venue\", \"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"]",
    );
    assert!(is_only(&forth, Direction::Loosens), "{forth:?}");
}

#[test]
fn an_entry_that_a_rule_stops_by_is_not_just_taken_out() {
    let entry = |tag: &str| {
        format!(
            "[[address_book]]\nid = \"bad\"\nchain = \"eip155:1\"\n\
             address = \"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"\ntags = [\"{tag}\"]\n\n[[address_book]]\nid = \"exchange\""
        )
    };
    let (_, without) = both_ways("[[address_book]]\nid = \"exchange\"", &entry("venue"));
    assert!(is_only(&without, Direction::Tightens), "{without:?}");
    let deny = "[[rules]]\nname = \"no\"\ndeny = \"transfer\"\ndestinations = [\"book:exchange\"]\n\n[[rules]]\nname = \"eth\"";
    let text = SAMPLE.replacen("[[rules]]\nname = \"eth\"", deny, 1);
    let old = Charter::from_toml(&text.replacen("[[address_book]]\nid = \"exchange\"", &entry("venue"), 1)).unwrap();
    assert!(loosens(&old, &Charter::from_toml(&text).unwrap()));
}

#[test]
fn a_rule_that_allows_and_asks_is_not_just_taken_out() {
    let at = SAMPLE.find("[[rules]]\nname = \"reserve to venues\"").unwrap();
    let end = SAMPLE.find("[[rules]]\nname = \"the reserve pays nobody else\"").unwrap();
    let without = Charter::from_toml(&format!("{}{}", &SAMPLE[..at], &SAMPLE[end..])).unwrap();
    assert!(loosens(&sample(), &without));
}

#[test]
fn guardians_keep_what_they_sign_with() {
    let more = "id = \"carla\"\n[[people.credentials]]\nid = \"carla-token\"\nclass = \"terminal\"\n\
                public_key = \"p256:036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\"\n";
    let (_, less) = both_ways("id = \"carla\"\n", more);
    assert!(is_only(&less, Direction::Loosens), "{less:?}");
}

#[test]
fn guardians_are_not_just_removed() {
    let text = SAMPLE.replace("members = [\"carla\"]", "members = [\"carla\", \"boris\"]");
    let (old, new) = (Charter::from_toml(&text).unwrap(), sample());
    assert!(loosens(&old, &new), "{:?}", diff(&old, &new));
}

#[test]
fn where_a_node_is_reached_is_neither() {
    let (forth, _) = both_ways("127.0.0.1:7001", "127.0.0.1:8001");
    assert!(is_only(&forth, Direction::Neutral));
    assert!(!loosens(&sample(), &edited("127.0.0.1:7001", "127.0.0.1:8001")));
}

#[test]
fn a_charter_that_says_how_it_changes_goes_on_saying_it() {
    let at = SAMPLE.find("[governance]").unwrap();
    let end = SAMPLE.find("# The rules.").unwrap();
    let without = Charter::from_toml(&format!("{}{}", &SAMPLE[..at], &SAMPLE[end..])).unwrap();
    assert!(is_only(&diff(&without, &sample()), Direction::Tightens));
    assert!(is_only(&diff(&sample(), &without), Direction::Loosens));
}

#[test]
fn another_name_in_the_list_of_signers_loosens() {
    let renamed = Charter::from_toml(&SAMPLE.replace("\"signer-3\"", "\"signer-4\"")).unwrap();
    assert!(is_only(&diff(&sample(), &renamed), Direction::Loosens));
    assert!(is_only(&diff(&renamed, &sample()), Direction::Loosens));
}

#[test]
fn ledgers_loosen_however_they_change_and_witnesses_say_nothing() {
    for (from, to) in [
        ("quorum = 3\n", "quorum = 4\n"),
        ("corrupt = 1\nreservation", "corrupt = 0\nreservation"),
        ("reservation_secs = 300", "reservation_secs = 200"),
        ("ledger = \"main\"\n", ""),
    ] {
        let (there, back) = both_ways(from, to);
        assert!(is_only(&there, Direction::Loosens) && is_only(&back, Direction::Loosens), "{from} → {to}: {there:?}");
    }
    let (there, back) = both_ways("127.0.0.1:7004", "127.0.0.1:7005");
    assert!(is_only(&there, Direction::Neutral) && is_only(&back, Direction::Neutral));
}

#[test]
fn claiming_what_counts_once_tightens_and_only_that() {
    let with = crate::charter::tests::without_ceiling();
    let without = Charter::from_toml(&with.replacen("claims = \"main\"\n", "", 1)).unwrap();
    let with = Charter::from_toml(&with).unwrap();
    let (without, with) = (diff(&with, &without), diff(&without, &with));
    assert!(is_only(&without, Direction::Loosens), "{without:?}");
    assert!(is_only(&with, Direction::Tightens), "{with:?}");
    let second = "[[ledgers]]\nid = \"second\"\nmembers = [\"signer-1\"]\nquorum = 1\ncorrupt = 0\n\n[[coordinators]]";
    let text = SAMPLE.replace("[[coordinators]]", second);
    let (one, other) =
        (Charter::from_toml(&text), Charter::from_toml(&text.replace("claims = \"main\"", "claims = \"second\"")));
    assert!(
        is_only(&diff(&one.unwrap(), &other.unwrap()), Direction::Loosens),
        "it knows nothing of the claims before"
    );
}

/// Hours, ages and checks: what narrows a rule that allows tightens, and what it asks for more as well.
#[test]
fn dimensions_of_moments_and_checks() {
    for (from, to) in
        [("credentials_for_secs = 3600", "credentials_for_secs = 3601"), ("max_age_secs = 600", "max_age_secs = 599")]
    {
        let (forth, back) = both_ways(from, to);
        assert!(is_only(&forth, Direction::Tightens), "{from} → {to}: {forth:?}");
        assert!(is_only(&back, Direction::Loosens), "{to} → {from}: {back:?}");
    }
    // This rule asks for approvals: what it matches less may be allowed by another rule that asks for none.
    for (from, to) in [
        ("from = \"08:00\"", "from = \"09:00\""),
        ("until = \"18:00\"", "until = \"17:00\""),
        ("utc_offset = \"+01:00\"", "utc_offset = \"+02:00\""),
        ("chains = [\"eip155:31337\"]\ndest", "chains = [\"eip155:1\"]\ndest"),
        ("checks = [\"screening\"]\n", ""),
        ("entry_at_least_secs = 86400", "entry_at_least_secs = 86401"),
    ] {
        let (forth, _) = both_ways(from, to);
        assert!(is_only(&forth, Direction::Loosens), "{from} → {to}: {forth:?}");
    }
    let gas = "name = \"gas\"\nallow = \"fee\"";
    let office = "hours = { from = \"08:00\", until = \"18:00\", utc_offset = \"+01:00\" }";
    let (forth, back) = both_ways(gas, &format!("{gas}\n{office}"));
    assert!(is_only(&forth, Direction::Tightens) && is_only(&back, Direction::Loosens), "{forth:?} {back:?}");
}

#[test]
fn dimensions_of_ceilings() {
    let ceiling = &SAMPLE[SAMPLE.find("[[ceilings]]").unwrap()..SAMPLE.find("# How this charter").unwrap()];
    let account = &SAMPLE[SAMPLE.find("# One of our own").unwrap()..SAMPLE.find("# So much of an asset").unwrap()];
    let (forth, back) = both_ways(ceiling, "");
    assert!(is_only(&forth, Direction::Loosens) && is_only(&back, Direction::Tightens), "{forth:?} {back:?}");
    for (from, to) in [
        ("max_balance = \"100000\"", "max_balance = \"99999\""),
        ("max_age_secs = 300", "max_age_secs = 299"),
        ("balances_of = [\"hot\"]", "balances_of = [\"reserve\", \"hot\"]"),
    ] {
        let (forth, back) = both_ways(from, to);
        let widens = to.contains("reserve");
        let (forth, back) = if widens { (back, forth) } else { (forth, back) };
        assert!(is_only(&forth, Direction::Tightens), "{from} → {to}: {forth:?}");
        assert!(is_only(&back, Direction::Loosens), "{to} → {from}: {back:?}");
    }
    // An entry that stops counting loosens, and so does one that goes.
    let (forth, back) = both_ways("vault = \"hot\"\n\n# So much", "\n# So much");
    assert!(is_only(&forth, Direction::Loosens) && is_only(&back, Direction::Tightens), "{forth:?} {back:?}");
    let (forth, _) = both_ways(account, "");
    assert!(forth.iter().any(|one| one.direction == Direction::Loosens && one.sentence.contains("no longer counts")));
    let (forth, _) = both_ways("vault = \"hot\"\n\n# So much", "vault = \"reserve\"\n\n# So much");
    assert!(is_only(&forth, Direction::Loosens), "{forth:?}");
    // Another vault's ceiling under the same name, and a new checker that attests.
    let both = SAMPLE.replace("balances_of = [\"hot\"]", "balances_of = [\"hot\", \"reserve\"]");
    let moved = both.replace("vault = \"hot\"\nasset", "vault = \"reserve\"\nasset");
    let (old, new) = (Charter::from_toml(&both).unwrap(), Charter::from_toml(&moved).unwrap());
    assert!(is_only(&diff(&old, &new), Direction::Loosens));
    let more = "[[checkers]]\nid = \"second\"\npublic_key = \"ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n\
        max_age_secs = 60\nbalances_of = [\"hot\"]\n\n[[ceilings]]";
    let (forth, back) = both_ways("[[ceilings]]", more);
    assert!(
        forth.iter().any(|one| one.direction == Direction::Loosens && one.sentence.contains("attests what is in hot"))
    );
    assert!(!back.iter().any(|one| one.direction == Direction::Loosens), "{back:?}");
}

/// Amounts of a limit in other money, or in none, are other amounts.
#[test]
fn dimensions_of_limits_in_money() {
    let limit = "asset = \"usdt\"\nper = \"all\"\ncurrency = \"usd\"";
    let (units, other) = ("asset = \"usdt\"\nper = \"all\"", "asset = \"eth\"\nper = \"all\"\ncurrency = \"usd\"");
    for (from, to) in [(limit, units), (limit, other)] {
        let (forth, back) = both_ways(from, to);
        for changes in [&forth, &back] {
            assert!(is_only(changes, Direction::Loosens), "{from} → {to}: {changes:?}");
        }
    }
    let (forth, _) = both_ways(limit, units);
    let says = "the money of limit reserve-usd-a-day changes from usd with 2 decimals to none";
    assert!(forth.iter().any(|one| one.sentence == says), "{forth:?}");
    let (forth, _) = both_ways("[currencies.usd]\ndecimals = 2", "[currencies.usd]\ndecimals = 3");
    let says = "the money of limit reserve-usd-a-day changes from usd with 2 decimals to usd with 3 decimals";
    assert!(forth.iter().any(|one| one.sentence == says), "{forth:?}");
    let (forth, back) = both_ways("max_amount = \"250000\"", "max_amount = \"249999.99\"");
    assert!(is_only(&forth, Direction::Tightens) && is_only(&back, Direction::Loosens), "{forth:?} {back:?}");
}

#[test]
fn dimensions_of_money() {
    for (from, to) in
        [("max_age_secs = 120", "max_age_secs = 119"), ("more_than = \"10000\"", "more_than = \"9999.99\"")]
    {
        let (forth, back) = both_ways(from, to);
        assert!(
            is_only(&forth, Direction::Tightens) && is_only(&back, Direction::Loosens),
            "{from}: {forth:?} {back:?}"
        );
    }
    let (forth, back) = both_ways("max_age_secs = 300", "max_age_secs = 300\nprices_in = [\"usd\"]");
    assert!(is_only(&forth, Direction::Loosens) && is_only(&back, Direction::Tightens), "{forth:?} {back:?}");
    // What is said in other units is another rule.
    for (from, to) in
        [("currency = \"usd\"\nmore", "more"), ("[currencies.usd]\ndecimals = 2", "[currencies.usd]\ndecimals = 3")]
    {
        let (forth, back) = both_ways(from, to);
        assert!(
            is_only(&forth, Direction::Loosens) && is_only(&back, Direction::Loosens),
            "{from}: {forth:?} {back:?}"
        );
    }
    let more = "[[checkers]]\nid = \"second\"\npublic_key = \"ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n\
        max_age_secs = 60\nprices_in = [\"usd\"]\n\n[[ceilings]]";
    let (forth, _) = both_ways("[[ceilings]]", more);
    assert!(
        forth.iter().any(|one| one.direction == Direction::Loosens && one.sentence.contains("attests prices in usd"))
    );
}
