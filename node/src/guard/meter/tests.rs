use std::collections::BTreeSet;

use limen_policy::charter::assets::Assets;
use limen_policy::charter::vault::Per;
use limen_wire::effects::{Asset, ChainId};
use limen_wire::ids::LimitId;

use super::*;
use crate::guard::tests::charter;

fn limit(window_secs: Option<u64>, amount: u128, count: Option<u64>) -> Limit {
    Limit {
        id: LimitId::new("l").unwrap(),
        assets: Assets::One(Asset::Native(ChainId::eip155(31337))),
        currency: None,
        per: Per::All,
        vaults: BTreeSet::new(),
        requesters: BTreeSet::new(),
        window_secs,
        max_amount: Some(Amount::from_u128(amount)),
        max_count: count,
        split_amount: Amount::from_u128(amount),
        split_count: count.unwrap_or(0),
        ceiling_of: None,
        ledger: None,
    }
}

fn amount(value: u128) -> Amount {
    Amount::from_u128(value)
}

fn under(limit: Limit) -> Charter {
    let mut charter = charter();
    charter.limits = [(limit.id.clone(), limit)].into();
    charter
}

fn charge(value: u128) -> Charge {
    Charge { limit: LimitId::new("l").unwrap(), subject: String::new(), amount: amount(value) }
}

fn fits(charter: &Charter, charge: &Charge, meter: &Meter, now: Uptime) -> Result<(), ApiError> {
    super::fits(charter, charge, meter, now)
}

#[test]
fn a_signer_of_three_has_half() {
    let found = share(&charter(), &limit(Some(60), 101, Some(7)));
    assert_eq!((found.amount, found.count), (amount(50), 3));
    let unbounded = share(&charter(), &limit(Some(60), 100, None));
    assert_eq!(unbounded.count, u64::MAX);
    let mut counts_only = limit(Some(60), 0, Some(4));
    counts_only.max_amount = None;
    assert_eq!(share(&charter(), &counts_only).amount, Amount::MAX);
    let mut nothing = limit(Some(60), 100, None);
    nothing.split_amount = Amount::ZERO;
    assert_eq!(share(&charter(), &nothing).amount, Amount::ZERO);
}

#[test]
fn the_share_is_used_up_to_the_last_unit_and_no_further() {
    let charter = under(limit(Some(60), 100, Some(6)));
    let mut meter = Meter::default();
    let now = Uptime(1000);
    assert!(fits(&charter, &charge(50), &meter, now).is_ok());
    let error = fits(&charter, &charge(51), &meter, now).unwrap_err();
    assert_eq!(error.code, Code::LimitReached);
    meter.add(&charter.limits.values().next().unwrap().clone(), amount(30), 0, now);
    assert!(fits(&charter, &charge(20), &meter, now).is_ok());
    assert!(fits(&charter, &charge(21), &meter, now).unwrap_err().message.contains("30 of this signer's share of 50"));
    for _ in 0..2 {
        meter.add(&charter.limits.values().next().unwrap().clone(), amount(0), 0, now);
    }
    assert!(fits(&charter, &charge(1), &meter, now).unwrap_err().message.contains("3 of this signer's share of 3"));
}

/// It counts until the intent's expiry and the window have passed, at most a step longer, never shorter.
#[test]
fn what_was_allowed_counts_for_its_life_and_the_window() {
    let limit = limit(Some(64), 100, None);
    for start in [0, 1, 999, 1000, 123_456] {
        let mut meter = Meter::default();
        meter.add(&limit, amount(7), 5_000, Uptime(start));
        let end = start + 5_000 + 64_000;
        assert_eq!(meter.used(Uptime(end - 1)).amount, amount(7));
        assert_eq!(meter.used(Uptime(end + 1000)).amount, Amount::ZERO);
    }
}

#[test]
fn a_lifetime_cap_forgets_nothing() {
    let limit = limit(None, 100, None);
    let mut meter = Meter::default();
    for step in 0..1000 {
        meter.add(&limit, amount(1), 0, Uptime(step * 1_000_000_000));
    }
    assert_eq!(meter.used(Uptime(u64::MAX - 1)).amount, amount(1000));
    assert_eq!(meter.parts.len(), 1);
}

#[test]
fn a_meter_stays_small() {
    let limit = limit(Some(3600), 100, None);
    let mut meter = Meter::default();
    for step in 0..100_000 {
        meter.add(&limit, amount(1), 1000, Uptime(step * 100));
    }
    assert!(meter.parts.len() <= 70, "{}", meter.parts.len());
    assert!(meter.used(Uptime(10_000_000)).amount >= amount(36_000));
}

/// Requests whose expiries are all different count no shorter for being counted together.
#[test]
fn very_different_expiries_do_not_make_a_meter_large() {
    let limit = limit(Some(60), 1_000_000, None);
    let mut meter = Meter::default();
    for life in 0..5_000 {
        meter.add(&limit, amount(1), life * 17_000, Uptime(0));
        assert!(meter.parts.len() <= MOST_PARTS);
    }
    for at in [0, 60_000, 1_000_000, 50_000_000] {
        let live = (0..5_000).filter(|life| life * 17_000 + 60_000 > at).count() as u128;
        assert!(meter.used(Uptime(at)).amount >= amount(live), "at {at}");
    }
    assert_eq!(meter.used(Uptime(5_000 * 17_000 + 61_000)).amount, Amount::ZERO);
}

#[test]
fn a_sum_beyond_256_bits_counts_as_the_most() {
    let limit = limit(None, 100, None);
    let mut meter = Meter::default();
    meter.add(&limit, Amount::MAX, 0, Uptime(0));
    meter.add(&limit, Amount::MAX, 0, Uptime(0));
    assert_eq!(meter.used(Uptime(0)).amount, Amount::MAX);
    assert!(fits(&under(limit), &charge(1), &meter, Uptime(0)).is_err());
}

/// What three signers, `corrupt` of whom count nothing, sign in all when every set of two is tried until nothing fits.
fn signed_by_rotating_sets(charter: &Charter, corrupt: usize, share_of_each: impl Fn(&Meter) -> bool) -> u128 {
    let mut meters = vec![Meter::default(); 3];
    let limit = charter.limits.values().next().unwrap();
    let mut total = 0;
    loop {
        let sets = [(0, 1), (0, 2), (1, 2)];
        let willing = |index: usize| index < corrupt || share_of_each(&meters[index]);
        let Some((first, second)) = sets.into_iter().find(|(first, second)| willing(*first) && willing(*second)) else {
            return total;
        };
        assert!(total < 1_000, "nothing stops them");
        for index in [first, second] {
            meters[index].add(limit, amount(1), 0, Uptime(0));
        }
        total += 1;
    }
}

#[test]
fn rotating_signer_sets_never_exceed_a_limit() {
    let charter = under(limit(Some(60), 100, None));
    let ours = |meter: &Meter| fits(&charter, &charge(1), meter, Uptime(0)).is_ok();
    assert!(signed_by_rotating_sets(&charter, 0, ours) <= 100);
    assert_eq!(signed_by_rotating_sets(&charter, 1, ours), 100);
    // The same against counters that each allow the whole: one and a half times, and twice with one corrupt signer.
    let naive = |meter: &Meter| meter.used(Uptime(0)).amount < amount(100);
    assert!(signed_by_rotating_sets(&charter, 0, naive) >= 100);
    assert_eq!(signed_by_rotating_sets(&charter, 1, naive), 200);
}
