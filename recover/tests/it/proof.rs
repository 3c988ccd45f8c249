//! Proofs that pieces decrypt.

use limen_recover::{Backup, Nonce, Proof, ProofError};

use crate::house::{SCHEMES, back_up, deal, keepers, person};

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
