//! FROST signing against a signer that lies in every message, in both modes; and frames of other runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_mpc::{
    AbortReason, Action, Blame, DerivationPath, Dropped, KeyPublic, KeyShare, Received, Session, SessionParams,
    SignInput, SignMode, Step, nonce_batch,
};
use limen_wire::ids::{Epoch, IntentId, KeyId, PartyIndex, Scheme, SessionId};

use crate::frost_run::{Job, SCHEMES, Shares, frost, keygen};
use crate::net::{Order, Report};
use crate::params::{among, party, seed, set, size};
use crate::spoil::{Damage, Target, check_blame, damages, run_spoiled};

const COMMITMENTS: u8 = 1;
const SHARES: u8 = 2;

fn shares(scheme: Scheme) -> Shares {
    keygen(scheme, size(3, 4), Order::Fifo)
}

fn job(shares: &Shares) -> Job<'_> {
    Job { shares, signers: set(&[1, 2, 4]), path: "m/44/0/7", message: b"spoil", run: 5 }
}

fn all(round: u8) -> Target {
    Target { round, from: party(1), to: None, direct: false, deaf: false }
}

fn one(round: u8) -> Target {
    Target { to: Some(party(2)), ..all(round) }
}

/// Two rounds.
fn spoiled(shares: &Shares, target: Target, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
    let report = run_spoiled(job(shares).start(), target, change);
    check_blame(&report, party(1), &format!("{target:?}"));
    report
}

/// One round.
fn spoiled_shared(shares: &Shares, change: impl FnMut(&[u8]) -> Vec<u8>) -> Report {
    let job = job(shares);
    let report = run_spoiled(job.start_shared(job.nonces()), all(1), change);
    check_blame(&report, party(1), "shared");
    report
}

fn liar() -> Blame {
    Blame::party(party(1), Action::Replace)
}

/// No honest signer releases anything, and both blame the liar alone.
fn assert_blamed(report: &Report, what: &str, expected: impl Fn(&AbortReason) -> bool) {
    for honest in [2, 4] {
        let abort = report.abort(party(honest)).unwrap_or_else(|| panic!("{what}: {:?}", report.ends));
        assert_eq!(abort.blame, liar(), "{what}");
        assert!(expected(&abort.reason), "{what}: {}", abort.reason);
    }
}

fn is_wrong_share(reason: &AbortReason) -> bool {
    *reason == AbortReason::SignatureShare { from: party(1) }
}

#[test]
fn damaged_commitments_never_make_a_signature() {
    for scheme in SCHEMES {
        let shares = shares(scheme);
        let len = if scheme == Scheme::EddsaEd25519 { 64 } else { 66 };
        for damage in damages(len, 24) {
            let report = spoiled(&shares, all(COMMITMENTS), |body| damage.apply(body));
            if matches!(damage, Damage::Longer) {
                assert_eq!(report.dropped(party(2), Dropped::Oversize), 1);
            } else {
                assert_blamed(&report, &format!("{scheme} {damage:?}"), |_| true);
            }
        }
        // a commitment of another nonce of the liar's, to all: the liar's own list gives it away
        let other = nonce_batch(&shares[&party(1)], 1, seed()).unwrap()[0].commitment().to_bytes();
        let report = spoiled(&shares, all(COMMITMENTS), |_| other.clone());
        assert_blamed(&report, "another nonce", |reason| matches!(reason, AbortReason::BroadcastDiffers { .. }));
        // hiding and binding exchanged, or one of them twice
        let half = len / 2;
        for (left, right) in [(half..len, 0..half), (0..half, 0..half), (half..len, half..len)] {
            let report =
                spoiled(&shares, all(COMMITMENTS), |body| [&body[left.clone()], &body[right.clone()]].concat());
            assert_blamed(&report, "halves", |reason| matches!(reason, AbortReason::BroadcastDiffers { .. }));
        }
    }
}

#[test]
fn points_of_small_order_are_malformed_commitments() {
    let shares = shares(Scheme::EddsaEd25519);
    for text in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for at in [0, 32] {
            let report = spoiled(&shares, all(COMMITMENTS), |body| {
                let mut copy = body.to_vec();
                copy[at..at + 32].copy_from_slice(&hex::decode(text).unwrap());
                copy
            });
            assert_blamed(&report, text, |reason| matches!(reason, AbortReason::Malformed { .. }));
        }
    }
}

#[test]
fn different_commitments_to_different_signers_blame_no_honest_one() {
    for scheme in SCHEMES {
        let shares = shares(scheme);
        let other = nonce_batch(&shares[&party(1)], 1, seed()).unwrap()[0].commitment().to_bytes();
        let report = spoiled(&shares, one(COMMITMENTS), |_| other.clone());
        for honest in [2, 4] {
            let abort = report.abort(party(honest)).unwrap();
            assert!(
                matches!(abort.reason, AbortReason::BroadcastDiffers { broadcaster, .. } if broadcaster == party(1))
            );
        }
        // a signer that says that another one did so is suspected with it, and is alone if it says so of us
        for (place, victim) in [(1, 2), (2, 4)] {
            let report = spoiled(&shares, all(SHARES), |body| Damage::Flip(32 + 32 * place, 0).apply(body));
            assert_eq!(report.abort(party(victim)).unwrap().blame, liar());
        }
        let report = spoiled(&shares, all(SHARES), |body| Damage::Flip(32, 0).apply(body));
        assert_blamed(&report, "contradicts itself", |reason| matches!(reason, AbortReason::BroadcastDiffers { .. }));
    }
}

fn share_damages(scheme: Scheme) -> Vec<Damage> {
    // positions in the scalar that leave it below the group's order
    let low = if scheme == Scheme::EddsaEd25519 { 0 } else { 31 };
    vec![Damage::Flip(low, 0), Damage::Flip(low, 7), Damage::Flip(15, 3), Damage::ZeroFrom(0)]
}

#[test]
fn a_wrong_share_blames_its_signer_and_releases_nothing() {
    for scheme in SCHEMES {
        let shares = shares(scheme);
        for damage in share_damages(scheme) {
            let what = format!("{scheme} {damage:?}");
            assert_blamed(&spoiled(&shares, all(SHARES), |body| damage.apply(body)), &what, is_wrong_share);
            assert_blamed(&spoiled_shared(&shares, |body| damage.apply(body)), &what, is_wrong_share);
        }
        // to one signer only: the other releases a good signature, the one that was lied to blames the liar
        let report = spoiled(&shares, one(SHARES), |body| Damage::Flip(15, 0).apply(body));
        assert_eq!(report.abort(party(2)).unwrap().blame, liar());
        assert!(report.is_done(party(4)) && !report.is_done(party(2)));
    }
}

#[test]
fn malformed_shares_blame_their_signer() {
    for scheme in SCHEMES {
        let shares = shares(scheme);
        let malformed =
            |reason: &AbortReason| *reason == AbortReason::Malformed { from: party(1), what: "signature share" };
        for damage in [Damage::AllOnes, Damage::FillFrom(0), Damage::CutTo(0), Damage::CutTo(31), Damage::CutTo(16)] {
            let what = format!("{scheme} {damage:?}");
            assert_blamed(&spoiled(&shares, all(SHARES), |body| damage.apply(body)), &what, malformed);
            assert_blamed(&spoiled_shared(&shares, |body| damage.apply(body)), &what, malformed);
        }
        let report = spoiled(&shares, all(SHARES), |body| Damage::CutTo(32).apply(body));
        assert_blamed(&report, "no hashes", malformed);
        let report = spoiled_shared(&shares, |body| Damage::Longer.apply(body));
        assert_eq!(report.dropped(party(2), Dropped::Oversize), 1);
    }
}

#[test]
fn shares_of_others_and_of_other_sessions_are_wrong_shares() {
    for scheme in SCHEMES {
        let shares = shares(scheme);
        let job = job(&shares);
        let starts = job.start_shared(job.nonces());
        let copied = starts[1].1.send[0].body.clone();
        let report = run_spoiled(starts, all(1), |_| copied.clone());
        assert_blamed(&report, "copied", is_wrong_share);
        // the liar's own share, with the same nonces list but for another message: nonces cannot be used twice, so others
        let other = Job { message: b"other", ..self::job(&shares) };
        let replayed = other.start_shared(other.nonces())[0].1.send[0].body.clone();
        assert_blamed(&spoiled_shared(&shares, |_| replayed.clone()), "replayed", is_wrong_share);
    }
}

/// The share under another key or epoch name, so that only the session's binding differs.
fn renamed(share: &KeyShare, change: impl Fn(&mut KeyPublic)) -> Arc<KeyShare> {
    let mut public = share.public().clone();
    change(&mut public);
    Arc::new(KeyShare::import(public, &share.export_core(), &[]).unwrap())
}

fn start(params: &SessionParams, share: &Arc<KeyShare>, path: &str, message: &[u8]) -> (Session, Step) {
    let path: DerivationPath = path.parse().unwrap();
    let input = SignInput::Message(message.to_vec());
    Session::sign(params.clone(), share.index(), share.clone(), &path, &input, SignMode::Full, seed()).unwrap()
}

#[test]
fn frames_of_every_other_run_are_dropped() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 3), Order::Fifo);
        let base = among(frost(scheme, size(2, 3), 1), &set(&[1, 2]));
        let peer = &shares[&party(2)];
        let other = |change: &dyn Fn(&mut SessionParams)| {
            let mut params = base.clone();
            change(&mut params);
            params
        };
        let key = KeyId::new("cold").unwrap();
        let runs: Vec<(&str, (Session, Step))> = vec![
            ("session", start(&other(&|p| p.session = SessionId::new([9; 32])), peer, "m/1", b"m")),
            ("intent", start(&other(&|p| p.intent = IntentId::new([9; 32])), peer, "m/1", b"m")),
            ("key", start(&other(&|p| p.key = key.clone()), &renamed(peer, |p| p.key = key.clone()), "m/1", b"m")),
            ("epoch", start(&other(&|p| p.epoch = Epoch(2)), &renamed(peer, |p| p.epoch = Epoch(2)), "m/1", b"m")),
            ("signers", start(&other(&|p| p.signers = set(&[2, 3])), peer, "m/1", b"m")),
            ("path", start(&base, peer, "m/2", b"m")),
            ("message", start(&base, peer, "m/1", b"n")),
            ("empty message", start(&base, peer, "m/1", b"")),
        ];
        let (mut session, _) = start(&base, &shares[&party(1)], "m/1", b"m");
        for (what, (_, step)) in runs {
            let received = session.receive(party(2), step.send[0].clone()).unwrap();
            assert!(matches!(received, Received::Dropped(Dropped::WrongTag)), "{what}: {received:?}");
        }
        // the other mode, with the same everything else
        let nonces: BTreeMap<PartyIndex, _> = shares
            .iter()
            .take(2)
            .map(|(party, share)| (*party, nonce_batch(share, 1, seed()).unwrap().remove(0)))
            .collect();
        let job = Job { shares: &shares, signers: set(&[1, 2]), path: "m/1", message: b"m", run: 1 };
        let (_, step) = job.start_shared(nonces).remove(1);
        let received = session.receive(party(2), step.send[0].clone()).unwrap();
        assert!(matches!(received, Received::Dropped(Dropped::WrongTag)));
        // and after all that the session still takes the right frame
        let (_, step) = start(&base, peer, "m/1", b"m");
        assert!(
            matches!(session.receive(party(2), step.send[0].clone()), Ok(Received::Step(step)) if !step.send.is_empty())
        );
    }
}
