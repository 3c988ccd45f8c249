//! A witness cosigns only what continues what it has cosigned.

use limen_evidence::checkpoint::{Checkpoint, Consistent, FollowError, SignError, View};
use limen_evidence::merkle::{ConsistencyProof, ProofError, leaf_hash};

use crate::keys::{cluster, p256};
use crate::tiles::Log;

fn log(leaves: &[&str]) -> Log {
    Log::of(&leaves.iter().map(|leaf| leaf.as_bytes().to_vec()).collect::<Vec<_>>())
}

fn checkpoint(log: &Log) -> Checkpoint {
    Checkpoint::new(&cluster(), log.frontier.size(), log.frontier.root()).unwrap()
}

fn follow(view: &View, old: u64, log: &Log) -> Result<Consistent, FollowError> {
    let proof = log.prover(log.frontier.size()).consistency(old).unwrap();
    view.follow(old, &proof, &checkpoint(log))
}

#[test]
fn a_growing_log_is_followed() {
    let mut log = log(&[]);
    let mut view = View::empty("limen/test/log");
    for number in 0..40_u8 {
        for leaf in 0..number % 4 {
            log.append(&[number, leaf]);
        }
        let consistent = follow(&view, view.size(), &log).unwrap();
        view = View::at(consistent.checkpoint());
        assert_eq!((view.size(), view.root()), (log.frontier.size(), &log.frontier.root()));
        consistent.cosign("limen/test/node/a", &p256(1), u64::from(number) + 1).unwrap();
    }
}

#[test]
fn a_smaller_tree_is_not_followed() {
    let view = View::at(&checkpoint(&log(&["a", "b", "c"])));
    let smaller = checkpoint(&log(&["a", "b"]));
    let error = view.follow(3, &ConsistencyProof::default(), &smaller).unwrap_err();
    assert_eq!(error, FollowError::Inconsistent { held: 3, new: 2, source: ProofError::Shrank { old: 3, new: 2 } });
}

#[test]
fn another_root_at_the_same_size_is_not_followed() {
    let view = View::at(&checkpoint(&log(&["a", "b", "c"])));
    let fork = follow(&view, 3, &log(&["a", "b", "x"])).unwrap_err();
    assert_eq!(fork, FollowError::Inconsistent { held: 3, new: 3, source: ProofError::OtherRoot });
    assert!(follow(&view, 3, &log(&["a", "b", "c"])).is_ok(), "the same tree again");
}

#[test]
fn a_fork_is_not_followed_whatever_it_proves() {
    let view = View::at(&checkpoint(&log(&["a", "b", "c"])));
    for fork in [&["a", "b", "x", "d"][..], &["x", "b", "c", "d", "e"], &["a", "c", "b", "d"]] {
        let fork = log(fork);
        let error = follow(&view, 3, &fork).unwrap_err();
        let new = fork.frontier.size();
        assert_eq!(error, FollowError::Inconsistent { held: 3, new, source: ProofError::OtherRoot });
    }
}

#[test]
fn a_tree_without_a_proof_is_not_followed() {
    let view = View::at(&checkpoint(&log(&["a", "b", "c"])));
    let grown = log(&["a", "b", "c", "d"]);
    let none = ConsistencyProof::default();
    let error = view.follow(3, &none, &checkpoint(&grown)).unwrap_err();
    assert_eq!(error, FollowError::Inconsistent { held: 3, new: 4, source: ProofError::WrongLength { found: 0 } });
    let surplus = ConsistencyProof::new(vec![leaf_hash(b"a")]).unwrap();
    assert!(view.follow(3, &surplus, &checkpoint(&log(&["a", "b", "c"]))).is_err());
}

#[test]
fn a_proof_from_another_size_than_the_witness_holds_is_answered_with_that_size() {
    let view = View::at(&checkpoint(&log(&["a", "b", "c"])));
    let grown = log(&["a", "b", "c", "d", "e"]);
    assert_eq!(follow(&view, 2, &grown).unwrap_err(), FollowError::OtherStart { held: 3, offered: 2 });
    let forked = log(&["x", "y"]);
    let from_nothing = view.follow(0, &ConsistencyProof::default(), &checkpoint(&forked)).unwrap_err();
    assert_eq!(
        from_nothing,
        FollowError::OtherStart { held: 3, offered: 0 },
        "no fresh start for a witness that has one"
    );
}

#[test]
fn another_log_or_lines_of_unknown_meaning_are_not_followed() {
    let view = View::empty("limen/other/log");
    let error = follow(&view, 0, &log(&["a"])).unwrap_err();
    assert!(matches!(error, FollowError::OtherLog { .. }), "{error}");
    let text = checkpoint(&log(&["a"])).to_text();
    let extended = Checkpoint::parse(&format!("{text}more\n")).unwrap();
    let view = View::empty("limen/test/log");
    assert_eq!(view.follow(0, &ConsistencyProof::default(), &extended).unwrap_err(), FollowError::Extensions);
}

#[test]
fn a_cosignature_needs_a_name_and_a_time() {
    let grown = log(&["a"]);
    let consistent = || follow(&View::empty("limen/test/log"), 0, &grown).unwrap();
    assert!(matches!(consistent().cosign("n", &p256(1), 0), Err(SignError::Time(_))));
    assert!(matches!(consistent().cosign("n", &p256(1), 1 << 63), Err(SignError::Time(_))));
    assert!(matches!(consistent().cosign("a b", &p256(1), 1), Err(SignError::Name(_))));
    assert!(consistent().cosign("n", &p256(1), 1).is_ok());
}
