use std::sync::Arc;

use limen_wire::ids::IntentId;
use limen_wire::{pb, statement};
use prost::Message as _;

use super::kit::*;
use crate::ledger::*;

fn guard() -> Guard {
    Guard::new(&[spending(1, 100, &[nonce(5)], None), spending(2, 100, &[nonce(5)], None)], 100, 10)
}

/// A ledger whose first entry reserves everything for request 1.
fn reserved() -> (Arc<Committee>, Vec<Node>, Certificate) {
    let committee = committee();
    let mut nodes = Node::all(&committee);
    let first = entry(&committee, None, NOW, &[spending(1, 100, &[nonce(5)], None)]);
    let base = run(&mut nodes, &first, None, NOW, &guard()).unwrap();
    (committee, nodes, base)
}

fn releasing(committee: &Committee, base: &Certificate, evidence: pb::Envelope) -> Entry {
    Entry::new(Body { releases: vec![evidence], ..body(committee, Some(base), NOW, &[]) }).unwrap()
}

#[test]
fn a_release_needs_so_many_signers_that_too_few_are_left() {
    let needed = |n: usize, required, corrupt| {
        let nodes = (0..n).map(|i| (node(i), key(i).public_key())).collect();
        KeySigners { nodes, required, corrupt }.needed()
    };
    // n − t + f + 1: with f of them lying, more than n − t honest ones will never take part.
    assert_eq!([needed(3, 2, 1), needed(3, 2, 0), needed(5, 3, 2), needed(5, 3, 1), needed(4, 4, 3)], [3, 2, 5, 4, 4]);
}

/// A key in one token: its signer would have to say twice that it has not signed.
#[test]
fn what_one_signer_signs_alone_is_never_released() {
    let signers =
        |required: usize| KeySigners::new((0..required).map(|i| (node(i), key(i).public_key())).collect(), required);
    assert_eq!([1, 2, 3].map(|required| signers(required).corrupt), [1, 1, 2]);
    let released = Release::verify(&voids(&id(1), 0..1), &cluster(), |_| Some(signers(1)));
    assert_eq!(released.unwrap_err(), ReleaseError::TooFew { have: 1, need: 2 });
}

#[test]
fn what_is_released_counts_no_more_and_its_name_stays_taken() {
    let (committee, mut nodes, base) = reserved();
    let release = releasing(&committee, &base, voids(&id(1), 0..3));
    let base = run(&mut nodes, &release, Some(&base), NOW, &guard()).unwrap();
    let second = entry(&committee, Some(&base), NOW, &[spending(2, 100, &[nonce(5)], None)]);
    run(&mut nodes, &second, Some(&base), NOW, &guard()).unwrap();
    let mut reused = claim(3, 0);
    reused.charges = Charges::from([(idempotency("request-1"), amount(0))]);
    nodes[0].learn(&base).unwrap();
    let book = &nodes[0].member.durable().book;
    assert!(matches!(book.fits(&[reused], NOW, &|_, _| None), Err(Misfit::Held { .. })));
}

#[test]
fn hidden_signature_then_release() {
    // Signer 0 has allowed the request and, with corrupt signer 2, signed it in secret. The coordinator wants the amount back.
    let (committee, mut nodes, base) = reserved();
    let refused = |nodes: &mut [Node], evidence| {
        run(nodes, &releasing(&committee, &base, evidence), Some(&base), NOW, &guard()).unwrap_err()
    };
    // Honest signer 1 has not allowed it and says so; signer 0 cannot. Two of the three needed.
    let few = Refusal::Release(ReleaseError::TooFew { have: 2, need: 3 });
    assert_eq!(refused(&mut nodes, voids(&id(1), 1..3)), few);
    // Twice the same signer, a stranger, a forged name: still two.
    let mut twice = voids(&id(1), 1..3);
    twice.signatures.push(twice.signatures[0].clone());
    assert!(matches!(refused(&mut nodes, twice), Refusal::Release(ReleaseError::Envelope(_))));
    let stranger = Refusal::Release(ReleaseError::NotSigner("node-3".to_owned()));
    assert_eq!(refused(&mut nodes, voids(&id(1), 1..4)), stranger);
    let mut forged = voids(&id(1), 1..3);
    let mut signature = forged.signatures[0].clone();
    signature.signer = node(0).to_string();
    forged.signatures.push(signature);
    assert!(matches!(refused(&mut nodes, forged), Refusal::Release(ReleaseError::Envelope(_))));
    // So it counts on.
    let second = entry(&committee, Some(&base), NOW, &[spending(2, 100, &[nonce(6)], None)]);
    let mut guard = guard();
    guard.requests.insert(id(2), spending(2, 100, &[nonce(6)], None));
    assert!(matches!(run(&mut nodes, &second, Some(&base), NOW, &guard), Err(Refusal::Misfit(Misfit::Amount { .. }))));
}

/// A signer's word comes back from it through the coordinator: no byte of it can be another.
#[test]
fn a_void_with_any_byte_spoiled_releases_nothing() {
    let word = |index: usize| void(&cluster(), &id(1), &node(index), &key(index));
    let signers = |intent: &IntentId| {
        let nodes = (0..3).map(|index| (node(index), key(index).public_key())).collect();
        (*intent == id(1)).then_some(KeySigners { nodes, required: 2, corrupt: 1 })
    };
    let released = |words: &[pb::Envelope]| {
        let evidence = statement::combine(words)?;
        Release::verify(&evidence, &cluster(), signers).ok().map(|release| *release.intent())
    };
    assert_eq!(released(&[word(0), word(1), word(2)]), Some(id(1)));
    let bytes = word(1).encode_to_vec();
    for place in 0..bytes.len() {
        let mut spoiled = bytes.clone();
        spoiled[place] ^= 1;
        let Ok(spoiled) = pb::Envelope::decode(spoiled.as_slice()) else { continue };
        for words in [[word(0), spoiled.clone(), word(2)], [spoiled, word(0), word(2)]] {
            assert_eq!(released(&words), None, "byte {place}");
        }
    }
    let other = |envelope: fn(&mut pb::Envelope)| {
        let mut other = word(1);
        envelope(&mut other);
        other
    };
    for (what, word_of_one) in [
        ("nobody's", other(|envelope| envelope.signatures.clear())),
        (
            "of another kind",
            other(|envelope| envelope.payload_type = "application/vnd.limen.freeze.v1+protobuf".to_owned()),
        ),
        ("empty", pb::Envelope::default()),
        ("of another request", void(&cluster(), &id(2), &node(1), &key(1))),
        ("under another's name", void(&cluster(), &id(1), &node(1), &key(2))),
        ("said twice", word(2)),
    ] {
        assert_eq!(released(&[word(0), word_of_one, word(2)]), None, "{what}");
    }
}

#[test]
fn releases_of_other_clusters_unknown_requests_and_nothing_are_refused() {
    let (committee, mut nodes, base) = reserved();
    let mut refused =
        |evidence| run(&mut nodes, &releasing(&committee, &base, evidence), Some(&base), NOW, &guard()).unwrap_err();
    let elsewhere = limen_wire::ids::ClusterId::new("elsewhere").unwrap();
    let each: Vec<_> = (0..3).map(|i| void(&elsewhere, &id(1), &node(i), &key(i))).collect();
    assert!(matches!(refused(statement::combine(&each).unwrap()), Refusal::Release(ReleaseError::Foreign(_))));
    assert!(matches!(refused(voids(&id(9), 0..3)), Refusal::Release(ReleaseError::UnknownIntent(_))));
    assert_eq!(refused(voids(&id(2), 0..3)), Refusal::NothingToRelease(id(2)));
}

#[test]
fn a_released_replacement_gives_the_nonce_back_to_what_it_replaced() {
    let committee = committee();
    let mut book = Book::default();
    let apply = |book: &mut Book, claims: &[Claim], releases: Vec<pb::Envelope>| {
        book.apply(&Entry::new(Body { releases, ..body(&committee, None, NOW, claims) }).unwrap());
    };
    apply(&mut book, &[spending(1, 60, &[nonce(5)], None)], vec![]);
    apply(&mut book, &[spending(2, 80, &[nonce(5)], Some(1))], vec![]);
    apply(&mut book, &[], vec![voids(&id(2), 0..3)]);
    let guard = Guard::new(&[], 100, 9);
    let fits = |claims: &[Claim]| book.fits(claims, NOW, &|scope, claims| guard.limit(scope, claims));
    assert_eq!(fits(&[claim(3, 40)]), Ok(()));
    assert!(fits(&[claim(3, 41)]).is_err());
    assert!(matches!(fits(&[spending(3, 1, &[nonce(5)], None)]), Err(Misfit::Held { .. })));
    assert_eq!(fits(&[spending(3, 1, &[nonce(5)], Some(1))]), Ok(()));
}

/// Otherwise the account could never go on from that number.
#[test]
fn a_chain_of_replacements_holds_together_without_a_link_that_was_released() {
    let committee = committee();
    let mut book = Book::default();
    let mut apply = |claims: &[Claim], releases: Vec<pb::Envelope>| {
        book.apply(&Entry::new(Body { releases, ..body(&committee, None, NOW, claims) }).unwrap());
    };
    let third = spending(3, 10, &[nonce(5)], Some(2));
    apply(&[spending(1, 10, &[nonce(5)], None)], vec![]);
    apply(&[spending(2, 10, &[nonce(5)], Some(1))], vec![]);
    apply(std::slice::from_ref(&third), vec![]);
    apply(&[], vec![voids(&id(2), 0..3)]);
    // Claiming it again, under a new reservation, changes nothing about that.
    apply(&[third], vec![]);
    let guard = Guard::new(&[], 100, 9);
    let fits = |book: &Book, claim: Claim| book.fits(&[claim], NOW, &|scope, claims| guard.limit(scope, claims));
    assert_eq!(fits(&book, spending(4, 10, &[nonce(5)], Some(3))), Ok(()));
    for replaces in [None, Some(1), Some(2)] {
        let refused = fits(&book, spending(4, 10, &[nonce(5)], replaces));
        assert!(matches!(&refused, Err(Misfit::Held { .. })), "{replaces:?}: {refused:?}");
    }
    // The first and the third count as two, since the link between them is gone; what was released does not.
    assert_eq!(fits(&book, claim(5, 80)), Ok(()));
    assert!(fits(&book, claim(5, 81)).is_err());
    let releases = vec![voids(&id(1), 0..3), voids(&id(3), 0..3)];
    book.apply(&Entry::new(Body { releases, ..body(&committee, None, NOW, &[]) }).unwrap());
    assert_eq!(fits(&book, spending(4, 100, &[nonce(5)], None)), Ok(()));
}

/// Members that have seen a certificate before it was carried, and those that have not, count the same: they seal one book.
#[test]
fn a_book_does_not_depend_on_what_was_seen_in_between() {
    let committee = committee();
    let month_ms = MAX_WINDOW_SECS * 1000 + LIFETIME + 2 * MAX_SKEW_MS;
    let first = entry(&committee, None, NOW, &[spending(1, 10, &[nonce(5)], None)]);
    let replacing = [spending(2, 10, &[nonce(5)], Some(1))];
    let rival = [spending(3, 10, &[nonce(6)], None)];
    let makes: [(&[Claim], &[u64]); 5] =
        [(&[], &[1]), (&replacing, &[]), (&rival, &[1]), (&replacing, &[1]), (&[], &[1, 2])];
    for later_ms in [0, month_ms - 1, month_ms] {
        for (one_claims, one_releases) in makes {
            for (two_claims, two_releases) in makes {
                let time_ms = NOW + later_ms;
                let make = |claims: &[Claim], releases: &[u64]| {
                    let releases = releases.iter().map(|number| voids(&id(*number), 0..3)).collect();
                    Entry::new(Body { number: 2, releases, ..body(&committee, None, time_ms, claims) })
                };
                let (Ok(one), Ok(two)) = (make(one_claims, one_releases), make(two_claims, two_releases)) else {
                    continue;
                };
                let mut carried = vec![one.clone(), two];
                carried.sort_by_key(|entry| (entry.number, entry.hash()));
                carried.dedup();
                let closings: Vec<_> = (0..3)
                    .map(|index| {
                        let named = carried.iter().map(|entry| (entry.number, entry.hash())).collect::<Vec<_>>();
                        let closing =
                            Closing { after: 1, through: 2, acknowledged: named[..1].to_vec(), successor: None };
                        closing.sign(&committee, &node(index), &key(index))
                    })
                    .collect();
                let settles = Body { number: 3, closings, carried, ..body(&committee, None, time_ms + 1, &[]) };
                let settles = Entry::new(settles).unwrap();
                let mut before = Book::default();
                before.apply(&first);
                let (mut seen, mut unseen) = (before.clone(), before);
                seen.apply(&one);
                [&mut seen, &mut unseen].into_iter().for_each(|book| book.apply(&settles));
                assert_eq!(
                    seen.digest(),
                    unseen.digest(),
                    "{later_ms}: {one_claims:?} {one_releases:?}, {two_claims:?}"
                );
            }
        }
    }
}

#[test]
fn what_every_window_has_forgotten_has_nothing_to_release() {
    let committee = committee();
    let mut book = Book::default();
    let month_ms = MAX_WINDOW_SECS * 1000 + LIFETIME + 2 * MAX_SKEW_MS;
    book.apply(&entry(&committee, None, NOW, &[spending(1, 10, &[nonce(5)], None)]));
    book.apply(&entry(&committee, None, NOW + 1, &[claim(2, 10)]));
    book.apply(&entry(&committee, None, NOW + month_ms - 1, &[claim(3, 10)]));
    assert!(book.counts(&id(1)) && book.counts(&id(2)));
    book.apply(&entry(&committee, None, NOW + month_ms, &[claim(4, 10)]));
    assert!(!book.counts(&id(1)) && book.counts(&id(2)));
    // Its number stays spent.
    let fits =
        |claim| book.fits(&[claim], NOW + month_ms, &|scope, claims| Guard::new(&[], 100, 9).limit(scope, claims));
    assert!(matches!(fits(spending(5, 1, &[nonce(5)], None)), Err(Misfit::Held { .. })));
}

/// A corrupt member names an entry that gives back what may be signed, and has it carried on its word alone.
#[test]
fn what_is_carried_releases_nothing_without_evidence() {
    let (committee, mut nodes, base) = reserved();
    let settling = |signers: std::ops::Range<usize>| {
        let invented = releasing(&committee, &base, voids(&id(1), signers));
        let closing = |index: usize, acknowledged| {
            let closing = Closing { after: 1, through: 2, acknowledged, successor: None };
            closing.sign(&committee, &node(index), &key(index))
        };
        let named = vec![(2, invented.hash())];
        let body = Body {
            number: 3,
            closings: vec![closing(0, Vec::new()), closing(1, Vec::new()), closing(3, named)],
            carried: vec![invented],
            ..body(&committee, Some(&base), NOW, &[])
        };
        Proposal::check(Entry::new(body).unwrap(), Some(&base), &committee).unwrap()
    };
    nodes[0].learn(&base).unwrap();
    let asked = |proposal: &Proposal| nodes[0].member.acknowledge(proposal, NOW, &guard()).map(drop);
    assert_eq!(asked(&settling(2..3)), Err(Refusal::Release(ReleaseError::TooFew { have: 1, need: 3 })));
    assert_eq!(asked(&settling(0..3)), Ok(()));
}
