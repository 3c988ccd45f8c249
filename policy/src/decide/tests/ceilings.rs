//! Ceilings: what counts as flowing in, what is asked for, and what approvals are bound to.

use super::*;
use crate::approval::Facts;
use crate::check::Finding;
use limen_wire::ids::{CheckerId, FreezeEpoch};

/// An account of vault "hot", as the address book says.
const HOT: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
const ANYWHERE: &str = r#"
[[rules]]
name = "usdt"
allow = "transfer"
asset = "usdt"
max_amount = "1000000"
destinations = "anywhere"

[[rules]]
name = "spenders"
allow = "allowance"
asset = "usdt"
max_amount = "1000000"
destinations = "anywhere"
"#;

fn units(text: &str) -> Amount {
    Amount::from_units(text, 6).unwrap()
}

fn usdt(text: &str, to: &str) -> Effect {
    Effect::Transfer { asset: token(), amount: units(text), from: address(US), to: address(to) }
}

fn allowance(text: &str, spender: &str) -> Effect {
    Effect::Allowance {
        asset: token(),
        amount: units(text),
        change: AllowanceChange::Set,
        owner: address(US),
        spender: address(spender),
        expires_at: None,
        submit_by: None,
    }
}

fn decided(charter: &Charter, key: &str, list: Vec<Effect>) -> Decision {
    decide(charter, &intent("backend", key), &effects(list))
}

/// What is charged to the ceiling.
fn flows_in(decision: &Decision) -> Option<Amount> {
    let id = LimitId::new("hot-usdt").unwrap();
    decision.charges.iter().find(|charge| charge.limit == id).map(|charge| charge.amount)
}

#[test]
fn what_brings_something_into_the_vault_counts() {
    let charter = with_rules(ANYWHERE);
    let counted = |key: &str, list| flows_in(&decided(&charter, key, list));
    assert_eq!(counted("treasury", vec![usdt("5", HOT)]), Some(units("5")));
    assert_eq!(counted("treasury", vec![usdt("5", HOT), usdt("7", ALICE), usdt("2", HOT)]), Some(units("7")));
    assert_eq!(counted("treasury", vec![usdt("5", ALICE)]), None);
    // Its own accounts pay each other; what one draws from somebody else comes in, and what it lets another spend may.
    assert_eq!(counted("hot", vec![usdt("5", HOT)]), None);
    let drawn = Effect::Transfer { asset: token(), amount: units("5"), from: address(ALICE), to: address(HOT) };
    let (request, list) = (intent("backend", "hot"), effects(vec![drawn]));
    let takes = takes(&charter, &request, &list).unwrap();
    assert!(takes.iter().any(|take| take.limit.id.as_str() == "hot-usdt"), "{takes:?}");
    // Another asset is no matter of this ceiling.
    let (request, coin) = (intent("backend", "treasury"), effects(vec![transfer(eth(), 5, HOT)]));
    assert_eq!(super::super::takes(&charter, &request, &coin), Ok(Vec::new()));
}

/// One key has the same address on all chains of its kind.
#[test]
fn the_chain_of_the_entry_does_not_matter() {
    let text = include_str!("../../../development.sample.toml");
    let entry = text.find("id = \"hot-account\"").unwrap();
    let elsewhere = format!("{}{}", &text[..entry], text[entry..].replacen("eip155:31337", "eip155:10", 1));
    let charter = Charter::from_toml(&elsewhere).unwrap();
    let (request, list) = (intent("backend", "treasury"), effects(vec![usdt("5", HOT)]));
    let found = takes(&charter, &request, &list).unwrap();
    assert!(found.iter().any(|take| take.limit.id.as_str() == "hot-usdt"), "{found:?}");
}

#[test]
fn more_than_the_ceiling_is_denied_for_good() {
    let charter = with_rules(ANYWHERE);
    let decision = decided(&charter, "treasury", vec![usdt("60000", HOT), usdt("40000.000001", HOT)]);
    assert!(!decision.allowed);
    assert!(decision.reasons[0].contains("ceiling hot-usdt allows at most 100000000000"), "{:?}", decision.reasons);
    assert!(decided(&charter, "treasury", vec![usdt("60000", HOT), usdt("40000", HOT)]).allowed);
}

/// A message can be brought to the chain at any time, and what an allowance permits be drawn: nothing tells whether it has been.
#[test]
fn what_no_sequence_number_tells_of_does_not_flow_in() {
    let charter = with_rules(ANYWHERE);
    let message = |list| decide(&charter, &intent("backend", "treasury"), &Effects { nonce: None, ..effects(list) });
    for list in [vec![usdt("5", HOT)], vec![allowance("5", HOT)]] {
        let decision = message(list);
        assert!(!decision.allowed);
        assert!(decision.reasons[0].contains("ceiling hot-usdt: nobody could tell"), "{:?}", decision.reasons);
    }
    assert!(message(vec![usdt("5", ALICE)]).allowed);
    let decision = decided(&charter, "treasury", vec![usdt("5", HOT), allowance("5", HOT)]);
    assert!(decision.reasons[0].contains("whether what an allowance lets flow in has"), "{:?}", decision.reasons);
    assert!(decided(&charter, "treasury", vec![allowance("0", HOT)]).allowed, "taking one back lets nothing in");
    assert!(decided(&charter, "treasury", vec![allowance("5", ALICE)]).allowed);
}

#[test]
fn a_refill_asks_what_the_vault_holds() {
    let charter = with_rules(ANYWHERE);
    assert!(decided(&charter, "treasury", vec![usdt("5", ALICE)]).requirements.is_empty());
    let decision = decided(&charter, "treasury", vec![usdt("5", HOT)]);
    let [asked] = decision.requirements.as_slice() else { panic!("{decision:?}") };
    assert_eq!((asked.rule.as_str(), asked.to_wire().balance_of.as_str()), ("ceiling hot-usdt", "hot"));
    assert_eq!(decision.asking, decision.requirements);
    let checker = |name: &str| CheckerId::new(name).unwrap();
    assert!(asked.hears(&charter, &checker("balance-watch")) && !asked.hears(&charter, &checker("screening")));
    let intent = intent("backend", "treasury");
    let facts = Facts {
        cluster: charter.cluster.clone(),
        intent_id: intent.id,
        effects_digest: [0; 32],
        decoder_version: 1,
        slice: decision.slice,
        freeze_epoch: FreezeEpoch::NONE,
    };
    let missing = |findings: &[Finding]| {
        let (intent, facts, when) = (&intent, &facts, When::at(0));
        asked.unchecked(&Evidence { charter: &charter, intent, facts, approvals: &[], findings, when })
    };
    let told = |asset| {
        Finding::unproved(checker("balance-watch"), [(("hot".parse().unwrap(), asset), units("1"))].into(), [].into())
    };
    let waits = Some("what vault hot holds, attested by balance-watch".to_owned());
    assert_eq!(missing(&[]), waits);
    assert_eq!(missing(&[told(eth())]), waits);
    assert_eq!(missing(&[Finding::unproved(checker("balance-watch"), [].into(), [].into())]), waits);
    assert_eq!(missing(&[told(token())]), None);
}

/// People have approved in view of who says what the vault holds, and how much that may be.
#[test]
fn approvals_are_bound_to_the_ceiling_and_its_attesters() {
    let refill = |charter: &Charter| decided(charter, "treasury", vec![usdt("5", HOT)]).slice;
    let payment = |charter: &Charter| decided(charter, "treasury", vec![usdt("5", ALICE)]).slice;
    let before = with_rules(ANYWHERE);
    let text = include_str!("../../../development.sample.toml");
    let head = &text[..text.find("[[rules]]").unwrap()];
    for (from, to) in [
        ("max_balance = \"100000\"", "max_balance = \"100001\""),
        ("max_age_secs = 300", "max_age_secs = 301"),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        ("balances_of = [\"hot\"]", "balances_of = [\"hot\", \"reserve\"]"),
        ("max_age_secs = 600", "max_age_secs = 600\nbalances_of = [\"hot\"]"),
        ("vault = \"hot\"\n\n# So much", "\n# So much"),
    ] {
        assert!(head.contains(from), "{from}");
        let after = Charter::from_toml(&format!("{}{ANYWHERE}", head.replacen(from, to, 1))).unwrap();
        assert_ne!(refill(&before), refill(&after), "{from} → {to}");
        assert_eq!(payment(&before), payment(&after), "{from} → {to}");
    }
}
