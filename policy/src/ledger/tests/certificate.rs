use limen_wire::envelope::EnvelopeError;
use limen_wire::ids::CharterHash;

use super::kit::*;
use crate::ledger::*;

fn sample() -> Entry {
    entry(&committee(), None, NOW, &[claim(1, 10), claim(2, 20)])
}

#[test]
fn q_members_over_exactly_this_entry_make_a_certificate() {
    let committee = committee();
    for members in [vec![0, 1, 2], vec![3, 1, 0], vec![0, 1, 2, 3]] {
        let certificate = Certificate::verify(&signed_by(&sample(), members), &committee).unwrap();
        assert_eq!(*certificate.entry(), sample());
    }
    let few = Certificate::verify(&signed_by(&sample(), 0..2), &committee);
    assert_eq!(few, Err(CertificateError::TooFew { have: 2, need: 3 }));
    let stranger = Certificate::verify(&signed_by(&sample(), [0, 1, 2, 4]), &committee);
    assert_eq!(stranger, Err(CertificateError::NotMember("node-4".to_owned())));
}

#[test]
fn one_member_is_not_two() {
    let mut twice = signed_by(&sample(), 0..2);
    twice.signatures.push(twice.signatures[0].clone());
    let refused = Certificate::verify(&twice, &committee());
    assert!(matches!(refused, Err(CertificateError::Envelope(EnvelopeError::SignedTwice { .. }))));
    // Under another's name the signature does not verify.
    let mut renamed = signed_by(&sample(), 0..2);
    renamed.signatures.push(limen_wire::pb::EnvelopeSignature {
        signer: node(2).to_string(),
        signature: renamed.signatures[0].signature.clone(),
    });
    let refused = Certificate::verify(&renamed, &committee());
    assert!(matches!(refused, Err(CertificateError::Envelope(EnvelopeError::BadSignature { .. }))));
}

#[test]
fn every_flipped_byte_is_refused() {
    let envelope = signed_by(&sample(), 0..3);
    for place in 0..envelope.payload.len() {
        let mut spoiled = envelope.clone();
        let mut payload = spoiled.payload.to_vec();
        payload[place] ^= 1;
        spoiled.payload = payload.into();
        assert!(Certificate::verify(&spoiled, &committee()).is_err(), "byte {place}");
    }
    let mut other_type = envelope;
    other_type.payload_type = "application/vnd.limen.intent.v1+protobuf".to_owned();
    assert!(matches!(Certificate::verify(&other_type, &committee()), Err(CertificateError::Envelope(_))));
}

#[test]
fn two_committees() {
    // The same members, keys and ledger under other numbers, and a committee of strangers: neither speaks for this one.
    let ours = committee();
    let lax = committee_of(0..4, (0, 3), None).unwrap();
    let strangers = committee_of(4..8, (1, 3), None).unwrap();
    for other in [&lax, &strangers] {
        let entry = entry(other, None, NOW, &[claim(1, 10)]);
        let theirs = if other == &lax { signed_by(&entry, 0..3) } else { signed_by(&entry, 4..7) };
        Certificate::verify(&theirs, other).unwrap();
        let refused = Certificate::verify(&theirs, &ours);
        assert!(matches!(refused, Err(CertificateError::OtherCommittee { .. })), "{refused:?}");
    }
    // Nor does one that claims our name.
    let entry = entry(&ours, None, NOW, &[claim(1, 10)]);
    assert!(Certificate::verify(&signed_by(&entry, 4..7), &ours).is_err());
    // A member of both answers each for itself, and neither learns the other's entries.
    let mut node = Node::new(0, &ours);
    let foreign = super::kit::entry(&lax, None, NOW, &[claim(1, 10)]);
    let certified = Certificate::verify(&signed_by(&foreign, 0..3), &lax).unwrap();
    assert_eq!(node.learn(&certified), Err(Refusal::OtherCommittee(ours.hash())));
    let wrong = Proposal::check(foreign, None, &ours);
    assert_eq!(wrong, Err(ProposalError::OtherCommittee(ours.hash())));
}

#[test]
fn a_guard_is_told_exactly_what_is_reserved() {
    let certificate = certify(&sample(), &committee());
    let covers = |claim: &Claim, charter, now| certificate.covers(claim, &charter, now);
    assert_eq!(covers(&claim(1, 10), CHARTER, NOW), Ok(()));
    let (number, intent) = (1, id(1));
    assert_eq!(covers(&claim(1, 11), CHARTER, NOW), Err(NotCovered::OtherCharges { number, intent }));
    assert_eq!(covers(&claim(1, 9), CHARTER, NOW), Err(NotCovered::OtherCharges { number, intent }));
    let mut more = claim(1, 10);
    more.replaces = Some(id(2));
    assert_eq!(covers(&more, CHARTER, NOW), Err(NotCovered::OtherCharges { number, intent }));
    assert_eq!(covers(&claim(3, 10), CHARTER, NOW), Err(NotCovered::NotClaimed { number, intent: id(3) }));
    let found = CHARTER;
    let expected = CharterHash::new([8; 32]);
    assert_eq!(covers(&claim(1, 10), expected, NOW), Err(NotCovered::OtherCharter { found, expected }));
    let expires_at_ms = NOW + LIFETIME;
    assert_eq!(covers(&claim(1, 10), CHARTER, expires_at_ms), Ok(()));
    let now_ms = expires_at_ms + 1;
    assert_eq!(covers(&claim(1, 10), CHARTER, now_ms), Err(NotCovered::Expired { intent, expires_at_ms, now_ms }));
    assert_eq!(covers(&claim(1, 10), CHARTER, NOW - 60_000), Ok(()));
    assert!(matches!(covers(&claim(1, 10), CHARTER, NOW - 60_001), Err(NotCovered::Early { .. })));
}

#[test]
fn held_reservation() {
    // A coordinator keeps a certificate until the amount has left the window, and then wants both.
    let committee = committee();
    let guard = Guard::new(&[claim(1, 100), claim(2, 100)], 100, 10);
    let mut nodes = Node::all(&committee);
    let held = run(&mut nodes, &entry(&committee, None, NOW, &[claim(1, 100)]), None, NOW, &guard).unwrap();
    let window = WINDOW_SECS * 1000;
    let mut second =
        |at| run(&mut nodes, &entry(&committee, Some(&held), at, &[claim(2, 100)]), Some(&held), at, &guard);
    // It can still be signed at the end of its lifetime, so it counts a window from there.
    let last = NOW + LIFETIME;
    held.covers(&claim(1, 100), &CHARTER, last).unwrap();
    assert!(matches!(second(NOW + window), Err(Refusal::Misfit(Misfit::Amount { .. }))));
    assert!(matches!(second(last + window), Err(Refusal::Misfit(Misfit::Amount { .. }))));
    // Once it has aged out, no guard takes it any more.
    let free = last + window + 2 * MAX_SKEW_MS;
    second(free).unwrap();
    assert!(matches!(held.covers(&claim(1, 100), &CHARTER, last + 1), Err(NotCovered::Expired { .. })));
}
