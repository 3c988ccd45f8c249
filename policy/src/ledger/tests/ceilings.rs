//! The book under ceilings beside a reference that only adds up.

use proptest::prelude::*;

use super::kit::*;
use crate::charter::Charter;
use crate::check::Attested;
use crate::ledger::*;
use limen_wire::ids::{LedgerId, LimitId};

/// The sample's ceiling, in the smallest unit.
const MOST: u64 = 100_000_000_000;
const WINDOW_MS: u64 = 7_200_000;

fn scope() -> Scope {
    Scope::Limit { name: "hot-usdt".to_owned(), subject: String::new() }
}

/// Some refills at once, each with what is attested with it.
#[derive(Debug, Clone)]
struct Asked {
    after_ms: u64,
    refills: Vec<(u64, u64)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let refill = (0..MOST / 3, prop_oneof![Just(0), 0..MOST, Just(MOST), MOST..2 * MOST]);
    let after_ms = prop_oneof![Just(0), 0..WINDOW_MS, WINDOW_MS / 3..WINDOW_MS];
    (after_ms, proptest::collection::vec(refill, 1..4)).prop_map(|(after_ms, refills)| Asked { after_ms, refills })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_attested_and_what_was_let_in_stay_below_the_ceiling(all in proptest::collection::vec(asked(), 1..30)) {
        let charter = Charter::from_toml(include_str!("../../../development.sample.toml")).unwrap();
        let (main, id) = (LedgerId::new("main").unwrap(), LimitId::new("hot-usdt").unwrap());
        let (committee, mut book) = (committee(), Book::default());
        let (mut now_ms, mut number, mut let_in) = (NOW, 0, Vec::<(u64, u64)>::new());
        for Asked { after_ms, refills } in all {
            now_ms += after_ms;
            let mut told = std::collections::BTreeMap::new();
            let claims: Vec<Claim> = refills.iter().map(|(takes, held)| {
                number += 1;
                let claim = Claim { charges: [(scope(), amount(*takes))].into(), ..claim(number, 0) };
                told.insert(claim.intent, Attested::from([(id.clone(), amount(*held))]));
                claim
            }).collect();
            let room = |scope: &Scope, claims: &[Claim]| {
                charter.ledger_room(&main, scope, claims.iter().map(|claim| told.get(&claim.intent)))
            };
            let fits = book.fits(&claims, now_ms, &room).is_ok();
            // The reference: the worst balance, everything that was let in lately, and this.
            let lately: u64 = let_in.iter().filter(|(until_ms, _)| now_ms < *until_ms).map(|(_, takes)| takes).sum();
            let this: u64 = refills.iter().map(|(takes, _)| takes).sum();
            let worst = refills.iter().map(|(_, held)| *held).max().unwrap_or(0);
            // Nothing at all may flow into a vault that is too full already.
            let expected = worst + lately + this <= MOST || lately + this == 0;
            prop_assert_eq!(fits, expected, "{} {} {}", worst, lately, this);
            let untold = |scope: &Scope, _: &[Claim]| charter.ledger_room(&main, scope, [None].into_iter());
            prop_assert!(lately + this == 0 || book.fits(&claims, now_ms, &untold).is_err());
            if fits {
                book.apply(&entry(&committee, None, now_ms, &claims));
                let until_ms = now_ms + LIFETIME + WINDOW_MS + 60_000;
                let_in.extend(refills.iter().map(|(takes, _)| (until_ms, *takes)));
            }
        }
    }
}
