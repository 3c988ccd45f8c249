//! Limits in money at real members and guards: prices that are attested, shown or not, and what certificates stand for then.

use limen_policy::check::{Quote, Quotes};
use limen_policy::ledger::{Body, Closing, Price};
use limen_wire::check::Check;
use limen_wire::effects::{Amount, Asset, ChainId};
use limen_wire::envelope::payload_id;
use limen_wire::error::Code;
use limen_wire::keys::SigningKey;

use super::*;

/// What [`World::request`] takes at a price of so many cents for a thousand wei.
const fn worth(cents: u64) -> u64 {
    22 * cents
}

fn rates() -> SigningKey {
    SigningKey::ed25519_from_seed(&[0x63; 32].into())
}

fn other() -> SigningKey {
    SigningKey::ed25519_from_seed(&[0x64; 32].into())
}

fn eth() -> Asset {
    Asset::Native(ChainId::eip155(31337))
}

fn cents(cents: u64) -> limen_wire::check::Price {
    limen_wire::check::Price { value: Amount::from_u128(cents.into()), scale: 3 }
}

/// A limit of so many cents, kept as `more` says; "rates" knows prices, "other" does not, "also" knows some as well.
fn spending(cents: u64, more: &str) -> World {
    World::limited(&format!(
        "max_amount = \"2\"\nsplit_amount = \"1\"\n[currencies.usd]\ndecimals = 2\n[currencies.chf]\ndecimals = 2\n\
         [[checkers]]\nid = \"rates\"\npublic_key = \"{}\"\nmax_age_secs = 120\nprices_in = [\"usd\", \"chf\"]\n\
         [[checkers]]\nid = \"other\"\npublic_key = \"{}\"\nmax_age_secs = 120\n\
         [[checkers]]\nid = \"also\"\npublic_key = \"{}\"\nmax_age_secs = 120\nprices_in = [\"usd\"]\n\
         [[limits]]\nid = \"usd\"\nasset = \"eth\"\nper = \"all\"\ncurrency = \"usd\"\nwindow_secs = 600\n\
         max_amount = \"{}.{:02}\"\n{more}\n",
        rates().public_key(),
        other().public_key(),
        SigningKey::ed25519_from_seed(&[0x65; 32].into()).public_key(),
        cents / 100,
        cents % 100
    ))
}

const CERTIFIED: &str = "ledger = \"main\"";

impl World {
    fn price(&self, envelope: &pb::Envelope, per_thousand: u64) -> Check {
        let prices = [((eth(), "usd".parse().unwrap()), cents(per_thousand))].into();
        Check { checker: "rates".parse().unwrap(), balances: [].into(), prices, ..self.finding(envelope, 0) }
    }

    fn quote(&mut self, envelope: &pb::Envelope, per_thousand: u64) {
        let check = self.price(envelope, per_thousand);
        self.checks.insert(check.intent_id, vec![check.seal(&rates())]);
    }

    fn quoted(&mut self, number: u64, per_thousand: u64) -> pb::Envelope {
        let envelope = self.request(number);
        self.quote(&envelope, per_thousand);
        envelope
    }
}

fn id(envelope: &pb::Envelope) -> IntentId {
    payload_id(PayloadType::Intent, &envelope.payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certified_in_money_is_signed_until_the_limit_is_reached() {
    let mut world = spending(3 * worth(10), CERTIFIED);
    let mut carrier = world.carrier();
    let mut signed = 0;
    for number in 0..5 {
        let request = world.quoted(number, 10);
        let reserved = world.reserve(&mut carrier, &request).await.map(|one| envelopes(&one)).unwrap_or_default();
        assert_eq!(reserved.is_empty(), number >= 3, "{number}");
        signed += u32::from(world.anybody_signs(&request, &reserved).await);
    }
    assert_eq!(signed, 3);
    // A cheaper one does not fit either, and once the window is over all of it does.
    let request = world.quoted(10, 1);
    assert!(world.reserve(&mut carrier, &request).await.is_none());
    world.now_ms += 1_000 * (60 + 600 + 60 + 60);
    let request = world.quoted(11, 30);
    assert!(world.reserve(&mut carrier, &request).await.is_some());
}

/// A certificate stands for what its own prices say, whatever is shown by the time of the signature.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_certified_at_one_price_is_signed_at_another() {
    let mut world = spending(worth(20), CERTIFIED);
    let mut carrier = world.carrier();
    let first = world.quoted(1, 10);
    let reserved = envelopes(&world.reserve(&mut carrier, &first).await.unwrap());
    for now in [5, 10, 20] {
        world.quote(&first, now);
        assert!(world.sign(0, &first, &reserved).await.is_ok(), "{now}");
    }
    // Alone it would be too much by now: no signer allows that, whatever was reserved.
    world.quote(&first, 21);
    let error = world.sign(1, &first, &reserved).await.unwrap_err();
    assert_eq!(error.code, Code::PolicyDenied);
    assert!(error.message.contains("limit usd allows at most 440, this request alone takes 462"), "{}", error.message);
    // And no price at all is none.
    world.checks.clear();
    let error = world.sign(1, &first, &reserved).await.unwrap_err();
    assert_eq!(error.code, Code::ApprovalsMissing);
    assert!(error.message.contains("is worth in usd, attested by also or rates"), "{}", error.message);
    // The certificate's price is what counts beside others.
    let second = world.quoted(2, 11);
    assert!(world.reserve(&mut carrier, &second).await.is_none());
    world.quote(&second, 10);
    assert!(world.reserve(&mut carrier, &second).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_member_takes_a_price_that_is_not_attested() {
    type Spoil = fn(&mut Check);
    let spoils: [(&str, Spoil); 8] = [
        ("missing", |check| check.prices.clear()),
        ("stale", |check| check.checked_at_secs -= 120),
        ("expired", |check| {
            (check.checked_at_secs, check.expires_at_secs) = (check.checked_at_secs - 2, check.checked_at_secs);
        }),
        ("from the future", |check| check.checked_at_secs += 31),
        ("of another intent", |check| check.intent_id = IntentId::new([1; 32])),
        ("under another charter", |check| check.charter = limen_wire::ids::CharterHash::new([1; 32])),
        ("of another asset", |check| {
            let asset = Asset::Native(ChainId::eip155(1));
            check.prices = [((asset, "usd".parse().unwrap()), cents(10))].into();
        }),
        ("in other money", |check| check.prices = [((eth(), "chf".parse().unwrap()), cents(10))].into()),
    ];
    let mut world = spending(1_000, CERTIFIED);
    let request = world.quoted(1, 10);
    let (entry, good) = (once::entry(&world, None, &[&request]), world.price(&request, 10));
    let by = |check: &Check, name: &str, key: &SigningKey| {
        Check { checker: name.parse().unwrap(), ..check.clone() }.seal(key)
    };
    let mut shown: Vec<(&str, Vec<pb::Envelope>)> = vec![
        ("none", Vec::new()),
        ("by another key", vec![good.seal(&other())]),
        ("by a checker that may not", vec![by(&good, "other", &other())]),
        ("by nobody", vec![by(&good, "nobody", &other())]),
    ];
    for (what, spoil) in spoils {
        let mut check = good.clone();
        spoil(&mut check);
        shown.push((what, vec![check.seal(&rates())]));
    }
    for (what, checks) in shown {
        world.checks.insert(id(&request), checks);
        for member in 0..4 {
            let refused = world.show(member, (&entry, None), &[&request]).await.unwrap_err();
            assert!(refused.contains("is worth in usd, attested by also or rates"), "{what} at {member}: {refused}");
        }
    }
    world.quote(&request, 10);
    for member in 0..4 {
        assert_eq!(world.show(member, (&entry, None), &[&request]).await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_at_other_prices_than_those_attested_is_not_acknowledged() {
    let mut world = spending(1_000, CERTIFIED);
    let request = world.quoted(1, 10);
    let quotes = |all: &[(Asset, &str, u64)]| {
        let mut quotes = Quotes::default();
        for (asset, money, price) in all {
            let (at_secs, until_secs) = (world.now_ms / 1000, u64::MAX);
            let quote = Quote { price: cents(*price), at_secs, until_secs };
            quotes.raise((asset.clone(), money.parse().unwrap()), quote);
        }
        quotes
    };
    let at = |all: &[(Asset, &str, u64)]| once::body(&world, None, &[&request], &quotes(all));
    let right = || at(&[(eth(), "usd", 10)]);
    let mainnet = Asset::Native(ChainId::eip155(1));
    let spoilt: Vec<(&str, Body)> = vec![
        ("lower", at(&[(eth(), "usd", 9)])),
        ("higher", at(&[(eth(), "usd", 11)])),
        ("besides", at(&[(eth(), "usd", 10), (mainnet, "usd", 1)])),
        ("besides in other money", at(&[(eth(), "usd", 10), (eth(), "chf", 10)])),
        ("missing", Body { prices: Vec::new(), ..right() }),
        ("in other money", Body { prices: Price::all(&quotes(&[(eth(), "chf", 10)])), ..right() }),
        ("claims of another price", Body { claims: at(&[(eth(), "usd", 9)]).claims, ..right() }),
        ("found at another time", {
            let mut body = right();
            body.prices[0].at_ms += 1;
            body
        }),
    ];
    for (what, body) in spoilt {
        let entry = Entry::new(body).unwrap();
        for member in 0..4 {
            let refused = world.show(member, (&entry, None), &[&request]).await.unwrap_err();
            let says = ["the entry's prices are [", "is not attested", "claims other charges"];
            assert!(says.iter().any(|says| refused.contains(says)), "{what} at {member}: {refused}");
        }
    }
    // Not one byte may be another one.
    let entry = Entry::new(right()).unwrap();
    for place in 0..entry.payload().len() {
        let mut payload = entry.payload().to_vec();
        payload[place] ^= 1;
        let shown = pb::LedgerReserveRequest {
            entry: payload.into(),
            requests: vec![world.requested(&request)],
            ..call(&entry, None)
        };
        let answer = world.keeper(3).reserve(shown).await;
        assert!(answer.is_err() || answer.unwrap().response.acknowledgement.is_none(), "byte {place}");
    }
    // Of two prices that are shown only the higher one is right.
    let also = SigningKey::ed25519_from_seed(&[0x65; 32].into());
    let low = Check { checker: "also".parse().unwrap(), ..world.price(&request, 10) }.seal(&also);
    let high = world.price(&request, 12).seal(&rates());
    world.checks.insert(id(&request), vec![low, high]);
    assert!(world.show(0, (&entry, None), &[&request]).await.unwrap_err().contains("the entry's prices are ["));
    assert_eq!(world.propose(0, &[&request]).await, Ok(()));
}

/// Two requests of one entry count at the higher of their prices.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_has_one_price_for_each_asset() {
    let mut world = spending(worth(10) + worth(30), CERTIFIED);
    let (cheap, dear) = (world.quoted(1, 10), world.quoted(2, 30));
    let refused = world.propose(0, &[&cheap, &dear]).await.unwrap_err();
    assert!(refused.contains("limit \"usd\": 1320 is more than the bound 880 within its window"), "{refused}");
    // A coordinator proposes them one after the other then.
    let mut carrier = world.carrier();
    carrier.submit(&world, &cheap);
    carrier.submit(&world, &dear);
    carrier.work(&mut world).await;
    let entries: Vec<usize> = carrier.certified.iter().map(|one| one.entry().claims.len()).collect();
    assert_eq!(entries, [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_number_is_settled_at_the_prices_of_what_it_carries() {
    let mut world = spending(worth(10) + worth(30), CERTIFIED);
    let carried = world.quoted(1, 10);
    let entry = once::entry(&world, None, &[&carried]);
    for member in 0..2 {
        assert_eq!(world.show(member, (&entry, None), &[&carried]).await, Ok(()));
    }
    // The next coordinator has the request and none of its prices, which have gone by.
    world.checks.clear();
    let mut next = world.carrier();
    next.remember(&world, &carried);
    let request = world.quoted(2, 30);
    assert!(world.reserve(&mut next, &request).await.is_some());
    assert!(next.certified.iter().any(|one| one.entry().settles() && one.entry().carried.contains(&entry)));
    let little = world.quoted(3, 1);
    assert!(world.reserve(&mut next, &little).await.is_none(), "10 and 30 are all there is");
    // What is carried is not reserved.
    world.quote(&carried, 10);
    for certificate in next.certified.clone() {
        let error = world.sign(0, &carried, &envelopes(&certificate)).await.unwrap_err();
        assert_eq!(error.code, Code::ReservationMissing);
    }
}

/// One corrupt member can have an entry carried that nobody else has seen, at a price of its own making.
#[tokio::test(flavor = "multi_thread")]
async fn prices_that_are_invented_make_no_more_of_a_request_than_the_limit_holds() {
    let world = spending(worth(45), CERTIFIED);
    let request = world.request(1);
    let committee = world.committee();
    for (price, fits) in [(46, false), (u64::MAX, false), (45, true)] {
        let mut quotes = Quotes::default();
        let quote = Quote { price: cents(price), at_secs: world.now_ms / 1000, until_secs: u64::MAX };
        quotes.raise((eth(), "usd".parse().unwrap()), quote);
        let invented = Entry::new(once::body(&world, None, &[&request], &quotes)).unwrap();
        let closing = |index: usize| {
            let acknowledged = if index == 1 { vec![(1, invented.hash())] } else { Vec::new() };
            let closing = Closing { after: 0, through: 1, acknowledged, successor: None };
            closing.sign(&committee, &world.machines[index].id, &world.machines[index].key)
        };
        let body = Body {
            number: 2,
            prices: Vec::new(),
            claims: Vec::new(),
            closings: (0..3).map(closing).collect(),
            carried: vec![invented.clone()],
            ..Body::clone(&invented)
        };
        let shown = world.show(0, (&Entry::new(body).unwrap(), None), &[&request]).await;
        match shown {
            Ok(()) => assert!(fits, "{price}"),
            Err(refused) => assert!(!fits && refused.contains("limit usd allows at most 990"), "{price}: {refused}"),
        }
    }
}

/// Whatever prices a coordinator shows to whom, of all that are attested: what honest signers let through by themselves stays
/// below the part that is set aside, counted at the lowest price that any of those who signed was shown.
#[tokio::test(flavor = "multi_thread")]
async fn rotating_signer_sets_never_exceed_a_limit_in_money() {
    let aside = worth(10) * 8;
    for prices in [[10, 10], [10, 30], [40, 5], [1, 100]] {
        let mut world = spending(aside, &format!("split_amount = \"{}.{:02}\"", aside / 100, aside % 100));
        let mut let_out = 0;
        for number in 0..40 {
            let request = world.request(number);
            // One honest signer and the corrupt third are enough, and each is shown another price.
            for signer in [(number % 2) as usize, 1 - (number % 2) as usize] {
                world.quote(&request, prices[signer]);
                if world.sign(signer, &request, &[]).await.is_ok() {
                    let_out += worth(prices[signer]);
                    break;
                }
            }
            assert!(let_out <= aside, "{prices:?}: {let_out} of {aside}");
        }
        assert!(let_out > 0, "{prices:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_share_has_taken_over_stays_there_at_its_price() {
    let aside = 2 * worth(10);
    let mut world = spending(aside, &format!("split_amount = \"{}.{:02}\"", aside / 100, aside % 100));
    let (first, second) = (world.quoted(1, 10), world.quoted(2, 1));
    assert!(world.sign(0, &first, &[]).await.is_ok());
    for later in [1, 20] {
        world.quote(&first, later);
        assert!(world.sign(0, &first, &[]).await.is_ok(), "{later}");
        assert_eq!(world.sign(0, &second, &[]).await.unwrap_err().code, Code::LimitReached);
    }
    world.checks.clear();
    assert_eq!(world.sign(0, &first, &[]).await.unwrap_err().code, Code::ApprovalsMissing);
    assert_eq!(world.sign(1, &second, &[]).await.unwrap_err().code, Code::ApprovalsMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_at_moving_prices_never_exceed_a_limit_in_money() {
    let most = 5_000;
    let mut world = spending(most, CERTIFIED);
    let mut carriers = [world.carrier(), world.carrier()];
    for round in 0..6 {
        for number in 0..12 {
            let request = world.quoted(round * 100 + number, 1 + (number * 7 + round * 13) % 40);
            for carrier in &mut carriers {
                carrier.submit(&world, &request);
            }
        }
        for carrier in &mut carriers {
            carrier.work(&mut world).await;
        }
    }
    let certified = carriers.iter().flat_map(|one| &one.certified);
    let mut taken = std::collections::BTreeMap::new();
    for entry in certified.map(Certificate::entry) {
        for claim in &entry.claims {
            // Every claim by its own arithmetic.
            let price = entry.prices[0].price;
            let worth = price.worth(Amount::from_u128(kit::EACH.into())).unwrap().to_u64().unwrap();
            taken.insert(claim.intent, worth);
        }
    }
    let sum: u64 = taken.values().sum();
    assert!(sum <= most && sum > most / 2, "{sum}");
}
