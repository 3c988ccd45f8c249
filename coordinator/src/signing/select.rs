//! Choosing who signs: reachable, willing, not banned from each other, nearest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::ids::NodeId;

use crate::context::Core;
use crate::lifecycle::{Committee, Record};
use crate::signers::{Health, Signer, Signers};

/// Sets looked at before giving up: with bans in a large committee there may be very many.
const SEARCH: usize = 10_000;

/// A member that may be chosen.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Its index in the key's committee.
    pub(crate) index: u32,
    /// The signer.
    pub(crate) signer: Arc<Signer>,
    health: Health,
    strikes: u32,
}

impl Candidate {
    /// Its boot, as far as known.
    pub(crate) fn boot(&self) -> bytes::Bytes {
        self.health.status.as_ref().map_or_else(Default::default, |status| status.boot.clone())
    }
}

/// The members that would sign now and can be asked, best first: fewest strikes, then nearest. With `any_opinion` those
/// that can be asked, whatever they say.
pub(crate) fn candidates(
    core: &Core,
    committee: &Committee,
    record: &Record,
    any_opinion: bool,
    strikes: &BTreeMap<NodeId, u32>,
) -> Vec<Candidate> {
    let now_ms = core.clock.now_ms();
    let ready = |node: &NodeId| record.opinions.get(node).is_some_and(|opinion| opinion.wait_ms(now_ms) == Some(0));
    let mut found = reachable(&core.signers, committee);
    found.retain(|candidate| any_opinion || ready(&candidate.signer.node));
    for candidate in &mut found {
        candidate.strikes = strikes.get(&candidate.signer.node).copied().unwrap_or_default();
    }
    found.sort_by_key(|candidate| (candidate.strikes, candidate.health.round_trip_us));
    found
}

/// The members that can be asked now, nearest first.
pub(crate) fn reachable(signers: &Signers, committee: &Committee) -> Vec<Candidate> {
    let candidate = |(index, node)| {
        let signer = Arc::clone(signers.find(node)?);
        let health = signer.health();
        health.reachable.then_some(Candidate { index, signer, health, strikes: 0 })
    };
    let mut found: Vec<Candidate> = (1..).zip(&committee.members).filter_map(candidate).collect();
    found.sort_by_key(|candidate| candidate.health.round_trip_us);
    found
}

/// Whether the two cannot sit together: one has banned the other, or has no link to it.
fn apart(a: &Candidate, b: &Candidate) -> bool {
    let apart = |a: &Candidate, b: &Candidate| {
        let other = b.signer.node.as_str();
        a.health.banned().iter().any(|node| node == other) || !a.health.linked(other)
    };
    apart(a, b) || apart(b, a)
}

/// The best set of `required` candidates in index order: one that has not been tried, else the best again.
pub(crate) fn choose(candidates: &[Candidate], required: usize, tried: &BTreeSet<Vec<u32>>) -> Option<Vec<Candidate>> {
    let mut search = Search { candidates, required, tried, left: SEARCH, first: None };
    let fresh = search.extend(&mut Vec::new(), 0);
    let mut set: Vec<Candidate> = fresh.or(search.first)?.into_iter().cloned().collect();
    set.sort_by_key(|candidate| candidate.index);
    Some(set)
}

struct Search<'a> {
    candidates: &'a [Candidate],
    required: usize,
    tried: &'a BTreeSet<Vec<u32>>,
    left: usize,
    first: Option<Vec<&'a Candidate>>,
}

impl<'a> Search<'a> {
    /// Sets in order of preference, cut short where two would refuse each other.
    fn extend(&mut self, set: &mut Vec<&'a Candidate>, from: usize) -> Option<Vec<&'a Candidate>> {
        if set.len() == self.required {
            let mut indices: Vec<u32> = set.iter().map(|candidate| candidate.index).collect();
            indices.sort_unstable();
            self.first.get_or_insert_with(|| set.clone());
            return (!self.tried.contains(&indices)).then(|| set.clone());
        }
        for (place, candidate) in self.candidates.iter().enumerate().skip(from) {
            self.left = self.left.checked_sub(1)?;
            if set.iter().any(|chosen| apart(chosen, candidate)) {
                continue;
            }
            set.push(candidate);
            let found = self.extend(set, place + 1);
            set.pop();
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
