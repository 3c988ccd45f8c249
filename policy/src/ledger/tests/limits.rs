use super::kit::*;
use crate::ledger::*;

/// The book after these claims at one time.
fn book(claims: &[Claim]) -> Book {
    let mut book = Book::default();
    book.apply(&entry(&committee(), None, NOW, claims));
    book
}

fn fits(book: &Book, claims: &[Claim], at_ms: u64, (most, count): (u64, u64)) -> Result<(), Misfit> {
    let guard = Guard::new(&[], most, count);
    book.fits(claims, at_ms, &|scope, claims| guard.limit(scope, claims))
}

#[test]
fn amounts_and_counts_add_up_over_the_window() {
    let book = book(&[claim(1, 10), claim(2, 20)]);
    assert_eq!(fits(&book, &[claim(3, 30), claim(4, 40)], NOW, (100, 4)), Ok(()));
    let refused =
        Misfit::Amount { scope: Box::new(daily()), observed: "101".to_owned(), bound: amount(100), advice: DAILY };
    assert_eq!(fits(&book, &[claim(3, 30), claim(4, 41)], NOW, (100, 4)), Err(refused));
    let refused = Misfit::Count { scope: Box::new(daily()), observed: 4, bound: 3, advice: DAILY };
    assert_eq!(fits(&book, &[claim(3, 1), claim(4, 1)], NOW, (100, 3)), Err(refused));
    // The same request again counts once.
    assert_eq!(fits(&book, &[claim(2, 20), claim(3, 70)], NOW, (100, 3)), Ok(()));
}

#[test]
fn sums_beyond_256_bits_are_refused() {
    let mut most = claim(1, 0);
    most.charges.insert(daily(), limen_wire::effects::Amount::MAX);
    let refused = fits(&book(&[most]), &[claim(2, 1)], NOW, (u64::MAX, 9)).unwrap_err();
    assert!(refused.to_string().contains("more than 256 bits"), "{refused}");
}

#[test]
fn a_limit_that_the_charter_lacks_is_refused() {
    let mut other = claim(1, 1);
    let scope = Scope::Limit { name: "monthly".to_owned(), subject: "alice".to_owned() };
    other.charges.insert(scope.clone(), amount(1));
    assert_eq!(fits(&Book::default(), &[other], NOW, (9, 9)), Err(Misfit::UnknownLimit(Box::new(scope))));
}

#[test]
fn amounts_age_out_and_what_counts_once_does_not() {
    let mut book = book(&[spending(1, 100, &[nonce(5)], None)]);
    let until = NOW + LIFETIME + WINDOW_SECS * 1000 + 2 * MAX_SKEW_MS;
    assert!(fits(&book, &[claim(2, 1)], until - 1, (100, 9)).is_err());
    assert_eq!(fits(&book, &[claim(2, 1)], until, (100, 9)), Ok(()));
    // Forgotten altogether after the longest window.
    let later = NOW + LIFETIME + MAX_WINDOW_SECS * 1000 + 2 * MAX_SKEW_MS;
    book.apply(&entry(&committee(), None, later, &[claim(2, 1)]));
    assert_eq!(fits(&book, &[claim(3, 99)], later, (100, 9)), Ok(()));
    assert!(matches!(fits(&book, &[spending(3, 1, &[nonce(5)], None)], later, (100, 9)), Err(Misfit::Held { .. })));
    let mut again = claim(3, 1);
    again.charges.insert(idempotency("request-1"), amount(0));
    assert!(matches!(fits(&book, &[again], later, (100, 9)), Err(Misfit::Held { .. })));
}

#[test]
fn what_counts_once_is_free_or_replaced_by_name() {
    let book = book(&[spending(1, 10, &[nonce(5)], None)]);
    let held = |number, holder| Err(Misfit::Held { scope: Box::new(nonce(5)), intent: id(number), holder: id(holder) });
    let fits = |claim: Claim| fits(&book, &[claim], NOW, (100, 9));
    assert_eq!(fits(spending(2, 10, &[nonce(5)], None)), held(2, 1));
    assert_eq!(fits(spending(2, 10, &[nonce(5)], Some(7))), held(2, 1));
    assert_eq!(fits(spending(2, 10, &[nonce(5)], Some(1))), Ok(()));
    assert_eq!(fits(spending(2, 10, &[nonce(6)], None)), Ok(()));
    // A replacement that spends something else could take effect beside what it replaces.
    let refused = Misfit::SpendsLess { intent: id(2), replaced: id(1), scope: Box::new(nonce(5)) };
    assert_eq!(fits(spending(2, 10, &[nonce(6)], Some(1))), Err(refused));
    // An idempotency key is nobody's but the first request's.
    let mut same_key = spending(2, 10, &[nonce(5)], Some(1));
    same_key.charges.insert(idempotency("request-1"), amount(0));
    assert!(matches!(fits(same_key), Err(Misfit::Held { .. })));
}

#[test]
fn one_entry_claims_nothing_twice() {
    let both = [spending(1, 1, &[nonce(5)], None), spending(2, 1, &[nonce(5)], Some(1))];
    assert_eq!(fits(&Book::default(), &both, NOW, (9, 9)), Err(Misfit::Twice(Box::new(nonce(5)))));
}

#[test]
fn a_replacement_counts_as_the_larger_of_the_two() {
    let mut book = book(&[spending(1, 60, &[nonce(5)], None)]);
    let second = |value| [spending(2, value, &[nonce(5)], Some(1))];
    assert_eq!(fits(&book, &second(40), NOW, (100, 1)), Ok(()));
    assert_eq!(fits(&book, &second(100), NOW, (100, 1)), Ok(()));
    assert!(fits(&book, &second(101), NOW, (100, 1)).is_err());
    book.apply(&entry(&committee(), None, NOW, &second(40)));
    // The first may still be signed: it counts, not the smaller second.
    assert_eq!(fits(&book, &[claim(3, 40)], NOW, (100, 2)), Ok(()));
    assert!(fits(&book, &[claim(3, 41)], NOW, (100, 2)).is_err());
    // The one replaced is not claimed again, the third goes by the name of the second.
    assert!(matches!(fits(&book, &[spending(1, 60, &[nonce(5)], None)], NOW, (100, 9)), Err(Misfit::Held { .. })));
    assert_eq!(fits(&book, &[spending(3, 100, &[nonce(5)], Some(2))], NOW, (100, 1)), Ok(()));
    assert!(matches!(fits(&book, &[spending(3, 1, &[nonce(5)], Some(1))], NOW, (100, 9)), Err(Misfit::Held { .. })));
}

#[test]
fn a_replacement_of_inputs_spends_all_of_them() {
    let book = book(&[spending(1, 60, &[input(0), input(1)], None)]);
    let some = spending(2, 60, &[input(0)], Some(1));
    assert!(matches!(fits(&book, &[some], NOW, (100, 9)), Err(Misfit::SpendsLess { .. })));
    let all_and_more = spending(2, 60, &[input(0), input(1), input(2)], Some(1));
    assert_eq!(fits(&book, &[all_and_more], NOW, (100, 1)), Ok(()));
    // Without anything spent in common both take effect, whatever the name says.
    let message = Claim { replaces: Some(id(1)), ..claim(2, 41) };
    assert!(fits(&super::limits::book(&[claim(1, 60)]), &[message], NOW, (100, 9)).is_err());
}

#[test]
fn the_order_of_entries_does_not_matter_to_the_book() {
    let claims = [spending(1, 1, &[nonce(1)], None), spending(2, 2, &[nonce(1)], Some(1)), claim(3, 3)];
    let digest = |order: [usize; 3]| {
        let mut book = Book::default();
        for index in order {
            book.apply(&entry(&committee(), None, NOW, &claims[index..=index]));
        }
        book.digest()
    };
    assert_eq!(digest([0, 1, 2]), digest([2, 1, 0]));
    assert_eq!(digest([0, 1, 2]), digest([1, 0, 2]));
    assert_ne!(digest([0, 1, 2]), book(&claims[..2]).digest());
}
