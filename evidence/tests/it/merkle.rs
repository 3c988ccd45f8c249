//! The tree against the reference tree of the certificate-transparency projects, and against RFC 6962 word for word.

use limen_evidence::merkle::{
    ConsistencyProof, Frontier, InclusionProof, MAX_PROOF, ProofError, TreeHash, empty_root, leaf_hash,
};
use proptest::prelude::*;

use crate::naive;
use crate::tiles::Log;

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const P0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const P1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const P4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const P6: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
const P01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const P23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const P45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const P67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const P0123: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const P4567: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

/// Leaf, size, proof.
const INCLUSION: &[(u64, u64, &[&str])] =
    &[(0, 1, &[]), (0, 8, &[P1, P23, P4567]), (5, 8, &[P4, P67, P0123]), (2, 3, &[P01]), (1, 5, &[P0, P23, P4])];

/// Older size, size, proof.
const CONSISTENCY: &[(u64, u64, &[&str])] = &[
    (1, 1, &[]),
    (1, 8, &[P1, P23, P4567]),
    (6, 8, &[P45, P67, P0123]),
    (2, 5, &[P23, P4]),
    (6, 7, &[P45, P6, P0123]),
];

fn hash(text: &str) -> TreeHash {
    TreeHash::new(hex::decode(text).unwrap().try_into().unwrap())
}

fn hashes(texts: &[&str]) -> Vec<TreeHash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn reference_leaves() -> Vec<Vec<u8>> {
    LEAVES.iter().map(|leaf| hex::decode(leaf).unwrap()).collect()
}

#[test]
fn roots_are_those_of_the_reference_tree() {
    assert_eq!(empty_root(), hash(ROOTS[0]));
    let mut frontier = Frontier::new();
    for (leaf, root) in reference_leaves().iter().zip(&ROOTS[1..]) {
        frontier.append(leaf_hash(leaf)).unwrap();
        assert_eq!(frontier.root(), hash(root));
    }
}

#[test]
fn inclusion_proofs_are_those_of_the_reference_tree() {
    let leaves = reference_leaves();
    let log = Log::of(&leaves);
    for (index, size, path) in INCLUSION {
        let proof = log.prover(*size).inclusion(*index).unwrap();
        assert_eq!(proof.path(), hashes(path), "leaf {index} of {size}");
        let leaf = leaf_hash(&leaves[usize::try_from(*index).unwrap()]);
        proof.verify(&leaf, *index, *size, &hash(ROOTS[usize::try_from(*size).unwrap()])).unwrap();
    }
}

#[test]
fn consistency_proofs_are_those_of_the_reference_tree() {
    let log = Log::of(&reference_leaves());
    let root = |size: u64| hash(ROOTS[usize::try_from(size).unwrap()]);
    for (old, new, path) in CONSISTENCY {
        let proof = log.prover(*new).consistency(*old).unwrap();
        assert_eq!(proof.path(), hashes(path), "{old} to {new}");
        proof.verify((*old, &root(*old)), (*new, &root(*new))).unwrap();
    }
}

#[test]
fn every_proof_of_every_small_tree_is_that_of_the_rfc() {
    let leaves: Vec<Vec<u8>> = (0..70_u8).map(|number| vec![number; usize::from(number)]).collect();
    let log = Log::of(&leaves);
    for size in 1..=leaves.len() {
        let tree = &leaves[..size];
        let root = naive::root(tree);
        let mut prover = log.prover(size as u64);
        assert_eq!(prover.root().unwrap(), root);
        for (index, leaf) in tree.iter().enumerate() {
            let proof = prover.inclusion(index as u64).unwrap();
            assert_eq!(proof.path(), naive::path(index, tree), "leaf {index} of {size}");
            proof.verify(&leaf_hash(leaf), index as u64, size as u64, &root).unwrap();
        }
        for old in 0..=size {
            let proof = prover.consistency(old as u64).unwrap();
            assert_eq!(proof.path(), naive::proof(old, tree), "{old} to {size}");
            proof.verify((old as u64, &naive::root(&leaves[..old])), (size as u64, &root)).unwrap();
        }
    }
}

#[test]
fn a_leaf_is_proven_at_no_other_place_and_in_no_other_tree() {
    let leaves: Vec<Vec<u8>> = (0..20_u8).map(|number| vec![number]).collect();
    let log = Log::of(&leaves);
    for size in 1..=20_u64 {
        let root = log.prover(size).root().unwrap();
        for index in 0..size {
            let proof = log.prover(size).inclusion(index).unwrap();
            let leaf = leaf_hash(&leaves[usize::try_from(index).unwrap()]);
            for other in (0..25).filter(|other| *other != index) {
                assert!(proof.verify(&leaf, other, size, &root).is_err(), "{index} as {other} of {size}");
            }
        }
    }
}

#[test]
fn a_consistency_proof_proves_no_other_pair_of_trees() {
    let leaves: Vec<Vec<u8>> = (0..16_u8).map(|number| vec![number]).collect();
    let log = Log::of(&leaves);
    let roots: Vec<TreeHash> = (0..=16).map(|size| naive::root(&leaves[..size])).collect();
    for new in 1..=16_usize {
        for old in 1..new {
            let proof = log.prover(new as u64).consistency(old as u64).unwrap();
            for other in (0..new).filter(|other| *other != old) {
                let claimed = (other as u64, &roots[other]);
                if other > 0 {
                    assert!(proof.verify(claimed, (new as u64, &roots[new])).is_err(), "{old} as {other} to {new}");
                }
                assert!(proof.verify((old as u64, &roots[other]), (new as u64, &roots[new])).is_err());
            }
        }
    }
}

#[test]
fn a_tree_that_shrank_or_forked_is_not_consistent() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let none = ConsistencyProof::default();
    assert_eq!(none.verify((2, &a), (1, &a)), Err(ProofError::Shrank { old: 2, new: 1 }));
    assert_eq!(none.verify((2, &a), (2, &b)), Err(ProofError::OtherRoot));
    assert_eq!(none.verify((2, &a), (2, &a)), Ok(()));
    assert_eq!(none.verify((0, &empty_root()), (2, &a)), Ok(()));
    assert_eq!(none.verify((0, &a), (2, &a)), Err(ProofError::OtherRoot), "the empty tree has one root");
    assert_eq!(none.verify((0, &a), (2, &b)), Err(ProofError::OtherRoot));
    for sizes in [(1, 2), (2, 3), (3, 4), (3, 8)] {
        assert!(none.verify((sizes.0, &a), (sizes.1, &a)).is_err(), "{sizes:?} without a proof");
    }
    let some = ConsistencyProof::new(vec![a]).unwrap();
    assert_eq!(some.verify((2, &a), (2, &a)), Err(ProofError::WrongLength { found: 1 }));
    assert_eq!(some.verify((0, &empty_root()), (2, &a)), Err(ProofError::WrongLength { found: 1 }));
}

#[test]
fn proofs_are_bounded() {
    let path = vec![empty_root(); MAX_PROOF + 1];
    assert_eq!(InclusionProof::new(path.clone()), Err(ProofError::TooLong { found: 64 }));
    assert_eq!(ConsistencyProof::new(path), Err(ProofError::TooLong { found: 64 }));
    let (leaf, full) = (empty_root(), vec![empty_root(); MAX_PROOF]);
    let proof = InclusionProof::new(full.clone()).unwrap();
    assert!(proof.verify(&leaf, u64::MAX - 1, u64::MAX, &leaf).is_err());
    assert!(proof.verify(&leaf, 0, 0, &leaf).is_err());
    assert!(ConsistencyProof::new(full).unwrap().verify((u64::MAX - 1, &leaf), (u64::MAX, &leaf)).is_err());
}

fn flipped(path: &[TreeHash], bit: usize) -> Vec<TreeHash> {
    let mut bytes: Vec<[u8; 32]> = path.iter().map(|hash| *hash.as_bytes()).collect();
    bytes[bit / 256][bit / 8 % 32] ^= 1 << (bit % 8);
    bytes.into_iter().map(TreeHash::new).collect()
}

proptest! {
    #[test]
    fn every_flipped_bit_lost_or_added_hash_of_an_inclusion_proof_fails(size in 2..200_usize, at in 0..200_usize, seed: u8) {
        let leaves: Vec<Vec<u8>> = (0..size).map(|number| vec![seed, u8::try_from(number % 251).unwrap()]).collect();
        let (index, root) = (at % size, naive::root(&leaves));
        let (leaf, path) = (leaf_hash(&leaves[index]), naive::path(index, &leaves));
        let verify = |path| InclusionProof::new(path).unwrap().verify(&leaf, index as u64, size as u64, &root);
        verify(path.clone()).unwrap();
        for bit in 0..path.len() * 256 {
            prop_assert_eq!(verify(flipped(&path, bit)), Err(ProofError::OtherRoot));
        }
        for gone in 0..path.len() {
            let mut short = path.clone();
            short.remove(gone);
            prop_assert!(verify(short).is_err());
        }
        prop_assert!(verify([&path[..], &[leaf]].concat()).is_err());
    }

    #[test]
    fn every_flipped_bit_lost_or_added_hash_of_a_consistency_proof_fails(size in 2..200_usize, at in 0..200_usize, seed: u8) {
        let leaves: Vec<Vec<u8>> = (0..size).map(|number| vec![seed, u8::try_from(number % 251).unwrap()]).collect();
        let old = 1 + at % (size - 1);
        let (old_root, root) = (naive::root(&leaves[..old]), naive::root(&leaves));
        let path = naive::proof(old, &leaves);
        let verify = |path| {
            ConsistencyProof::new(path).unwrap().verify((old as u64, &old_root), (size as u64, &root))
        };
        verify(path.clone()).unwrap();
        for bit in 0..path.len() * 256 {
            prop_assert_eq!(verify(flipped(&path, bit)), Err(ProofError::OtherRoot));
        }
        for gone in 0..path.len() {
            let mut short = path.clone();
            short.remove(gone);
            prop_assert!(verify(short).is_err());
        }
        prop_assert!(verify([&path[..], &[root]].concat()).is_err());
    }
}
