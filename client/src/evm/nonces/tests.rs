use limen_wire::ids::{ClusterId, KeyId, RequesterId};
use limen_wire::keys::SigningKey;
use zeroize::Zeroizing;

use super::*;
use crate::intent::NewIntent;

fn intent(name: &str) -> SignedIntent {
    let key = SigningKey::ed25519_from_seed(&Zeroizing::new([1; 32]));
    NewIntent::message(KeyId::new("k").unwrap(), "text")
        .idempotency_key(name)
        .sign(&ClusterId::new("test").unwrap(), &RequesterId::new("me").unwrap(), &key)
        .unwrap()
}

#[test]
fn numbers_are_consecutive_from_what_the_chain_says() {
    let nonces = Nonces::default();
    let leases: Vec<_> = (0..5).map(|_| nonces.lease(7)).collect();
    assert_eq!(leases.iter().map(Lease::nonce).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
}

#[test]
fn a_number_that_nothing_was_sent_under_comes_back_first() {
    let nonces = Nonces::default();
    let (first, second) = (nonces.lease(0), nonces.lease(0));
    drop(first);
    assert_eq!(nonces.lease(0).nonce(), 0);
    drop(second);
}

#[test]
fn a_number_without_a_definite_answer_stays_with_its_bytes() {
    let nonces = Nonces::default();
    nonces.lease(0).bind(intent("a"));
    assert_eq!(nonces.lease(0).nonce(), 1);
    assert_eq!(nonces.unsettled(), [intent_like(&nonces)]);
    nonces.accepted(&nonces.unsettled()[0]);
    assert!(nonces.unsettled().is_empty());
    assert_eq!(nonces.lease(0).nonce(), 1, "the lease before was dropped unsent, the accepted number is gone");
}

fn intent_like(nonces: &Nonces) -> SignedIntent {
    nonces.unsettled()[0].clone()
}

#[test]
fn a_refused_number_is_free_again() {
    let nonces = Nonces::default();
    let refused = intent("a");
    nonces.lease(3).bind(refused.clone());
    nonces.lease(3).bind(intent("b"));
    nonces.refused(&refused);
    let lease = nonces.lease(3);
    assert_eq!((lease.nonce(), lease.replaces()), (3, None));
}

#[test]
fn a_number_of_somebody_else_is_skipped() {
    let nonces = Nonces::default();
    let ours = intent("a");
    nonces.lease(3).bind(ours.clone());
    nonces.taken(ours.id());
    assert_eq!(nonces.lease(3).nonce(), 4);
}

#[test]
fn the_number_of_a_dead_request_is_taken_over_by_name() {
    let nonces = Nonces::default();
    let dead = intent("a");
    nonces.lease(0).bind(dead.clone());
    nonces.accepted(&dead);
    nonces.lease(0).bind(intent("b"));
    nonces.ended(dead.id());
    let lease = nonces.lease(0);
    assert_eq!((lease.nonce(), lease.replaces()), (0, Some(dead.id())));
    drop(lease);
    let lease = nonces.lease(0);
    assert_eq!(lease.replaces(), Some(dead.id()), "an unsent take-over keeps the name");
}

#[test]
fn a_number_that_was_freed_and_given_away_is_not_freed_again() {
    let nonces = Nonces::default();
    let first = intent("a");
    nonces.lease(0).bind(first.clone());
    nonces.refused(&first);
    nonces.lease(0).bind(intent("b"));
    nonces.ended(first.id());
    assert_eq!(nonces.lease(0).nonce(), 1);
}

#[test]
fn what_the_chain_has_passed_is_never_given_out() {
    let nonces = Nonces::default();
    drop(nonces.lease(0));
    assert_eq!(nonces.lease(5).nonce(), 5);
}
