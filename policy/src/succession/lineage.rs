//! The versions that one signer knows, and what follows from them. Only fully signed ones get in.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::CharterHash;
use serde::{Deserialize, Serialize};

use super::{Step, SuccessionError};
use crate::charter::Charter;

/// Most open versions that are kept of those after the one in force, and of those beside it and before; what follows it always is.
pub const MAX_OPEN: usize = 64;

/// What has to be known of a version besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it follows; nothing for the charter that this signer began with.
    pub parents: Vec<CharterHash>,
    /// What it voids once it is in force.
    pub voids: Vec<CharterHash>,
    /// Counts versions.
    pub number: u64,
    /// When it binds.
    pub step: Step,
    /// The signer's running time when it first held the signed version, in milliseconds.
    pub since_ms: u64,
    /// Somebody with a say vetoed it in time.
    pub vetoed: bool,
}

impl Entry {
    /// For a charter that [`judge`](super::judge) let follow, or for the first one.
    pub fn new(charter: &Charter, step: Step, since_ms: u64) -> Self {
        let governance = charter.governance.as_ref();
        Self {
            parents: governance.map(|one| one.parents.clone()).unwrap_or_default(),
            voids: governance.map(|one| one.voids.clone()).unwrap_or_default(),
            number: governance.map_or(1, |one| one.number),
            step,
            since_ms,
            vetoed: false,
        }
    }
}

/// A version that loosens and whose delay runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub version: CharterHash,
    /// Running time until it binds, in milliseconds.
    pub remaining_ms: u64,
}

/// What is to be done, as things stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outlook {
    /// Bind this one now.
    pub adopt: Option<CharterHash>,
    /// These bind later, if nobody vetoes them.
    pub waiting: Vec<Waiting>,
    /// Signed siblings of which none may bind, or none may any more: people have to void or to join them.
    pub stuck: Vec<CharterHash>,
    /// A tightening that this signer's line has passed by: nothing may be allowed until a version joins both.
    pub fork: Option<CharterHash>,
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It decides.
    InForce,
    /// It stands before the one that decides.
    Past,
    /// Its delay runs: so many milliseconds remain.
    Waiting(u64),
    /// It follows one that is not in force, or its moment has come and it is about to bind.
    Later,
    /// A sibling stands in its way.
    Stuck,
    /// Vetoed or voided.
    Void,
}

/// Every signed version by hash, and the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    in_force: CharterHash,
    known: BTreeMap<CharterHash, Entry>,
}

impl Lineage {
    /// Begins with the charter that a signer was given.
    pub fn new(first: CharterHash, entry: Entry) -> Self {
        Self { in_force: first, known: BTreeMap::from([(first, entry)]) }
    }

    /// The one in force.
    pub const fn in_force(&self) -> CharterHash {
        self.in_force
    }

    /// What is known of a version.
    pub fn entry(&self, version: &CharterHash) -> Option<&Entry> {
        self.known.get(version)
    }

    /// All of them, by hash.
    pub fn entries(&self) -> impl Iterator<Item = (&CharterHash, &Entry)> {
        self.known.iter()
    }

    /// Takes a version that was judged. `false` if it is known already.
    pub fn add(&mut self, version: CharterHash, entry: Entry) -> Result<bool, SuccessionError> {
        if self.known.contains_key(&version) {
            return Ok(false);
        }
        let unknown: Vec<_> =
            entry.parents.iter().filter(|parent| !self.known.contains_key(*parent)).copied().collect();
        if !unknown.is_empty() || entry.parents.is_empty() {
            return Err(SuccessionError::UnknownParents(unknown));
        }
        // There is always a place for what follows the one in force: it is the way out. Old siblings take no places of new ones.
        let (line, current) = (self.line(), self.known.get(&self.in_force).map_or(0, |entry| entry.number));
        let voided = self.voided(&line);
        let beside = |(hash, other): &(&CharterHash, &Entry)| {
            !line.contains(*hash)
                && !other.vetoed
                && !voided.contains(*hash)
                && (other.number > current) == (entry.number > current)
        };
        if !entry.parents.contains(&self.in_force) && self.known.iter().filter(beside).count() >= MAX_OPEN {
            return Err(SuccessionError::TooMany);
        }
        self.known.insert(version, entry);
        Ok(true)
    }

    /// What stands before the charter that this signer began with and is not known: versions that the line names by hash.
    pub fn unknown_ancestors(&self) -> BTreeSet<CharterHash> {
        let mut line = self.line();
        line.retain(|version| !self.known.contains_key(version));
        line
    }

    /// Takes a version from before the charter that this signer began with. The line names it by its hash, so it is what it is
    /// whoever shows it; `false` if the line does not, or counts otherwise.
    pub fn remember(&mut self, version: CharterHash, entry: Entry) -> bool {
        let line = self.line();
        let names = |hash: &CharterHash| {
            let child = self.known.get(hash).filter(|child| child.parents.contains(&version));
            child.is_some_and(|child| entry.number < child.number)
        };
        if self.known.contains_key(&version) || !line.iter().any(names) {
            return false;
        }
        self.known.insert(version, entry);
        true
    }

    /// Notes a veto that was checked. `false` if it was vetoed before. What loosens nothing cannot be vetoed: signers that hold it
    /// go by it already, and one person would undo it at the others.
    pub fn veto(&mut self, version: CharterHash) -> Result<bool, SuccessionError> {
        if self.line().contains(&version) {
            return Err(SuccessionError::InForce(version));
        }
        let unknown = || SuccessionError::UnknownParents(vec![version]);
        let entry = self.known.get_mut(&version).ok_or_else(unknown)?;
        if entry.step == Step::AtOnce {
            return Err(SuccessionError::Tightens(version));
        }
        Ok(!std::mem::replace(&mut entry.vetoed, true))
    }

    /// Versions whose people may veto this one at this running time: its parents, and what stood before a tightening that is
    /// younger than the delay, by `delay_secs`, of what it tightened. Who is put out of a quorum keeps their say as long as a
    /// loosening would have waited: nobody is put out first and passed by then.
    pub fn heard<E>(
        &self,
        version: &CharterHash,
        now_ms: u64,
        delay_secs: impl Fn(CharterHash) -> Result<u64, E>,
    ) -> Result<BTreeSet<CharterHash>, E> {
        let (mut heard, mut next) = (BTreeSet::new(), Vec::new());
        next.extend(self.known.get(version).into_iter().flat_map(|entry| &entry.parents).copied());
        while let Some(hash) = next.pop() {
            let Some(entry) = self.known.get(&hash) else { continue };
            if !heard.insert(hash) || entry.step != Step::AtOnce {
                continue;
            }
            for before in entry.parents.iter().filter(|before| self.known.contains_key(*before)) {
                if now_ms < entry.since_ms.saturating_add(delay_secs(*before)?.saturating_mul(1000)) {
                    next.push(*before);
                }
            }
        }
        Ok(heard)
    }

    /// Goes forward to a version that the outlook named.
    pub fn adopt(&mut self, version: CharterHash) {
        if self.known.contains_key(&version) {
            self.in_force = version;
        }
    }

    /// The one in force and everything before it.
    pub fn line(&self) -> BTreeSet<CharterHash> {
        let mut line = BTreeSet::new();
        let mut next = vec![self.in_force];
        while let Some(version) = next.pop() {
            if line.insert(version) {
                next.extend(self.known.get(&version).into_iter().flat_map(|entry| &entry.parents));
            }
        }
        line
    }

    /// What the line in force voids.
    fn voided(&self, line: &BTreeSet<CharterHash>) -> BTreeSet<CharterHash> {
        line.iter().filter_map(|version| self.known.get(version)).flat_map(|entry| &entry.voids).copied().collect()
    }

    /// Where each version stands at this running time.
    pub fn states(&self, now_ms: u64) -> BTreeMap<CharterHash, State> {
        let (line, outlook) = (self.line(), self.outlook(now_ms));
        let voided = self.voided(&line);
        let state = |version: &CharterHash, entry: &Entry| {
            let waiting = outlook.waiting.iter().find(|waiting| waiting.version == *version);
            match () {
                () if *version == self.in_force => State::InForce,
                () if line.contains(version) => State::Past,
                () if entry.vetoed || voided.contains(version) => State::Void,
                () if outlook.stuck.contains(version) => State::Stuck,
                () if outlook.adopt == Some(*version) => State::Waiting(0),
                () => waiting.map_or(State::Later, |waiting| State::Waiting(waiting.remaining_ms)),
            }
        };
        self.known.iter().map(|(version, entry)| (*version, state(version, entry))).collect()
    }

    /// What is to be done at this running time.
    pub fn outlook(&self, now_ms: u64) -> Outlook {
        let line = self.line();
        let voided = self.voided(&line);
        let open = |version: &CharterHash, entry: &Entry| {
            !line.contains(version) && !entry.vetoed && !voided.contains(version)
        };
        let (mut next, mut outlook) = (Vec::new(), Outlook::default());
        for (version, entry) in self.known.iter().filter(|(version, entry)| open(version, entry)) {
            if entry.parents.contains(&self.in_force) {
                next.push((*version, entry));
            } else if entry.parents.iter().any(|parent| line.contains(parent)) {
                // its parent was left behind without it
                outlook.stuck.push(*version);
                if entry.step == Step::AtOnce {
                    outlook.fork.get_or_insert(*version);
                }
            }
        }
        outlook.adopt = next.iter().find(|(_, entry)| entry.step == Step::AtOnce).map(|(version, _)| *version);
        if outlook.adopt.is_some() {
            return outlook;
        }
        // Of siblings that loosen none binds: the strictest of them is what is in force.
        if next.len() > 1 {
            outlook.stuck.extend(next.into_iter().map(|(version, _)| version));
            return outlook;
        }
        for (version, entry) in next {
            let Step::After { secs } = entry.step else { continue };
            let remaining_ms = entry.since_ms.saturating_add(secs.saturating_mul(1000)).saturating_sub(now_ms);
            match remaining_ms {
                0 => outlook.adopt = Some(version),
                _ => outlook.waiting.push(Waiting { version, remaining_ms }),
            }
        }
        outlook
    }
}
