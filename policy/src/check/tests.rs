//! Findings, each field spoiled, and every bound.

use limen_wire::check::{Check, Sequences};
use limen_wire::effects::{Address, ChainId};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::CurrencyId;
use limen_wire::keys::SigningKey;
use prost::Message as _;

use super::*;

const NOW: u64 = 1_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

const SAMPLE: &str = include_str!("../../development.sample.toml");

/// The line with the checker's key.
fn key_line() -> &'static str {
    let start = SAMPLE.find("id = \"screening\"").unwrap();
    SAMPLE[start..].lines().find(|line| line.starts_with("public_key")).unwrap()
}

fn charter() -> Charter {
    let ours = format!("public_key = \"{}\"", key(9).public_key());
    Charter::from_toml(&SAMPLE.replace(key_line(), &ours)).unwrap()
}

fn id() -> IntentId {
    IntentId::new([7; 32])
}

fn held(vault: &str, units: u128) -> Balances {
    let usdt = charter().assets["usdt"].asset.clone();
    [((VaultId::new(vault).unwrap(), usdt), Amount::from_u128(units))].into()
}

fn check() -> Check {
    Check {
        cluster: ClusterId::new("sample").unwrap(),
        intent_id: id(),
        charter: charter().hash(),
        checker: CheckerId::new("screening").unwrap(),
        checked_at_secs: NOW,
        expires_at_secs: NOW + 300,
        objection: None,
        balances: [].into(),
        prices: [].into(),
        sequences: [].into(),
    }
}

fn verified(check: &Check, now_secs: u64) -> Result<Finding, CheckError> {
    verify(&check.seal(&key(9)), &charter(), &id(), now_secs)
}

#[test]
fn a_finding_counts_for_its_own_time_and_no_longer_than_the_charter_says() {
    let finding = verified(&check(), NOW).unwrap();
    assert_eq!((finding.checker().as_str(), finding.objection()), ("screening", None));
    assert!(verified(&check(), NOW + 299).is_ok());
    assert!(matches!(verified(&check(), NOW + 300), Err(CheckError::Expired { .. })));
    let long = Check { expires_at_secs: NOW + 100_000, ..check() };
    assert!(verified(&long, NOW + 599).is_ok());
    assert!(matches!(verified(&long, NOW + 600), Err(CheckError::Expired { .. })));
    assert!(verified(&check(), NOW - SKEW_SECS).is_ok());
    assert!(matches!(verified(&check(), NOW - SKEW_SECS - 1), Err(CheckError::FromTheFuture { .. })));
}

#[test]
fn an_objection_outlasts_a_pass() {
    let no = Check { objection: Some("on a list".to_owned()), expires_at_secs: NOW + 100_000, ..check() };
    assert_eq!(verified(&no, NOW + 99_999).unwrap().objection(), Some("on a list"));
    assert!(matches!(verified(&no, NOW + 100_000), Err(CheckError::Expired { .. })));
}

#[test]
fn a_finding_about_anything_else_is_none() {
    let other = CheckerId::new("nobody").unwrap();
    type Fits = fn(&CheckError) -> bool;
    let cases: [(Check, Fits); 4] = [
        (Check { cluster: ClusterId::new("x").unwrap(), ..check() }, |e| matches!(e, CheckError::OtherCluster { .. })),
        (Check { intent_id: IntentId::new([8; 32]), ..check() }, |e| matches!(e, CheckError::OtherIntent { .. })),
        (Check { charter: CharterHash::new([8; 32]), ..check() }, |e| matches!(e, CheckError::OtherCharter { .. })),
        (Check { checker: other, ..check() }, |e| matches!(e, CheckError::NotEnrolled { .. })),
    ];
    for (spoiled, fits) in cases {
        let error = verified(&spoiled, NOW).unwrap_err();
        assert!(fits(&error), "{error}");
    }
}

#[test]
fn only_the_checkers_own_key_speaks_for_it() {
    let (charter, sealed) = (charter(), check().seal(&key(8)));
    assert!(matches!(verify(&sealed, &charter, &id(), NOW), Err(CheckError::Signature { .. })));
    let good = check().seal(&key(9));
    let mut unsigned = good.clone();
    unsigned.signatures.clear();
    assert!(matches!(verify(&unsigned, &charter, &id(), NOW), Err(CheckError::Signature { .. })));
    for position in 0..good.payload.len() {
        let mut bytes = good.payload.to_vec();
        bytes[position] ^= 1;
        let spoiled = pb::Envelope { payload: bytes.into(), ..good.clone() };
        assert!(verify(&spoiled, &charter, &id(), NOW).is_err(), "byte {position}");
    }
    for position in 0..good.signatures[0].signature.len() {
        let mut spoiled = good.clone();
        let mut bytes = spoiled.signatures[0].signature.to_vec();
        bytes[position] ^= 1;
        spoiled.signatures[0].signature = bytes.into();
        assert!(verify(&spoiled, &charter, &id(), NOW).is_err(), "signature byte {position}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let raw = || pb::Check::decode(check().seal(&key(9)).payload).unwrap();
    let long = "x".repeat(257);
    for (what, spoiled) in [
        ("version", pb::Check { version: 2, ..raw() }),
        ("a pass with a reason", pb::Check { reason: "but".to_owned(), ..raw() }),
        ("an objection without one", pb::Check { passed: false, ..raw() }),
        ("a blank reason", pb::Check { passed: false, reason: " ".to_owned(), ..raw() }),
        ("a long reason", pb::Check { passed: false, reason: long, ..raw() }),
        ("a control character", pb::Check { passed: false, reason: "a\nb".to_owned(), ..raw() }),
        ("no expiry", pb::Check { expires_at_secs: NOW, ..raw() }),
        ("a short intent id", pb::Check { intent_id: vec![1; 31].into(), ..raw() }),
        ("a short charter hash", pb::Check { charter_hash: vec![1; 31].into(), ..raw() }),
        ("a bad name", pb::Check { checker: "A b".to_owned(), ..raw() }),
        ("no cluster", pb::Check { cluster: String::new(), ..raw() }),
    ] {
        let sealed = seal(PayloadType::Check, spoiled.encode_to_vec(), "screening", &key(9));
        let error = verify(&sealed, &charter(), &id(), NOW).unwrap_err();
        assert!(matches!(error, CheckError::Malformed(_)), "{what}: {error}");
    }
}

#[test]
fn checkers_must_make_sense() {
    let anna = "public_key = \"ed25519:db995fe25169d141cab9bbba92baa01f9f2e1ece7df4cb2ac05190f37fcc1f9d\"".to_owned();
    let (line, entry) = (key_line(), "[[checkers]]\nid = \"screening\"");
    for (from, to, says) in [
        (line, anna, "has the same public key"),
        ("max_age_secs = 600", "max_age_secs = 0".to_owned(), "1 to"),
        ("id = \"screening\"", "id = \"Screening\"".to_owned(), "checker id"),
        (entry, format!("[[checkers]]\nid = \"other\"\n{line}\nmax_age_secs = 1\n\n{entry}"), "same public key"),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        let error = Charter::from_toml(&SAMPLE.replacen(from, &to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

/// The sample with our key for the one that watches balances.
fn watched() -> Charter {
    let watch = &SAMPLE[SAMPLE.find("id = \"balance-watch\"").unwrap()..];
    let line = watch.lines().find(|line| line.starts_with("public_key")).unwrap();
    Charter::from_toml(&SAMPLE.replace(line, &format!("public_key = \"{}\"", key(9).public_key()))).unwrap()
}

fn watch() -> Check {
    let (checker, charter) = (CheckerId::new("balance-watch").unwrap(), watched().hash());
    Check { checker, charter, balances: held("hot", 5), ..check() }
}

fn told(check: &Check, now_secs: u64) -> Result<Finding, CheckError> {
    verify(&check.seal(&key(9)), &watched(), &id(), now_secs)
}

fn hot_usdt() -> LimitId {
    LimitId::new("hot-usdt").unwrap()
}

#[test]
fn a_checker_attests_what_the_charter_has_it_attest_and_nothing_else() {
    let finding = told(&watch(), NOW).unwrap();
    assert_eq!(
        attested(&watched(), &[finding]),
        Attested::from([(hot_usdt(), Held { amount: Amount::from_u128(5), ..Held::default() })])
    );
    let asset = watched().assets["usdt"].asset.clone();
    let price = limen_wire::check::Price { value: Amount::from_u128(1), scale: 0 };
    for spoiled in [
        Check { balances: held("reserve", 5), ..watch() },
        Check { balances: held("hot", 5).into_iter().chain(held("attic", 5)).collect(), ..watch() },
        Check { prices: [((asset, "usd".parse().unwrap()), price)].into(), ..watch() },
    ] {
        let error = told(&spoiled, NOW).unwrap_err();
        assert!(matches!(error, CheckError::NotEntitled { .. }), "{error}");
    }
    // One that screens destinations knows nothing of balances and of what has arrived.
    for screening in [Check { balances: held("hot", 5), ..check() }, Check { sequences: passed(7), ..check() }] {
        assert!(matches!(verified(&screening, NOW), Err(CheckError::NotEntitled { .. })));
    }
}

fn passed(next: u64) -> Sequences {
    let account = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    [((ChainId::eip155(31337), account), next)].into()
}

/// A sequence number is believed from whoever tells the balance with it, and no further than everybody does who tells one.
#[test]
fn what_has_arrived_is_told_together_with_the_balance() {
    let charter = watched();
    let finding = |balances, next| told(&Check { balances, sequences: passed(next), ..watch() }, NOW).unwrap();
    let worst = |findings: &[Finding]| attested(&charter, findings).get(&hot_usdt()).cloned();
    let low = finding(held("hot", 5), 7);
    let held_at = |units, passed: Sequences| {
        Some(Held { amount: Amount::from_u128(units), passed: passed.into_iter().collect() })
    };
    assert_eq!(worst(std::slice::from_ref(&low)), held_at(5, passed(7)));
    assert_eq!(worst(&[low.clone(), finding(held("hot", 4), 6)]), held_at(5, passed(6)));
    assert_eq!(worst(&[low.clone(), told(&watch(), NOW).unwrap()]), held_at(5, [].into()));
    // Numbers without a balance may be from another state of the chain: they say nothing.
    assert_eq!(worst(&[low, finding([].into(), 99)]), held_at(5, passed(7)));
    assert_eq!(worst(&[finding([].into(), 99)]), None);
}

/// All that makes a finding stale or another's makes an attestation so.
#[test]
fn an_attestation_is_for_one_intent_charter_and_time() {
    assert!(told(&watch(), NOW + 299).is_ok());
    assert!(matches!(told(&watch(), NOW + 300), Err(CheckError::Expired { .. })));
    let other = Check { intent_id: IntentId::new([8; 32]), ..watch() };
    assert!(matches!(told(&other, NOW), Err(CheckError::OtherIntent { .. })));
    let other = Check { charter: CharterHash::new([8; 32]), ..watch() };
    assert!(matches!(told(&other, NOW), Err(CheckError::OtherCharter { .. })));
    let forged = watch().seal(&key(8));
    assert!(matches!(verify(&forged, &watched(), &id(), NOW), Err(CheckError::Signature { .. })));
}

#[test]
fn of_several_attestations_the_highest_counts_and_an_incomplete_one_does_not() {
    let grouped = SAMPLE
        .replace("[assets.usdt]", "[asset_groups.both]\nassets = [\"eth\", \"usdt\"]\ndecimals = 18\n\n[assets.usdt]")
        .replace("asset = \"usdt\"\nmax_balance", "asset_group = \"both\"\nmax_balance");
    let charter = Charter::from_toml(&grouped).unwrap();
    let (eth, usdt) = (charter.assets["eth"].asset.clone(), charter.assets["usdt"].asset.clone());
    let finding = |held: &[(&limen_wire::effects::Asset, Amount)]| {
        let held = held.iter().map(|(asset, amount)| (("hot".parse().unwrap(), (*asset).clone()), *amount)).collect();
        Finding::unproved("balance-watch".parse().unwrap(), held, [].into())
    };
    let wei = |text: &str| Amount::from_units(text, 18).unwrap();
    let low = finding(&[(&eth, wei("1")), (&usdt, Amount::from_u128(2_000_000))]);
    let high = finding(&[(&eth, wei("3")), (&usdt, Amount::from_u128(500_000))]);
    let part = finding(&[(&eth, wei("9"))]);
    let most = |findings: &[&Finding]| {
        let findings: Vec<Finding> = findings.iter().map(|one| (*one).clone()).collect();
        attested(&charter, &findings).get(&hot_usdt()).map(|held| held.amount)
    };
    assert_eq!(most(&[&low]), Some(wei("3")));
    assert_eq!(most(&[&high, &low]), Some(wei("3.5")));
    assert_eq!(most(&[&low, &high, &part]), Some(wei("3.5")));
    assert_eq!(most(&[&part]), None);
    assert_eq!(most(&[]), None);
    let endless = finding(&[(&eth, Amount::MAX), (&usdt, Amount::from_u128(1))]);
    assert_eq!(most(&[&endless]), Some(Amount::MAX));
    let beyond = finding(&[(&eth, Amount::ZERO), (&usdt, Amount::MAX)]);
    assert_eq!(most(&[&beyond]), Some(Amount::MAX));
}

#[test]
fn prices_are_attested_by_whoever_may() {
    let line = "prices_in = [\"usd\"]";
    let start = SAMPLE[..SAMPLE.find(line).unwrap()].rfind("public_key").unwrap();
    let theirs = SAMPLE[start..].lines().next().unwrap();
    let charter =
        Charter::from_toml(&SAMPLE.replace(theirs, &format!("public_key = \"{}\"", key(9).public_key()))).unwrap();
    let (eth, usd) = (charter.assets["eth"].asset.clone(), CurrencyId::new("usd").unwrap());
    let quote = price("2500.12", 18, 2).unwrap();
    assert_eq!(quote, Price { value: Amount::from_decimal("250012000000000000000000").unwrap(), scale: 36 });
    let prices: Prices = [((eth.clone(), usd.clone()), quote)].into();
    let good = Check { checker: "rates".parse().unwrap(), charter: charter.hash(), prices, ..check() };
    let verified = |check: &Check, now_secs| verify(&check.seal(&key(9)), &charter, &id(), now_secs);
    let quotes = Quotes::of(&[verified(&good, NOW + 119).unwrap()]);
    let two = Amount::from_units("2", 18).unwrap();
    assert_eq!(quotes.worth([(&eth, two)], &usd), Ok(Amount::from_u128(500_024)));
    assert_eq!(quotes.range(&eth, two, &usd), Worth::exactly(Some(Amount::from_u128(500_024))));
    assert_eq!(quotes.range(&eth, two, &"chf".parse().unwrap()), Worth::UNKNOWN);
    let found = quotes.quote(&eth, &usd).unwrap();
    assert_eq!((found.at_secs, found.until_secs), (NOW, NOW + 120));
    assert!(quotes.has(&eth, &usd) && !quotes.has(&eth, &"chf".parse().unwrap()));
    assert!(matches!(verified(&good, NOW + 120), Err(CheckError::Expired { .. })));
    let chf = [((eth, "chf".parse().unwrap()), quote)].into();
    for spoiled in [Check { prices: chf, ..good.clone() }, Check { balances: held("hot", 1), ..good.clone() }] {
        assert!(matches!(verified(&spoiled, NOW), Err(CheckError::NotEntitled { .. })));
    }
    assert!(matches!(
        verified(&Check { intent_id: IntentId::new([8; 32]), ..good }, NOW),
        Err(CheckError::OtherIntent { .. })
    ));
    for text in ["0", "-1", "1.123456789012345678901", "", "x"] {
        assert_eq!(price(text, 18, 2), None, "{text}");
    }
}

/// Prices are compared exactly, however they are written; of two that are the same the later one counts.
#[test]
fn the_highest_quote_is_kept() {
    let what = || (limen_wire::effects::Asset::from_caip19("eip155:1/slip44:60").unwrap(), "usd".parse().unwrap());
    let quote = |value: u128, scale, at_secs| Quote {
        price: Price { value: Amount::from_u128(value), scale },
        at_secs,
        until_secs: at_secs + 60,
    };
    let kept = |all: &[Quote]| {
        let mut quotes = Quotes::default();
        all.iter().for_each(|one| quotes.raise(what(), *one));
        *quotes.iter().next().unwrap().1
    };
    let (low, high) = (quote(25, 1, 9), quote(2_501, 3, 5));
    let written = [quote(2_501, 3, 5), quote(25_010, 4, 4), quote(250_100, 5, 3)];
    for all in [[low, high], [high, low]] {
        assert_eq!(kept(&all), high);
    }
    assert_eq!(kept(&written), high, "one price, and the latest word on it");
    assert_eq!(kept(&[written[2], written[1], written[0]]), high);
}
