use bytes::Bytes;
use limen_wire::effects::Asset;
use limen_wire::ids::{CommitteeHash, EntryHash};
use limen_wire::pb;
use prost::Message as _;

use super::kit::*;
use crate::ledger::*;

fn sample() -> Body {
    let claims = [spending(1, 10, &[nonce(5), input(0)], None), spending(2, 20, &[nonce(6)], Some(9))];
    Body { prices: vec![price("eip155:1/slip44:60", "usd")], ..body(&committee(), None, NOW, &claims) }
}

fn price(asset: &str, unit: &str) -> Price {
    let price = limen_wire::check::Price { value: amount(3), scale: 18 };
    Price { asset: Asset::from_caip19(asset).unwrap(), unit: unit.parse().unwrap(), price, at_ms: NOW }
}

fn refused(change: impl FnOnce(&mut Body)) -> EntryError {
    let mut body = sample();
    change(&mut body);
    Entry::new(body).unwrap_err()
}

#[test]
fn an_entry_is_its_bytes() {
    let entry = Entry::new(sample()).unwrap();
    let again = Entry::decode(entry.payload().clone()).unwrap();
    assert_eq!((*again).clone(), sample());
    assert_eq!(again.hash(), entry.hash());
    let stored = stored_and_read(&entry);
    assert_eq!(stored, entry);
}

/// Through serde and back, as a store does.
fn stored_and_read(entry: &Entry) -> Entry {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Row {
        entry: Entry,
    }
    let text = toml::to_string(&Row { entry: entry.clone() }).unwrap();
    toml::from_str::<Row>(&text).unwrap().entry
}

#[test]
fn every_field_changes_the_hash() {
    let hash = |change: fn(&mut Body)| {
        let mut body = sample();
        change(&mut body);
        Entry::new(body).unwrap().hash()
    };
    let hashes = [
        hash(|_| ()),
        hash(|b| b.cluster = limen_wire::ids::ClusterId::new("other").unwrap()),
        hash(|b| b.ledger = limen_wire::ids::LedgerId::new("other").unwrap()),
        hash(|b| b.committee = CommitteeHash::new([1; 32])),
        hash(|b| b.charter = limen_wire::ids::CharterHash::new([1; 32])),
        hash(|b| (b.number, b.base) = (3, 2)),
        hash(|b| b.previous = EntryHash::new([1; 32])),
        hash(|b| b.time_ms -= 1),
        hash(|b| b.expires_at_ms += 1),
        hash(|b| b.prices[0].price.value = amount(4)),
        hash(|b| b.prices[0].price.scale = 17),
        hash(|b| b.prices[0].at_ms -= 1),
        hash(|b| b.prices[0] = price("eip155:1/slip44:60", "chf")),
        hash(|b| b.prices[0] = price("eip155:2/slip44:60", "usd")),
        hash(|b| b.prices.clear()),
        hash(|b| b.claims[0].replaces = Some(id(77))),
        hash(|b| b.claims[0].charges.extend([(daily(), amount(11))])),
        hash(|b| drop(b.claims.pop())),
        hash(|b| b.releases.push(void(&cluster(), &id(3), &node(0), &key(0)))),
    ];
    let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());
}

#[test]
fn only_the_canonical_encoding_is_read() {
    let entry = Entry::new(sample()).unwrap();
    let unknown_field = [entry.payload().as_ref(), &[0xf8, 0x07, 0x01]].concat();
    assert!(matches!(Entry::decode(unknown_field.into()), Err(EntryError::NotCanonical(_))));
    let cut = entry.payload().slice(..entry.payload().len() - 1);
    assert!(matches!(Entry::decode(cut), Err(EntryError::NotCanonical(_))));
    for place in 0..entry.payload().len() {
        let mut bytes = entry.payload().to_vec();
        bytes[place] ^= 1;
        if let Ok(other) = Entry::decode(bytes.into()) {
            assert_ne!(other.hash(), entry.hash(), "byte {place}");
        }
    }
}

#[test]
fn shapes_that_mean_nothing_are_refused() {
    let field = |error: EntryError| match error {
        EntryError::Shape { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(refused(|b| b.number = 0)), "number");
    assert_eq!(field(refused(|b| b.base = 1)), "number");
    assert_eq!(field(refused(|b| b.number = 3)), "base");
    assert_eq!(field(refused(|b| b.expires_at_ms = b.time_ms - 1)), "expires_at_ms");
    assert_eq!(field(refused(|b| b.claims.reverse())), "claims");
    assert_eq!(field(refused(|b| b.claims.clear())), "claims");
    assert_eq!(field(refused(|b| b.claims[0].replaces = Some(b.claims[0].intent))), "claims");
    // Every price has one way to be written, and one place.
    assert_eq!(field(refused(|b| b.prices[0].price.value = amount(0))), "prices");
    assert_eq!(field(refused(|b| b.prices[0].price.value = amount(30))), "prices");
    assert_eq!(field(refused(|b| b.prices[0].price.scale = 77)), "prices");
    assert_eq!(field(refused(|b| b.prices.push(b.prices[0].clone()))), "prices");
    for (asset, unit) in [("eip155:1/slip44:60", "chf"), ("eip155:1/erc20:0xabc", "usd")] {
        assert_eq!(field(refused(|b| b.prices.push(price(asset, unit)))), "prices", "{asset} {unit}");
        let mut body = sample();
        body.prices.insert(0, price(asset, unit));
        assert!(Entry::new(body).is_ok(), "{asset} {unit}");
    }
    assert_eq!(field(refused(|b| b.releases.push(pb::Envelope::default()))), "releases");
    let voided = |b: &Body| void(&cluster(), &b.claims[0].intent, &node(0), &key(0));
    assert_eq!(field(refused(|b| b.releases.push(voided(b)))), "releases");
    let seal = Seal { successor: CommitteeHash::new([1; 32]), book: [0; 32] };
    assert_eq!(field(refused(|b| b.seal = Some(seal))), "seal");
    assert_eq!(field(refused(|b| b.carried.push(Entry::new(sample()).unwrap()))), "carried");
    assert_eq!(field(refused(|b| b.closings.push(pb::Envelope::default()))), "closings");
}

#[test]
fn what_is_carried_lies_between_base_and_number_and_counts() {
    let first = Entry::new(sample()).unwrap();
    let settle = |change: &dyn Fn(&mut Body)| {
        let mut body = Body { prices: vec![], claims: vec![], number: 2, ..sample() };
        body.closings.push(pb::Envelope::default());
        body.carried.push(first.clone());
        change(&mut body);
        Entry::new(body)
    };
    let settled = settle(&|_| ()).unwrap();
    assert!(settled.settles() && !settled.counts());
    let bad: [&dyn Fn(&mut Body); 8] = [
        &|b| b.carried.push(first.clone()),
        &|b| b.number = 1,
        &|b| b.time_ms -= 1,
        &|b| b.committee = CommitteeHash::new([1; 32]),
        &|b| b.prices = sample().prices,
        &|b| b.claims = sample().claims,
        &|b| b.carried = vec![settled.clone()],
        &|b| b.closings = vec![pb::Envelope::default(); 17],
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert!(matches!(settle(change), Err(EntryError::Shape { .. })), "{index}");
    }
}

#[test]
fn long_entries_are_refused() {
    let many: Vec<Claim> = (0..200).map(|number| claim(number, 1)).collect();
    let long = Entry::new(body(&committee(), None, NOW, &many));
    assert!(matches!(long, Err(EntryError::TooLarge { .. })));
    assert!(matches!(Entry::decode(Bytes::from(vec![0; 300_000])), Err(EntryError::TooLarge { .. })));
}

type Spoil<'a> = Box<dyn FnOnce(&mut Vec<pb::LedgerCharge>) + 'a>;

/// The bytes of an entry with its one claim's charges changed on the wire.
fn charged(change: impl FnOnce(&mut Vec<pb::LedgerCharge>)) -> Result<Entry, EntryError> {
    let entry = entry(&committee(), None, NOW, &[spending(1, 10, &[nonce(5)], None)]);
    let mut raw = pb::LedgerEntry::decode(entry.payload().as_ref()).unwrap();
    change(&mut raw.claims[0].charges);
    Entry::decode(raw.encode_to_vec().into())
}

#[test]
fn charges_have_one_form() {
    use pb::ledger_scope::Kind;
    charged(|_| ()).unwrap();
    let scope = |kind| Some(pb::LedgerScope { kind: Some(kind) });
    let limit = |name: &str, subject: String| scope(Kind::Limit(pb::LedgerLimit { name: name.to_owned(), subject }));
    let bad: Vec<Spoil<'_>> = vec![
        Box::new(|c| c.clear()),
        Box::new(|c| c.reverse()),
        Box::new(|c| c.push(c[2].clone())),
        Box::new(|c| *c = vec![c[0].clone(); 33]),
        Box::new(|c| c[0].amount = Bytes::from_static(&[1; 31])),
        Box::new(|c| c[2].amount = Bytes::from_static(&[1; 32])),
        Box::new(|c| c[0].scope = None),
        Box::new(|c| c[0].scope = limit("", String::new())),
        Box::new(|c| c[0].scope = limit("a b", String::new())),
        Box::new(|c| c[0].scope = limit("daily", "x".repeat(129))),
        Box::new(|c| c[2].scope = scope(Kind::Nonce(pb::LedgerNonce { chain: "?".into(), ..Default::default() }))),
        Box::new(|c| {
            let input = pb::LedgerInput { chain: "eip155:1".into(), transaction: Bytes::from_static(&[1]), index: 0 };
            c[2].scope = scope(Kind::Input(input));
        }),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert!(matches!(charged(change), Err(EntryError::Scope(_))), "{index}");
    }
}

#[test]
fn windows_are_bounded() {
    assert!(Counts::window(0).is_err());
    assert!(Counts::window(MAX_WINDOW_SECS + 1).is_err());
    assert_eq!(Counts::window(MAX_WINDOW_SECS), Ok(Counts::Window(MAX_WINDOW_SECS * 1000)));
}
