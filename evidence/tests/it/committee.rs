//! A checkpoint is final when enough distinct members have cosigned it.

use limen_evidence::checkpoint::{
    Checkpoint, Committee, CommitteeError, CosignatureError, NoteSignature, SignedCheckpoint, View, cosigner_name,
};
use limen_evidence::merkle::{ConsistencyProof, leaf_hash};
use limen_wire::keys::SigningKey;

use crate::keys::{cluster, ed25519, node, p256};

fn keys() -> [(&'static str, SigningKey); 4] {
    [("a", p256(1)), ("b", p256(2)), ("c", ed25519(3)), ("w", p256(4))]
}

fn committee(quorum: usize) -> Result<Committee, CommitteeError> {
    of_four(quorum, 0)
}

fn of_four(quorum: usize, max_corrupt: usize) -> Result<Committee, CommitteeError> {
    Committee::new(&cluster(), keys().iter().map(|(name, key)| (node(name), key.public_key())), quorum, max_corrupt)
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(&cluster(), 2, leaf_hash(b"root")).unwrap()
}

fn cosign(name: &str, key: &SigningKey, secs: u64) -> NoteSignature {
    let followed = View::empty("limen/test/log").follow(0, &ConsistencyProof::default(), &checkpoint()).unwrap();
    followed.cosign(&cosigner_name(&cluster(), &node(name)), key, secs).unwrap()
}

fn signed(signatures: Vec<NoteSignature>) -> SignedCheckpoint {
    SignedCheckpoint::new(checkpoint(), signatures).unwrap()
}

#[test]
fn a_quorum_of_distinct_members_makes_a_checkpoint_final() {
    let committee = committee(3).unwrap();
    let all: Vec<NoteSignature> = keys().iter().map(|(name, key)| cosign(name, key, 5)).collect();
    for count in 1..=4 {
        let counted = committee.count(&signed(all[..count].to_vec())).unwrap();
        assert_eq!((counted.by.len(), counted.surplus, counted.is_final()), (count, 0, count >= 3));
    }
}

#[test]
fn members_are_counted_and_not_signatures() {
    let committee = committee(3).unwrap();
    let [(a, key_a), (b, key_b), ..] = &keys();
    let twice = vec![cosign(a, key_a, 5), cosign(a, key_a, 5), cosign(a, key_a, 9), cosign(b, key_b, 5)];
    let counted = committee.count(&signed(twice)).unwrap();
    assert_eq!((counted.by.len(), counted.surplus, counted.is_final()), (2, 2, false));
    assert_eq!(counted.by[&node("a")], 9, "the latest time");
}

#[test]
fn keys_that_are_not_named_count_for_nothing() {
    let committee = committee(3).unwrap();
    let [(a, key_a), (b, key_b), ..] = &keys();
    // an unknown node, a member's name with another key, and a member's key under another name
    let others = vec![
        cosign(a, key_a, 5),
        cosign(b, key_b, 5),
        cosign("x", &p256(9), 5),
        cosign("c", &p256(9), 5),
        cosign("x", key_b, 5),
    ];
    let counted = committee.count(&signed(others)).unwrap();
    assert_eq!((counted.by.len(), counted.surplus, counted.is_final()), (2, 3, false));
}

#[test]
fn one_false_cosignature_of_a_member_spoils_the_checkpoint() {
    let committee = committee(3).unwrap();
    let mut lines: Vec<NoteSignature> = keys().iter().map(|(name, key)| cosign(name, key, 5)).collect();
    let good = &lines[3];
    let mut blob = good.signature().to_vec();
    blob[70] ^= 1;
    lines[3] = NoteSignature::new(good.name(), good.key_id(), blob).unwrap();
    let name = "limen/test/node/w".to_owned();
    assert_eq!(committee.count(&signed(lines)), Err(CosignatureError::Bad { name }));
}

#[test]
fn a_cosignature_of_another_checkpoint_does_not_verify() {
    let [(a, key_a), ..] = &keys();
    let other = Checkpoint::new(&cluster(), 3, leaf_hash(b"root")).unwrap();
    let moved = SignedCheckpoint::new(other, vec![cosign(a, key_a, 5)]).unwrap();
    assert!(committee(3).unwrap().count(&moved).is_err());
}

#[test]
fn a_quorum_is_at_most_all() {
    assert_eq!(committee(5), Err(CommitteeError::TooLarge { quorum: 5, members: 4 }));
    assert!(committee(usize::MAX).is_err());
    assert!(Committee::new(&cluster(), [], 0, 0).is_err());
    assert!(Committee::new(&cluster(), [], 1, 0).is_err());
}

#[test]
fn a_quorum_that_lets_two_logs_become_final_is_refused() {
    // 2q − N > f
    for (quorum, max_corrupt, sound) in
        [(0, 0, false), (2, 0, false), (3, 0, true), (3, 1, true), (3, 2, false), (4, 3, true), (4, 4, false)]
    {
        let forks = CommitteeError::Forks { quorum, members: 4, max_corrupt };
        assert_eq!(of_four(quorum, max_corrupt).err(), (!sound).then_some(forks), "{quorum} of 4, {max_corrupt} lie");
    }
    assert!(of_four(4, usize::MAX).is_err());
}

#[test]
fn one_machine_cannot_cosign_as_two() {
    let same_key = [(node("a"), p256(1).public_key()), (node("b"), p256(1).public_key())];
    assert_eq!(Committee::new(&cluster(), same_key, 2, 0), Err(CommitteeError::Twice { node: node("b") }));
    let same_name = [(node("a"), p256(1).public_key()), (node("a"), p256(2).public_key())];
    assert_eq!(Committee::new(&cluster(), same_name, 2, 0), Err(CommitteeError::Twice { node: node("a") }));
}

#[test]
fn what_counts_is_selected_in_one_order() {
    let committee = committee(3).unwrap();
    let mut lines: Vec<NoteSignature> = keys().iter().rev().map(|(name, key)| cosign(name, key, 5)).collect();
    lines.push(cosign("a", &p256(1), 6));
    lines.insert(0, cosign("x", &p256(9), 5));
    let selected = committee.select(&lines);
    let names: Vec<&str> = selected.iter().map(NoteSignature::name).collect();
    assert_eq!(names, ["limen/test/node/a", "limen/test/node/b", "limen/test/node/c", "limen/test/node/w"]);
    assert_eq!(committee.count(&signed(selected)).unwrap().surplus, 0);
}
