//! Resharing without an adversary: every protocol, grown, shrunk, moved and refreshed committees.

use std::collections::BTreeMap;
use std::sync::Arc;

use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use limen_mpc::{
    DerivationPath, Handover, KeyPublic, KeyShare, Output, Point, Session, SessionParams, SignInput, SignMode,
    Signature, Step, Succession, derive_public,
};
use limen_wire::ids::{
    CommitteeSize, Epoch, IntentId, PartyIndex, Protocol, Scheme, SessionId, SignerSet, tagged_hash,
};

use crate::dealer::deal;
use crate::frost_run::{Shares, key};
use crate::net::{Order, honest, run};
use crate::params::{params, party, seed, set, size};

/// What a key is before: scheme and protocol.
pub(crate) type Kind = (Scheme, Protocol);

pub(crate) const ED25519: Kind = (Scheme::EddsaEd25519, Protocol::Frost);
pub(crate) const BIP340: Kind = (Scheme::SchnorrBip340, Protocol::Frost);
pub(crate) const DKLS: Kind = (Scheme::EcdsaSecp256k1, Protocol::Dkls23);
pub(crate) const CGGMP: Kind = (Scheme::EcdsaSecp256k1, Protocol::Cggmp24);

/// A key of its first epoch.
pub(crate) fn fresh((scheme, protocol): Kind, size: CommitteeSize) -> Shares {
    let params = params(scheme, protocol, size, 1);
    if protocol == Protocol::Dkls23 {
        return deal(&params);
    }
    let start = |party: &PartyIndex| Session::keygen(params.clone(), *party, seed()).unwrap();
    let starts = params.signers.parties().iter().map(start).collect();
    run(starts, Order::Fifo, honest).outputs().into_iter().map(|(party, output)| (party, key(output))).collect()
}

pub(crate) fn public(shares: &Shares) -> &KeyPublic {
    shares.values().next().unwrap().public()
}

/// Who deals: old number and place in the new committee.
pub(crate) type Dealers<'a> = &'a [(u16, Option<u16>)];

pub(crate) fn dealers(list: Dealers<'_>) -> BTreeMap<PartyIndex, Option<PartyIndex>> {
    list.iter().map(|(old, new)| (party(*old), new.map(party))).collect()
}

/// A handover to the next epoch.
pub(crate) fn handover(old: &Shares, size: CommitteeSize, protocol: Protocol, list: Dealers<'_>) -> Handover {
    let old = public(old).clone();
    let next = Succession { epoch: Epoch(old.epoch.0 + 1), protocol, size };
    Handover::new(old, next, &dealers(list)).unwrap()
}

pub(crate) fn run_ids(number: u64) -> (SessionId, IntentId) {
    let hash = |label| tagged_hash(label, [&number.to_be_bytes()[..]]);
    (SessionId::new(hash("test reshare")), IntentId::new(hash("test intent")))
}

/// Starts run `number` at every party; its randomness depends on nothing but number and party.
pub(crate) fn start(handover: &Handover, old: &Shares, number: u64) -> Vec<(Session, Step)> {
    let signers = handover.params(run_ids(number).0, run_ids(number).1).signers;
    let share = |party: PartyIndex| {
        old.iter().find(|(holder, _)| handover.party_of_dealer(**holder) == Some(party)).map(|(_, share)| &**share)
    };
    let start = |party: &PartyIndex| {
        let seed = tagged_hash("test reshare seed", [&number.to_be_bytes()[..], &[party.as_u8()]]);
        Session::reshare(handover, run_ids(number), *party, share(*party), limen_mpc::Seed::new(seed)).unwrap()
    };
    signers.parties().iter().map(start).collect()
}

/// Runs it to its end: the new shares. Whoever leaves keeps nothing and sees the same public part.
pub(crate) fn hand_over(handover: &Handover, old: &Shares, order: Order) -> Shares {
    let mut shares = Shares::new();
    let mut left = Vec::new();
    for (party, output) in run(start(handover, old, 1), order, honest).outputs() {
        match output {
            Output::HandedOver(public) => left.push(*public),
            other => assert!(shares.insert(party, key(other)).is_none()),
        }
    }
    let (was, is) = (public(old).clone(), public(&shares).clone());
    assert_eq!((was.public_key, was.chain_code, was.scheme), (is.public_key, is.chain_code, is.scheme));
    assert_eq!((handover.next().epoch, handover.next().protocol), (is.epoch, is.protocol));
    let members: Vec<_> = SignerSet::all(is.size).parties().to_vec();
    assert!(is.size == handover.next().size && shares.keys().eq(members.iter()));
    assert!(left.iter().chain(shares.values().map(|share| share.public())).all(|public| *public == is));
    for (party, share) in &shares {
        assert_ne!(was.verifying_share(*party), is.verifying_share(*party), "the share of {party} is new");
        let (core, setup) = (share.export_core(), share.export_setup().unwrap());
        assert_eq!(KeyShare::import(is.clone(), &core, &setup).unwrap().index(), *party);
    }
    shares
}

/// Parameters of a session of the shares' own epoch.
pub(crate) fn sign_params(shares: &Shares, signers: &[u16], number: u64) -> SessionParams {
    let public = public(shares);
    let params = params(public.scheme, public.protocol, public.size, number);
    SessionParams { epoch: public.epoch, signers: set(signers), ..params }
}

pub(crate) fn input(scheme: Scheme, number: u64) -> SignInput {
    let digest = tagged_hash("test digest", [&number.to_be_bytes()[..]]);
    if scheme == Scheme::EcdsaSecp256k1 { SignInput::Digest(digest) } else { SignInput::Message(digest.to_vec()) }
}

pub(crate) fn start_sign(shares: &Shares, signers: &[u16], path: &str, number: u64) -> Vec<(Session, Step)> {
    let params = sign_params(shares, signers, number);
    let path: DerivationPath = path.parse().unwrap();
    let start = |party: &PartyIndex| {
        let (share, input) = (Arc::clone(&shares[party]), input(params.scheme, number));
        Session::sign(params.clone(), *party, share, &path, &input, SignMode::Full, seed()).unwrap()
    };
    params.signers.parties().iter().map(start).collect()
}

/// Signs, and verifies by means that are not ours.
pub(crate) fn sign(shares: &Shares, signers: &[u16], path: &str, number: u64) {
    let public = public(shares);
    let child = derive_public(&public.public_key, &public.chain_code, &path.parse().unwrap()).unwrap().public_key;
    let outputs = run(start_sign(shares, signers, path, number), Order::Shuffled(number + 1), honest).outputs();
    let signatures = outputs.into_values().map(|output| match output {
        Output::Signature(signature) => signature,
        other => panic!("expected a signature, found {other:?}"),
    });
    let bytes = tagged_hash("test digest", [&number.to_be_bytes()[..]]);
    for signature in signatures {
        match (signature, &child) {
            (Signature::Ed25519(signature), Point::Ed25519(key)) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
                key.verify_strict(&bytes, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
            }
            (Signature::Bip340(signature), Point::Secp256k1(key)) => {
                let key = k256::schnorr::VerifyingKey::from_bytes(&key[1..]).unwrap();
                key.verify_raw(&bytes, &k256::schnorr::Signature::try_from(&signature[..]).unwrap()).unwrap();
            }
            (Signature::Ecdsa { r, s, .. }, Point::Secp256k1(key)) => {
                let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
                key.verify_prehash(&bytes, &k256::ecdsa::Signature::from_scalars(r, s).unwrap()).unwrap();
            }
            other => panic!("schemes differ: {other:?}"),
        }
    }
}

/// The handovers that every scheme has to make: from, to, who deals, whose new shares sign.
type Change = ((u16, u16), (u16, u16), &'static [(u16, Option<u16>)], &'static [&'static [u16]]);
const CHANGES: [Change; 5] = [
    // a refresh; the third holder only takes
    ((2, 3), (2, 3), &[(1, Some(1)), (2, Some(2))], &[&[1, 2], &[1, 3], &[2, 3]]),
    // nobody stays
    ((2, 3), (3, 5), &[(1, None), (3, None)], &[&[1, 2, 3], &[2, 4, 5]]),
    // one stays in another place, one leaves
    ((2, 3), (3, 5), &[(2, Some(5)), (3, None)], &[&[1, 3, 5], &[2, 3, 4]]),
    ((3, 5), (2, 3), &[(1, None), (3, Some(1)), (5, Some(3))], &[&[1, 2], &[2, 3]]),
    // the same people, each in another's place
    ((2, 2), (2, 2), &[(1, Some(2)), (2, Some(1))], &[&[1, 2]]),
];

fn changes(kind: Kind, which: impl Iterator<Item = usize>) {
    let (_, protocol) = kind;
    for number in which {
        let (from, to, list, sets) = CHANGES[number];
        let order = [Order::Fifo, Order::Lifo, Order::Shuffled(3)][number % 3];
        let old = fresh(kind, size(from.0, from.1));
        let new = hand_over(&handover(&old, size(to.0, to.1), protocol, list), &old, order);
        for (step, signers) in (0..).zip(sets).filter(|_| protocol != Protocol::Cggmp24) {
            sign(&new, signers, if step == 0 { "m" } else { "m/3/7" }, step);
        }
    }
}

#[test]
fn schnorr_keys_change_hands_and_sign() {
    for kind in [ED25519, BIP340] {
        changes(kind, 0..5);
    }
}

#[test]
fn dkls23_keys_are_refreshed_and_shrink_with_a_set_up_of_the_same_session() {
    changes(DKLS, [0, 3, 4].into_iter());
}

#[test]
fn dkls23_keys_go_to_others() {
    changes(DKLS, 1..2);
}

#[test]
fn dkls23_keys_go_to_others_and_some_of_their_own() {
    changes(DKLS, 2..3);
}

#[test]
fn cggmp24_keys_change_hands_and_wait_for_their_set_up() {
    changes(CGGMP, 0..5);
}

#[test]
fn ecdsa_keys_change_their_protocol_with_their_committee() {
    let old = fresh(DKLS, size(2, 3));
    let there = handover(&old, size(3, 4), Protocol::Cggmp24, &[(1, Some(1)), (2, None)]);
    let there = hand_over(&there, &old, Order::Fifo);
    assert!(there.values().all(|share| !share.can_sign()));
    let back = handover(&there, size(2, 3), Protocol::Dkls23, &[(2, Some(2)), (3, None), (4, Some(1))]);
    let back = hand_over(&back, &there, Order::Fifo);
    assert!(back.values().all(|share| share.can_sign()) && public(&back).epoch == Epoch(3));
    sign(&back, &[1, 3], "m/1", 1);
}

#[test]
fn a_key_is_refreshed_again_and_again() {
    for kind in [ED25519, BIP340] {
        let mut shares = fresh(kind, size(2, 3));
        for (number, pair) in (0..).zip([[1, 2], [2, 3], [1, 3], [1, 2]]) {
            let list = pair.map(|index| (index, Some(index)));
            shares = hand_over(&handover(&shares, size(2, 3), kind.1, &list), &shares, Order::Shuffled(number + 1));
            sign(&shares, &[2, 3], "m", number);
        }
        assert_eq!(public(&shares).epoch, Epoch(5));
    }
}

#[test]
fn a_large_committee_hands_over() {
    let old = fresh(BIP340, size(5, 8));
    let list = [(1, Some(1)), (2, None), (4, Some(9)), (6, None), (8, None)];
    let new = hand_over(&handover(&old, size(6, 10), Protocol::Frost, &list), &old, Order::Shuffled(8));
    sign(&new, &[1, 2, 5, 6, 9, 10], "m/1", 1);
}
