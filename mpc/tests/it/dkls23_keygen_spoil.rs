//! DKLs23 key generation against a party that lies in every message.
//!
//! A run takes about a second, so damage is spread more thinly than in the signing suite.

use dkls23::protocols::dkg::{TransmitInitMulPhase3to4, TransmitInitZeroSharePhase3to4};
use dkls23::utilities::proofs::DLogProof;
use k256_14::{AffinePoint, Scalar, Secp256k1};
use limen_mpc::{AbortReason, Action, Blame, Dropped, Output};
use limen_wire::ids::PartyIndex;
use serde::{Deserialize, Serialize};

use crate::dkls23_run::start_keygen;
use crate::net::{End, Order, Packet, Report, run};
use crate::params::{party, size};
use crate::spoil::{Damage, Target, check_blame, damages, run_spoiled};

/// The broadcast of wire round 4, field for field.
#[derive(Serialize, Deserialize)]
struct Openings {
    proof: DLogProof<Secp256k1>,
    chain_code: [u8; 32],
    chain_code_salt: Vec<u8>,
}

/// The direct message of wire round 4.
#[derive(Serialize, Deserialize)]
struct PairSetup {
    zero_share: TransmitInitZeroSharePhase3to4,
    transfers: TransmitInitMulPhase3to4<Secp256k1>,
}

// wire rounds: 1 fragments, 2 commitments, 3 echo, 4 openings, 5 echo, 6 confirmation
const FRAGMENTS: u8 = 1;
const COMMITMENTS: u8 = 2;
const OPENINGS: u8 = 4;
const CONFIRMATION: u8 = 6;

fn target(round: u8, direct: bool) -> Target {
    Target { round, from: party(1), to: direct.then(|| party(2)), direct, deaf: round >= OPENINGS }
}

fn spoiled(target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
    let report = run_spoiled(start_keygen(size(2, 2), 3), target, change);
    check_blame(&report, party(1), &format!("{target:?}"));
    report
}

fn abort(report: &Report) -> (&Blame, &AbortReason) {
    let abort = report.abort(party(2)).unwrap_or_else(|| panic!("no abort: {:?}", report.ends));
    (&abort.blame, &abort.reason)
}

fn spoil_bytes(target: Target, len: usize, dense: usize) {
    for damage in damages(len, dense) {
        let report = spoiled(target, |body| damage.apply(body));
        let refused = report.abort(party(2)).is_some() || report.dropped(party(2), Dropped::Oversize) > 0;
        assert!(refused, "{target:?} {damage:?}: {:?}", report.ends);
    }
}

#[test]
fn damaged_commitments_never_make_a_key() {
    spoil_bytes(target(COMMITMENTS, false), 64, 2);
    for damage in [Damage::Flip(0, 0), Damage::CutTo(31), Damage::Longer] {
        let report = spoiled(target(COMMITMENTS, true), |body| damage.apply(body));
        let refused = report.abort(party(2)).is_some() || report.dropped(party(2), Dropped::Oversize) > 0;
        assert!(refused, "{damage:?}: {:?}", report.ends);
    }
}

#[test]
fn a_value_off_the_polynomial_makes_no_key() {
    // with 2-of-2 any two values are on some line, so this takes a third party
    for damage in [Damage::Flip(31, 0), Damage::AllZero] {
        let report = run_spoiled(start_keygen(size(2, 3), 3), target(FRAGMENTS, true), |body| damage.apply(body));
        check_blame(&report, party(1), "fragment");
        for victim in [2, 3] {
            assert_eq!(report.abort(party(victim)).unwrap().reason, AbortReason::InconsistentShares);
        }
    }
    // not below the group's order, or of another length
    for damage in [Damage::AllOnes, Damage::CutTo(31), Damage::CutTo(0)] {
        let report = spoiled(target(FRAGMENTS, true), |body| damage.apply(body));
        assert_eq!(abort(&report).1, &AbortReason::Malformed { from: party(1), what: "fragment" }, "{damage:?}");
    }
}

#[test]
fn damaged_openings_and_confirmations_never_make_a_key() {
    spoil_bytes(target(OPENINGS, false), 4_741, 4);
    for damage in [Damage::Flip(0, 0), Damage::Flip(31, 7), Damage::CutTo(0), Damage::AllZero] {
        let report = spoiled(target(CONFIRMATION, false), |body| damage.apply(body));
        assert_eq!(abort(&report).1, &AbortReason::KeyConfirmation { from: party(1) }, "{damage:?}");
    }
}

#[test]
fn a_damaged_pair_set_up_never_makes_a_key() {
    for damage in [0, 40, 100, 5_000, 60_000, 140_000].map(|at| Damage::Flip(at, 3)) {
        let report = spoiled(target(OPENINGS, true), |body| damage.apply(body));
        assert!(report.abort(party(2)).is_some(), "{damage:?}: {:?}", report.ends);
    }
    for damage in [Damage::CutTo(0), Damage::CutTo(70_000), Damage::Longer, Damage::AllOnes] {
        let report = spoiled(target(OPENINGS, true), |body| damage.apply(body));
        assert!(matches!(abort(&report).1, AbortReason::Malformed { .. }), "{damage:?}: {:?}", report.ends);
    }
}

fn opening(change: impl Fn(&mut Openings)) -> Report {
    spoiled(target(OPENINGS, false), |body| {
        let mut message: Openings = postcard::from_bytes(body).unwrap();
        change(&mut message);
        postcard::to_stdvec(&message).unwrap()
    })
}

fn pair(change: impl Fn(&mut PairSetup)) -> Report {
    spoiled(target(OPENINGS, true), |body| {
        let mut message: PairSetup = postcard::from_bytes(body).unwrap();
        change(&mut message);
        postcard::to_stdvec(&message).unwrap()
    })
}

fn liar(action: Action) -> Blame {
    Blame::party(party(1), action)
}

#[test]
fn proofs_of_wrong_length_or_for_the_identity_blame_their_prover() {
    let proof = AbortReason::Proof { from: party(1), what: "discrete logarithm" };
    for (what, change) in [
        ("the identity", (|m| m.proof.point = AffinePoint::IDENTITY) as fn(&mut Openings)),
        ("another point", |m| m.proof.point = AffinePoint::GENERATOR),
        ("no proofs", |m| m.proof.proofs.clear()),
        ("a proof less", |m| m.proof.proofs.truncate(63)),
        ("a commitment more", |m| m.proof.rand_commitments.push(AffinePoint::GENERATOR)),
        ("long challenge", |m| m.proof.proofs[0].challenge = vec![1; 40]),
        ("no challenge", |m| m.proof.proofs[0].challenge.clear()),
        ("response", |m| m.proof.proofs[63].challenge_response += Scalar::ONE),
    ] {
        assert_eq!(abort(&opening(change)), (&liar(Action::Replace), &proof), "{what}");
    }
    for change in [(|m| m.chain_code[0] ^= 1) as fn(&mut Openings), |m| m.chain_code_salt.clear()] {
        let report = opening(change);
        assert_eq!(abort(&report), (&liar(Action::Replace), &AbortReason::Commitment { from: party(1) }));
    }
}

#[test]
fn set_ups_of_wrong_dimensions_are_refused() {
    let malformed = AbortReason::Malformed { from: party(1), what: "pair set-up" };
    for (what, change) in [
        ("no transfers", (|m| m.transfers.enc_proofs.clear()) as fn(&mut PairSetup)),
        ("a transfer less", |m| m.transfers.enc_proofs.truncate(255)),
        ("another receiver", |m| m.transfers.parties.receiver = m.transfers.parties.sender),
        ("another sender", |m| m.zero_share.parties.sender = m.zero_share.parties.receiver),
    ] {
        assert_eq!(abort(&pair(change)), (&liar(Action::Replace), &malformed), "{what}");
    }
    let multiplication = AbortReason::Multiplication { from: party(1) };
    for (what, change) in [
        ("encryption proof", (|m| m.transfers.enc_proofs[9].challenge0 += Scalar::ONE) as fn(&mut PairSetup)),
        ("identity in a transfer", |m| m.transfers.enc_proofs[0].proof0.point_u = AffinePoint::IDENTITY),
        ("seed of the transfers", |m| m.transfers.seed[0] ^= 1),
        ("key of the transfers", |m| m.transfers.dlog_proof.point = AffinePoint::GENERATOR),
        ("identity as key of the transfers", |m| m.transfers.dlog_proof.point = AffinePoint::IDENTITY),
    ] {
        assert_eq!(abort(&pair(change)), (&liar(Action::Replace), &multiplication), "{what}");
    }
    let report = pair(|message| message.zero_share.seed[0] ^= 1);
    assert_eq!(abort(&report).1, &AbortReason::Commitment { from: party(1) });
}

#[test]
fn a_broadcast_told_differently_is_noticed_by_all_it_concerns() {
    // party 1 tells party 2 another commitment than party 3
    let liar = Target { to: Some(party(2)), ..target(COMMITMENTS, false) };
    let report = run_spoiled(start_keygen(size(2, 3), 4), liar, |body| Damage::Flip(40, 0).apply(body));
    check_blame(&report, party(1), "two commitments");
    for (witness, other) in [(2, 3), (3, 2)] {
        let abort = report.abort(party(witness)).unwrap();
        let suspects = Blame::suspects([party(1), party(other)]);
        let reason = AbortReason::BroadcastDiffers { broadcaster: party(1), witness: party(other), round: COMMITMENTS };
        // party 1 may be asked first: it also reports its own broadcast, and contradicts what party 2 got
        let own = AbortReason::BroadcastDiffers { broadcaster: party(1), witness: party(1), round: COMMITMENTS };
        assert!((abort.blame == suspects && abort.reason == reason) || abort.reason == own, "{abort:?}");
    }
}

/// The copier waits for the original's commitments and sends them as its own, to cancel that party's part of the chain
/// code; its echo keeps to the copy.
fn copied(copier: PartyIndex, original: PartyIndex) -> Report {
    let starts = start_keygen(size(2, 3), 5);
    let binding = starts[0].0.binding().clone();
    let mut held: Vec<Packet> = Vec::new();
    let mut copy: Option<Vec<u8>> = None;
    let mut truth = None;
    let report = run(starts, Order::Fifo, |packet| {
        let tag = |body: &[u8]| binding.frame_tag(COMMITMENTS, copier, None, body);
        if packet.frame.round == COMMITMENTS + 1 && packet.sender == copier {
            let (truth, lie) = (truth.unwrap(), tag(copy.as_ref().unwrap()));
            let body = packet.frame.body.as_chunks::<32>().0.iter();
            let body: Vec<u8> = body.flat_map(|hash| if *hash == truth { lie } else { *hash }).collect();
            return vec![packet.with_body(&binding, body)];
        }
        if packet.frame.round != COMMITMENTS || packet.frame.to.is_some() {
            return vec![packet];
        }
        if packet.sender == original {
            copy = Some(packet.frame.body.clone());
            let late = held.drain(..).map(|late| late.with_body(&binding, packet.frame.body.clone()));
            return late.chain([packet.clone()]).collect();
        }
        if packet.sender != copier {
            return vec![packet];
        }
        truth = Some(tag(&packet.frame.body));
        match copy.clone() {
            Some(body) => vec![packet.with_body(&binding, body)],
            None => {
                held.push(packet);
                Vec::new()
            }
        }
    });
    check_blame(&report, copier, "copied");
    report
}

#[test]
fn a_copied_commitment_is_refused_and_its_owner_is_not_blamed_for_it() {
    for (copier, original) in [(1, 2), (2, 1), (3, 2)] {
        let (copier, original) = (party(copier), party(original));
        let report = copied(copier, original);
        for honest in [1, 2, 3].map(party).into_iter().filter(|honest| *honest != copier) {
            let abort = report.abort(honest).unwrap_or_else(|| panic!("{:?}", report.ends));
            assert!(matches!(abort.reason, AbortReason::CopiedCommitment { .. }), "{abort}");
            // the owner knows; a third cannot tell
            let suspects = [copier, original].into_iter().filter(|party| *party != honest);
            assert_eq!(abort.blame, Blame::suspects(suspects));
        }
    }
}

#[test]
fn a_party_that_confirms_another_key_is_named_and_nobody_keeps_the_key_but_the_liar() {
    let report = spoiled(target(CONFIRMATION, false), |body| Damage::Flip(0, 0).apply(body));
    assert_eq!(abort(&report).1, &AbortReason::KeyConfirmation { from: party(1) });
    let kept = |party: PartyIndex| matches!(report.ends.get(&party), Some(End::Done(Output::Key(_))));
    assert!(!kept(party(2)));
}
