use super::kit::*;
use crate::ledger::*;

#[test]
fn two_quorums_share_an_honest_member() {
    for (n, f, q) in [(4, 1, 3), (3, 1, 3), (7, 2, 5), (5, 1, 4), (1, 0, 1), (3, 0, 2)] {
        let committee = committee_of(0..n, (f, q), None).unwrap();
        assert_eq!(committee.may_be_down(), n - q);
        assert_eq!(committee.stays_available_with_f_down(), n > 3 * f && q == n - f || n - q >= f, "{n} {f} {q}");
    }
    for (n, f, q) in [(4, 1, 2), (3, 1, 2), (7, 2, 4), (4, 2, 3), (4, 4, 4)] {
        let refused = CommitteeError::NoIntersection { members: n, quorum: q, corrupt: f };
        assert_eq!(committee_of(0..n, (f, q), None), Err(refused));
    }
}

#[test]
fn three_f_plus_one_members_stay_available() {
    for f in 0..5 {
        let n = 3 * f + 1;
        assert!(committee_of(0..n, (f, n - f), None).unwrap().stays_available_with_f_down());
        // One member less: whichever quorum intersects needs somebody who may be down.
        let possible = (1..n).filter_map(|q| committee_of(0..n - 1, (f, q), None).ok());
        assert!(possible.into_iter().all(|committee| !committee.stays_available_with_f_down()), "{f}");
    }
}

#[test]
fn committees_that_cannot_be_are_refused() {
    assert_eq!(committee_of(0..4, (1, 5), None), Err(CommitteeError::Quorum { members: 4, quorum: 5 }));
    assert_eq!(committee_of(0..4, (0, 0), None), Err(CommitteeError::Quorum { members: 4, quorum: 0 }));
    assert_eq!(committee_of(0..0, (0, 0), None), Err(CommitteeError::Size { found: 0 }));
    assert_eq!(committee_of(0..17, (1, 16), None), Err(CommitteeError::Size { found: 17 }));
    assert_eq!(committee_of([0, 1, 2, 0], (1, 3), None), Err(CommitteeError::Twice(node(0))));
    let mut same_key = members(0..4);
    same_key[3].public_key = same_key[0].public_key;
    let id = || (cluster(), committee().ledger().clone());
    assert_eq!(Committee::new(id(), same_key, (1, 3), LIFETIME, None), Err(CommitteeError::Twice(node(3))));
    for lifetime in [0, 999, 24 * 3600 * 1000 + 1] {
        let refused = Committee::new(id(), members(0..4), (1, 3), lifetime, None);
        assert_eq!(refused, Err(CommitteeError::Lifetime(lifetime)));
    }
}

#[test]
fn every_part_of_a_committee_changes_its_hash() {
    let id = |ledger: &str| (cluster(), limen_wire::ids::LedgerId::new(ledger).unwrap());
    let other = [
        Committee::new(id("cold"), members(0..4), (1, 3), LIFETIME, None),
        Committee::new(id("hot"), members(1..5), (1, 3), LIFETIME, None),
        Committee::new(id("hot"), members([0, 1, 3, 2]), (1, 3), LIFETIME, None),
        Committee::new(id("hot"), members(0..4), (0, 3), LIFETIME, None),
        Committee::new(id("hot"), members(0..4), (1, 4), LIFETIME, None),
        Committee::new(id("hot"), members(0..4), (1, 3), LIFETIME + 1, None),
        committee_of(0..4, (1, 3), Some(committee().hash())),
    ];
    for other in other {
        assert_ne!(other.unwrap().hash(), committee().hash());
    }
}
