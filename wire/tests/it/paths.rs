//! How few people have a key, against trying all of them.

use std::collections::BTreeSet;

use limen_wire::paths::{Fewest, Holding, fewest_people};
use proptest::prelude::*;

fn holding(share: u16, people: &str, pieces_required: usize) -> Holding<char> {
    Holding { share, people: people.chars().collect(), pieces_required }
}

#[test]
fn one_person_in_several_shares_is_one_path_to_them() {
    for (holdings, required, expected) in [
        (vec![holding(1, "abc", 2), holding(2, "def", 2), holding(3, "ghi", 2)], 2, 4),
        (vec![holding(1, "abc", 2), holding(2, "abc", 2), holding(3, "abc", 2)], 2, 2),
        (vec![holding(1, "abc", 2), holding(2, "ade", 2), holding(3, "ghi", 2)], 2, 3),
        (vec![holding(1, "abc", 1), holding(2, "ade", 1), holding(3, "ghi", 3)], 2, 1),
        (vec![holding(1, "abc", 1), holding(2, "def", 3), holding(3, "ghi", 3)], 2, 4),
        // two pieces in one hand
        (vec![holding(1, "aab", 2), holding(2, "acd", 2)], 2, 2),
        // a second backup of the same share is another way to it, and not another share
        (vec![holding(1, "abc", 2), holding(1, "xyz", 1), holding(2, "xbc", 2)], 2, 2),
    ] {
        assert_eq!(fewest_people(&holdings, required), Fewest::Exactly(expected), "{holdings:?}");
    }
    let same = [holding(1, "abc", 2), holding(1, "xyz", 1)];
    assert_eq!(fewest_people(&same, 2), Fewest::Nobody);
    assert_eq!(fewest_people::<char>(&[], 2), Fewest::Nobody);
    assert_eq!(fewest_people(&[holding(1, "ab", 3), holding(2, "ab", 1)], 2), Fewest::Nobody, "too few pieces");
}

#[test]
fn many_people_of_one_kind_are_counted_and_many_of_many_kinds_are_bounded() {
    let crowd = |share: u16| Holding {
        share,
        people: (0..16).map(|at| u32::from(share) * 100 + at).collect(),
        pieces_required: 16,
    };
    let holdings: Vec<_> = (1..=4).map(crowd).collect();
    assert_eq!(fewest_people(&holdings, 3), Fewest::Exactly(48));
    // everybody holds something else than everybody else
    let mixed = |share: u16| Holding {
        share,
        people: (0u32..64).filter(|who| who.wrapping_mul(2_654_435_761) >> (share % 32) & 1 == 1).collect(),
        pieces_required: 14,
    };
    let holdings: Vec<_> = (0..24).map(mixed).collect();
    let fewest = fewest_people(&holdings, 12);
    assert!(matches!(fewest, Fewest::AtLeast(_)) && fewest.is_at_least(3), "{fewest:?}");
}

proptest! {
    #[test]
    fn as_trying_all_choices_says(
        lists in proptest::collection::vec((proptest::collection::vec(0u8..9, 0..5), 1usize..4, 1u16..5), 0..6),
        required in 1usize..4,
    ) {
        let holdings: Vec<Holding<u8>> = lists.into_iter()
            .map(|(people, pieces_required, share)| Holding { share, people, pieces_required }).collect();
        let enough = |choice: u32| {
            let open = holdings.iter().filter(|one| {
                one.people.iter().filter(|who| choice >> **who & 1 == 1).count() >= one.pieces_required
            });
            open.map(|one| one.share).collect::<BTreeSet<_>>().len() >= required
        };
        let best = (0u32..1 << 9).filter(|choice| enough(*choice)).map(|choice| choice.count_ones() as usize).min();
        prop_assert_eq!(fewest_people(&holdings, required), best.map_or(Fewest::Nobody, Fewest::Exactly));
    }
}
