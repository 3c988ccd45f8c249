//! How few people have a key: over the shares that its custodians hold pieces of. Charters are checked by it before there are
//! backups, and backups after.

use std::collections::{BTreeMap, BTreeSet};

/// How many ways to choose people are looked at before the search gives up: less than a second.
const MOST_CHOICES: u32 = 500_000;

/// Who holds pieces of one share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding<P> {
    /// Whose share it is: several backups of one share are several ways to it.
    pub share: u16,
    /// One entry for each piece.
    pub people: Vec<P>,
    /// How many pieces give the share.
    pub pieces_required: usize,
}

/// The smallest number of people who together have enough shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fewest {
    /// So many can do it, and fewer cannot.
    Exactly(usize),
    /// Fewer cannot do it; the search was too long to say who can.
    AtLeast(usize),
    /// All of them together cannot: there are too few shares.
    Nobody,
}

impl Fewest {
    /// Whether fewer than this many people are known not to be enough.
    pub fn is_at_least(self, people: usize) -> bool {
        match self {
            Self::Exactly(count) | Self::AtLeast(count) => count >= people,
            Self::Nobody => true,
        }
    }
}

/// The smallest number of people who together hold enough pieces of `shares_required` shares. Exact, unless thousands of people
/// hold pieces in as many different ways. Each `P` is one person: who goes by two names has to be joined before.
pub fn fewest_people<P: Ord>(holdings: &[Holding<P>], shares_required: usize) -> Fewest {
    // People who hold the same pieces are worth the same: what counts is how many of each kind.
    let mut held: BTreeMap<&P, BTreeMap<usize, usize>> = BTreeMap::new();
    for (at, holding) in holdings.iter().enumerate() {
        for person in &holding.people {
            let pieces = held.entry(person).or_default().entry(at).or_default();
            *pieces = pieces.saturating_add(1);
        }
    }
    let mut kinds: BTreeMap<BTreeMap<usize, usize>, usize> = BTreeMap::new();
    for pieces in held.into_values() {
        let people = kinds.entry(pieces).or_default();
        *people = people.saturating_add(1);
    }
    let kinds: Vec<_> = kinds.into_iter().collect();
    let everybody = kinds.iter().fold(0usize, |sum, (_, people)| sum.saturating_add(*people));
    let mut search = Search { holdings, shares_required, kinds, choices: 0 };
    let mut pieces = vec![0usize; holdings.len()];
    for count in 0..=everybody {
        match search.can(0, count, &mut pieces) {
            Some(true) => return Fewest::Exactly(count),
            Some(false) => {}
            None => return Fewest::AtLeast(count),
        }
    }
    Fewest::Nobody
}

struct Search<'a, P> {
    holdings: &'a [Holding<P>],
    shares_required: usize,
    /// What one person of the kind holds: pieces by holding; and how many such people there are.
    kinds: Vec<(BTreeMap<usize, usize>, usize)>,
    choices: u32,
}

impl<P> Search<'_, P> {
    /// Whether `left` more people of the kinds from `kind` on are enough beside those whose pieces are counted; `None` if that is too
    /// long a search.
    fn can(&mut self, kind: usize, left: usize, pieces: &mut Vec<usize>) -> Option<bool> {
        self.choices = self.choices.checked_add(1).filter(|choices| *choices <= MOST_CHOICES)?;
        if left == 0 {
            return Some(self.is_enough(pieces));
        }
        let Some((held, people)) = self.kinds.get(kind).cloned() else { return Some(false) };
        let before = pieces.clone();
        let later =
            self.kinds.iter().skip(kind.saturating_add(1)).fold(0usize, |sum, (_, more)| sum.saturating_add(*more));
        // so many at least, or there are not enough people behind this kind
        for taken in left.saturating_sub(later)..=people.min(left) {
            for (at, count) in &held {
                if let (Some(sum), Some(start)) = (pieces.get_mut(*at), before.get(*at)) {
                    *sum = start.saturating_add(count.saturating_mul(taken));
                }
            }
            let enough = self.can(kind.saturating_add(1), left.saturating_sub(taken), pieces);
            if enough != Some(false) {
                return enough;
            }
        }
        *pieces = before;
        Some(false)
    }

    fn is_enough(&self, pieces: &[usize]) -> bool {
        let ways = self.holdings.iter().zip(pieces);
        let open = ways.filter(|(holding, pieces)| **pieces >= holding.pieces_required);
        let shares: BTreeSet<u16> = open.map(|(holding, _)| holding.share).collect();
        shares.len() >= self.shares_required
    }
}
