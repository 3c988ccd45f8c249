//! Handovers that cannot be, and parties that do not fit theirs: refused before anything is sent.

use limen_mpc::{Handover, HandoverError, ImportError, KeyPublic, Seed, Session, StartError, Succession};
use limen_wire::ids::{CommitteeSize, Epoch, Protocol};

use crate::frost_run::Shares;
use crate::net::{End, Order, honest, run};
use crate::params::{party, size};
use crate::reshare_run::{BIP340, DKLS, Dealers, ED25519, dealers, fresh, hand_over, handover, public, run_ids, start};

const STAY: Dealers<'static> = &[(1, Some(1)), (2, Some(2))];

fn next(epoch: u64, protocol: Protocol, size: CommitteeSize) -> Succession {
    Succession { epoch: Epoch(epoch), protocol, size }
}

fn refused(old: &KeyPublic, next: Succession, list: Dealers<'_>) -> HandoverError {
    Handover::new(old.clone(), next, &dealers(list)).unwrap_err()
}

#[test]
fn as_many_deal_as_the_old_committee_needs_to_sign() {
    let old = fresh(ED25519, size(3, 5));
    let all: Vec<_> = (1..=5).map(|index| (index, Some(index))).collect();
    for found in [0, 1, 2, 4, 5] {
        let error = refused(public(&old), next(2, Protocol::Frost, size(2, 5)), &all[..found]);
        assert_eq!(error, HandoverError::Dealers { needed: 3, found });
    }
    assert!(Handover::new(public(&old).clone(), next(2, Protocol::Frost, size(2, 5)), &dealers(&all[2..])).is_ok());
}

#[test]
fn the_epoch_goes_up() {
    let mut old = public(&fresh(ED25519, size(2, 3))).clone();
    old.epoch = Epoch(7);
    for epoch in [0, 1, 6, 7] {
        let error = refused(&old, next(epoch, Protocol::Frost, size(2, 3)), STAY);
        assert_eq!(error, HandoverError::Epoch { old: Epoch(7), new: Epoch(epoch) });
    }
    for epoch in [8, 9, u64::MAX] {
        assert!(Handover::new(old.clone(), next(epoch, Protocol::Frost, size(2, 3)), &dealers(STAY)).is_ok());
    }
}

#[test]
fn dealers_are_holders_and_places_exist_once() {
    let old = public(&fresh(ED25519, size(2, 3))).clone();
    let to = next(2, Protocol::Frost, size(2, 3));
    let outsider = refused(&old, to, &[(1, Some(1)), (4, None)]);
    assert_eq!(outsider, HandoverError::NotAHolder(party(4)));
    for place in [4, 5, 255] {
        assert_eq!(refused(&old, to, &[(1, Some(1)), (2, Some(place))]), HandoverError::Place(party(place)));
    }
    assert_eq!(refused(&old, to, &[(1, Some(3)), (2, Some(3))]), HandoverError::Place(party(3)));
    // 32 members and 2 that leave have no room in one session
    let crowd = refused(&old, next(2, Protocol::Frost, size(2, 32)), &[(1, None), (2, None)]);
    assert!(matches!(crowd, HandoverError::TooMany(_)), "{crowd}");
}

#[test]
fn only_threshold_keys_are_handed_over_and_only_to_their_like() {
    let schnorr = public(&fresh(BIP340, size(2, 3))).clone();
    let ecdsa = public(&fresh(DKLS, size(2, 3))).clone();
    for (old, protocol) in [
        (&schnorr, Protocol::Dkls23),
        (&schnorr, Protocol::Cggmp24),
        (&schnorr, Protocol::Hsm),
        (&ecdsa, Protocol::Frost),
        (&ecdsa, Protocol::Hsm),
    ] {
        let error = refused(old, next(2, protocol, size(2, 3)), STAY);
        assert_eq!(error, HandoverError::Protocol { old: old.protocol, new: protocol });
    }
    let alone = refused(&ecdsa, next(2, Protocol::Dkls23, CommitteeSize::ALONE), STAY);
    assert_eq!(alone, HandoverError::Size(CommitteeSize::ALONE));
    let mut held = KeyPublic { protocol: Protocol::Hsm, size: CommitteeSize::ALONE, chain_code: [0; 32], ..ecdsa };
    held.verifying_shares = [(party(1), held.public_key)].into();
    let error = refused(&held, next(2, Protocol::Dkls23, size(2, 3)), &[(1, None)]);
    assert_eq!(error, HandoverError::Protocol { old: Protocol::Hsm, new: Protocol::Dkls23 });
}

#[test]
fn an_old_public_part_that_does_not_hold_together_is_refused() {
    let to = next(2, Protocol::Frost, size(2, 3));
    for kind in [ED25519, BIP340] {
        let (one, other) = (fresh(kind, size(2, 3)), fresh(kind, size(2, 3)));
        let mut old = public(&one).clone();
        old.public_key = public(&other).public_key;
        assert_eq!(refused(&old, to, STAY), HandoverError::Old(ImportError::Polynomial));
        let mut old = public(&one).clone();
        old.verifying_shares.insert(party(2), *public(&other).verifying_share(party(2)).unwrap());
        assert_eq!(refused(&old, to, STAY), HandoverError::Old(ImportError::Polynomial));
        let mut old = public(&one).clone();
        old.verifying_shares.remove(&party(3));
        assert_eq!(refused(&old, to, STAY), HandoverError::Old(ImportError::Committee(3)));
        // 3 of 3, of a key that two of them can use
        let old = KeyPublic { size: size(3, 3), ..public(&one).clone() };
        assert_eq!(
            refused(&old, to, &[(1, Some(1)), (2, Some(2)), (3, Some(3))]),
            HandoverError::Old(ImportError::Degree(3))
        );
    }
}

#[test]
fn a_dealer_brings_the_share_that_the_handover_names() {
    let old = fresh(ED25519, size(2, 3));
    let plan = handover(&old, size(2, 3), Protocol::Frost, &[(1, Some(2)), (3, None)]);
    let started = |me: u16, shares: Option<(&Shares, u16)>| {
        let share = shares.map(|(shares, index)| &*shares[&party(index)]);
        Session::reshare(&plan, run_ids(1), party(me), share, Seed::new([1; 32])).err()
    };
    assert_eq!(plan.party_of_dealer(party(1)), Some(party(2)));
    assert_eq!(plan.party_of_dealer(party(3)), Some(party(4)));
    assert_eq!(plan.party_of_dealer(party(2)), None);
    assert_eq!(started(5, None), Some(StartError::NotInSignerSet(party(5))));
    assert_eq!(started(2, None), Some(StartError::NoShare(party(1))));
    assert_eq!(started(4, None), Some(StartError::NoShare(party(3))));
    assert_eq!(started(2, Some((&old, 2))), Some(StartError::ShareMismatch("party")));
    assert_eq!(started(4, Some((&old, 1))), Some(StartError::ShareMismatch("party")));
    let other = fresh(ED25519, size(2, 3));
    assert_eq!(started(2, Some((&other, 1))), Some(StartError::ShareMismatch("key")));
    let newer = hand_over(&handover(&old, size(2, 3), Protocol::Frost, STAY), &old, Order::Fifo);
    assert_eq!(started(2, Some((&newer, 1))), Some(StartError::ShareMismatch("epoch")));
    assert_eq!(started(2, Some((&old, 1))), None);
    assert_eq!(started(1, None), None);
}

#[test]
fn parties_with_different_handovers_do_not_hear_each_other() {
    let old = fresh(ED25519, size(3, 5));
    let (one, other) = (fresh(ED25519, size(3, 5)), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
    let plan = handover(&old, size(2, 3), Protocol::Frost, &other);
    let to = |epoch, protocol, size| Succession { epoch: Epoch(epoch), protocol, size };
    let twin = |old: &KeyPublic, next, list: Dealers<'_>| Handover::new(old.clone(), next, &dealers(list)).unwrap();
    let frost = Protocol::Frost;
    let mut chain_code = public(&old).clone();
    chain_code.chain_code = [9; 32];
    for (what, different) in [
        ("old key", twin(public(&one), to(2, frost, size(2, 3)), &other)),
        ("chain code", twin(&chain_code, to(2, frost, size(2, 3)), &other)),
        ("epoch", twin(public(&old), to(3, frost, size(2, 3)), &other)),
        ("committee", twin(public(&old), to(2, frost, size(3, 3)), &other)),
        ("dealers", twin(public(&old), to(2, frost, size(2, 3)), &[(1, Some(1)), (2, Some(2)), (4, Some(3))])),
        ("places", twin(public(&old), to(2, frost, size(2, 3)), &[(1, Some(2)), (2, Some(1)), (3, Some(3))])),
    ] {
        assert_ne!(plan, different, "{what}");
        let shares = if what == "old key" { &one } else { &old };
        let mut starts = start(&plan, &old, 1);
        // party 3 deals under another handover, with the share that it asks for
        if what != "chain code" {
            starts[2] = start(&different, shares, 1).remove(2);
            assert_report(starts, what);
        } else {
            assert!(
                Session::reshare(&different, run_ids(1), party(3), Some(&old[&party(3)]), Seed::new([1; 32])).is_err()
            );
        }
    }
}

fn assert_report(starts: Vec<(Session, limen_mpc::Step)>, what: &str) {
    let report = run(starts, Order::Fifo, honest);
    let waits = |me: u16| matches!(&report.ends[&party(me)], End::Waiting(parties) if parties.contains(&party(3)));
    assert!(waits(1) && waits(2), "{what}: {:?}", report.ends);
    assert!(report.dropped(party(1), limen_mpc::Dropped::WrongTag) > 0, "{what}");
}
