use limen_wire::ids::{CharterHash, CommitteeHash};

use super::kit::*;
use crate::ledger::*;

fn guard() -> Guard {
    Guard::new(&[claim(1, 10), claim(2, 20), claim(3, 30)], 100, 10)
}

#[test]
fn a_member_acknowledges_one_entry_for_each_number() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    let other = entry(&committee, None, NOW, &[claim(2, 20)]);
    let answer = node.acknowledge(&first, None, NOW, &guard()).unwrap();
    assert_eq!(node.acknowledge(&other, None, NOW, &guard()), Err(Refusal::Taken { number: 1, hash: first.hash() }));
    // A repeat is the same answer, whatever time it is.
    assert_eq!(node.acknowledge(&first, None, NOW + LIFETIME, &guard()), Ok(answer));
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let committee = committee();
    let node = Node::new(0, &committee);
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    let proposal = Proposal::check(first.clone(), None, &committee).unwrap();
    let step = node.member.acknowledge(&proposal, NOW, &guard()).unwrap();
    assert_eq!(step.changes(), [Change::Acknowledged(first.clone())]);
    // Died before writing: it has promised nothing.
    assert_eq!(node.member.durable(), &Durable::genesis(&committee));
    // Died after writing, before answering: the restarted member stands by it.
    let mut durable = Durable::genesis(&committee);
    step.changes().iter().for_each(|change| durable.apply(change));
    let restarted = Member::new(committee.clone(), durable);
    let other = Proposal::check(entry(&committee, None, NOW, &[claim(2, 20)]), None, &committee).unwrap();
    let refused = Refusal::Taken { number: 1, hash: first.hash() };
    assert_eq!(restarted.acknowledge(&other, NOW, &guard()), Err(refused));
    let again = restarted.acknowledge(&proposal, NOW, &guard()).unwrap();
    assert!(again.changes().is_empty());
}

#[test]
fn backdated_entry() {
    // A coordinator dates entries so that earlier amounts seem to have left the window, or this one never entered it.
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    for time_ms in [NOW - MAX_SKEW_MS - 1, NOW + MAX_SKEW_MS + 1, NOW + 2 * WINDOW_SECS * 1000] {
        let wrong = entry(&committee, None, time_ms, &[claim(1, 10)]);
        let refused = node.acknowledge(&wrong, None, NOW, &guard());
        assert_eq!(refused, Err(Refusal::Skewed { time_ms, now_ms: NOW }));
    }
    node.acknowledge(&first, None, NOW - MAX_SKEW_MS, &guard()).unwrap();
    let base = certify(&first, &committee);
    let backdated = entry(&committee, Some(&base), NOW - 1, &[claim(2, 20)]);
    let refused = Proposal::check(backdated, Some(&base), &committee);
    assert_eq!(refused, Err(ProposalError::Backdated { number: 2, time_ms: NOW - 1, base_ms: NOW }));
    let longer = Body { expires_at_ms: NOW + LIFETIME + 1, ..body(&committee, Some(&base), NOW, &[claim(2, 20)]) };
    let refused = node.acknowledge(&Entry::new(longer).unwrap(), Some(&base), NOW, &guard());
    assert!(matches!(refused, Err(Refusal::Lifetime { .. })));
}

#[test]
fn uncertified_branch() {
    // Entry 2 stands on an entry 1 that is not certified: only its own proposer and a corrupt member have signed it.
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let hidden = entry(&committee, None, NOW, &[claim(1, 10)]);
    let branch = Body { number: 2, base: 1, previous: hidden.hash(), ..body(&committee, None, NOW, &[claim(2, 20)]) };
    let branch = Entry::new(branch).unwrap();
    let bare = Proposal::check(branch.clone(), None, &committee);
    assert_eq!(bare, Err(ProposalError::NoBase { number: 2, base: 1 }));
    let certified = certify(&entry(&committee, None, NOW, &[claim(3, 30)]), &committee);
    let swapped = Proposal::check(branch.clone(), Some(&certified), &committee);
    assert_eq!(swapped, Err(ProposalError::WrongBase { number: 2, base: 1 }));
    let from_nothing = Body { previous: hidden.hash(), ..body(&committee, None, NOW, &[claim(2, 20)]) };
    let from_nothing = Proposal::check(Entry::new(from_nothing).unwrap(), None, &committee);
    assert_eq!(from_nothing, Err(ProposalError::WrongBase { number: 1, base: 0 }));
    // With its certificate it is taken, by a member that has learned it.
    let base = certify(&hidden, &committee);
    let proposal = Proposal::check(branch.clone(), Some(&base), &committee).unwrap();
    assert_eq!(node.member.acknowledge(&proposal, NOW, &guard()), Err(Refusal::Behind { head: 0 }));
    node.acknowledge(&branch, Some(&base), NOW, &guard()).unwrap();
}

#[test]
fn only_what_the_guard_would_allow_is_acknowledged() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let mut ask = |claims: &[Claim], guard: &Guard| {
        node.acknowledge(&entry(&committee, None, NOW, claims), None, NOW, guard).unwrap_err()
    };
    let mut strict = guard();
    strict.refused.insert(id(2));
    assert!(
        matches!(ask(&[claim(1, 10), claim(2, 20)], &strict), Refusal::NotAllowed { intent, .. } if intent == id(2))
    );
    assert_eq!(ask(&[claim(1, 9)], &guard()), Refusal::OtherCharges(id(1)));
    assert!(matches!(ask(&[claim(9, 9)], &guard()), Refusal::CannotRecompute { .. }));
    let other = Guard { charter: CharterHash::new([8; 32]), ..guard() };
    let refused = Refusal::OtherCharter { found: CHARTER, expected: other.charter };
    assert_eq!(ask(&[claim(1, 10)], &other), refused);
    let small = Guard::new(&[claim(1, 10)], 9, 10);
    assert!(matches!(ask(&[claim(1, 10)], &small), Refusal::Misfit(Misfit::Amount { .. })));
}

#[test]
fn certificates_are_learned_in_order_and_once() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let first = certify(&entry(&committee, None, NOW, &[claim(1, 10)]), &committee);
    let second = certify(&entry(&committee, Some(&first), NOW, &[claim(2, 20)]), &committee);
    assert_eq!(node.learn(&second), Err(Refusal::Behind { head: 0 }));
    node.learn(&first).unwrap();
    assert!(node.member.learn(&first).unwrap().changes().is_empty());
    node.learn(&second).unwrap();
    assert!(node.member.learn(&first).unwrap().changes().is_empty());
    assert_eq!(node.member.durable().head.number, 2);
    let late = entry(&committee, Some(&first), NOW, &[claim(3, 30)]);
    assert_eq!(node.acknowledge(&late, Some(&first), NOW, &guard()), Err(Refusal::Certified { head: 2 }));
    assert_eq!(node.close(2), Err(Refusal::Certified { head: 2 }));
}

#[test]
fn two_certificates_for_one_number_are_an_alarm() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let one = certify(&entry(&committee, None, NOW, &[claim(1, 10)]), &committee);
    let other = certify(&entry(&committee, None, NOW, &[claim(2, 20)]), &committee);
    node.learn(&one).unwrap();
    assert_eq!(node.learn(&other), Err(Refusal::Forked { number: 1 }));
    let on_other = certify(&entry(&committee, Some(&other), NOW, &[claim(3, 30)]), &committee);
    assert_eq!(node.learn(&on_other), Err(Refusal::Forked { number: 1 }));
}

#[test]
fn a_seal_needs_the_charter_and_the_right_book() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let successor = CommitteeHash::new([5; 32]);
    let seal = |book| {
        let seal = Some(Seal { successor, book });
        Entry::new(Body { seal, ..body(&committee, None, NOW, &[]) }).unwrap()
    };
    let right = seal(Book::default().digest());
    let refused = node.acknowledge(&right, None, NOW, &guard());
    assert_eq!(refused, Err(Refusal::NotSuccessor(successor)));
    let named = Guard { successor: Some(successor), ..guard() };
    assert_eq!(node.acknowledge(&seal([0; 32]), None, NOW, &named), Err(Refusal::OtherBook));
    node.acknowledge(&right, None, NOW, &named).unwrap();
    let base = certify(&right, &committee);
    node.learn(&base).unwrap();
    let after = entry(&committee, Some(&base), NOW, &[claim(1, 10)]);
    assert_eq!(Proposal::check(after, Some(&base), &committee), Err(ProposalError::Sealed { number: 2 }));
    assert_eq!(node.close(2), Err(Refusal::Sealed));
    let late = Proposal::check(entry(&committee, None, NOW, &[claim(1, 10)]), None, &committee).unwrap();
    assert_eq!(node.member.acknowledge(&late, NOW, &named), Err(Refusal::Sealed));
}
