//! Shares of two epochs: together they are worth no more than apart.

use std::sync::Arc;

use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_mpc::{
    AbortReason, Blame, DerivationPath, Dropped, ImportError, KeyPublic, KeyShare, Session, SignMode, StartError,
};
use limen_wire::ids::Scheme;

use crate::frost_run::Shares;
use crate::net::{End, Order, Report, honest, run};
use crate::params::{party, seed, size};
use crate::reshare_run::{
    BIP340, CGGMP, DKLS, ED25519, Kind, fresh, hand_over, handover, input, public, sign, sign_params, start_sign,
};

type Node = (u8, [u8; 32]);

fn node(shares: &Shares, index: u16) -> Node {
    let core = shares[&party(index)].export_core();
    (u8::try_from(index).unwrap(), core[6..].try_into().unwrap())
}

/// Whether these points of one polynomial, as an attacker may believe, give the key.
fn gives_the_key(public: &KeyPublic, nodes: &[Node]) -> bool {
    let found: Vec<u8> = if public.scheme == Scheme::EddsaEd25519 {
        let field = |x: u8| curve25519_dalek::Scalar::from(x);
        let term = |(i, bytes): &Node| {
            let share = curve25519_dalek::Scalar::from_canonical_bytes(*bytes).unwrap();
            nodes
                .iter()
                .filter(|(j, _)| j != i)
                .fold(share, |sum, (j, _)| sum * field(*j) * (field(*j) - field(*i)).invert())
        };
        let secret = nodes.iter().map(term).sum();
        curve25519_dalek::EdwardsPoint::mul_base(&secret).compress().as_bytes().to_vec()
    } else {
        let field = |x: u8| k256::Scalar::from(u64::from(x));
        let term = |(i, bytes): &Node| {
            let share = k256::Scalar::from_repr((*bytes).into()).unwrap();
            nodes
                .iter()
                .filter(|(j, _)| j != i)
                .fold(share, |sum, (j, _)| sum * field(*j) * (field(*j) - field(*i)).invert().unwrap())
        };
        let secret: k256::Scalar = nodes.iter().map(term).sum();
        (k256::ProjectivePoint::GENERATOR * secret).to_affine().to_encoded_point(true).as_bytes().to_vec()
    };
    found == public.public_key.as_bytes()
}

/// A key before and after.
fn both(kind: Kind, from: (u16, u16), to: (u16, u16)) -> (Shares, Shares) {
    let old = fresh(kind, size(from.0, from.1));
    let list: Vec<_> = (1..=from.0).map(|index| (index, Some(index).filter(|index| *index <= to.1))).collect();
    let new = hand_over(&handover(&old, size(to.0, to.1), kind.1, &list), &old, Order::Fifo);
    (old, new)
}

#[test]
fn too_few_old_and_too_few_new_shares_together_give_no_key() {
    for kind in [ED25519, BIP340, CGGMP] {
        for (from, to) in [((2, 3), (2, 3)), ((3, 5), (3, 5)), ((3, 5), (2, 3)), ((2, 3), (3, 5))] {
            let (old, new) = both(kind, from, to);
            let nodes = |shares: &Shares, indices: std::ops::RangeInclusive<u16>| -> Vec<Node> {
                indices.map(|index| node(shares, index)).collect()
            };
            assert!(gives_the_key(public(&old), &nodes(&old, 1..=from.0)));
            assert!(gives_the_key(public(&new), &nodes(&new, 1..=to.0)));
            // every choice out of t−1 old shares and t−1 new ones, of the same holders and of others
            for shift in 0..=(to.1 + 1 - to.0) {
                let known = [nodes(&old, 1..=from.0 - 1), nodes(&new, 1 + shift..=to.0 - 1 + shift)].concat();
                for choice in 1u32..1 << known.len() {
                    let picked: Vec<Node> =
                        (0..).zip(&known).filter(|(bit, _)| choice >> bit & 1 == 1).map(|(_, node)| *node).collect();
                    let distinct: std::collections::BTreeSet<u8> = picked.iter().map(|(index, _)| *index).collect();
                    if distinct.len() == picked.len() {
                        assert!(!gives_the_key(public(&old), &picked), "{kind:?} {from:?} {to:?} {choice:b}");
                    }
                }
            }
        }
    }
}

#[test]
fn signers_of_two_epochs_do_not_hear_each_other() {
    for kind in [ED25519, BIP340, DKLS] {
        let (old, new) = both(kind, (2, 3), (2, 3));
        let mut starts = start_sign(&old, &[1, 2], "m", 1);
        starts.truncate(1);
        starts.push(start_sign(&new, &[1, 2], "m", 1).remove(1));
        let report = run(starts, Order::Fifo, honest);
        for (me, other) in [(1, 2), (2, 1)] {
            assert!(matches!(&report.ends[&party(me)], End::Waiting(parties) if *parties == [party(other)]));
            assert!(report.dropped(party(me), Dropped::WrongTag) > 0);
        }
        // and each epoch by itself still signs, until the caller retires one
        sign(&old, &[1, 3], "m", 2);
        sign(&new, &[1, 3], "m", 3);
    }
}

/// Party 2 calls its old share one of the new epoch.
fn with_an_old_share(old: &Shares, new: &Shares) -> Report {
    let claimed = KeyPublic { epoch: public(new).epoch, ..public(old).clone() };
    let share = &old[&party(2)];
    let share = KeyShare::import(claimed, &share.export_core(), &share.export_setup().unwrap()).unwrap();
    let mut mixed = new.clone();
    mixed.insert(party(2), Arc::new(share));
    run(start_sign(&mixed, &[1, 2], "m", 1), Order::Fifo, honest)
}

#[test]
fn an_old_share_under_the_new_epochs_name_signs_nothing() {
    // DKLs23's set-up says whose it is, so that such a share is not even loaded
    for kind in [ED25519, BIP340] {
        let (old, new) = both(kind, (2, 3), (2, 3));
        let report = with_an_old_share(&old, &new);
        assert!(!report.is_done(party(1)) && !report.is_done(party(2)));
        let abort = report.abort(party(1)).unwrap();
        assert!(matches!(abort.blame, Blame::Party { party: liar, .. } if liar == party(2)), "{abort:?}");
        assert_eq!(abort.reason, AbortReason::SignatureShare { from: party(2) });
    }
}

#[test]
fn a_dkls23_set_up_is_loaded_with_the_shares_that_it_was_made_for_only() {
    let (old, new) = both(DKLS, (2, 3), (2, 3));
    let (mine, renewed) = (&old[&party(2)], &new[&party(2)]);
    let load = |public: &KeyPublic, core: &KeyShare, setup: &KeyShare| {
        KeyShare::import(public.clone(), &core.export_core(), &setup.export_setup().unwrap()).map(drop)
    };
    load(public(&old), mine, mine).unwrap();
    load(public(&new), renewed, renewed).unwrap();
    let refused = Err(ImportError::Setup("it was made for another key or epoch"));
    // another epoch's set-up beside this one's share, either way
    assert_eq!(load(public(&new), renewed, mine), refused);
    assert_eq!(load(public(&old), mine, renewed), refused);
    // all of the old epoch under the new one's name, and under another key's or cluster's
    let claimed = KeyPublic { epoch: public(&new).epoch, ..public(&old).clone() };
    assert_eq!(load(&claimed, mine, mine), refused);
    let claimed = KeyPublic { key: "other".parse().unwrap(), ..public(&old).clone() };
    assert_eq!(load(&claimed, mine, mine), refused);
    // the encoding of before, which named nobody
    let mut setup = mine.export_setup().unwrap().to_vec();
    setup[3] = b'1';
    let loaded = KeyShare::import(public(&old).clone(), &mine.export_core(), &setup);
    assert_eq!(loaded.err(), Some(ImportError::Encoding("set-up")));
}

#[test]
fn a_share_is_loaded_under_its_own_epoch_only() {
    let (old, new) = both(ED25519, (2, 3), (2, 3));
    let core = old[&party(2)].export_core();
    let loaded = KeyShare::import(public(&new).clone(), &core, &[]);
    assert_eq!(loaded.err(), Some(ImportError::WrongSecret(party(2))));
    // one verifying share of the old epoch among the new ones is no key
    let mut mixed = public(&new).clone();
    mixed.verifying_shares.insert(party(2), *public(&old).verifying_share(party(2)).unwrap());
    assert_eq!(KeyShare::import(mixed, &core, &[]).err(), Some(ImportError::Polynomial));
    let params = sign_params(&new, &[1, 2], 1);
    let share = Arc::clone(&old[&party(1)]);
    let path = DerivationPath::root();
    let started = Session::sign(params, party(1), share, &path, &input(ED25519.0, 1), SignMode::Full, seed());
    assert_eq!(started.err(), Some(StartError::ShareMismatch("epoch")));
}
