//! Without an adversary: keys, migration, every size, subset, path and order of delivery.

use super::*;
use crate::{StartError, key::ImportError};
use limen_wire::ids::Epoch;

#[test]
fn makes_a_key_and_signs_with_every_subset_of_2_of_3() {
    let shares = whole(size(2, 3));
    for (number, signers) in (10..).zip([[1, 2], [1, 3], [2, 3]]) {
        let input = preimage(number);
        let outputs = run(start_sign(&shares, &set(&signers), "m", &input, number), Order::Fifo, honest).outputs();
        check_signature(&shares, "m", &input, outputs);
        let input = SignInput::Digest(tagged_hash("d", [&number.to_be_bytes()[..]]));
        let path = "m/44/60/0/0/5";
        let order = Order::Shuffled(number);
        let outputs = run(start_sign(&shares, &set(&signers), path, &input, number), order, honest).outputs();
        check_signature(&shares, path, &input, outputs);
    }
}

#[test]
fn exported_parts_come_back_and_sign() {
    let shares = whole(size(2, 2));
    let again = |(party, share): (&PartyIndex, &Arc<KeyShare>)| {
        let (core, setup) = (share.export_core(), share.export_setup().unwrap());
        (*party, Arc::new(KeyShare::import(share.public().clone(), &core, &setup).unwrap()))
    };
    let again: Shares = shares.iter().map(again).collect();
    let outputs = run(start_sign(&again, &set(&[1, 2]), "m/1", &preimage(1), 5), Order::Lifo, honest).outputs();
    check_signature(&shares, "m/1", &preimage(1), outputs);
    // one's set-up is of no use with another's core share, and damage is noticed
    let (one, two) = (&shares[&party(1)], &shares[&party(2)]);
    let mixed = KeyShare::import(one.public().clone(), &one.export_core(), &two.export_setup().unwrap());
    assert!(matches!(mixed, Err(ImportError::Setup(_))));
    let mut cut = one.export_setup().unwrap().to_vec();
    cut.pop();
    assert_eq!(
        KeyShare::import(one.public().clone(), &one.export_core(), &cut).err(),
        Some(ImportError::Encoding("set-up"))
    );
}

#[test]
fn makes_a_whole_key_in_one_session_and_signs_3_of_5() {
    let params = cggmp(size(3, 5), 1);
    let start = |party: &PartyIndex| {
        Session::keygen_with_primes(params.clone(), *party, primes(party.as_u16().into()), seed()).unwrap()
    };
    let starts = params.signers.parties().iter().map(start).collect();
    let shares = keys(run(starts, Order::Shuffled(5), honest).outputs());
    assert!(shares.values().all(|share| share.can_sign()));
    let outputs = run(start_sign(&shares, &set(&[1, 3, 5]), "m/2", &preimage(1), 5), Order::Lifo, honest).outputs();
    check_signature(&shares, "m/2", &preimage(1), outputs);
}

#[test]
fn makes_a_key_and_signs_5_of_8() {
    let shares = whole(size(5, 8));
    let signers = set(&[2, 3, 5, 7, 8]);
    let outputs = run(start_sign(&shares, &signers, "m/2", &preimage(1), 5), Order::Shuffled(3), honest).outputs();
    check_signature(&shares, "m/2", &preimage(1), outputs);
}

#[test]
fn a_bare_share_does_not_sign_and_survives_export() {
    let shares = bare(size(2, 2));
    let share = &shares[&party(1)];
    assert!(!share.can_sign());
    let params = run_params(&shares, &set(&[1, 2]), 3);
    let path = DerivationPath::root();
    let refused =
        Session::sign(params, party(1), share.clone(), &path, &preimage(1), SignMode::Full, seed()).map(|_| ());
    assert_eq!(refused.unwrap_err(), StartError::NoSetup);
    let again = KeyShare::import(share.public().clone(), &share.export_core(), &share.export_setup().unwrap()).unwrap();
    assert!(!again.can_sign());
}

#[test]
fn a_dkls23_key_migrates_under_the_same_public_key() {
    let size = size(2, 2);
    let params = params(Scheme::EcdsaSecp256k1, Protocol::Dkls23, size, 1);
    let starts = |party: &PartyIndex| Session::keygen(params.clone(), *party, seed()).unwrap();
    let old = keys(run(params.signers.parties().iter().map(starts).collect(), Order::Fifo, honest).outputs());
    let migrated: Shares =
        old.iter().map(|(party, share)| (*party, Arc::new(share.migrate_to_cggmp24(Epoch(2)).unwrap()))).collect();
    let new = keys(run(start_aux(&migrated, |party| primes(party.as_u16().into())), Order::Fifo, honest).outputs());
    let (before, after) = (old[&party(1)].public(), new[&party(1)].public());
    assert_eq!((before.public_key, before.chain_code), (after.public_key, after.chain_code));
    assert_eq!((after.protocol, after.epoch), (Protocol::Cggmp24, Epoch(2)));
    let outputs = run(start_sign(&new, &set(&[1, 2]), "m/9", &preimage(4), 5), Order::Fifo, honest).outputs();
    check_signature(&old, "m/9", &preimage(4), outputs);
}
