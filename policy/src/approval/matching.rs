//! Who stands for which leaf: the largest assignment of people to leaves, each person to one.

/// Assigns people to leaves, as many as can be (augmenting paths, Kuhn 1955).
///
/// `able[p]` is the set of leaves that person `p` can stand for, bit `l` for leaf `l`; `need[l]` is how many people leaf `l`
/// takes. Gives the people of each leaf. At most `people · leaves · people` steps.
pub(crate) fn assign(able: &[u32], need: &[usize]) -> Vec<Vec<usize>> {
    let mut taken = vec![Vec::new(); need.len()];
    for person in 0..able.len() {
        place(person, able, need, &mut taken, &mut 0);
    }
    taken
}

/// Finds a leaf for a person, moving others if that helps. `seen` holds the leaves that were tried: at most 32 deep.
fn place(person: usize, able: &[u32], need: &[usize], taken: &mut [Vec<usize>], seen: &mut u32) -> bool {
    for (leaf, room) in need.iter().enumerate() {
        let bit = u32::try_from(leaf).ok().and_then(|leaf| 1u32.checked_shl(leaf)).unwrap_or(0);
        if able.get(person).is_none_or(|able| able & bit == 0) || *seen & bit != 0 {
            continue;
        }
        *seen |= bit;
        let standing = taken.get(leaf).cloned().unwrap_or_default();
        if standing.len() < *room {
            taken.get_mut(leaf).into_iter().for_each(|list| list.push(person));
            return true;
        }
        for other in standing {
            if place(other, able, need, taken, seen) {
                for slot in taken.get_mut(leaf).into_iter().flatten().filter(|slot| **slot == other) {
                    *slot = person;
                }
                return true;
            }
        }
    }
    false
}
