//! DKLs23 without an adversary: keys and signatures for every size, subset, path and order of delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_mpc::{DerivationPath, KeyShare, Output, Session, SignInput, SignMode, Signature, Step, derive_public};
use limen_wire::ids::{CommitteeSize, PartyIndex, Protocol, Scheme, SignerSet, tagged_hash};

use crate::dealer::deal;
use crate::net::{Order, honest, run};
use crate::params::{among, params, seed, set, size};

type Shares = BTreeMap<PartyIndex, Arc<KeyShare>>;

pub(crate) fn ecdsa(size: CommitteeSize, run: u64) -> limen_mpc::SessionParams {
    params(Scheme::EcdsaSecp256k1, Protocol::Dkls23, size, run)
}

/// Starts key generation at every party.
pub(crate) fn start_keygen(size: CommitteeSize, run: u64) -> Vec<(Session, Step)> {
    let params = ecdsa(size, run);
    let start = |party: &PartyIndex| Session::keygen(params.clone(), *party, seed()).unwrap();
    params.signers.parties().iter().map(start).collect()
}

/// Starts signing at every party of `signers`.
pub(crate) fn start_sign(
    shares: &Shares,
    signers: &SignerSet,
    path: &DerivationPath,
    digest: [u8; 32],
    run: u64,
) -> Vec<(Session, Step)> {
    let size = shares.values().next().unwrap().public().size;
    let params = among(ecdsa(size, run), signers);
    let start = |party: &PartyIndex| {
        let (share, input) = (shares[party].clone(), SignInput::Digest(digest));
        Session::sign(params.clone(), *party, share, path, &input, SignMode::Full, seed()).unwrap()
    };
    signers.parties().iter().map(start).collect()
}

fn key(output: Output) -> Arc<KeyShare> {
    match output {
        Output::Key(share) => Arc::new(*share),
        other => panic!("expected a key, found {other:?}"),
    }
}

fn keygen(size: CommitteeSize, order: Order) -> Shares {
    run(start_keygen(size, 1), order, honest)
        .outputs()
        .into_iter()
        .map(|(party, output)| (party, key(output)))
        .collect()
}

/// Signs, checks that all signers end with the same signature that verifies under the derived key.
fn check_sign(shares: &Shares, signers: &SignerSet, path: &str, order: Order, number: u64) -> Signature {
    let path: DerivationPath = path.parse().unwrap();
    let digest = tagged_hash("test digest", [&number.to_be_bytes()[..]]);
    let outputs = run(start_sign(shares, signers, &path, digest, number), order, honest).outputs();
    let signatures: Vec<Signature> = outputs
        .into_values()
        .map(|output| match output {
            Output::Signature(signature) => signature,
            other => panic!("expected a signature, found {other:?}"),
        })
        .collect();
    let public = shares.values().next().unwrap().public();
    let child = derive_public(&public.public_key, &public.chain_code, &path).unwrap();
    for signature in &signatures {
        assert_eq!(signature, &signatures[0]);
        signature.verify(&child.public_key, &SignInput::Digest(digest)).unwrap();
        assert!(signature.verify(&child.public_key, &SignInput::Digest([1; 32])).is_err());
    }
    signatures[0]
}

#[test]
fn makes_a_key_and_signs_with_every_subset_of_2_of_3() {
    let shares = keygen(size(2, 3), Order::Fifo);
    let public: Vec<_> = shares.values().map(|share| share.public().clone()).collect();
    assert!(public.iter().all(|other| other == &public[0] && other.digest() == public[0].digest()));
    for (number, signers) in [[1, 2], [1, 3], [2, 3]].iter().enumerate() {
        check_sign(&shares, &set(signers), "m", Order::Fifo, number as u64);
        check_sign(&shares, &set(signers), "m/44/60/0/0/5", Order::Lifo, 10 + number as u64);
    }
    // what is exported comes back and still signs
    let again = |(party, share): (&PartyIndex, &Arc<KeyShare>)| {
        let (core, setup) = (share.export_core(), share.export_setup().unwrap());
        (*party, Arc::new(KeyShare::import(share.public().clone(), &core, &setup).unwrap()))
    };
    check_sign(&shares.iter().map(again).collect(), &set(&[1, 3]), "m/1", Order::Fifo, 20);
}

#[test]
fn keygen_does_not_depend_on_the_order_of_delivery() {
    let shares = keygen(size(2, 2), Order::Lifo);
    check_sign(&shares, &set(&[1, 2]), "m/0", Order::Shuffled(5), 1);
    let shares = keygen(size(2, 2), Order::Shuffled(77));
    check_sign(&shares, &set(&[1, 2]), "m/0", Order::Shuffled(6), 1);
}

#[test]
fn makes_a_key_and_signs_3_of_5() {
    let shares = keygen(size(3, 5), Order::Shuffled(9));
    check_sign(&shares, &set(&[1, 2, 3]), "m", Order::Fifo, 1);
    check_sign(&shares, &set(&[2, 4, 5]), "m/0/1/2/3/4", Order::Shuffled(3), 2);
}

#[test]
fn makes_a_key_and_signs_5_of_8() {
    let shares = keygen(size(5, 8), Order::Fifo);
    check_sign(&shares, &set(&[1, 3, 5, 6, 8]), "m/7", Order::Shuffled(11), 1);
}

#[test]
fn dealt_shares_sign_in_every_order() {
    for (required, total, signers) in
        [(2, 2, &[1, 2][..]), (2, 3, &[1, 3]), (3, 5, &[1, 4, 5]), (5, 8, &[1, 2, 4, 7, 8])]
    {
        let shares = deal(&ecdsa(size(required, total), 0));
        for (number, order) in
            [Order::Fifo, Order::Lifo, Order::Shuffled(1), Order::Shuffled(2)].into_iter().enumerate()
        {
            check_sign(&shares, &set(signers), "m/3", order, number as u64);
        }
    }
}

#[test]
fn signatures_are_low_s_with_the_right_recovery_id() {
    let shares = deal(&ecdsa(size(2, 3), 0));
    let mut ids = std::collections::BTreeSet::new();
    // `verify` refuses a high s and a wrong recovery id; here both parities must come up, each half the time
    for number in 0..64 {
        if ids.contains(&0) && ids.contains(&1) {
            break;
        }
        match check_sign(&shares, &set(&[1, 2]), "m", Order::Fifo, number) {
            Signature::Ecdsa { recovery_id, .. } => ids.insert(recovery_id),
            other => panic!("{other:?}"),
        };
    }
    assert!(ids.contains(&0) && ids.contains(&1), "{ids:?}");
}
