//! Entries with prices: what members compute from them, what they refuse, and a reference that only adds worths up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use limen_wire::check;
use limen_wire::effects::Asset;
use limen_wire::ids::{CharterHash, CommitteeHash, CurrencyId, IntentId};
use proptest::prelude::*;

use super::kit::*;
use crate::check::{Quote, Quotes};
use crate::decide::Sum;
use crate::ledger::*;

fn eth() -> Asset {
    Asset::from_caip19("eip155:1/slip44:60").unwrap()
}

fn coin(number: u64) -> Asset {
    Asset::from_caip19(&format!("eip155:{number}/slip44:60")).unwrap()
}

fn usd() -> CurrencyId {
    "usd".parse().unwrap()
}

/// So many cents for `10^scale`.
fn quote(cents: u64, scale: u32) -> Quote {
    let price = check::Price { value: amount(cents), scale };
    Quote { price, at_secs: NOW / 1000 - 5, until_secs: NOW / 1000 + 100 }
}

fn quotes(all: &[(Asset, u64, u32)]) -> Quotes {
    let mut quotes = Quotes::default();
    all.iter().for_each(|(asset, cents, scale)| quotes.raise((asset.clone(), usd()), quote(*cents, *scale)));
    quotes
}

/// A request that moves so much of these, which count in the daily limit by what they are worth.
fn demand(number: u64, moves: &[(Asset, u64)]) -> Demand {
    let mut demand = Demand::from(claim(number, 0));
    let of = moves.iter().map(|(asset, moved)| (asset.clone(), amount(*moved))).collect();
    demand.sums.insert(daily(), Sum::Worth { currency: usd(), of });
    demand
}

fn wanted(number: u64, moves: &[(Asset, u64)], all: &[(Asset, u64, u32)]) -> Wanted {
    Wanted { demand: demand(number, moves), quotes: quotes(all) }
}

/// A guard that knows requests and what is attested for them.
#[derive(Clone)]
struct Knows {
    guard: Guard,
    told: BTreeMap<IntentId, Wanted>,
}

impl Knows {
    fn new(all: &[Wanted], most: u64) -> Self {
        let told = all.iter().map(|one| (one.demand.intent, one.clone())).collect();
        Self { guard: Guard::new(&[], most, 1_000), told }
    }
}

impl Judge for Knows {
    fn charter(&self) -> CharterHash {
        self.guard.charter()
    }
    fn limit(&self, scope: &Scope, claims: &[Claim]) -> Option<Limit> {
        self.guard.limit(scope, claims)
    }
    fn recompute(&self, entry: &Entry, intent: &IntentId) -> Result<Claim, String> {
        let told = self.told.get(intent).ok_or("never announced")?;
        told.demand.at(&Price::quotes(&entry.prices)).map_err(|error| error.to_string())
    }
    fn prices(&self, entry: &Entry) -> Result<Vec<Price>, String> {
        let told = |claim: &Claim| self.told.get(&claim.intent).ok_or("never announced");
        let told = entry.claims.iter().map(told).collect::<Result<Vec<_>, _>>()?;
        let common = common(told.into_iter().map(|one| (&one.demand, &one.quotes)));
        common.map(|quotes| Price::all(&quotes)).map_err(|error| error.to_string())
    }
    fn allows(&self, intent: &IntentId) -> Result<(), String> {
        self.guard.allows(intent)
    }
    fn signers(&self, intent: &IntentId) -> Option<KeySigners> {
        self.guard.signers(intent)
    }
    fn successor(&self) -> Option<CommitteeHash> {
        self.guard.successor()
    }
}

/// The entry of these at these prices, in the order of their intents.
fn at(all: &[Wanted], prices: &Quotes) -> Body {
    let claims: Vec<Claim> = all.iter().map(|one| one.demand.at(prices).unwrap()).collect();
    Body { prices: Price::all(prices), ..body(&committee(), None, NOW, &claims) }
}

fn shown(body: Body, judge: &dyn Judge) -> Result<Entry, Refusal> {
    let node = Node::new(0, &committee());
    let proposal = Proposal::check(Entry::new(body).unwrap(), None, node.member.committee()).unwrap();
    node.member.acknowledge(&proposal, NOW, judge).map(|step| {
        let mut member = node.member.clone();
        member.commit(step)
    })
}

#[test]
fn an_entry_has_exactly_the_prices_that_are_attested_for_what_it_claims() {
    let all = [
        wanted(1, &[(coin(1), 1_000)], &[(coin(1), 250, 1), (coin(2), 9, 0)]),
        wanted(2, &[(coin(1), 10), (coin(3), 4)], &[(coin(1), 260, 1), (coin(3), 7, 0)]),
    ];
    let knows = Knows::new(&all, 1_000_000);
    // The higher of two for what both need; nothing for what was attested and nobody needs.
    let right = quotes(&[(coin(1), 26, 0), (coin(3), 7, 0)]);
    let entry = shown(at(&all, &right), &knows).unwrap();
    assert_eq!(entry.prices.len(), 2);
    let charged: BTreeSet<_> = entry.claims.iter().map(|claim| claim.charges[&daily()]).collect();
    assert_eq!(charged, [amount(26_000), amount(260 + 28)].into());
    let refused = |what: &str, prices: &[(Asset, u64, u32)]| {
        let refusal = shown(at(&all, &quotes(prices)), &knows).unwrap_err();
        assert!(matches!(refusal, Refusal::OtherPrices { .. }), "{what}: {refusal}");
        assert_eq!(Hint::of(&refusal, Vec::new), Hint::Stale);
    };
    refused("lower", &[(coin(1), 25, 0), (coin(3), 7, 0)]);
    refused("lower by a little", &[(coin(1), 25_999, 3), (coin(3), 7, 0)]);
    refused("higher", &[(coin(1), 27, 0), (coin(3), 7, 0)]);
    refused("besides", &[(coin(1), 26, 0), (coin(2), 9, 0), (coin(3), 7, 0)]);
    // Found at another time.
    let mut body = at(&all, &right);
    body.prices[0].at_ms -= 1_000;
    assert!(matches!(shown(body, &knows), Err(Refusal::OtherPrices { .. })));
    // Missing, or of other money: nobody can compute the claims.
    for spoil in [
        (|body: &mut Body| drop(body.prices.pop())) as fn(&mut Body),
        |body| body.prices.clear(),
        |body| body.prices[0].unit = "chf".parse().unwrap(),
    ] {
        let mut body = at(&all, &right);
        spoil(&mut body);
        let refusal = shown(body, &knows).unwrap_err();
        assert!(refusal.to_string().contains("is worth in usd is not attested"), "{refusal}");
    }
    // Claims at other prices than the entry's own.
    let mut body = at(&all, &right);
    body.claims = at(&all, &quotes(&[(coin(1), 25, 0), (coin(3), 7, 0)])).claims;
    assert!(matches!(shown(body, &knows), Err(Refusal::OtherCharges(_))));
    // An entry that claims nothing in money has no prices.
    let plain = [Wanted::from(claim(5, 3))];
    let knows = Knows::new(&plain, 10);
    assert!(shown(at(&plain, &Quotes::default()), &knows).is_ok());
    let refusal = shown(Body { prices: Price::all(&right), ..at(&plain, &Quotes::default()) }, &knows).unwrap_err();
    assert!(matches!(refusal, Refusal::OtherPrices { .. }), "{refusal}");
}

#[test]
fn what_nobody_has_a_price_for_is_not_acknowledged() {
    let all = [wanted(1, &[(eth(), 5)], &[(eth(), 2, 0)])];
    let unpriced = Knows::new(&[wanted(1, &[(eth(), 5)], &[])], 100);
    let refusal = shown(at(&all, &quotes(&[(eth(), 2, 0)])), &unpriced).unwrap_err();
    assert!(matches!(refusal, Refusal::NoPrices(_)), "{refusal}");
}

/// Members that know nothing of prices any more settle by those that the carried entry has.
#[test]
fn what_is_carried_counts_at_its_own_prices() {
    let committee = committee();
    let all = [wanted(1, &[(eth(), 7)], &[(eth(), 10, 0)])];
    let knows = Knows::new(&all, 100);
    let first = Entry::new(at(&all, &quotes(&[(eth(), 10, 0)]))).unwrap();
    let mut nodes = Node::all(&committee);
    let proposal = Proposal::check(first.clone(), None, &committee).unwrap();
    for node in &mut nodes[..2] {
        let step = node.member.acknowledge(&proposal, NOW, &knows).unwrap();
        node.member.commit(step);
    }
    let closings: Vec<_> = nodes[..3].iter_mut().map(|node| node.close(1).unwrap()).collect();
    let settle =
        |carried: &Entry| Entry::new(settling(&committee, None, NOW, &closings, std::slice::from_ref(carried)));
    // The price is gone, or another one by now.
    for later in [vec![], vec![(eth(), 11, 0)]] {
        let knows = Knows::new(&[wanted(1, &[(eth(), 7)], &later)], 100);
        let proposal = Proposal::check(settle(&first).unwrap(), None, &committee).unwrap();
        for node in &nodes {
            let step = node.member.acknowledge(&proposal, NOW, &knows).unwrap();
            let mut member = node.member.clone();
            let settled = member.commit(step);
            let book = member.book_after(&settled);
            assert!(book.counts(&id(1)));
            let limit = |scope: &Scope, claims: &[Claim]| knows.limit(scope, claims);
            assert!(
                book.fits(&[claim(2, 30)], NOW, &limit).is_ok() && book.fits(&[claim(2, 31)], NOW, &limit).is_err()
            );
        }
    }
    // Claims that the carried entry's prices do not give are refused.
    let mut body = at(&all, &quotes(&[(eth(), 10, 0)]));
    body.claims[0].charges.insert(daily(), amount(69));
    let lie = Entry::new(body).unwrap();
    let node = Node::new(3, &committee);
    let liar = Closing { after: 0, through: 1, acknowledged: vec![(1, lie.hash())], successor: None };
    let liar = liar.sign(&committee, &super::kit::node(3), &key(3));
    let closings = [nodes[2].close(1).unwrap(), Node::new(1, &committee).close(1).unwrap(), liar];
    let body = settling(&committee, None, NOW, &closings, &[lie]);
    let proposal = Proposal::check(Entry::new(body).unwrap(), None, &committee).unwrap();
    assert!(matches!(node.member.acknowledge(&proposal, NOW, &knows), Err(Refusal::OtherCharges(_))));
}

/// A request that is reserved again at another price counts once, as the larger.
#[test]
fn another_price_never_makes_a_reservation_smaller() {
    let committee = committee();
    let one = [wanted(1, &[(eth(), 10)], &[])];
    let at_price = |cents, base: Option<&Certificate>| {
        let prices = quotes(&[(eth(), cents, 0)]);
        let claims = [one[0].demand.at(&prices).unwrap()];
        Entry::new(Body { prices: Price::all(&prices), ..body(&committee, base, NOW, &claims) }).unwrap()
    };
    for [before, after] in [[3, 5], [5, 3]] {
        let first = at_price(before, None);
        let second = at_price(after, Some(&certify(&first, &committee)));
        let mut book = Book::default();
        book.apply(&first);
        book.apply(&second);
        let guard = Guard::new(&[], 60, 10);
        let limit = |scope: &Scope, claims: &[Claim]| guard.limit(scope, claims);
        assert!(book.fits(&[claim(2, 10)], NOW, &limit).is_ok());
        assert!(book.fits(&[claim(2, 11)], NOW, &limit).is_err(), "{before} {after}");
    }
}

/// Drives a sequencer with honest members that all know the same; what is certified, and what is dropped.
fn drive(sequencer: &mut Sequencer, knows: &Knows, now_ms: u64, rounds: usize) -> (Vec<Certificate>, Vec<Misfit>) {
    let committee = committee();
    let mut nodes = Node::all(&committee);
    let (mut certified, mut dropped) = (Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        let now_ms = now_ms + 250 * round;
        let mut queue = VecDeque::from(sequencer.tick(now_ms, &|scope, claims| knows.limit(scope, claims)));
        while let Some(output) = queue.pop_front() {
            match output {
                Output::Propose { to, entry, base } => {
                    let node = nodes.iter_mut().find(|one| node(one.index) == to).unwrap();
                    base.iter().for_each(|base| node.learn(base).unwrap());
                    let proposal = Proposal::check(entry, base.as_deref(), &committee).unwrap();
                    match node.member.acknowledge(&proposal, now_ms, knows) {
                        Ok(step) => {
                            let entry = node.member.commit(step);
                            queue.extend(sequencer.acknowledged(&to, entry.acknowledge(&to, &key(node.index))));
                        }
                        Err(refusal) => queue.extend(sequencer.hinted(&to, Hint::of(&refusal, Vec::new), now_ms)),
                    }
                }
                Output::Certified(certificate) => certified.push(*certificate),
                Output::Dropped { misfit, .. } => dropped.extend(misfit),
                other => panic!("nothing is stuck here: {other:?}"),
            }
        }
    }
    (certified, dropped)
}

#[test]
fn a_batch_counts_everything_at_the_highest_price_of_any() {
    let all = [
        wanted(1, &[(eth(), 10)], &[(eth(), 3, 0)]),
        wanted(2, &[(eth(), 10)], &[(eth(), 5, 0)]),
        wanted(3, &[(coin(2), 1)], &[(coin(2), 1, 0), (eth(), 9, 0)]),
    ];
    // 50 + 50 + 1 together; 30 + 1 and then 50 where that is too much.
    for (most, entries) in [(101, 1), (131, 1), (100, 1), (90, 2), (81, 2)] {
        let knows = Knows::new(&all, most);
        let mut sequencer = Sequencer::new(committee(), CHARTER, Durable::genesis(&committee()), None, 1_000);
        all.iter().for_each(|one| sequencer.submit(one.clone()));
        let (certified, dropped) = drive(&mut sequencer, &knows, NOW, 4);
        let dropped_too = usize::from(most == 100);
        assert_eq!((certified.len(), dropped.len()), (entries, dropped_too), "{most}");
        let claims: usize = certified.iter().map(|one| one.entry().claims.len()).sum();
        assert_eq!(claims + dropped_too, 3, "the last one finds no room beside 50 and 50");
    }
}

#[test]
fn a_price_that_no_longer_counts_is_not_proposed() {
    let one = wanted(1, &[(eth(), 10)], &[(eth(), 3, 0)]);
    let knows = Knows::new(std::slice::from_ref(&one), 100);
    for (wanted, now_ms, certified) in [
        (one.clone(), NOW + 99_000, 1),
        (one.clone(), NOW + 100_000, 0),
        (Wanted { quotes: Quotes::default(), ..one }, NOW, 0),
    ] {
        let mut sequencer = Sequencer::new(committee(), CHARTER, Durable::genesis(&committee()), None, 1_000);
        sequencer.submit(wanted);
        let (found, dropped) = drive(&mut sequencer, &knows, now_ms, 2);
        assert_eq!((found.len(), dropped.len()), (certified, 1 - certified));
        assert!(dropped.iter().all(|misfit| misfit.to_string().contains("is worth in usd is not attested")));
    }
}

/// What members would refuse at these prices waits until somebody wishes it at others, and spoils no number.
#[test]
fn an_entry_at_other_prices_is_proposed_anew() {
    let one = wanted(1, &[(eth(), 10)], &[(eth(), 3, 0)]);
    let later = wanted(1, &[(eth(), 10)], &[(eth(), 4, 0)]);
    let knows = Knows::new(std::slice::from_ref(&later), 100);
    let mut sequencer = Sequencer::new(committee(), CHARTER, Durable::genesis(&committee()), None, 1_000);
    sequencer.submit(one);
    assert!(drive(&mut sequencer, &knows, NOW, 3).0.is_empty());
    sequencer.submit(later);
    let (certified, _) = drive(&mut sequencer, &knows, NOW + 1_000, 3);
    assert_eq!(certified[0].entry().number, 1);
    assert_eq!(certified[0].entry().claims[0].charges[&daily()], amount(40));
}

#[derive(Debug, Clone)]
struct Asked {
    after_ms: u64,
    requests: Vec<(u64, u64, u64)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let request = (0..2_000u64, 0..2_000u64, 1..5_000u64);
    let after_ms = prop_oneof![Just(0), 0..WINDOW_SECS * 400];
    (after_ms, proptest::collection::vec(request, 1..4)).prop_map(|(after_ms, requests)| Asked { after_ms, requests })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Amounts of two assets at prices that move: the book beside machine integers.
    #[test]
    fn worths_never_add_up_to_more_than_the_limit(all in proptest::collection::vec(asked(), 1..30), most in 1..50_000u64) {
        let (committee, mut book) = (committee(), Book::default());
        let guard = Guard::new(&[], most, u64::MAX);
        let limit = |scope: &Scope, claims: &[Claim]| guard.limit(scope, claims);
        let (mut now_ms, mut number, mut counted) = (NOW, 0, Vec::<(u64, u64)>::new());
        for Asked { after_ms, requests } in all {
            now_ms += after_ms;
            let wanted: Vec<Wanted> = requests.iter().map(|(one, other, thousandths)| {
                number += 1;
                let moves = [(coin(1), *one), (coin(2), *other)];
                wanted(number, &moves, &[(coin(1), *thousandths, 3), (coin(2), 5_000 - thousandths, 3)])
            }).collect();
            let prices = common(wanted.iter().map(|one| (&one.demand, &one.quotes))).unwrap();
            let claims: Vec<Claim> = wanted.iter().map(|one| one.demand.at(&prices).unwrap()).collect();
            let fits = book.fits(&claims, now_ms, &limit).is_ok();
            let highest = requests.iter().map(|request| request.2).max().unwrap();
            let other = requests.iter().map(|request| 5_000 - request.2).max().unwrap();
            let worth = |a: u64, b: u64| (a * highest).div_ceil(1_000) + (b * other).div_ceil(1_000);
            let worths: Vec<u64> = requests.iter().map(|(a, b, _)| worth(*a, *b)).collect();
            let lately: u64 = counted.iter().filter(|(until_ms, _)| now_ms < *until_ms).map(|(_, worth)| worth).sum();
            prop_assert_eq!(fits, lately + worths.iter().sum::<u64>() <= most, "{} {:?}", lately, worths);
            if fits {
                book.apply(&entry(&committee, None, now_ms, &claims));
                let until_ms = now_ms + LIFETIME + WINDOW_SECS * 1_000 + 60_000;
                counted.extend(worths.into_iter().map(|worth| (until_ms, worth)));
            }
        }
    }
}
