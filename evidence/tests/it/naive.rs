//! RFC 6962 section 2.1 word for word: recursive, slow, and apart from the code that it judges.

use limen_evidence::merkle::{TreeHash, empty_root, leaf_hash, node_hash};

/// `MTH(D[n])`.
pub(crate) fn root(leaves: &[Vec<u8>]) -> TreeHash {
    match leaves {
        [] => empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// `PATH(m, D[n])`.
pub(crate) fn path(index: usize, leaves: &[Vec<u8>]) -> Vec<TreeHash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (self::path(index, left), root(right))
    } else {
        (self::path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

/// `PROOF(m, D[n])`.
pub(crate) fn proof(old: usize, leaves: &[Vec<u8>]) -> Vec<TreeHash> {
    if old == 0 { Vec::new() } else { subproof(old, leaves, true) }
}

fn subproof(old: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<TreeHash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = if old <= left.len() {
        (subproof(old, left, whole), root(right))
    } else {
        (subproof(old - left.len(), right, false), root(left))
    };
    proof.push(sibling);
    proof
}

fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}
