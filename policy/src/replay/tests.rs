use limen_wire::effects::{Address, Asset, ChainId, Effect};
use limen_wire::ids::IntentId;
use limen_wire::intent::Payload;

use super::*;

const SAMPLE: &str = include_str!("../../development.sample.toml");
const VENUE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const US: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const ETHER: u128 = 1_000_000_000_000_000_000;

fn run(rules: &str) -> Run {
    let head = &SAMPLE[..SAMPLE.find("[[rules]]").unwrap()];
    Run::new(Charter::from_toml(&format!("{head}{rules}")).unwrap())
}

fn rule(max: &str, more: &str) -> String {
    format!(
        "[[rules]]\nname = \"eth\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"{max}\"\n\
         destinations = \"anywhere\"\n{more}\n"
    )
}

fn limit(amount: &str, count: u64) -> String {
    format!(
        "[[limits]]\nid = \"a-day\"\nasset = \"eth\"\nper = \"requester\"\nwindow_secs = 100\nmax_amount = \"{amount}\"\n\
         max_count = {count}\nsplit_amount = \"{amount}\"\nsplit_count = {count}\n"
    )
}

fn intent() -> Intent {
    Intent {
        id: IntentId::new([1; 32]),
        cluster: "sample".parse().unwrap(),
        requester: "backend".parse().unwrap(),
        idempotency_key: "a".to_owned(),
        vault: None,
        key_id: "treasury".parse().unwrap(),
        path: vec![],
        chain: Some(ChainId::eip155(31337)),
        payload: Payload::Message(bytes::Bytes::new()),
        expires_at_secs: 1,
        replaces: None,
        note: String::new(),
    }
}

fn paying(coins: u128) -> Effects {
    let address = |text: &str| Address::from_canonical(text).unwrap();
    let asset = Asset::Native(ChainId::eip155(31337));
    let transfer =
        Effect::Transfer { asset, amount: Amount::from_u128(coins * ETHER), from: address(US), to: address(VENUE) };
    let chain = ChainId::eip155(31337);
    Effects { decoder_version: 1, chain, account: address(US), nonce: Some(0), list: vec![transfer] }
}

/// What the second set of rules says otherwise of payments of so many coins at such times.
fn compared(is: &str, would_be: &str, payments: &[(u128, u64)]) -> Vec<Vec<String>> {
    let (mut is, mut would_be) = (run(is), run(would_be));
    let judged = |run: &mut Run, coins: u128, at: u64| run.judge(&intent(), Ok(&paying(coins)), at);
    let both = payments.iter().map(|(coins, at)| (judged(&mut is, *coins, *at), judged(&mut would_be, *coins, *at)));
    both.map(|(is, would_be)| differences(&is, &would_be)).collect()
}

#[test]
fn the_same_rules_differ_in_nothing() {
    let rules = format!("{}{}", limit("5", 3), rule("10", "approvals = \"1 of risk\""));
    assert!(compared(&rules, &rules, &[(1, 0), (3, 1), (3, 2), (20, 3)]).iter().all(Vec::is_empty));
}

#[test]
fn what_is_denied_or_allowed_otherwise_is_said_with_its_reason() {
    let found = compared(&rule("10", ""), &rule("5", "approvals = \"1 of risk\""), &[(5, 0), (6, 1), (11, 2)]);
    assert_eq!(found[0], ["it would need the approval of 1 of risk"]);
    assert!(found[1].len() == 1 && found[1][0].starts_with("it would be denied: ") && found[1][0].contains("at most"));
    assert!(found[2].is_empty(), "denied is denied: {found:?}");
    let found = compared(&rule("5", ""), &rule("10", "delay_secs = 60\napprovals = \"1 of risk\""), &[(6, 0), (5, 1)]);
    assert!(
        found[0][0]
            .starts_with("it would be allowed, asking for the approval of 1 of risk, a delay of 60 s, and is denied: "),
        "{found:?}"
    );
    let back = compared(&rule("10", "delay_secs = 60"), &rule("10", ""), &[(1, 0)]);
    assert_eq!(back[0], ["it would no longer need a delay of 60 s"]);
}

#[test]
fn limits_are_counted_over_what_is_shown_and_leave_with_their_window() {
    let (is, would_be) = (rule("10", ""), format!("{}{}", limit("5", 2), rule("10", "")));
    let found = compared(&is, &would_be, &[(3, 0), (3, 1), (2, 2), (1, 3), (3, 101), (6, 300)]);
    assert!(found[0].is_empty() && found[2].is_empty() && found[4].is_empty(), "{found:?}");
    assert_eq!(found[1], ["it would wait for limit a-day of backend, which has no room for 3000000000000000000 more"]);
    assert_eq!(found[3], ["it would wait for limit a-day of backend, which has no room for 1000000000000000000 more"]);
    // more than a limit ever lets through is denied
    assert!(found[5][0].starts_with("it would be denied: limit a-day"), "{found:?}");
    let counted = format!("{}{}", limit("9", 1), rule("10", ""));
    let found = compared(&counted, &is, &[(1, 0), (1, 1)]);
    assert_eq!(
        found[1],
        ["it would no longer wait for limit a-day of backend, which has no room for one request more"]
    );
}

#[test]
fn bytes_that_cannot_be_read_are_denied() {
    let ruling = run(&rule("10", "")).judge(&intent(), Err("no transaction".to_owned()), 0);
    assert_eq!(ruling.denied, ["no transaction"]);
    assert!(differences(&ruling, &ruling).is_empty());
}
