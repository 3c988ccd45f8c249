//! The set-up that a DKLs23 handover makes: its rounds lie open to lies like those of key generation.

use limen_mpc::{AbortReason, Blame, Handover};
use limen_wire::ids::Protocol;

use crate::frost_run::Shares;
use crate::net::{End, Order, Packet, Report, run};
use crate::params::{party, size};
use crate::reshare_run::{DKLS, fresh, handover, start};
use crate::spoil::{Damage, Target, check_blame, run_spoiled};

// wire rounds after the core's six: 7 commitments, 8 echo, 9 openings, 10 echo, 11 confirmation
const COMMITMENTS: u8 = 7;
const OPENINGS: u8 = 9;
const CONFIRMATION: u8 = 11;

/// 2-of-3 to 2-of-2: party 1 stays and deals, party 2 is new, party 3 deals and leaves.
fn scene() -> (Shares, Handover) {
    let old = fresh(DKLS, size(2, 3));
    let plan = handover(&old, size(2, 2), Protocol::Dkls23, &[(1, Some(1)), (3, None)]);
    (old, plan)
}

fn spoiled((old, plan): &(Shares, Handover), target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
    let report = run_spoiled(start(plan, old, 1), target, change);
    check_blame(&report, target.from, &format!("{target:?}"));
    report
}

fn to_all(round: u8, from: u16) -> Target {
    Target { round, from: party(from), to: None, direct: false, deaf: false }
}

fn to_one(round: u8, from: u16, to: u16) -> Target {
    Target { round, from: party(from), to: Some(party(to)), direct: true, deaf: false }
}

#[test]
fn a_lie_in_the_set_up_leaves_nobody_with_a_share() {
    let scene = scene();
    for (target, damages) in [
        (to_all(COMMITMENTS, 1), &[Damage::Flip(0, 0), Damage::Flip(40, 0), Damage::CutTo(3)][..]),
        (to_one(COMMITMENTS, 1, 2), &[Damage::Flip(0, 0), Damage::CutTo(0)]),
        (to_all(OPENINGS, 1), &[Damage::Flip(5, 0), Damage::CutTo(9), Damage::AllZero]),
        (to_one(OPENINGS, 1, 2), &[Damage::Flip(2000, 0), Damage::CutTo(100), Damage::AllOnes]),
        (to_all(CONFIRMATION, 1), &[Damage::Flip(0, 0), Damage::CutTo(0)]),
    ] {
        for damage in damages {
            let report = spoiled(&scene, target, |body| damage.apply(body));
            assert!(!report.is_done(party(2)), "{target:?} {damage:?}");
            let abort = report.abort(party(2)).unwrap_or_else(|| panic!("{target:?} {damage:?}: {:?}", report.ends));
            assert!(abort.blame.names(party(1)), "{abort:?}");
            // who leaves hears of it too, and waits for nobody
            let leaver = report.abort(party(3));
            let heard = leaver.is_some_and(|abort| abort.blame.names(party(1)) || abort.blame.names(party(2)));
            assert!(heard || target.round == CONFIRMATION, "{target:?} {damage:?}: {:?}", report.ends);
        }
    }
}

#[test]
fn two_faces_in_the_set_up_are_seen_by_all() {
    let scene = scene();
    for round in [COMMITMENTS, OPENINGS] {
        let target = Target { to: Some(party(2)), ..to_all(round, 1) };
        let report = spoiled(&scene, target, |body| Damage::Flip(3, 1).apply(body));
        for honest in [2, 3] {
            let abort = report.abort(party(honest)).unwrap();
            assert!(matches!(abort.reason, AbortReason::BroadcastDiffers { .. }), "{}", abort.reason);
        }
    }
}

#[test]
fn who_leaves_has_nothing_to_say_and_nothing_to_hear_in_the_set_up() {
    let scene = scene();
    for target in [to_all(COMMITMENTS, 3), to_all(OPENINGS, 3), to_all(CONFIRMATION, 3)] {
        let report = spoiled(&scene, target, |_| vec![1; 32]);
        for member in [1, 2] {
            let abort = report.abort(party(member)).unwrap();
            assert!(matches!(abort.reason, AbortReason::Malformed { .. }), "{}", abort.reason);
            assert!(matches!(abort.blame, Blame::Party { party: liar, .. } if liar == party(3)));
        }
    }
    for target in [to_one(COMMITMENTS, 3, 1), to_one(OPENINGS, 3, 1)] {
        let report = spoiled(&scene, target, |_| vec![1; 32]);
        let abort = report.abort(party(1)).unwrap();
        assert!(matches!(abort.reason, AbortReason::Malformed { .. }));
        assert!(matches!(abort.blame, Blame::Party { party: liar, .. } if liar == party(3)));
    }
    // Nor does it stop the others by what it is sent.
    for target in [to_one(COMMITMENTS, 1, 3), to_one(OPENINGS, 1, 3)] {
        let report = spoiled(&scene, target, |_| vec![1; 32]);
        assert!([1, 2, 3].into_iter().all(|each| report.is_done(party(each))), "{:?}", report.ends);
    }
}

/// What only one party has seen the others hear of: nobody waits for the one that was lied to.
#[test]
fn a_lie_to_one_member_leaves_the_others_with_the_pair() {
    let old = fresh(DKLS, size(2, 3));
    let plan = handover(&old, size(2, 3), Protocol::Dkls23, &[(1, Some(1)), (2, Some(2))]);
    for (round, damage) in [
        (OPENINGS, Damage::Flip(2000, 0)),
        (OPENINGS, Damage::CutTo(100)),
        (OPENINGS, Damage::AllOnes),
        (COMMITMENTS, Damage::CutTo(0)),
        (COMMITMENTS, Damage::CutTo(31)),
    ] {
        let target = to_one(round, 1, 3);
        let report = run_spoiled(start(&plan, &old, 1), target, |body| damage.apply(body));
        check_blame(&report, party(1), &format!("{damage:?}"));
        let victim = report.abort(party(3)).unwrap();
        assert!(matches!(victim.blame, Blame::Party { party: liar, .. } if liar == party(1)), "{victim:?}");
        let other = report.abort(party(2)).unwrap();
        let pair = AbortReason::DealtShareDisputed { dealer: party(1), receiver: party(3) };
        assert_eq!(other.reason.to_string(), pair.to_string(), "{damage:?}");
        assert!(other.blame.names(party(1)) && other.blame.names(party(3)));
    }
    // Who complains of nothing before there is anything to complain of says something malformed.
    let report = run_spoiled(start(&plan, &old, 1), to_all(COMMITMENTS, 3), |_| vec![1]);
    for honest in [1, 2] {
        let abort = report.abort(party(honest)).unwrap();
        assert!(matches!(abort.blame, Blame::Party { party: liar, .. } if liar == party(3)), "{abort:?}");
    }
    // In a round that is echoed as in the last: a false complaint is known to the accused, and leaves the other with the pair.
    let report = run_spoiled(start(&plan, &old, 1), to_all(OPENINGS, 3), |_| vec![1]);
    let (accused, other) = (report.abort(party(1)).unwrap(), report.abort(party(2)).unwrap());
    assert!(accused.blame.names(party(3)) && !accused.blame.names(party(1)), "{accused:?}");
    assert!(other.blame.names(party(3)) && other.blame.names(party(1)), "{other:?}");
    // And a lie about that names the liar to the accused, who knows better.
    let report = run_spoiled(start(&plan, &old, 1), to_all(CONFIRMATION, 3), |_| vec![1]);
    let accused = report.abort(party(1)).unwrap();
    assert!(accused.blame.names(party(3)) && !accused.blame.names(party(1)), "{accused:?}");
    let report = run_spoiled(start(&plan, &old, 1), to_all(CONFIRMATION, 3), |_| vec![3]);
    let other = report.abort(party(2)).unwrap();
    assert!(matches!(other.blame, Blame::Party { party: liar, .. } if liar == party(3)), "it names itself: {other:?}");
}

#[test]
fn who_leaves_in_the_middle_is_waited_for_by_name() {
    let (old, plan) = scene();
    for (away, round) in
        [1, 3].into_iter().flat_map(|away| [COMMITMENTS, OPENINGS, CONFIRMATION].map(|round| (away, round)))
    {
        let report = run(start(&plan, &old, 1), Order::Fifo, |packet: Packet| {
            if packet.sender == party(away) && packet.frame.round >= round { Vec::new() } else { vec![packet] }
        });
        assert!(matches!(&report.ends[&party(2)], End::Waiting(parties) if *parties == [party(away)]));
    }
}
