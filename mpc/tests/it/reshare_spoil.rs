//! Resharing against one party that lies: every check of what dealers, receivers and bystanders send.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar as Scalar25519;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_mpc::{AbortReason, Action, Binding, Blame, Dropped, Handover};
use limen_wire::ids::{Scheme, tagged_hash};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::frost_run::Shares;
use crate::net::{End, Order, Packet, Report, honest, run};
use crate::params::{party, size};
use crate::reshare_run::{BIP340, CGGMP, ED25519, Kind, fresh, handover, start};
use crate::spoil::{Damage, Target, check_blame, damages, replaced, run_spoiled};

// wire rounds: 1 hashes, 2 echo, 3 dealings, 4 echo, 5 shares, 6 verdicts
const HASH: u8 = 1;
const DEALING: u8 = 3;
const SHARES: u8 = 5;
const VERDICT: u8 = 6;

const KINDS: [Kind; 3] = [ED25519, BIP340, CGGMP];

/// 2-of-3 to 2-of-3: parties 1 and 2 stay and deal, 3 is new, and the old third holder has no part.
struct Scene {
    kind: Kind,
    old: Shares,
    plan: Handover,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let old = fresh(kind, size(2, 3));
        let plan = handover(&old, size(2, 3), kind.1, &[(1, Some(1)), (2, Some(2))]);
        Self { kind, old, plan }
    }
    fn point_len(&self) -> usize {
        if self.kind == ED25519 { 32 } else { 33 }
    }
    /// What party 1 opens in run `number`.
    fn opening(&self, number: u64) -> Vec<u8> {
        let sent = run(start(&self.plan, &self.old, number), Order::Fifo, honest).sent;
        sent.into_iter().find(|packet| packet.is(DEALING, party(1), party(2), false)).unwrap().frame.body
    }
    /// Party 1 commits to another dealing and opens that, the same to all.
    fn deals(&self, dealing: &[u8], what: &str) -> Report {
        let starts = start(&self.plan, &self.old, 1);
        let binding = starts[0].0.binding().clone();
        let hash = tagged_hash("limen mpc handover commitment v1", [&binding.digest()[..], &[1], dealing]);
        let mut lies = Vec::new();
        let report = run(starts, Order::Fifo, |packet| {
            let lie = match packet.frame.round {
                HASH if packet.sender == party(1) => Some(hash.to_vec()),
                DEALING if packet.sender == party(1) => Some(dealing.to_vec()),
                _ => None,
            };
            if let Some(body) = lie {
                let tag = |body: &[u8]| binding.frame_tag(packet.frame.round, party(1), None, body);
                lies.push((packet.frame.round, tag(&packet.frame.body), tag(&body)));
                return vec![packet.with_body(&binding, body)];
            }
            vec![keep_to_it(packet, &binding, &lies)]
        });
        check_blame(&report, party(1), what);
        report
    }
    fn spoiled(&self, target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
        let report = run_spoiled(start(&self.plan, &self.old, 1), target, change);
        check_blame(&report, target.from, &format!("{:?} {target:?}", self.kind));
        report
    }
}

/// The liar's echo says what it told all, and what it hears does not trouble it.
fn keep_to_it(packet: Packet, binding: &Binding, lies: &[(u8, [u8; 32], [u8; 32])]) -> Packet {
    let Some((_, truth, lie)) = lies.iter().find(|(round, ..)| packet.frame.round == round + 1) else { return packet };
    let body = if packet.sender == party(1) {
        replaced(&packet.frame.body, *truth, *lie)
    } else if packet.receiver == party(1) {
        replaced(&packet.frame.body, *lie, *truth)
    } else {
        return packet;
    };
    packet.with_body(binding, body)
}

fn broadcast(round: u8, from: u16) -> Target {
    Target { round, from: party(from), to: None, direct: false, deaf: false }
}

fn direct(from: u16, to: u16) -> Target {
    Target { round: SHARES, from: party(from), to: Some(party(to)), direct: true, deaf: false }
}

/// All honest parties blame `liar` for this reason, and none has a share.
fn assert_blamed(report: &Report, liar: u16, what: &str, expected: impl Fn(&AbortReason) -> bool) {
    for honest in [1, 2, 3].into_iter().filter(|index| *index != liar) {
        let abort = report.abort(party(honest)).unwrap_or_else(|| panic!("{what}: {:?}", report.ends));
        assert_eq!(abort.blame, Blame::party(party(liar), Action::Replace), "{what}: {abort}");
        assert!(expected(&abort.reason), "{what}: {}", abort.reason);
    }
}

fn no_share_left(report: &Report) -> bool {
    !report.sent.iter().any(|packet| packet.frame.round == SHARES && packet.sender != party(1))
}

fn is_malformed(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::Malformed { .. })
}

fn is_proof(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::Proof { .. })
}

fn is_wrong_share(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::WrongShare { .. })
}

#[test]
fn a_damaged_dealing_blames_its_dealer_before_any_share_leaves() {
    for scene in KINDS.map(Scene::new) {
        let opening = scene.opening(1);
        assert_eq!(opening.len(), 3 * scene.point_len() + 32);
        for damage in damages(opening.len(), 40) {
            let what = format!("{:?} {damage:?}", scene.kind);
            let report = scene.deals(&damage.apply(&opening), &what);
            assert_blamed(&report, 1, &what, |_| true);
            assert!(no_share_left(&report), "{what}");
        }
    }
}

#[test]
fn a_dealing_is_the_one_that_was_committed_to() {
    for scene in KINDS.map(Scene::new) {
        let commitment = AbortReason::Commitment { from: party(1) };
        for damage in [Damage::Flip(0, 0), Damage::Flip(31, 7), Damage::AllZero] {
            let report = scene.spoiled(broadcast(HASH, 1), |body| damage.apply(body));
            assert_blamed(&report, 1, "hash", |reason| *reason == commitment);
            let report = scene.spoiled(broadcast(DEALING, 1), |body| damage.apply(body));
            assert_blamed(&report, 1, "dealing", |reason| *reason == commitment);
        }
        // a good dealing, but not the one of round 1
        let other = scene.opening(2);
        let report = scene.spoiled(broadcast(DEALING, 1), |_| other.clone());
        assert_blamed(&report, 1, "another", |reason| *reason == commitment);
        for damage in [Damage::CutTo(0), Damage::CutTo(31)] {
            let report = scene.spoiled(broadcast(HASH, 1), |body| damage.apply(body));
            assert_blamed(&report, 1, "no hash", is_malformed);
        }
    }
}

#[test]
fn every_field_of_a_dealing_is_checked() {
    for scene in KINDS.map(Scene::new) {
        let (opening, len) = (scene.opening(1), scene.point_len());
        let replace = |at: usize, with: &[u8]| {
            let mut copy = opening.clone();
            copy[at..at + with.len()].copy_from_slice(with);
            copy
        };
        // the proof covers the other coefficients too, or one run's proof would open another's dealing
        let report = scene.deals(&replace(len, &opening[..len]), "coefficient");
        assert_blamed(&report, 1, "coefficient", is_proof);
        let report = scene.deals(&replace(2 * len, &opening[..len]), "nonce");
        assert_blamed(&report, 1, "nonce", is_proof);
        let low = if scene.kind == ED25519 { 3 * len } else { 3 * len + 31 };
        let report = scene.deals(&Damage::Flip(low, 0).apply(&opening), "response");
        assert_blamed(&report, 1, "response", is_proof);
        // points of small order, off the curve or in another encoding; scalars beyond the order
        let bad: &[&str] = if scene.kind == ED25519 {
            &[
                "0100000000000000000000000000000000000000000000000000000000000000",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            ]
        } else {
            &[
                "000000000000000000000000000000000000000000000000000000000000000000",
                "020000000000000000000000000000000000000000000000000000000000000005",
                "040000000000000000000000000000000000000000000000000000000000000001",
            ]
        };
        for (bad, at) in bad.iter().flat_map(|bad| [0, len, 2 * len].map(|at| (bad, at))) {
            let report = scene.deals(&replace(at, &hex::decode(bad).unwrap()), bad);
            assert_blamed(&report, 1, bad, is_malformed);
        }
        let report = scene.deals(&replace(3 * len, &[0xff; 32]), "order");
        assert_blamed(&report, 1, "order", is_malformed);
    }
}

/// A dealing with these coefficients and a good proof: what a dealer can do that knows the protocol.
fn forge_ed25519(binding: &Binding, coefficients: &[Scalar25519]) -> Vec<u8> {
    let point = |scalar: &Scalar25519| EdwardsPoint::mul_base(scalar).compress().to_bytes();
    let points: Vec<u8> = coefficients.iter().flat_map(point).collect();
    let nonce = Scalar25519::from(77u64);
    let hash = tagged_hash("limen mpc handover proof v1", [&binding.digest()[..], &[1], &points, &point(&nonce)]);
    let response = nonce + Scalar25519::from_bytes_mod_order(hash) * coefficients[0];
    [&points[..], &point(&nonce), &response.to_bytes()].concat()
}

/// The same on secp256k1.
fn forge(binding: &Binding, coefficients: &[k256::Scalar]) -> Vec<u8> {
    let point = |scalar: &k256::Scalar| {
        (k256::ProjectivePoint::GENERATOR * scalar).to_affine().to_encoded_point(true).as_bytes().to_vec()
    };
    let points: Vec<u8> = coefficients.iter().flat_map(point).collect();
    let nonce = k256::Scalar::from(77u64);
    let hash = tagged_hash("limen mpc handover proof v1", [&binding.digest()[..], &[1], &points, &point(&nonce)]);
    let challenge = <k256::Scalar as Reduce<k256::U256>>::reduce_bytes(&hash.into());
    let response = nonce + challenge * coefficients[0];
    [points, point(&nonce), response.to_bytes().to_vec()].concat()
}

#[test]
fn neither_the_key_nor_the_threshold_changes_by_a_dealer_that_can_prove_all_it_says() {
    for kind in [BIP340, CGGMP] {
        let scene = Scene::new(kind);
        let binding = start(&scene.plan, &scene.old, 1)[0].0.binding().clone();
        let share: [u8; 32] = scene.old[&party(1)].export_core()[6..].try_into().unwrap();
        let share = k256::Scalar::from_repr(share.into()).unwrap();
        // nodes 1 and 2: λ_1 = 2 / (2 − 1)
        let part = share * k256::Scalar::from(2u64);
        let more = [k256::Scalar::from(5u64), k256::Scalar::from(6u64), k256::Scalar::from(7u64)];
        let with = |constant: k256::Scalar, count: usize| forge(&binding, &[&[constant], &more[..count]].concat());
        let report = scene.deals(&with(part, 1), "right");
        // it is only not what the honest half of the liar deals
        assert_eq!(report.abort(party(2)).unwrap().reason, AbortReason::DealtShare { from: party(1) });
        for count in [0, 2, 3] {
            let report = scene.deals(&with(part, count), "degree");
            assert_blamed(&report, 1, "degree", is_malformed);
            assert!(no_share_left(&report));
        }
        let one = k256::Scalar::from(1u64);
        for constant in [share, part + one, -part, one] {
            let report = scene.deals(&with(constant, 1), "constant");
            assert_blamed(&report, 1, "constant", is_wrong_share);
            assert!(no_share_left(&report));
        }
    }
}

#[test]
fn a_dealer_of_ed25519_that_can_prove_all_it_says_changes_neither_key_nor_threshold() {
    let scene = Scene::new(ED25519);
    let binding = start(&scene.plan, &scene.old, 1)[0].0.binding().clone();
    let share: [u8; 32] = scene.old[&party(1)].export_core()[6..].try_into().unwrap();
    let share = Scalar25519::from_canonical_bytes(share).unwrap();
    // nodes 1 and 2: λ_1 = 2 / (2 − 1)
    let part = share + share;
    let more = [5u64, 6, 7].map(Scalar25519::from);
    let with = |constant: Scalar25519, count: usize| forge_ed25519(&binding, &[&[constant], &more[..count]].concat());
    // a good proof of the right constant, and a share that is not of this polynomial
    let report = scene.deals(&with(part, 1), "right");
    assert_blamed(&report, 1, "right", |reason| *reason == AbortReason::DealtShare { from: party(1) });
    for count in [0, 2, 3] {
        let report = scene.deals(&with(part, count), "degree");
        assert_blamed(&report, 1, "degree", is_malformed);
        assert!(no_share_left(&report));
    }
    for constant in [share, part + Scalar25519::ONE, -part, Scalar25519::ONE] {
        let report = scene.deals(&with(constant, 1), "constant");
        assert_blamed(&report, 1, "constant", is_wrong_share);
        assert!(no_share_left(&report));
    }
}

/// A point of the group plus one of small order has another encoding, and a check that multiplies by the cofactor sees no difference.
#[test]
fn a_point_of_mixed_order_in_a_dealing_is_no_point() {
    let scene = Scene::new(ED25519);
    let opening = scene.opening(1);
    for torsion in &EIGHT_TORSION[1..] {
        for at in [0, 32, 64] {
            let point = CompressedEdwardsY(opening[at..at + 32].try_into().unwrap()).decompress().unwrap();
            let mixed = (point + torsion).compress();
            let dealing = [&opening[..at], mixed.as_bytes(), &opening[at + 32..]].concat();
            let report = scene.deals(&dealing, "mixed order");
            assert_blamed(&report, 1, "mixed order", is_malformed);
            assert!(no_share_left(&report));
        }
    }
}

#[test]
fn the_number_of_commitments_is_the_new_threshold() {
    for scene in KINDS.map(Scene::new) {
        let (opening, len) = (scene.opening(1), scene.point_len());
        let (points, proof) = opening.split_at(2 * len);
        for count in [0, 1, 3, 4, 20] {
            let mut dealing = points[..len * count.min(2)].to_vec();
            (2..count).for_each(|_| dealing.extend_from_slice(&points[len..]));
            dealing.extend_from_slice(proof);
            let report = scene.deals(&dealing, "degree");
            assert_blamed(&report, 1, &format!("{count}"), |_| true);
            assert!(no_share_left(&report));
        }
    }
}

#[test]
fn contributions_of_earlier_runs_of_others_and_of_other_keys_are_worth_nothing() {
    for scene in KINDS.map(Scene::new) {
        // our own, of an earlier run of the same handover
        let report = scene.deals(&scene.opening(2), "replayed");
        assert_blamed(&report, 1, "replayed", is_proof);
        // the other dealer's of this run
        let sent = run(start(&scene.plan, &scene.old, 1), Order::Fifo, honest).sent;
        let other = sent.iter().find(|packet| packet.is(DEALING, party(2), party(3), false)).unwrap();
        let report = scene.deals(&other.frame.body, "copied");
        assert_blamed(&report, 1, "copied", is_wrong_share);
        // of another key
        let report = scene.deals(&Scene::new(scene.kind).opening(1), "foreign");
        assert_blamed(&report, 1, "foreign", is_wrong_share);
        // whole frames of an earlier run
        let earlier = run(start(&scene.plan, &scene.old, 2), Order::Fifo, honest).sent;
        let mut replayed = 0;
        let report = run(start(&scene.plan, &scene.old, 1), Order::Fifo, |packet| {
            let same = |old: &&Packet| {
                (old.sender, old.receiver, old.frame.round) == (packet.sender, packet.receiver, packet.frame.round)
            };
            let mut out: Vec<Packet> = earlier.iter().filter(same).cloned().collect();
            replayed += out.len();
            out.push(packet);
            out
        });
        let dropped: usize = [1, 2, 3].iter().map(|index| report.dropped(party(*index), Dropped::WrongTag)).sum();
        assert!(replayed > 0 && dropped == replayed);
        report.outputs();
    }
}

#[test]
fn a_dealer_that_shows_two_faces_ends_it_for_all() {
    for scene in KINDS.map(Scene::new) {
        for (round, target) in [HASH, DEALING].into_iter().flat_map(|round| [2, 3].map(|to| (round, to))) {
            let target = Target { to: Some(party(target)), ..broadcast(round, 1) };
            let report = scene.spoiled(target, |body| Damage::Flip(3, 1).apply(body));
            for honest in [2, 3] {
                let abort = report.abort(party(honest)).unwrap();
                let differs = matches!(abort.reason, AbortReason::BroadcastDiffers { round: at, .. } if at == round);
                assert!(differs, "{}", abort.reason);
            }
            assert!(no_share_left(&report));
        }
    }
}

/// The receiver names the dealer; others name both; each of the two the other.
fn assert_disputed(report: &Report, dealer: u16, receiver: u16) {
    let reason = AbortReason::DealtShareDisputed { dealer: party(dealer), receiver: party(receiver) };
    for honest in [1, 2, 3].into_iter().filter(|index| *index != receiver) {
        let abort = report.abort(party(honest)).unwrap_or_else(|| panic!("{:?}", report.ends));
        assert_eq!(abort.reason, reason);
        let pair = [dealer, receiver].into_iter().filter(|index| *index != honest).map(party);
        assert_eq!(abort.blame, Blame::suspects(pair));
    }
}

#[test]
fn a_wrong_share_blames_its_dealer_and_leaves_others_with_the_pair() {
    for scene in KINDS.map(Scene::new) {
        let low = if scene.kind == ED25519 { 0 } else { 31 };
        for to in [2, 3] {
            let dealt = AbortReason::DealtShare { from: party(1) };
            let malformed = AbortReason::Malformed { from: party(1), what: "share" };
            for (damage, reason) in [
                (Damage::Flip(low, 0), &dealt),
                (Damage::Flip(15, 3), &dealt),
                (Damage::AllZero, &dealt),
                (Damage::AllOnes, &malformed),
                (Damage::CutTo(31), &malformed),
                (Damage::CutTo(0), &malformed),
            ] {
                let report = scene.spoiled(direct(1, to), |body| damage.apply(body));
                let abort = report.abort(party(to)).unwrap();
                assert_eq!((&abort.reason, &abort.blame), (reason, &Blame::party(party(1), Action::Replace)));
                assert_disputed(&report, 1, to);
            }
        }
        let report = scene.spoiled(direct(1, 2), |body| Damage::Longer.apply(body));
        assert_eq!(report.dropped(party(2), Dropped::Oversize), 1);
    }
}

#[test]
fn the_share_of_another_receiver_is_a_wrong_share() {
    for scene in KINDS.map(Scene::new) {
        let sent = run(start(&scene.plan, &scene.old, 1), Order::Fifo, honest).sent;
        let others = sent.iter().find(|packet| packet.is(SHARES, party(1), party(3), true)).unwrap();
        let report = scene.spoiled(direct(1, 2), |_| others.frame.body.clone());
        assert_eq!(report.abort(party(2)).unwrap().reason, AbortReason::DealtShare { from: party(1) });
    }
}

#[test]
fn a_false_complaint_is_known_to_the_accused_and_frames_nobody_else() {
    for scene in KINDS.map(Scene::new) {
        let report = scene.spoiled(broadcast(VERDICT, 3), |_| vec![1]);
        assert_disputed(&report, 1, 3);
        // a complaint about oneself, a stranger or nobody is none
        for accused in [0, 3, 4, 255] {
            let report = scene.spoiled(broadcast(VERDICT, 3), |_| vec![accused]);
            assert_blamed(&report, 3, "complaint", is_malformed);
        }
    }
}

#[test]
fn another_epoch_cannot_be_confirmed() {
    for scene in KINDS.map(Scene::new) {
        for (liar, damage) in [1, 3].into_iter().flat_map(|liar| {
            [Damage::Flip(0, 0), Damage::Flip(31, 7), Damage::CutTo(0), Damage::CutTo(31), Damage::AllZero]
                .map(|damage| (liar, damage))
        }) {
            let report = scene.spoiled(broadcast(VERDICT, liar), |body| damage.apply(body));
            let expected = AbortReason::KeyConfirmation { from: party(liar) };
            assert_blamed(&report, liar, &format!("{damage:?}"), |reason| *reason == expected);
        }
    }
}

#[test]
fn who_has_no_part_in_a_round_says_nothing_in_it() {
    for scene in KINDS.map(Scene::new) {
        for round in [HASH, DEALING] {
            let report = scene.spoiled(broadcast(round, 3), |_| vec![7; 32]);
            assert_blamed(&report, 3, "speaks", is_malformed);
        }
        let report = scene.spoiled(direct(3, 1), |_| vec![7; 32]);
        assert!(is_malformed(&report.abort(party(1)).unwrap().reason));
        let abort = report.abort(party(2)).unwrap();
        assert_eq!(abort.blame, Blame::suspects([party(1), party(3)]));
        // nobody deals to one that leaves
        let leaving = handover(&scene.old, size(2, 2), scene.kind.1, &[(1, Some(1)), (2, None)]);
        let report = run_spoiled(start(&leaving, &scene.old, 1), direct(1, 3), |_| vec![7; 32]);
        assert!(is_malformed(&report.abort(party(3)).unwrap().reason));
        assert_eq!(report.abort(party(2)).unwrap().blame, Blame::suspects([party(1), party(3)]));
        check_blame(&report, party(1), "dealt to a leaver");
    }
}

#[test]
fn a_party_that_stays_away_is_waited_for_by_name_and_nobody_ends_with_a_share() {
    for (scene, round) in KINDS.map(Scene::new).iter().flat_map(|scene| (1..=6).map(move |round| (scene, round))) {
        let report = run(start(&scene.plan, &scene.old, 1), Order::Fifo, |packet: Packet| {
            if packet.sender == party(1) && packet.frame.round >= round { Vec::new() } else { vec![packet] }
        });
        for honest in [2, 3] {
            assert!(matches!(&report.ends[&party(honest)], End::Waiting(parties) if *parties == [party(1)]));
        }
    }
}

#[test]
fn no_dealer_learns_from_another_before_its_own_is_fixed() {
    // a rushing dealer sees the others' hashes only: no dealing leaves before all hashes are known alike
    let scene = Scene::new(ED25519);
    let report = run(start(&scene.plan, &scene.old, 1), Order::Fifo, |packet: Packet| {
        if packet.sender == party(1) && packet.frame.round >= 2 { Vec::new() } else { vec![packet] }
    });
    assert!(!report.sent.iter().any(|packet| packet.frame.round >= DEALING && packet.sender != party(1)));
    // and the same polynomial twice has the same hash in no two runs
    assert_ne!(scene.opening(1), scene.opening(2));
    assert_eq!(scene.kind.0, Scheme::EddsaEd25519);
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, rng_seed: RngSeed::Fixed(12), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever one party says, in whatever round: no panic, no honest party framed, no share for anyone that disagrees.
    #[test]
    fn garbage_never_panics_and_frames_nobody(
        kind in prop::sample::select(KINDS.to_vec()),
        round in 1u8..=6,
        liar in 1u16..=3,
        to in prop::option::of(1u16..=3),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let scene = Scene::new(kind);
        let to = to.filter(|to| *to != liar).map(party);
        let target = Target { round, from: party(liar), to, direct: round == SHARES, deaf: false };
        let report = run_spoiled(start(&scene.plan, &scene.old, 1), target, |_| body.clone());
        check_blame(&report, party(liar), &format!("{target:?}"));
    }

    /// The same for what a dealer has committed to.
    #[test]
    fn committed_garbage_blames_its_dealer(
        kind in prop::sample::select(KINDS.to_vec()),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let report = Scene::new(kind).deals(&body, "garbage");
        assert_blamed(&report, 1, "garbage", |_| true);
    }
}
