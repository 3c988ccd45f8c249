//! Rules about hours and ages.

use limen_wire::ids::{BookEntryId, CredentialId};

use super::*;
use crate::check::Quotes;

/// Monday 2026-01-05, midnight UTC.
const MONDAY: u64 = 1_767_571_200;
const HOUR: u64 = 3600;

/// Everything has been in force for so many seconds.
struct Aged(u64);

impl InForce for Aged {
    fn entry_secs(&self, _: &BookEntryId) -> Option<u64> {
        Some(self.0)
    }
    fn credential_secs(&self, _: &CredentialId) -> Option<u64> {
        Some(self.0)
    }
}

fn rules(verb: &str, more: &str) -> String {
    let amounts = if verb == "allow" { "asset = \"eth\"\nmax_amount = \"1\"\n" } else { "" };
    let needs = if verb == "require" { "delay_secs = 60\n" } else { "" };
    format!("[[rules]]\nname = \"timed\"\n{verb} = \"transfer\"\n{amounts}{needs}{more}\n")
}

fn looked_at(rules: &str, when: &When<'_>) -> Decision {
    let list = effects(vec![transfer(eth(), 1, ALICE)]);
    super::super::decide(&with_rules(rules), &intent("backend", "treasury"), &list, when)
}

#[test]
fn hours_hold_by_the_moment_that_is_told() {
    let office = "hours = { days = [\"mon\", \"fri\"], from = \"08:00\", until = \"18:00\", utc_offset = \"+01:00\" }";
    let rules = rules("allow", &format!("destinations = \"anywhere\"\n{office}"));
    let at = |secs: u64| looked_at(&rules, &When::at(secs));
    for (secs, allowed) in [
        (MONDAY + 7 * HOUR - 1, false),
        (MONDAY + 7 * HOUR, true),
        (MONDAY + 17 * HOUR - 1, true),
        (MONDAY + 17 * HOUR, false),
        (MONDAY + 24 * HOUR + 12 * HOUR, false),
        (MONDAY + 4 * 24 * HOUR + 12 * HOUR, true),
        (MONDAY + 7 * 24 * HOUR + 12 * HOUR, true),
    ] {
        let decision = at(secs);
        assert_eq!(decision.allowed, allowed, "{} s after Monday: {decision:?}", secs - MONDAY);
        assert!(decision.timed);
    }
    let late = at(MONDAY);
    assert!(late.reasons[0].contains("covers mon fri 08:00 to 18:00 (UTC+01:00), which it is not now"), "{late:?}");
    assert_eq!(late.slice, at(MONDAY + 12 * HOUR).slice, "what people said holds at night as well");
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let night = "hours = { days = [\"sun\"], from = \"22:00\", until = \"06:00\", utc_offset = \"-05:30\" }";
    let rules = rules("allow", &format!("destinations = \"anywhere\"\n{night}"));
    let at = |secs: u64| looked_at(&rules, &When::at(secs)).allowed;
    // Sunday 22:00 there is Monday 03:30 here.
    let begins = MONDAY + 3 * HOUR + 1800;
    assert!(!at(begins - 1) && at(begins) && at(begins + 8 * HOUR - 1) && !at(begins + 8 * HOUR));
}

/// Denied for good is what no hour, no age and no person changes.
#[test]
fn what_another_moment_may_allow_is_not_denied_for_good() {
    let night = "hours = { from = \"22:00\", until = \"06:00\", utc_offset = \"+00:00\" }";
    let noon = When::at(MONDAY + 12 * HOUR);
    let by_night = rules("allow", &format!("destinations = \"anywhere\"\n{night}"));
    let waits = looked_at(&by_night, &noon);
    assert!(!waits.allowed && !waits.for_good, "{waits:?}");
    let young = rules("allow", "destinations = [\"tag:venue\"]\nentry_at_least_secs = 100");
    let waits = looked_at(&young, &When::at(0));
    assert!(!waits.allowed && !waits.for_good, "{waits:?}");
    let by_day = format!(
        "{ANY_ETH}{}",
        rules("deny", "hours_except = { from = \"22:00\", until = \"06:00\", utc_offset = \"+00:00\" }")
    );
    let waits = looked_at(&by_day, &noon);
    assert!(!waits.allowed && !waits.for_good, "{waits:?}");
    // A rule that denies at any hour, and one that lets through by night what another always denies.
    let never = looked_at(&format!("{by_night}[[rules]]\nname = \"never\"\ndeny = \"transfer\"\n"), &noon);
    assert!(never.for_good && never.timed, "{never:?}");
    let never = looked_at("", &noon);
    assert!(never.for_good && !never.timed, "{never:?}");
    let asked = looked_at(&format!("{ANY_ETH}{}", rules("require", "")), &noon);
    assert!(asked.allowed && !asked.for_good, "{asked:?}");
}

#[test]
fn hours_except_are_the_opposite() {
    let office = "hours_except = { from = \"08:00\", until = \"18:00\", utc_offset = \"+00:00\" }";
    let rules = format!("{ANY_ETH}{}", rules("deny", office));
    assert!(looked_at(&rules, &When::at(MONDAY + 12 * HOUR)).allowed);
    let denied = looked_at(&rules, &When::at(MONDAY + 20 * HOUR));
    assert!(!denied.allowed && denied.reasons[0].contains("\"timed\" denies it"), "{denied:?}");
}

#[test]
fn new_destinations_wait_and_unknown_ages_are_new() {
    let rules = rules("allow", "destinations = [\"tag:venue\"]\nentry_at_least_secs = 100");
    let with = |in_force: &dyn InForce| looked_at(&rules, &When { now_secs: 0, in_force, quotes: Quotes::none() });
    assert!(with(&Aged(100)).allowed && with(&Settled).allowed);
    let young = with(&Aged(99));
    assert!(!young.allowed && young.reasons[0].contains("for 100 s, observed 99 s"), "{young:?}");
    let unknown = with(&Unknown);
    assert!(!unknown.allowed && unknown.reasons[0].contains("observed an unknown time"), "{unknown:?}");
    assert_eq!(young.slice, with(&Aged(100)).slice);
}

#[test]
fn what_is_new_or_in_no_book_is_asked_about() {
    let rules = format!("{ANY_ETH}{}", rules("require", "entry_less_than_secs = 100"));
    let asked = |in_force: &dyn InForce, to: &str| {
        let list = effects(vec![transfer(eth(), 1, to)]);
        let when = When { now_secs: 0, in_force, quotes: Quotes::none() };
        let decision = super::super::decide(&with_rules(&rules), &intent("backend", "treasury"), &list, &when);
        assert!(decision.allowed, "{decision:?}");
        !decision.requirements.is_empty()
    };
    assert!(!asked(&Aged(100), ALICE));
    assert!(asked(&Aged(99), ALICE) && asked(&Unknown, ALICE));
    assert!(asked(&Aged(1_000_000), MALLORY), "an address without an entry is new for ever");
}

/// An old entry for the same address does not vouch for a tag that came yesterday.
#[test]
fn the_age_is_that_of_the_entry_that_the_rule_means() {
    struct One;
    impl InForce for One {
        fn entry_secs(&self, entry: &BookEntryId) -> Option<u64> {
            Some(if entry.as_str() == "old" { 1000 } else { 1 })
        }
        fn credential_secs(&self, _: &CredentialId) -> Option<u64> {
            None
        }
    }
    let sample = include_str!("../../../development.sample.toml");
    let head = &sample[..sample.find("[[rules]]").unwrap()];
    let entry = format!("[[address_book]]\nid = \"old\"\nchain = \"eip155:31337\"\naddress = \"{ALICE}\"\n\n");
    let decided = |destinations: &str| {
        let rules = rules("allow", &format!("destinations = {destinations}\nentry_at_least_secs = 100"));
        let charter = Charter::from_toml(&format!("{head}{entry}{rules}")).unwrap();
        let list = effects(vec![transfer(eth(), 1, ALICE)]);
        let when = When { now_secs: 0, in_force: &One, quotes: Quotes::none() };
        super::super::decide(&charter, &intent("backend", "treasury"), &list, &when).allowed
    };
    assert!(!decided("[\"tag:venue\"]") && !decided("[\"book:exchange\"]"));
    assert!(decided("[\"book:old\"]") && decided("\"anywhere\""));
}

#[test]
fn chains_hold() {
    let rules = rules("allow", "destinations = \"anywhere\"\nchains = [\"eip155:1\"]");
    let denied = looked_at(&rules, &When::at(0));
    assert!(denied.reasons[0].contains("is not for chain eip155:31337"), "{denied:?}");
    let rules = rules.replace("eip155:1\"", "eip155:31337\"");
    assert!(looked_at(&rules, &When::at(0)).allowed);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let hours = |days: &str, from: &str, until: &str, offset: &str| {
        format!("hours = {{ days = [{days}], from = \"{from}\", until = \"{until}\", utc_offset = \"{offset}\" }}")
    };
    let some = "destinations = \"anywhere\"\n";
    for (verb, more, says) in [
        ("allow", format!("{some}{}", hours("", "24:00", "18:00", "+00:00")), "hours go from"),
        ("allow", format!("{some}{}", hours("", "08:00", "00:00", "+00:00")), "hours go from"),
        ("allow", format!("{some}{}", hours("", "08:00", "18:00", "+14:01")), "hours go from"),
        ("allow", format!("{some}{}", hours("", "8:00", "18:00", "+00:00")), "times are written"),
        ("allow", format!("{some}{}", hours("", "08:60", "18:00", "+00:00")), "times are written"),
        ("allow", format!("{some}{}", hours("", "08:00", "24:01", "+00:00")), "times are written"),
        ("allow", format!("{some}{}", hours("", "08:00", "18:00", "01:00")), "times are written"),
        ("allow", format!("{some}{}", hours("\"someday\"", "08:00", "18:00", "+01:00")), "unknown variant"),
        ("allow", format!("{some}entry_less_than_secs = 1"), "says entry_at_least_secs"),
        ("deny", "entry_at_least_secs = 1".to_owned(), "says entry_less_than_secs"),
        ("allow", format!("{some}entry_at_least_secs = 0"), "1 to"),
        ("allow", format!("{some}chains = [\"ethereum\"]"), "CAIP-2"),
        ("allow", format!("{some}checks = [\"nobody\"]"), "there is no checker nobody"),
        ("allow", format!("{some}credentials_for_secs = 1"), "means nothing without approvals"),
        ("deny", "checks = [\"screening\"]".to_owned(), "asks for nothing"),
    ] {
        let sample = include_str!("../../../development.sample.toml");
        let head = &sample[..sample.find("[[rules]]").unwrap()];
        let error = Charter::from_toml(&format!("{head}{}", rules(verb, &more))).unwrap_err().to_string();
        assert!(error.contains(says), "{verb} {more}: {error}");
    }
}

/// What was acknowledged in a ledger has to be computed again later, whatever the hour is then.
#[test]
fn what_a_request_takes_of_limits_does_not_depend_on_the_moment() {
    let limit = "[[limits]]\nid = \"eth\"\nasset = \"eth\"\nper = \"all\"\nwindow_secs = 60\nmax_amount = \"2\"\n\
                 split_amount = \"2\"\n";
    let office = "hours = { days = [\"mon\"], from = \"08:00\", until = \"18:00\", utc_offset = \"+00:00\" }";
    let rules = rules("allow", &format!("destinations = \"anywhere\"\n{office}"));
    let charter = with_rules(&format!("{limit}{rules}"));
    let (intent, list) = (intent("backend", "treasury"), effects(vec![transfer(eth(), 1, ALICE)]));
    let at = |secs: u64| super::super::decide(&charter, &intent, &list, &When::at(secs));
    let (day, night) = (at(MONDAY + 9 * HOUR), at(MONDAY));
    assert!(day.allowed && !night.allowed && night.charges.is_empty());
    assert!(day.charges.iter().any(|charge| charge.limit.as_str() == "eth"));
    let takes = super::super::takes(&charter, &intent, &list).unwrap();
    let units = |take: &Take<'_>| (take.limit.id.clone(), take.subject.clone(), take.sum.at(Quotes::none()).unwrap());
    let charged = |charge: &Charge| (charge.limit.clone(), charge.subject.clone(), charge.amount);
    assert!(takes.iter().map(units).eq(day.charges.iter().map(charged)));
}
