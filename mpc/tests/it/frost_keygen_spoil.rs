//! FROST key generation against a party that lies in every message.

use limen_mpc::{AbortReason, Action, Blame, Dropped};
use limen_wire::ids::{PartyIndex, Scheme};

use crate::frost_run::{SCHEMES, key, start_keygen};
use crate::net::{End, Order, Packet, Report, run};
use crate::params::{party, size};
use crate::spoil::{Damage, Target, check_blame, damages, run_spoiled};

// wire rounds: 1 contributions, 2 echo, 3 shares and chain-code parts, 4 confirmation
const CONTRIBUTION: u8 = 1;
const SHARES: u8 = 3;
const CONFIRMATION: u8 = 4;

fn point_len(scheme: Scheme) -> usize {
    if scheme == Scheme::EddsaEd25519 { 32 } else { 33 }
}

fn contribution_len(scheme: Scheme) -> usize {
    2 * point_len(scheme) + 64 + 64 + 32
}

fn broadcast(round: u8) -> Target {
    Target { round, from: party(1), to: None, direct: false, deaf: false }
}

fn share() -> Target {
    Target { round: SHARES, from: party(1), to: Some(party(2)), direct: true, deaf: false }
}

fn spoiled(scheme: Scheme, target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
    let report = run_spoiled(start_keygen(scheme, size(2, 3), 3), target, change);
    check_blame(&report, party(1), &format!("{scheme} {target:?}"));
    report
}

/// Both honest parties blame the liar for this reason.
fn assert_blamed(report: &Report, what: &str, expected: impl Fn(&AbortReason) -> bool) {
    for honest in [2, 3] {
        let abort = report.abort(party(honest)).unwrap_or_else(|| panic!("{what}: {:?}", report.ends));
        assert_eq!(abort.blame, Blame::party(party(1), Action::Replace), "{what}");
        assert!(expected(&abort.reason), "{what}: {}", abort.reason);
    }
}

fn is_malformed(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::Malformed { .. })
}

fn is_proof(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::Proof { .. })
}

#[test]
fn a_damaged_contribution_blames_its_sender() {
    for scheme in SCHEMES {
        for damage in damages(contribution_len(scheme), 60) {
            let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| damage.apply(body));
            assert_blamed(&report, &format!("{scheme} {damage:?}"), |_| true);
        }
    }
}

#[test]
fn each_field_of_a_contribution_is_checked() {
    for scheme in SCHEMES {
        let len = point_len(scheme);
        type Check = fn(&AbortReason) -> bool;
        let commitment: Check = |reason| matches!(reason, AbortReason::Commitment { .. });
        for (what, at, expected) in [
            ("proof of knowledge", 2 * len + 32 + 3, is_proof as Check),
            ("session proof", 2 * len + 64 + 32 + 3, is_proof),
            ("chain-code commitment", 2 * len + 128, commitment),
        ] {
            let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| Damage::Flip(at, 0).apply(body));
            assert_blamed(&report, what, expected);
        }
        // another coefficient than the proofs are for
        let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| {
            let mut copy = body.to_vec();
            copy.copy_within(0..len, len);
            copy
        });
        assert_blamed(&report, "coefficient", is_proof);
    }
}

#[test]
fn the_threshold_cannot_be_raised_or_lowered() {
    for scheme in SCHEMES {
        let len = point_len(scheme);
        for count in [0, 1, 3, 4, 20] {
            let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| {
                let (coefficients, rest) = body.split_at(2 * len);
                let mut copy = coefficients[..len * count.min(2)].to_vec();
                (2..count).for_each(|_| copy.extend_from_slice(&coefficients[len..]));
                copy.extend_from_slice(rest);
                copy
            });
            assert_blamed(&report, &format!("{count} coefficients"), |_| true);
        }
    }
}

#[test]
fn proofs_cannot_be_missing() {
    for scheme in SCHEMES {
        let proofs = 2 * point_len(scheme);
        for range in [proofs..proofs + 64, proofs + 64..proofs + 128, proofs..proofs + 128] {
            let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| {
                let mut copy = body.to_vec();
                copy[range.clone()].fill(0);
                copy
            });
            assert_blamed(&report, "zero proof", |reason| is_proof(reason) || is_malformed(reason));
            let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| {
                let mut copy = body.to_vec();
                copy.drain(range.clone());
                copy
            });
            assert_blamed(&report, "no proof", |_| true);
        }
    }
}

/// Points that no coefficient's commitment may be.
fn bad_points(scheme: Scheme) -> Vec<Vec<u8>> {
    let hex = |text: &str| hex::decode(text).unwrap();
    match scheme {
        Scheme::EddsaEd25519 => vec![
            hex("0100000000000000000000000000000000000000000000000000000000000000"),
            hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("0000000000000000000000000000000000000000000000000000000000000000"),
            hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        ],
        _ => vec![
            [&[0; 33][..]].concat(),
            [&[2; 1][..], &[0; 31], &[5]].concat(),
            [&[2; 1][..], &[0xff; 32]].concat(),
            [&[4; 1][..], &[1; 32]].concat(),
        ],
    }
}

#[test]
fn points_of_small_order_or_off_the_curve_are_malformed() {
    for scheme in SCHEMES {
        let len = point_len(scheme);
        for bad in bad_points(scheme) {
            for at in [0, len] {
                let report = spoiled(scheme, broadcast(CONTRIBUTION), |body| {
                    let mut copy = body.to_vec();
                    copy[at..at + len].copy_from_slice(&bad);
                    copy
                });
                assert_blamed(&report, &hex::encode(&bad), is_malformed);
            }
        }
    }
}

#[test]
fn contributions_of_others_and_of_other_runs_prove_nothing() {
    for scheme in SCHEMES {
        // our own of another run: the library's proof holds there and here, the session's does not
        let replayed = start_keygen(scheme, size(2, 3), 4)[0].1.send[0].body.clone();
        let report = spoiled(scheme, broadcast(CONTRIBUTION), |_| replayed.clone());
        assert_blamed(&report, "replayed", is_proof);
        // party 2's of this run
        let starts = start_keygen(scheme, size(2, 3), 3);
        let copied = starts[1].1.send[0].body.clone();
        let report = run_spoiled(starts, broadcast(CONTRIBUTION), |_| copied.clone());
        check_blame(&report, party(1), "copied");
        assert_blamed(&report, "copied", is_proof);
    }
}

#[test]
fn a_rogue_key_needs_a_proof_that_nobody_has() {
    use k256::elliptic_curve::sec1::ToEncodedPoint;
    // the liar cancels the others' parts, so that the sum would be the generator, whose key is one
    let starts = start_keygen(Scheme::SchnorrBip340, size(2, 3), 3);
    let first =
        |index: usize| k256::PublicKey::from_sec1_bytes(&starts[index].1.send[0].body[..33]).unwrap().to_projective();
    let rogue = (k256::ProjectivePoint::GENERATOR - first(1) - first(2)).to_affine().to_encoded_point(true);
    let report = run_spoiled(starts, broadcast(CONTRIBUTION), |body| [rogue.as_bytes(), &body[33..]].concat());
    check_blame(&report, party(1), "rogue");
    assert_blamed(&report, "rogue", is_proof);
}

#[test]
fn different_contributions_to_different_parties_are_noticed_before_any_share_leaves() {
    for scheme in SCHEMES {
        let other = start_keygen(scheme, size(2, 3), 3)[0].1.send[0].body.clone();
        let target = Target { to: Some(party(2)), ..broadcast(CONTRIBUTION) };
        let report = spoiled(scheme, target, |_| other.clone());
        for honest in [2, 3] {
            let abort = report.abort(party(honest)).unwrap();
            assert!(matches!(abort.reason, AbortReason::BroadcastDiffers { round: 1, .. }), "{}", abort.reason);
        }
        let leaked = report.sent.iter().any(|packet| packet.frame.round == SHARES && packet.sender != party(1));
        assert!(!leaked);
    }
}

#[test]
fn a_damaged_share_blames_its_dealer() {
    for scheme in SCHEMES {
        let (low, high) = if scheme == Scheme::EddsaEd25519 { (0, 31) } else { (31, 0) };
        for damage in [Damage::Flip(low, 0), Damage::Flip(15, 3), Damage::AllZero] {
            let report = spoiled(scheme, share(), |body| damage.apply(body));
            let abort = report.abort(party(2)).unwrap();
            assert_eq!(abort.blame, Blame::party(party(1), Action::Replace));
            assert_eq!(abort.reason, AbortReason::DealtShare { from: party(1) }, "{damage:?}");
            // the other honest party waits for the confirmation that never comes
            assert!(matches!(&report.ends[&party(3)], End::Waiting(parties) if parties.contains(&party(2))));
        }
        for damage in [Damage::AllOnes, Damage::CutTo(31), Damage::CutTo(0), Damage::FillFrom(high)] {
            let report = spoiled(scheme, share(), |body| damage.apply(body));
            let abort = report.abort(party(2)).unwrap();
            assert_eq!(abort.reason, AbortReason::Malformed { from: party(1), what: "share" }, "{damage:?}");
        }
        let report = spoiled(scheme, share(), |body| Damage::Longer.apply(body));
        assert_eq!(report.dropped(party(2), Dropped::Oversize), 1);
    }
}

#[test]
fn nobody_chooses_the_chain_code() {
    // a party that waits for all other parts cannot bring another one than it committed to
    for scheme in SCHEMES {
        for damage in [Damage::Flip(0, 0), Damage::Flip(31, 7), Damage::AllZero, Damage::AllOnes] {
            let report = spoiled(scheme, broadcast(SHARES), |body| damage.apply(body));
            assert_blamed(&report, &format!("{damage:?}"), |reason| {
                *reason == AbortReason::Commitment { from: party(1) }
            });
        }
        for damage in [Damage::CutTo(0), Damage::CutTo(31)] {
            let report = spoiled(scheme, broadcast(SHARES), |body| damage.apply(body));
            assert_blamed(&report, &format!("{damage:?}"), is_malformed);
        }
        // and cannot use another's part, which would cancel nothing but would copy
        let mut part = None;
        let report = run(start_keygen(scheme, size(2, 3), 3), Order::Fifo, |packet: Packet| {
            if packet.frame.round == SHARES && packet.frame.to.is_none() {
                part = Some(packet.frame.body.clone());
            }
            vec![packet]
        });
        let public = report.outputs().into_values().map(|output| key(output).public().clone()).next().unwrap();
        assert_ne!(part.unwrap(), public.chain_code.to_vec());
    }
}

#[test]
fn another_key_cannot_be_confirmed() {
    for scheme in SCHEMES {
        for damage in [Damage::Flip(0, 0), Damage::Flip(31, 7), Damage::CutTo(0), Damage::CutTo(31), Damage::AllZero] {
            let report = spoiled(scheme, broadcast(CONFIRMATION), |body| damage.apply(body));
            let expected = AbortReason::KeyConfirmation { from: party(1) };
            assert_blamed(&report, &format!("{damage:?}"), |reason| *reason == expected);
        }
    }
}

#[test]
fn a_party_that_stays_away_is_waited_for_by_name() {
    for (scheme, round) in SCHEMES.into_iter().flat_map(|scheme| (1..=4).map(move |round| (scheme, round))) {
        let report = run(start_keygen(scheme, size(2, 3), 3), Order::Fifo, |packet: Packet| {
            if packet.sender == party(1) && packet.frame.round >= round { Vec::new() } else { vec![packet] }
        });
        let waits = |honest: PartyIndex| match &report.ends[&honest] {
            End::Waiting(parties) => *parties == vec![party(1)],
            _ => false,
        };
        assert!(waits(party(2)) && waits(party(3)), "{scheme} {round}: {:?}", report.ends);
    }
}
