//! Findings: one encoding of what they attest, and what is not well formed.

use bytes::Bytes;
use limen_wire::check::{Check, Price};
use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{CharterHash, IntentId};
use limen_wire::keys::SigningKey;
use limen_wire::{limits, pb};
use prost::Message as _;

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[3; 32].into())
}

fn token(digit: char) -> Asset {
    let contract = format!("0x{}", String::from(digit).repeat(40));
    Asset::Erc20(ChainId::eip155(1), Address::from_canonical(contract).unwrap())
}

fn account(text: &str) -> Address {
    Address::from_canonical(text).unwrap()
}

fn sample() -> Check {
    let coin = Asset::Native(ChainId::eip155(1));
    let price = Price { value: Amount::from_u128(250_012), scale: 18 };
    Check {
        cluster: "test".parse().unwrap(),
        intent_id: IntentId::new([1; 32]),
        charter: CharterHash::new([2; 32]),
        checker: "watch".parse().unwrap(),
        checked_at_secs: 1_000,
        expires_at_secs: 1_300,
        objection: None,
        balances: [
            (("hot".parse().unwrap(), coin.clone()), Amount::MAX),
            (("hot".parse().unwrap(), token('1')), Amount::ZERO),
            (("cold".parse().unwrap(), token('2')), Amount::from_u128(7)),
        ]
        .into(),
        prices: [((coin, "usd".parse().unwrap()), price), ((token('1'), "eur".parse().unwrap()), price)].into(),
        sequences: [((ChainId::eip155(1), account("0xb")), 7), ((ChainId::eip155(1), account("0xa")), u64::MAX)].into(),
    }
}

fn raw() -> pb::Check {
    pb::Check::decode(sample().seal(&key()).payload).unwrap()
}

fn opened(raw: &pb::Check) -> Result<Check, limen_wire::intent::IntentError> {
    let sealed = seal(PayloadType::Check, raw.encode_to_vec(), "watch", &key());
    Check::open(&sealed).map(|(check, _)| check)
}

#[test]
fn what_is_attested_reads_back() {
    let sealed = sample().seal(&key());
    let (check, opened) = Check::open(&sealed).unwrap();
    assert_eq!(check, sample());
    assert!(check.verify(&opened, &key().public_key()).is_ok());
    let vaults: Vec<_> = raw().balances.into_iter().map(|one| (one.vault, one.asset)).collect();
    assert!(vaults.is_sorted(), "{vaults:?}");
}

#[test]
fn every_part_of_what_is_attested_is_under_the_signature() {
    type Change = fn(&mut pb::Check);
    let changes: [Change; 14] = [
        |one| one.balances[0].vault = "warm".to_owned(),
        |one| one.balances[0].asset = "eip155:10/slip44:60".to_owned(),
        |one| one.balances[0].amount = Bytes::from(vec![9; 32]),
        |one| drop(one.balances.pop()),
        |one| one.balances.clear(),
        |one| one.prices[0].asset = "eip155:10/slip44:60".to_owned(),
        |one| one.prices[0].currency = "chf".to_owned(),
        |one| one.prices[0].value = Bytes::from(vec![9; 32]),
        |one| one.prices[0].scale += 1,
        |one| drop(one.prices.pop()),
        |one| one.sequences[0].chain = "eip155:10".to_owned(),
        |one| one.sequences[0].account = "0x9".to_owned(),
        |one| one.sequences[1].next += 1,
        |one| drop(one.sequences.pop()),
    ];
    let good = sample().seal(&key());
    for (which, change) in changes.into_iter().enumerate() {
        let mut spoiled = raw();
        change(&mut spoiled);
        let envelope = pb::Envelope { payload: spoiled.encode_to_vec().into(), ..good.clone() };
        let refused = match Check::open(&envelope) {
            Ok((check, opened)) => check.verify(&opened, &key().public_key()).is_err(),
            Err(_) => true,
        };
        assert!(refused, "change {which}");
    }
}

#[test]
fn what_is_attested_badly_is_refused() {
    type Change = fn(&mut pb::Check);
    let changes: [(&str, Change); 21] = [
        ("balances", |one| one.balances.swap(0, 1)),
        ("balances", |one| one.balances.insert(0, one.balances[0].clone())),
        ("balances", |one| {
            let numbered =
                |number: usize| pb::AttestedBalance { vault: format!("v{number:03}"), ..one.balances[0].clone() };
            one.balances = (0..=limits::ATTESTED).map(numbered).collect();
        }),
        ("balances.vault", |one| one.balances[0].vault = String::new()),
        ("balances.asset", |one| one.balances[0].asset = "usd".to_owned()),
        ("balances.asset", |one| one.balances[0].asset = "eip155:1/slip44:060".to_owned()),
        ("balances.amount", |one| one.balances[0].amount = Bytes::from(vec![9; 31])),
        ("sequences", |one| one.sequences.swap(0, 1)),
        ("sequences", |one| one.sequences.insert(0, one.sequences[0].clone())),
        ("sequences", |one| {
            let numbered =
                |number: usize| pb::AttestedSequence { account: format!("v{number:04}"), ..one.sequences[0].clone() };
            one.sequences = (0..=limits::SEQUENCES).map(numbered).collect();
        }),
        ("sequences.chain", |one| one.sequences[0].chain = "EIP155:1".to_owned()),
        ("sequences.account", |one| one.sequences[0].account = "0x a".to_owned()),
        ("prices", |one| one.prices.swap(0, 1)),
        ("prices", |one| one.prices.insert(0, one.prices[0].clone())),
        ("prices", |one| {
            let numbered =
                |number: usize| pb::AttestedPrice { currency: format!("v{number:03}"), ..one.prices[0].clone() };
            one.prices = (0..=limits::ATTESTED).map(numbered).collect();
        }),
        ("prices.asset", |one| one.prices[0].asset = "eip155:1/erc721:0x1/7".to_owned()),
        ("prices.currency", |one| one.prices[0].currency = "U S".to_owned()),
        ("prices.value", |one| one.prices[0].value = Bytes::new()),
        ("prices", |one| one.prices[0].value = Bytes::from(vec![0; 32])),
        ("prices", |one| one.prices[0].scale = 77),
        ("attests nothing", |one| (one.passed, one.reason) = (false, "on a list".to_owned())),
    ];
    for (which, (what, change)) in changes.into_iter().enumerate() {
        let mut spoiled = raw();
        change(&mut spoiled);
        let error = opened(&spoiled).unwrap_err().to_string();
        assert!(error.contains(what), "change {which}: {error}");
    }
    assert!(opened(&raw()).is_ok());
}

/// A price is an exact fraction: what is left over is rounded up, and what is too large is said to be.
#[test]
fn worth_is_rounded_up_and_never_wraps() {
    let units = |text: &str| Amount::from_decimal(text).unwrap();
    let worth = |value: &str, scale, amount: &str| Price { value: units(value), scale }.worth(units(amount));
    assert_eq!(worth("250012", 18, "2000000000000000000"), Some(units("500024")));
    assert_eq!(worth("250012", 18, "1"), Some(units("1")));
    assert_eq!(worth("250012", 18, "0"), Some(Amount::ZERO));
    assert_eq!(worth("250012", 18, "2000000000000000001"), Some(units("500025")));
    assert_eq!(worth("3", 0, "7"), Some(units("21")));
    assert_eq!(worth("1", 76, "1"), Some(units("1")));
    assert_eq!(worth("10", 1, "18446744073709551616"), Some(units("18446744073709551616")));
    let product = worth("340282366920938463463374607431768211455", 0, "340282366920938463463374607431768211457");
    assert_eq!(product, Some(Amount::MAX));
    assert_eq!(worth("340282366920938463463374607431768211456", 0, "340282366920938463463374607431768211456"), None);
    assert_eq!(Price { value: units("2"), scale: 0 }.worth(Amount::MAX), None);
    assert_eq!(Price { value: units("1"), scale: 0 }.worth(Amount::MAX), Some(Amount::MAX));
}

#[test]
fn prices_are_compared_exactly_and_written_in_one_way() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let price = |text: &str, scale| Price { value: Amount::from_decimal(text).unwrap(), scale };
    for (one, other, expected) in [
        (price("25", 1), price("250", 2), Equal),
        (price("251", 2), price("25", 1), Greater),
        (price("25", 1), price("251", 2), Less),
        (price("1", 76), price("1", 0), Less),
        // Beyond 256 bits on the way.
        (Price { value: Amount::MAX, scale: 0 }, Price { value: Amount::MAX, scale: 76 }, Greater),
        (Price { value: Amount::MAX, scale: 76 }, Price { value: Amount::MAX, scale: 75 }, Less),
    ] {
        assert_eq!(one.compare(&other), expected, "{one:?} {other:?}");
        assert_eq!(other.compare(&one), expected.reverse());
    }
    for (one, reduced) in [
        (price("2500", 3), price("25", 1)),
        (price("2500", 1), price("250", 0)),
        (price("25", 7), price("25", 7)),
        (price("0", 2), price("0", 0)),
    ] {
        assert_eq!(one.reduced(), reduced);
        assert_eq!(one.compare(&reduced), Equal);
    }
}
