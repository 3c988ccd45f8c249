use limen_wire::ids::{CommitteeHash, EntryHash};

use super::kit::*;
use crate::ledger::*;

fn guard() -> Guard {
    Guard::new(&(1..9).map(|number| claim(number, 10)).collect::<Vec<_>>(), 100, 10)
}

#[test]
fn a_split_number_is_closed_and_everything_named_counts() {
    let committee = committee();
    let guard = Guard::new(&[claim(1, 60), claim(2, 60), claim(3, 40), claim(4, 41)], 100, 10);
    let mut nodes = Node::all(&committee);
    let (one, two) = (entry(&committee, None, NOW, &[claim(1, 60)]), entry(&committee, None, NOW, &[claim(2, 60)]));
    nodes[0].acknowledge(&one, None, NOW, &guard).unwrap();
    nodes[1].acknowledge(&one, None, NOW, &guard).unwrap();
    nodes[2].acknowledge(&two, None, NOW, &guard).unwrap();
    // q members give the number up: what 0 and 2 acknowledged is named, and nobody adds to it.
    let closings: Vec<_> = [0, 2, 3].into_iter().map(|i| nodes[i].close(1).unwrap()).collect();
    assert_eq!(nodes[3].acknowledge(&one, None, NOW, &guard), Err(Refusal::Closed { through: 1 }));
    let settled = Entry::new(settling(&committee, None, NOW, &closings, &[one, two])).unwrap();
    let base = run(&mut nodes[1..], &settled, None, NOW, &guard).unwrap();
    // Both count, so only 100 − 120 is left: nothing, until one is released or ages out.
    let next = |claim| entry(&committee, Some(&base), NOW, &[claim]);
    let refused = run(&mut nodes, &next(claim(3, 40)), Some(&base), NOW, &guard).unwrap_err();
    assert_eq!(
        refused.to_string(),
        Misfit::Amount { scope: Box::new(daily()), observed: "160".into(), bound: amount(100), advice: DAILY }
            .to_string()
    );
    // What is merely carried is not reserved.
    let covered = base.covers(&claim(1, 60), &CHARTER, NOW);
    assert_eq!(covered, Err(NotCovered::NotClaimed { number: 2, intent: id(1) }));
    // A member that never saw the split learns the same book.
    let mut late = Node::new(0, &committee);
    late.learn(&base).unwrap();
    assert_eq!(late.member.durable().book, nodes[1].member.book_after(&settled));
}

#[test]
fn settling_twice_does_not_pile_up() {
    let committee = committee();
    let mut nodes = Node::all(&committee);
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    nodes[0].acknowledge(&first, None, NOW, &guard()).unwrap();
    let mut sizes = Vec::new();
    for through in 1..20 {
        // Each settling entry is split in its turn: one member takes it, then all give up again.
        let closings: Vec<_> = nodes[..3].iter_mut().map(|node| node.close(through).unwrap()).collect();
        let settled = Entry::new(settling(&committee, None, NOW, &closings, std::slice::from_ref(&first))).unwrap();
        assert_eq!((settled.number, settled.base), (through + 1, 0));
        nodes[1].acknowledge(&settled, None, NOW, &guard()).unwrap();
        sizes.push(settled.payload().len());
    }
    assert!(sizes.iter().all(|size| *size <= sizes[0] + 8), "{sizes:?}");
}

#[test]
fn closing_says_what_was_acknowledged_and_stands_by_it() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    node.acknowledge(&first, None, NOW, &guard()).unwrap();
    let signed = node.close(1).unwrap();
    let (member, closing) = Closing::verify(&signed, &committee).unwrap();
    assert_eq!((member, closing.after, closing.through), (&super::kit::node(0), 0, 1));
    assert_eq!(closing.acknowledged, [(1, first.hash())]);
    assert_eq!(node.close(1), Ok(signed));
    // The acknowledgement is repeated, since the closing names it; a new one is not given.
    node.acknowledge(&first, None, NOW, &guard()).unwrap();
    let restarted = Node { index: 0, member: Member::new(committee.clone(), node.member.durable().clone()) };
    let mut restarted = restarted;
    let other = entry(&committee, None, NOW, &[claim(2, 10)]);
    assert!(matches!(restarted.acknowledge(&other, None, NOW, &guard()), Err(Refusal::Taken { .. })));
}

#[test]
fn nobody_closes_far_ahead() {
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let limit = CLOSE_AHEAD;
    let through = limit + 1;
    assert_eq!(node.close(through), Err(Refusal::TooFarAhead { through, limit }));
    assert!(matches!(node.close(u64::MAX), Err(Refusal::TooFarAhead { .. })));
    node.close(limit).unwrap();
    node.close(2 * limit).unwrap();
}

/// A settling entry out of spoiled parts, checked.
fn check(change: impl FnOnce(&mut Vec<Closing>, &mut Vec<Entry>, &mut Body)) -> Result<Proposal, ProposalError> {
    let committee = committee();
    let first = entry(&committee, None, NOW, &[claim(1, 10)]);
    let named = Closing { after: 0, through: 1, acknowledged: vec![(1, first.hash())], successor: None };
    let mut closings = vec![named.clone(), Closing { acknowledged: vec![], ..named.clone() }, named];
    let (mut carried, mut body) = (vec![first], body(&committee, None, NOW, &[]));
    body.number = 2;
    change(&mut closings, &mut carried, &mut body);
    if body.closings.is_empty() {
        let sign = |(index, closing): (usize, &Closing)| closing.sign(&committee, &node(index), &key(index));
        body.closings = closings.iter().enumerate().map(sign).collect();
    }
    body.carried = carried;
    Proposal::check(Entry::new(body).unwrap(), None, &committee)
}

#[test]
fn an_entry_that_settles_carries_exactly_what_q_closings_name() {
    check(|_, _, _| ()).unwrap();
    let few = check(|closings, _, _| drop(closings.pop()));
    assert_eq!(few, Err(ProposalError::TooFewClosings { number: 2, have: 2, need: 3 }));
    let twice = check(|closings, _, body| {
        body.closings = closings.iter().map(|c| c.sign(&committee(), &node(0), &key(0))).collect();
    });
    assert_eq!(twice, Err(ProposalError::TooFewClosings { number: 2, have: 1, need: 3 }));
    let late = check(|closings, _, _| {
        closings[0] = Closing { after: 1, through: 1, acknowledged: vec![], successor: None };
    });
    assert!(matches!(late, Err(ProposalError::Range { after: 1, .. })), "{late:?}");
    let short = check(|closings, _, body| {
        body.number = 3;
        closings[1].through = 2;
    });
    assert!(matches!(short, Err(ProposalError::Range { through: 1, .. })), "{short:?}");
    assert!(matches!(check(|_, carried, _| carried.clear()), Err(ProposalError::Carried { at: 1, .. })));
    let too_much = check(|closings, _, _| closings.iter_mut().for_each(|closing| closing.acknowledged.clear()));
    assert!(matches!(too_much, Err(ProposalError::Carried { at: 1, .. })));
    let successor = CommitteeHash::new([4; 32]);
    let dropped = check(|closings, _, _| closings[0].successor = Some(successor));
    assert_eq!(dropped, Err(ProposalError::SealDropped { number: 2, successor }));
}

#[test]
fn closings_count_under_one_members_own_signature() {
    let committee = committee();
    let closing = Closing { after: 0, through: 1, acknowledged: vec![], successor: None };
    let signed = closing.sign(&committee, &node(0), &key(0));
    assert_eq!(Closing::verify(&signed, &committee), Ok((&node(0), closing.clone())));
    let stranger = closing.sign(&committee, &node(9), &key(9));
    assert!(matches!(Closing::verify(&stranger, &committee), Err(ClosingError::NotMember(_))));
    let forged = closing.sign(&committee, &node(0), &key(1));
    assert!(matches!(Closing::verify(&forged, &committee), Err(ClosingError::Envelope(_))));
    let mut two = signed;
    two.signatures.push(closing.sign(&committee, &node(1), &key(1)).signatures[0].clone());
    assert!(matches!(Closing::verify(&two, &committee), Err(ClosingError::NotMember(_))));
    let elsewhere = committee_of(0..4, (0, 3), None).unwrap();
    let foreign = closing.sign(&elsewhere, &node(0), &key(0));
    assert_eq!(Closing::verify(&foreign, &committee), Err(ClosingError::OtherCommittee(committee.hash())));
    for acknowledged in [vec![(0, EntryHash::new([0; 32]))], vec![(2, EntryHash::new([0; 32]))]] {
        let outside = Closing { acknowledged, ..closing.clone() }.sign(&committee, &node(0), &key(0));
        assert!(matches!(Closing::verify(&outside, &committee), Err(ClosingError::Shape(_))));
    }
    // A bad closing refuses the entry that carries it.
    let refused = check(|_, _, body| body.closings = vec![stranger]);
    assert!(matches!(refused, Err(ProposalError::Closing { .. })));
}

#[test]
fn what_a_corrupt_member_invents_is_recomputed() {
    let committee = committee();
    let mut nodes = Node::all(&committee);
    let invented = entry(&committee, None, NOW, &[claim(99, 1_000_000)]);
    let lie = Closing { after: 0, through: 1, acknowledged: vec![(1, invented.hash())], successor: None };
    let mut closings = vec![lie.sign(&committee, &node(3), &key(3))];
    closings.extend(nodes[..2].iter_mut().map(|node| node.close(1).unwrap()));
    let settled = Entry::new(settling(&committee, None, NOW, &closings, &[invented])).unwrap();
    assert!(matches!(nodes[0].acknowledge(&settled, None, NOW, &guard()), Err(Refusal::CannotRecompute { .. })));
    // Without the liar it goes on.
    let honest: Vec<_> = nodes[..3].iter_mut().map(|node| node.close(1).unwrap()).collect();
    let settled = Entry::new(settling(&committee, None, NOW, &honest, &[])).unwrap();
    run(&mut nodes[..3], &settled, None, NOW, &guard()).unwrap();
}

/// It would count for longer than anything that can be reserved.
#[test]
fn what_is_carried_lasts_no_longer_than_a_reservation() {
    let committee = committee();
    let mut nodes = Node::all(&committee);
    for longer in [1, u64::MAX - NOW - LIFETIME] {
        let body = body(&committee, None, NOW, &[claim(1, 10)]);
        let invented = Entry::new(Body { expires_at_ms: body.expires_at_ms + longer, ..body }).unwrap();
        let lie = Closing { after: 0, through: 1, acknowledged: vec![(1, invented.hash())], successor: None };
        let mut closings = vec![lie.sign(&committee, &node(3), &key(3))];
        closings.extend(nodes[..2].iter_mut().map(|node| node.close(1).unwrap()));
        let settled = Entry::new(settling(&committee, None, NOW, &closings, &[invented])).unwrap();
        assert!(matches!(nodes[0].acknowledge(&settled, None, NOW, &guard()), Err(Refusal::Lifetime { .. })));
    }
}

#[test]
fn a_certificate_that_turns_up_after_the_number_was_closed_is_counted() {
    // Entry 1 is certified, but its certificate is kept back while the number is closed.
    let committee = committee();
    let mut nodes = Node::all(&committee);
    let hidden = entry(&committee, None, NOW, &[claim(1, 10)]);
    let certificate = run(&mut nodes[..3], &hidden, None, NOW, &guard()).unwrap();
    let closings: Vec<_> = nodes[1..].iter_mut().map(|node| node.close(1).unwrap()).collect();
    // Leaving it out is not possible: two of any three closings name it.
    let empty = Entry::new(settling(&committee, None, NOW, &closings, &[])).unwrap();
    assert!(matches!(Proposal::check(empty, None, &committee), Err(ProposalError::Carried { .. })));
    let settled = Entry::new(settling(&committee, None, NOW, &closings, std::slice::from_ref(&hidden))).unwrap();
    // A member that knows the certificate goes along: the two do not contradict each other.
    nodes[0].learn(&certificate).unwrap();
    let base = run(&mut nodes, &settled, None, NOW, &guard()).unwrap();
    for node in &mut nodes {
        node.learn(&base).unwrap();
        assert!(node.member.durable().book.counts(&id(1)));
    }
    assert_eq!(nodes[0].member.durable().book, nodes[3].member.durable().book);
}

#[test]
fn closings_that_hide_a_certified_entry_are_an_alarm() {
    // Two corrupt members in a committee that stands one: they deny what they have acknowledged.
    let committee = committee();
    let mut node = Node::new(0, &committee);
    let hidden = certify(&entry(&committee, None, NOW, &[claim(1, 10)]), &committee);
    node.learn(&hidden).unwrap();
    let denial = Closing { after: 0, through: 1, acknowledged: vec![], successor: None };
    let closings: Vec<_> = (1..4).map(|i| denial.sign(&committee, &super::kit::node(i), &key(i))).collect();
    let settled = Entry::new(settling(&committee, None, NOW, &closings, &[])).unwrap();
    assert_eq!(node.acknowledge(&settled, None, NOW, &guard()), Err(Refusal::Forked { number: 1 }));
}
