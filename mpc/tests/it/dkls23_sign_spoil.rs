//! DKLs23 signing against a signer that lies in every message and field.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23::protocols::PartyIndex as LibIndex;
use dkls23::protocols::signing::{TransmitPhase1to2, TransmitPhase2to3};
use k256_14::{AffinePoint, Scalar, Secp256k1};
use limen_mpc::{AbortReason, Action, Blame, DerivationPath, Dropped, KeyShare, Output, SignInput};
use limen_wire::ids::{PartyIndex, SignerSet};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dealer::deal;
use crate::dkls23_run::{ecdsa, start_sign};
use crate::net::{End, Order, Report, run};
use crate::params::{party, set, size};
use crate::spoil::{Target, check_blame, damages, run_spoiled};

const DIGEST: [u8; 32] = [7; 32];

struct Bench {
    shares: BTreeMap<PartyIndex, Arc<KeyShare>>,
    signers: SignerSet,
}

impl Bench {
    fn new(required: u16, total: u16, signers: &[u16]) -> Self {
        Self { shares: deal(&ecdsa(size(required, total), 0)), signers: set(signers) }
    }
    fn start(&self, number: u64) -> Vec<(limen_mpc::Session, limen_mpc::Step)> {
        start_sign(&self.shares, &self.signers, &DerivationPath::root(), DIGEST, number)
    }
    fn spoiled(&self, target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
        run_spoiled(self.start(1), target, change)
    }
    /// No wrong signature leaves, and no honest party is blamed.
    fn check(&self, report: &Report, liar: PartyIndex, what: &str) {
        check_blame(report, liar, what);
        let key = self.shares[&liar].public().public_key;
        for end in report.ends.values() {
            if let End::Done(Output::Signature(signature)) = end {
                signature.verify(&key, &SignInput::Digest(DIGEST)).unwrap();
            }
        }
    }
    fn body(&self, target: Target) -> Vec<u8> {
        let report = run(self.start(1), Order::Fifo, crate::net::honest);
        let to = target.to.unwrap_or(party(2));
        report
            .sent
            .into_iter()
            .find(|packet| packet.is(target.round, target.from, to, target.direct))
            .unwrap()
            .frame
            .body
    }
    /// Spoils bytes everywhere: every damaged message must end in an abort, or be dropped, at the party that got it.
    fn spoil_bytes(&self, target: Target, dense: usize) {
        let length = self.body(target).len();
        for damage in damages(length, dense) {
            let what = format!("{target:?}: {damage:?}");
            let report = self.spoiled(target, |body| damage.apply(body));
            self.check(&report, target.from, &what);
            let to = target.to.unwrap_or(party(2));
            let refused = report.abort(to).is_some() || report.dropped(to, Dropped::Oversize) > 0;
            assert!(refused, "{what}: {:?}", report.ends);
        }
    }
    fn spoil_field<T: Serialize + DeserializeOwned>(
        &self,
        target: Target,
        what: &str,
        change: impl Fn(&mut T),
    ) -> Report {
        let report = self.spoiled(target, |body| {
            let mut message: T = postcard::from_bytes(body).unwrap();
            change(&mut message);
            postcard::to_stdvec(&message).unwrap()
        });
        self.check(&report, target.from, what);
        report
    }
}

fn direct(round: u8) -> Target {
    Target { round, from: party(1), to: Some(party(2)), direct: true, deaf: true }
}
fn broadcast(round: u8) -> Target {
    Target { round, from: party(1), to: None, direct: false, deaf: true }
}
fn banned(report: &Report) -> bool {
    let blame = report.abort(party(2)).map(|abort| &abort.blame);
    matches!(blame, Some(Blame::Party { party: liar, action: Action::Ban }) if *liar == party(1))
}
fn reason(report: &Report) -> &AbortReason {
    &report.abort(party(2)).unwrap().reason
}

#[test]
fn every_damaged_byte_of_every_message_ends_in_an_abort() {
    let bench = Bench::new(2, 3, &[1, 2]);
    bench.spoil_bytes(direct(1), 120);
    bench.spoil_bytes(direct(2), 240);
    bench.spoil_bytes(broadcast(3), 96);
}

#[test]
fn every_damaged_byte_ends_in_an_abort_when_three_sign() {
    let bench = Bench::new(3, 5, &[1, 2, 4]);
    bench.spoil_bytes(direct(1), 12);
    bench.spoil_bytes(direct(2), 24);
    bench.spoil_bytes(broadcast(3), 30);
    bench.spoil_bytes(broadcast(4), 30);
}

#[test]
fn requests_of_other_dimensions_or_sessions_are_refused_without_a_ban() {
    type Message = TransmitPhase1to2;
    let bench = Bench::new(2, 3, &[1, 2]);
    let index = |value| LibIndex::new(value).unwrap();
    let spoil = |what: &str, change: fn(&mut Message)| bench.spoil_field(direct(1), what, change);
    for (what, change) in [
        ("no rows", (|m| m.mul_transmit.u.clear()) as fn(&mut Message)),
        ("a row less", |m| m.mul_transmit.u.truncate(255)),
        ("a row more", |m| m.mul_transmit.u.push(m.mul_transmit.u[0])),
        ("no check values", |m| m.mul_transmit.verify_t.clear()),
        ("a check value more", |m| m.mul_transmit.verify_t.push(m.mul_transmit.verify_t[0])),
    ] {
        let report = spoil(what, change);
        assert_eq!(
            reason(&report),
            &AbortReason::Malformed { from: party(1), what: "multiplication request" },
            "{what}"
        );
    }
    for (sender, receiver) in [(2, 1), (3, 2), (1, 3), (2, 2)] {
        let report = bench.spoil_field(direct(1), "routing", |message: &mut Message| {
            message.parties.sender = index(sender);
            message.parties.receiver = index(receiver);
        });
        assert!(matches!(reason(&report), AbortReason::Malformed { .. }) && !banned(&report));
    }
    let report = spoil("another binding", |m| m.session_binding[0] ^= 1);
    assert_eq!(reason(&report), &AbortReason::SetupMismatch { from: party(1) });
    assert!(!banned(&report));
}

#[test]
fn a_failed_transfer_check_bans_the_pair() {
    let bench = Bench::new(2, 3, &[1, 2]);
    for (what, change) in [
        ("row", (|m| m.mul_transmit.u[3][5] ^= 4) as fn(&mut TransmitPhase1to2)),
        ("check x", |m| m.mul_transmit.verify_x[0] ^= 1),
        ("check t", |m| m.mul_transmit.verify_t[255][0] ^= 1),
        ("nonce", |m| m.mul_transmit.nonce[0] ^= 1),
    ] {
        // a single flipped row is caught only if the chosen correlation bit is set, by design of the protocol
        let caught = (0..12).any(|_| banned(&bench.spoil_field(direct(1), what, change)));
        assert!(caught, "{what}");
    }
}

#[test]
fn a_wrong_multiplication_answer_bans_the_pair() {
    type Message = TransmitPhase2to3<Secp256k1>;
    let bench = Bench::new(2, 3, &[1, 2]);
    for (what, change) in [
        ("tau", (|m| m.mul_transmit.vector_of_tau[0][0] += Scalar::ONE) as fn(&mut Message)),
        ("tau of the check", |m| m.mul_transmit.vector_of_tau[3][7] += Scalar::ONE),
        ("salt of the extension", |m| m.mul_transmit.ote_salt[0] ^= 1),
        ("verify r", |m| m.mul_transmit.verify_r[0] ^= 1),
        ("verify u", |m| m.mul_transmit.verify_u[1] += Scalar::ONE),
        ("gamma sender", |m| m.mul_transmit.gamma_sender[0] += Scalar::ONE),
        ("gamma u", |m| m.gamma_u = AffinePoint::GENERATOR),
        ("gamma v", |m| m.gamma_v = AffinePoint::GENERATOR),
        ("gamma u is the identity", |m| m.gamma_u = AffinePoint::IDENTITY),
        ("gamma v is the identity", |m| m.gamma_v = AffinePoint::IDENTITY),
        ("public share", |m| m.public_share = AffinePoint::GENERATOR),
        ("public share is the identity", |m| m.public_share = AffinePoint::IDENTITY),
    ] {
        assert!(banned(&bench.spoil_field(direct(2), what, change)), "{what}");
    }
}

#[test]
fn openings_and_dimensions_of_the_answer_are_checked_first() {
    type Message = TransmitPhase2to3<Secp256k1>;
    let bench = Bench::new(2, 3, &[1, 2]);
    for (what, change) in [
        ("nonce point", (|m| m.instance_point = AffinePoint::GENERATOR) as fn(&mut Message)),
        ("psi", |m| m.psi += Scalar::ONE),
        ("salt", |m| m.salt[0] ^= 1),
    ] {
        let report = bench.spoil_field(direct(2), what, change);
        assert_eq!(reason(&report), &AbortReason::Commitment { from: party(1) }, "{what}");
        assert!(!banned(&report), "{what}");
    }
    for (what, change) in [
        ("nonce point is the identity", (|m| m.instance_point = AffinePoint::IDENTITY) as fn(&mut Message)),
        ("no salt", |m| m.salt.clear()),
        ("long salt", |m| m.salt = vec![0; 1000]),
        ("no tau", |m| m.mul_transmit.vector_of_tau.clear()),
        ("a tau vector less", |m| m.mul_transmit.vector_of_tau.truncate(3)),
        ("short tau", |m| m.mul_transmit.vector_of_tau[2].truncate(415)),
        ("long tau", |m| m.mul_transmit.vector_of_tau[0].push(Scalar::ONE)),
        ("no verify u", |m| m.mul_transmit.verify_u.clear()),
        ("no gamma", |m| m.mul_transmit.gamma_sender.clear()),
        ("gamma more", |m| m.mul_transmit.gamma_sender.push(Scalar::ONE)),
        ("own index as sender", |m| m.parties.sender = LibIndex::new(2).unwrap()),
    ] {
        let report = bench.spoil_field(direct(2), what, change);
        assert!(matches!(reason(&report), AbortReason::Malformed { .. }), "{what}: {:?}", reason(&report));
        assert!(!banned(&report), "{what}");
    }
    let report = bench.spoil_field(direct(2), "binding", |m: &mut Message| m.session_binding[0] ^= 1);
    assert_eq!(reason(&report), &AbortReason::SetupMismatch { from: party(1) });
}

#[test]
fn a_share_of_another_key_or_epoch_is_noticed() {
    let bench = Bench::new(2, 3, &[1, 2]);
    let other = Bench::new(2, 3, &[1, 2]);
    // the same secret dealt again is a new polynomial with new set-ups: an old share in a new epoch
    let mut mixed = bench.shares.clone();
    mixed.insert(party(1), other.shares[&party(1)].clone());
    let starts = start_sign(&mixed, &bench.signers, &DerivationPath::root(), DIGEST, 1);
    let report = run(starts, Order::Fifo, crate::net::honest);
    check_blame(&report, party(1), "mixed epochs");
    assert_eq!(reason(&report), &AbortReason::SetupMismatch { from: party(1) });
    assert!(!banned(&report));
}

#[test]
fn a_bad_last_message_makes_suspects_and_bans_nobody() {
    // with two signers the other one is the only suspect
    let two = Bench::new(2, 3, &[1, 2]);
    let report = two.spoiled(broadcast(3), flip_last);
    assert_eq!(report.abort(party(2)).unwrap().blame, Blame::party(party(1), Action::Replace));
    assert_eq!(reason(&report), &AbortReason::BadSignature);
    // with three the protocol cannot tell
    let three = Bench::new(3, 5, &[1, 2, 4]);
    let report = three.spoiled(broadcast(4), flip_last);
    three.check(&report, party(1), "last message");
    assert_eq!(report.abort(party(2)).unwrap().blame, Blame::suspects([party(1), party(4)]));
    assert_eq!(report.abort(party(4)).unwrap().blame, Blame::suspects([party(1), party(2)]));
}

fn flip_last(body: &[u8]) -> Vec<u8> {
    let mut copy = body.to_vec();
    *copy.last_mut().unwrap() ^= 1;
    copy
}

#[test]
fn a_nonce_point_shown_differently_is_caught_before_the_last_message() {
    let bench = Bench::new(3, 5, &[1, 2, 4]);
    // party 1 commits to one point towards 2 and to another towards 4 by running two sessions: here it claims so
    let report = bench.spoiled(Target { to: Some(party(2)), ..broadcast(3) }, |body| {
        let mut copy = body.to_vec();
        // the point of party 4, replaced by the one of party 2: valid, but not what party 4 showed
        copy.copy_within(33..66, 66);
        copy
    });
    bench.check(&report, party(1), "claims another nonce point");
    assert_eq!(reason(&report), &AbortReason::NonceDiffers { from: party(1) });
    let last_round_sent = |sender| report.sent.iter().any(|packet| packet.frame.round == 4 && packet.sender == sender);
    assert!(!last_round_sent(party(2)), "the last message left before the nonce points were compared");
    // where two sign, the nonce is compared on arrival
    let two = Bench::new(2, 3, &[1, 2]);
    let report = two.spoiled(broadcast(3), |body| {
        let mut copy = body.to_vec();
        copy[0] ^= 1;
        copy
    });
    assert_eq!(reason(&report), &AbortReason::NonceDiffers { from: party(1) });
}
