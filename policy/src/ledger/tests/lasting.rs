//! Lifetime caps: what is counted for ever.

use limen_wire::effects::Amount;

use super::kit::*;
use crate::ledger::*;

fn cap() -> Scope {
    Scope::Lasting { name: "ever".to_owned(), subject: "0xb0b".to_owned() }
}

fn capped(number: u64, takes: u64) -> Claim {
    Claim { charges: [(cap(), amount(takes))].into(), ..claim(number, 0) }
}

fn limit(most: u64, count: u64) -> impl Fn(&Scope, &[Claim]) -> Option<Limit> {
    let nothing = Bound { amount: Amount::ZERO, count: 0 };
    let certified = Bound { amount: amount(most), count };
    move |scope, _| (*scope == cap()).then_some(Limit { counts: Counts::Ever, certified, uncertified: nothing })
}

/// Far past everything that a window reaches.
const LATER: u64 = NOW + 1000 * (MAX_WINDOW_SECS * 20);

#[test]
fn a_lifetime_cap_forgets_nothing() {
    let (committee, mut book, limit) = (committee(), Book::default(), limit(100, 3));
    book.apply(&entry(&committee, None, NOW, &[capped(1, 60)]));
    // An entry at a later time forgets what windows have passed.
    book.apply(&entry(&committee, None, LATER, &[claim(9, 0)]));
    assert!(book.counts(&id(1)));
    assert!(book.fits(&[capped(2, 40)], LATER, &limit).is_ok());
    let refused = book.fits(&[capped(2, 41)], LATER, &limit).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "limit \"ever\" for 0xb0b: 101 is more than the bound 100 in its lifetime: ask for less, cancel what came to \
         nothing, or raise it by a version of the charter"
    );
    book.apply(&entry(&committee, None, LATER, &[capped(2, 1), capped(3, 1)]));
    assert!(matches!(book.fits(&[capped(4, 1)], LATER, &limit), Err(Misfit::Count { observed: 4, bound: 3, .. })));
    // The same request again counts once, also when it has been reserved again long after.
    book.apply(&entry(&committee, None, LATER, &[capped(1, 60)]));
    assert!(book.fits(&[capped(1, 60)], LATER, &limit).is_ok());
}

/// What can never be signed is given back, however late.
#[test]
fn what_is_released_is_given_back_however_late() {
    let (committee, mut book, limit) = (committee(), Book::default(), limit(100, 3));
    book.apply(&entry(&committee, None, NOW, &[capped(1, 60)]));
    let releases = vec![voids(&id(1), 0..3)];
    book.apply(&Entry::new(Body { releases, ..body(&committee, None, LATER, &[]) }).unwrap());
    assert!(!book.counts(&id(1)));
    assert!(book.fits(&[capped(2, 100)], LATER, &limit).is_ok());
}

/// A book that a window has made forget comes to the same end as one that has not seen what is forgotten.
#[test]
fn what_lasts_and_what_passes_are_kept_apart() {
    let (committee, mut book) = (committee(), Book::default());
    let passes = Claim { charges: [(daily(), amount(60))].into(), ..claim(1, 0) };
    book.apply(&entry(&committee, None, NOW, &[passes]));
    assert!(book.counts(&id(1)));
    book.apply(&entry(&committee, None, LATER, &[capped(2, 5)]));
    assert!(!book.counts(&id(1)));
    let mut other = Book::default();
    other.apply(&entry(&committee, None, LATER, &[capped(2, 5)]));
    assert_eq!(book.digest(), other.digest());
}
