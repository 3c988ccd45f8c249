//! Which q of the members that gave a number up are believed this time.

/// The `attempt`-th choice of `size` items in order, going round: after as many attempts as there are choices, everybody
/// was left out with everybody else.
pub(super) fn choose<T: Copy>(items: &[T], size: usize, attempt: u64) -> Vec<T> {
    let choices = binomial(items.len(), size);
    let mut rank = attempt.checked_rem(choices).unwrap_or(0);
    let mut chosen = Vec::with_capacity(size);
    for (index, item) in items.iter().enumerate() {
        let (left, wanted) = (items.len().saturating_sub(index), size.saturating_sub(chosen.len()));
        if wanted == 0 {
            break;
        }
        // How many choices take this item.
        let with = binomial(left.saturating_sub(1), wanted.saturating_sub(1));
        if rank < with {
            chosen.push(*item);
        } else {
            rank = rank.saturating_sub(with);
        }
    }
    chosen
}

/// How many ways there are to choose; committees are so small that it always fits.
fn binomial(n: usize, k: usize) -> u64 {
    if k > n {
        return 0;
    }
    let step = |ways: u64, i: usize| {
        let factor = n.saturating_sub(i) as u64;
        ways.saturating_mul(factor).checked_div((i as u64).saturating_add(1)).unwrap_or(0)
    };
    (0..k).fold(1, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_its_turn() {
        let all: Vec<Vec<u8>> = (0..6).map(|attempt| choose(&[1, 2, 3, 4], 2, attempt)).collect();
        assert_eq!(all, [[1, 2], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]]);
        assert_eq!(choose(&[1, 2, 3, 4], 2, 6), [1, 2]);
        assert_eq!(choose(&[1, 2], 2, 9), [1, 2]);
        let liars_left_out = (0..21).map(|attempt| choose(&[0, 1, 2, 3, 4, 5, 6], 5, attempt));
        assert!(liars_left_out.into_iter().any(|chosen| !chosen.contains(&1) && !chosen.contains(&5)));
    }
}
