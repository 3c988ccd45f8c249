//! The conductor's board: what participants put there, in the order in which it came. It judges nothing but whether somebody of the plan
//! signed, so that strangers cannot fill it; participants believe it nothing.

use std::collections::{BTreeMap, BTreeSet};

use limen_evidence::ceremony::{MAX_STEP, Mode, NotAContribution, Said};
use limen_policy::ceremony::Plan;
use limen_wire::ids::PersonId;
use limen_wire::pb;
use prost::Message as _;

/// Most contributions of one person in one mode: their part of every step, and a few that show that somebody lied. What they said in the
/// rehearsal, which others have, takes no room from what they say when it counts.
const MAX_EACH: usize = 32;

/// Most bytes of one person that are kept when a whole board is read: more than anybody says who is honest.
const MAX_BYTES_EACH: usize = 16 * MAX_STEP;
/// Most bytes of all; the rest of the board is read as the ceremony goes on.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most envelopes that are looked at, whatever is in them.
const MAX_SEEN: usize = 4096;

/// What is kept of a board that somebody else holds, who may have filled it with anything.
#[derive(Debug)]
pub struct Kept<'a> {
    plan: &'a Plan,
    list: Vec<pb::Envelope>,
    each: BTreeMap<PersonId, usize>,
    bytes: usize,
    seen: usize,
}

impl<'a> Kept<'a> {
    /// Nothing yet.
    pub const fn new(plan: &'a Plan) -> Self {
        Self { plan, list: Vec::new(), each: BTreeMap::new(), bytes: 0, seen: 0 }
    }

    /// Keeps it if somebody of the plan signed it and has not filled their room.
    pub fn take(&mut self, envelope: pb::Envelope) {
        self.seen = self.seen.saturating_add(1);
        let Ok(said) = Said::open(&envelope, self.plan) else { return };
        let len = envelope.encoded_len();
        let before = self.each.entry(said.contribution.author).or_default();
        let (each, all) = (before.saturating_add(len), self.bytes.saturating_add(len));
        if each <= MAX_BYTES_EACH && all <= MAX_BYTES {
            (*before, self.bytes) = (each, all);
            self.list.push(envelope);
        }
    }

    /// Whether no more should be read now.
    pub const fn is_full(&self) -> bool {
        self.seen >= MAX_SEEN || self.bytes >= MAX_BYTES / 2
    }

    /// What was kept, in its order.
    pub fn into_list(self) -> Vec<pb::Envelope> {
        self.list
    }
}

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
    counts: BTreeMap<(PersonId, Mode), usize>,
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
        let said = Said::open(envelope, &self.plan)?.contribution;
        let author = said.author;
        if !self.present.contains(&author) {
            return Err(PostError::Absent(author));
        }
        match self.counts.get(&(author.clone(), said.mode)) {
            Some(count) if *count >= MAX_EACH => Err(PostError::TooMany(author)),
            _ => Ok(true),
        }
    }

    /// Puts it there.
    pub fn put(&mut self, envelope: pb::Envelope) {
        if let Ok(said) = Said::open(&envelope, &self.plan) {
            let count = self.counts.entry((said.contribution.author, said.contribution.mode)).or_default();
            *count = count.saturating_add(1);
            self.list.push(envelope);
        }
    }

    /// From a place on.
    pub fn from(&self, place: usize) -> &[pb::Envelope] {
        self.list.get(place..).unwrap_or_default()
    }
}
