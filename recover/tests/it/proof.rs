//! Proofs that pieces decrypt.

use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use limen_mpc::{KeyPublic, KeyShare, Point};
use limen_recover::{Backup, Nonce, Proof, ProofError};
use limen_wire::ids::Scheme;
use sha2::{Digest as _, Sha256};

use crate::house::{SCHEMES, back_up, deal, keepers, party, person};

#[test]
fn whoever_has_the_file_alone_can_check_a_proof() {
    for scheme in SCHEMES {
        let (dealt, keepers) = (deal("hot", 1, scheme, 2, 3), keepers());
        let backup = back_up(&dealt.shares[2], &keepers, 2);
        let verifier = Backup::decode(backup.encode().as_bytes()).unwrap();
        for (nonce, keeper) in (1..).zip(&keepers) {
            let nonce = Nonce([nonce; 32]);
            let proof = keeper.open(&backup).prove(&nonce).unwrap();
            verifier.verify_proof(&keeper.person(), &nonce, &proof).unwrap();
            assert_eq!(proof.to_string().parse::<Proof>().unwrap(), proof);
        }
    }
}

#[test]
fn a_proof_is_of_one_piece_of_one_backup_for_one_nonce() {
    for scheme in SCHEMES {
        let (dealt, keepers) = (deal("hot", 1, scheme, 2, 3), keepers());
        let backup = back_up(&dealt.shares[0], &keepers, 2);
        let others = [
            back_up(&dealt.shares[1], &keepers, 2),
            // The same share for the same custodians, anew.
            back_up(&dealt.shares[0], &keepers, 2),
            back_up(&deal("hot", 2, scheme, 2, 3).shares[0], &keepers, 2),
        ];
        let (anna, nonce) = (person("anna"), Nonce([1; 32]));
        let proof = keepers[0].open(&backup).prove(&nonce).unwrap();
        let wrong = |backup: &Backup, holder: &str, nonce: &Nonce, proof: &Proof| {
            let refused = backup.verify_proof(&person(holder), nonce, proof).unwrap_err();
            assert!(
                matches!(&refused, ProofError::Wrong { holder: named, .. } if named.as_str() == holder),
                "{refused}"
            );
            assert!(refused.to_string().contains(holder));
        };
        wrong(&backup, "anna", &Nonce([2; 32]), &proof);
        wrong(&backup, "bela", &nonce, &proof);
        for other in &others {
            wrong(other, "anna", &nonce, &proof);
            wrong(&backup, "anna", &nonce, &keepers[0].open(other).prove(&nonce).unwrap());
        }
        for at in 0..64 {
            let mut spoiled = proof;
            spoiled.0[at] ^= 1;
            wrong(&backup, "anna", &nonce, &spoiled);
        }
        for bytes in [[0; 64], [0xff; 64]] {
            wrong(&backup, "anna", &nonce, &Proof(bytes));
        }
        backup.verify_proof(&anna, &nonce, &proof).unwrap();
        let stranger = backup.verify_proof(&person("dora"), &nonce, &proof).unwrap_err();
        assert!(matches!(stranger, ProofError::NoCustodian { .. }), "{stranger}");
    }
}

/// Whoever knows the public key can choose one share and put the others on the line through both: the file is a backup of nothing,
/// and everything in it holds together.
#[test]
fn made_up_shares_of_the_true_key_are_told_by_their_hash_alone() {
    let (dealt, keepers) = (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3), keepers());
    let truth = back_up(&dealt.shares[0], &keepers, 2);
    let point = |at: &Point| k256::PublicKey::from_sec1_bytes(at.as_bytes()).unwrap().to_projective();
    let key = point(&truth.head().public().public_key);
    let chosen = k256::ProjectivePoint::GENERATOR * k256::Scalar::from(7u64);
    let share = |x: u16| {
        let shown = (key + (chosen - key) * k256::Scalar::from(u64::from(x))).to_affine().to_encoded_point(true);
        (party(x), Point::secp256k1(shown.as_bytes()).unwrap())
    };
    let made_up = KeyPublic { verifying_shares: (1..=3).map(share).collect(), ..truth.head().public().clone() };
    let core = [&b"LMC1"[..], &[1, 1], &[0; 31], &[7]].concat();
    let forged = back_up(&KeyShare::import(made_up, &core, &[]).unwrap(), &keepers, 2);

    let forged = Backup::decode(forged.encode().as_bytes()).unwrap();
    let nonce = Nonce([5; 32]);
    for keeper in &keepers {
        let proof = keeper.open(&forged).prove(&nonce).unwrap();
        forged.verify_proof(&keeper.person(), &nonce, &proof).unwrap();
    }
    let (one, other) = (forged.head(), truth.head());
    assert_eq!(
        (one.public().public_key, one.public().chain_code),
        (other.public().public_key, other.public().chain_code)
    );
    assert_ne!(one.shares_hash(), other.shares_hash());
    // As signers state it: over the points in the order of their members.
    let points = other.public().verifying_shares.values().map(Point::as_bytes);
    let hash: [u8; 32] = points.fold(Sha256::new(), |hash, point| hash.chain_update(point)).finalize().into();
    assert_eq!(other.shares_hash(), hash);
}
