//! The conductor's board: what participants put there, in the order in which it came. It judges nothing but whether somebody of the plan
//! signed, so that strangers cannot fill it; participants believe it nothing.

use std::collections::{BTreeMap, BTreeSet};

use limen_evidence::ceremony::{NotAContribution, Said};
use limen_policy::ceremony::Plan;
use limen_wire::ids::PersonId;
use limen_wire::pb;

/// Most contributions of one person: their part of every step, and a few that show that somebody lied.
const MAX_EACH: usize = 32;

/// Why something does not come on the board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// Nobody of the plan signed it.
    #[error(transparent)]
    Noise(#[from] NotAContribution),
    /// Too many.
    #[error("{0} has put {MAX_EACH} contributions here already")]
    TooMany(PersonId),
    /// Not among those who are there.
    #[error("{0} is not among those who are there")]
    Absent(PersonId),
}

/// The board.
#[derive(Debug)]
pub struct Board {
    plan: Plan,
    present: BTreeSet<PersonId>,
    list: Vec<pb::Envelope>,
    counts: BTreeMap<PersonId, usize>,
}

impl Board {
    /// An empty board.
    pub fn new(plan: Plan, present: BTreeSet<PersonId>) -> Self {
        Self { plan, present, list: Vec::new(), counts: BTreeMap::new() }
    }

    /// Whether this may come on the board: `false` if it is there already. Changes nothing, so that it can be written first.
    pub fn admits(&self, envelope: &pb::Envelope) -> Result<bool, PostError> {
        if self.list.contains(envelope) {
            return Ok(false);
        }
        let author = Said::open(envelope, &self.plan)?.contribution.author;
        if !self.present.contains(&author) {
            return Err(PostError::Absent(author));
        }
        match self.counts.get(&author) {
            Some(count) if *count >= MAX_EACH => Err(PostError::TooMany(author)),
            _ => Ok(true),
        }
    }

    /// Puts it there.
    pub fn put(&mut self, envelope: pb::Envelope) {
        if let Ok(said) = Said::open(&envelope, &self.plan) {
            let count = self.counts.entry(said.contribution.author).or_default();
            *count = count.saturating_add(1);
            self.list.push(envelope);
        }
    }

    /// From a place on.
    pub fn from(&self, place: usize) -> &[pb::Envelope] {
        self.list.get(place..).unwrap_or_default()
    }
}
