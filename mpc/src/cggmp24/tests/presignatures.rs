//! Presignatures: one round online, and good for nothing but what they were made for.

use limen_wire::ids::{Epoch, KeyId};

use super::net::End;
use super::*;
use crate::{AbortReason, Action, Blame, Dropped, StartError};

#[test]
fn a_presignature_signs_in_one_round() {
    let shares = whole(size(2, 3));
    let parts = presignatures(&shares, &set(&[1, 3]), "m/0/7", 5);
    let ids: std::collections::BTreeSet<_> = parts.values().map(|part| part.id()).collect();
    assert_eq!(ids.len(), 1);
    assert!(!format!("{:?}", parts[&party(1)]).contains("tilde"));
    let report = run(start_online(&shares, parts, "m/0/7", &preimage(1), 6), Order::Fifo, honest);
    assert_eq!(report.sent.len(), 2);
    check_signature(&shares, "m/0/7", &preimage(1), report.outputs());
}

#[test]
fn a_presignature_fits_nothing_else() {
    let shares = whole(size(2, 3));
    let signers = set(&[1, 2]);
    let part = || presignatures(&shares, &signers, "m/1", 5).remove(&party(1)).unwrap();
    let refused = |params: SessionParams, path: &str, input: &SignInput, boots| {
        let mode = SignMode::Presignature { presignature: part(), boots };
        let share = shares[&party(1)].clone();
        Session::sign(params, party(1), share, &path.parse().unwrap(), input, mode, seed()).map(|_| ()).unwrap_err()
    };
    let params = run_params(&shares, &signers, 6);
    let mismatch = StartError::PresignatureMismatch;
    assert_eq!(refused(params.clone(), "m/2", &preimage(1), [3; 32]), mismatch("path"));
    assert_eq!(refused(params.clone(), "m/1", &preimage(1), [4; 32]), mismatch("boot"));
    let others = among(params.clone(), &set(&[1, 3]));
    assert_eq!(refused(others, "m/1", &preimage(1), [3; 32]), mismatch("signer set"));
    let digest = SignInput::Digest([1; 32]);
    assert_eq!(refused(params.clone(), "m/1", &digest, [3; 32]), StartError::Input(Scheme::EcdsaSecp256k1));
    // another key or epoch fails already at the share; the presignature knows it too
    let key = |params: &mut SessionParams| params.key = KeyId::new("cold").unwrap();
    let epoch = |params: &mut SessionParams| params.epoch = Epoch(2);
    for (what, change) in [("key", &key as &dyn Fn(&mut SessionParams)), ("epoch", &epoch)] {
        let mut other = params.clone();
        change(&mut other);
        assert_eq!(part().mismatch(&other, party(1), &"m/1".parse().unwrap(), &[3; 32]), Some(what));
        assert_eq!(refused(other, "m/1", &preimage(1), [3; 32]), StartError::ShareMismatch(what));
    }
    assert_eq!(part().mismatch(&params, party(2), &"m/1".parse().unwrap(), &[3; 32]), Some("party"));
}

#[test]
fn parts_of_different_presignatures_never_meet() {
    let shares = whole(size(2, 2));
    let signers = set(&[1, 2]);
    let mut parts = presignatures(&shares, &signers, "m", 5);
    let other = presignatures(&shares, &signers, "m", 6).remove(&party(2)).unwrap();
    parts.insert(party(2), other);
    let report = run(start_online(&shares, parts, "m", &preimage(1), 7), Order::Fifo, honest);
    assert!(report.ends.values().all(|end| matches!(end, End::Waiting(_))), "{:?}", report.ends);
    assert_eq!(report.dropped(party(1), Dropped::WrongTag), 1);
}

#[test]
fn a_wrong_share_of_the_signature_names_its_signer() {
    let shares = whole(size(3, 3));
    let parts = presignatures(&shares, &set(&[1, 2, 3]), "m", 5);
    let starts = start_online(&shares, parts, "m", &preimage(1), 6);
    let binding = starts[0].0.binding().clone();
    let report = run(starts, Order::Fifo, |packet| {
        if packet.sender != party(2) {
            return vec![packet];
        }
        let mut body = packet.frame.body.clone();
        body[31] ^= 1;
        vec![packet.with_body(&binding, body)]
    });
    for honest in [1, 3] {
        let abort = report.abort(party(honest)).unwrap();
        assert_eq!(abort.reason, AbortReason::SignatureShare { from: party(2) });
        assert_eq!(abort.blame, Blame::party(party(2), Action::Replace));
    }
}
