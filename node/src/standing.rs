//! Standing: what this signer knows of its peers by their own word, a few seconds old.
//!
//! Nothing is allowed without it. A peer counts for a decision while its word is fresh, its clock is near, it has confirmed
//! this signer's own journal since the start, and every stop record that it has spoken of has been read. A signer that is cut
//! off from all others therefore stops, and one whose store was put back finds out before it signs.
//!
//! The state is plain and takes the time as an argument; [`talk`] asks, answers and listens. Nobody waits for it: a decision
//! looks at what has been said.

mod logs;
pub mod talk;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, NodeId};
use limen_wire::standing::ChainHead;

use crate::clock::Uptime;
use crate::metrics::Metrics;

/// Milliseconds after which a peer's word, counted from the question, no longer counts.
pub const FRESH_MS: u64 = 30_000;
/// Milliseconds by which a peer's clock may differ.
pub const SKEW_MS: u64 = 30_000;
/// Milliseconds for which a peer that has spoken of stop records and does not hand them over keeps this signer from deciding:
/// one corrupt peer must not stop the others for ever.
pub const OWED_MS: u64 = 30_000;
/// Questions to one peer that may still be answered.
const QUESTIONS: usize = 4;
/// Own journal heads that are remembered as told.
const TOLD: usize = 256;

/// What a peer said of itself last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// When it was asked.
    pub asked: Uptime,
    /// Milliseconds between its clock and ours.
    pub skew_ms: u64,
    /// The stop records that it holds.
    pub stops: ChainHead,
    /// The charter in force there.
    pub charter: CharterHash,
}

#[derive(Debug, Default)]
struct Peer {
    /// Nonce, when, and how many of its stop records had been read then.
    questions: VecDeque<([u8; 32], Uptime, u64)>,
    word: Option<Word>,
    /// It has confirmed our journal since the start.
    confirmed: bool,
    /// Why its log is known to be another one than ours.
    other_log: Option<String>,
    /// That was found out here.
    log_differs: bool,
    /// How far its stop records have been read.
    read: ChainHead,
    /// It spoke of fewer than were read of it: its store was put back, and what it holds now is read anew.
    shrunk: bool,
    /// Why what it owes was not read.
    unread: Option<String>,
    /// Since when nothing new of what it owes has been read.
    owed_since: Option<Uptime>,
    /// For how long it owed before that without anything new, in milliseconds, and until when: a corrupt peer does not begin anew
    /// by owing nothing for a moment.
    owed_before: (u64, Uptime),
}

/// Why a peer does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    why: String,
    /// It may know something that forbids what is about to be allowed.
    blocks: bool,
}

#[derive(Debug, Default)]
struct State {
    peers: BTreeMap<NodeId, Peer>,
    told: VecDeque<ChainHead>,
    rolled_back: Option<String>,
}

/// Everything that peers have said of themselves since the start.
#[derive(Debug, Default)]
pub struct Standings {
    state: Mutex<State>,
}

/// One peer, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub node: NodeId,
    /// Why it does not count, if it does not.
    pub trouble: Option<String>,
}

impl Peer {
    fn owes(&self) -> bool {
        self.shrunk
            || self
                .word
                .is_some_and(|word| self.read.length < word.stops.length || self.is_of_another_store(word.stops))
    }

    fn is_of_another_store(&self, stops: ChainHead) -> bool {
        self.read.length == stops.length && self.read.hash != stops.hash
    }

    fn trouble(&self, now: Uptime) -> Option<Trouble> {
        let trouble = |why: String| Some(Trouble { why, blocks: false });
        let Some(word) = self.word else { return trouble("has not said how it stands".to_owned()) };
        let age = now.0.saturating_sub(word.asked.0);
        if age > FRESH_MS {
            return trouble(format!("has said nothing for {} s", age.div_ceil(1000)));
        }
        if self.owes() {
            let waited = self.owed_for(now);
            let because = self.unread.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let why = format!("has stop records that were not read yet{because}");
            return Some(Trouble { why, blocks: waited <= OWED_MS });
        }
        if word.skew_ms > SKEW_MS {
            return trouble(format!("has a clock that differs by {} s", word.skew_ms.div_ceil(1000)));
        }
        if let Some(words) = &self.other_log {
            return trouble(words.clone());
        }
        if !self.confirmed {
            return trouble("has not confirmed this signer's journal since the start".to_owned());
        }
        None
    }
}

impl Standings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question to a peer, of whose stop records so many have been read.
    pub fn asked(&self, peer: &NodeId, nonce: [u8; 32], now: Uptime, read: u64) {
        let mut state = self.state();
        let questions = &mut state.peers.entry(peer.clone()).or_default().questions;
        if questions.len() >= QUESTIONS {
            questions.pop_front();
        }
        questions.push_back((nonce, now, read));
    }

    /// When the question was asked that an answer names, and what had been read of the peer then; `None` if it never was, or was
    /// answered.
    pub fn answered(&self, peer: &NodeId, nonce: &[u8; 32]) -> Option<(Uptime, u64)> {
        let mut state = self.state();
        let questions = &mut state.peers.get_mut(peer)?.questions;
        let place = questions.iter().position(|(asked, ..)| asked == nonce)?;
        questions.remove(place).map(|(_, at, read)| (at, read))
    }

    /// Takes a peer's word, and how far its stop records have been read. True if some have not.
    pub fn heard(&self, peer: &NodeId, word: Word, read: ChainHead, now: Uptime) -> bool {
        let mut state = self.state();
        let peer = state.peers.entry(peer.clone()).or_default();
        // An answer that overtook a later one says nothing new.
        if peer.word.is_none_or(|known| known.asked <= word.asked) {
            (peer.word, peer.shrunk) = (Some(word), word.stops.length < read.length);
        }
        peer.note(read, false, now);
        peer.owes()
    }

    /// Notes how far a peer's stop records have been read, and whether there was anything new among them.
    pub fn read(&self, peer: &NodeId, read: ChainHead, news: bool, now: Uptime) {
        let mut state = self.state();
        let peer = state.peers.entry(peer.clone()).or_default();
        peer.shrunk = false;
        peer.note(read, news, now);
    }

    /// Notes why what a peer handed over could not be read, for people; `None` where it was.
    pub fn unread(&self, peer: &NodeId, why: Option<String>) {
        self.state().peers.entry(peer.clone()).or_default().unread = why;
    }

    /// A peer remembers nothing of this signer's journal that is not so.
    pub fn confirmed(&self, peer: &NodeId) {
        self.state().peers.entry(peer.clone()).or_default().confirmed = true;
    }

    /// Whether it has said so since the start.
    pub fn is_confirmed(&self, peer: &NodeId) -> bool {
        self.state().peers.get(peer).is_some_and(|peer| peer.confirmed)
    }

    /// Notes a journal head that peers are told.
    pub fn tell(&self, head: ChainHead) {
        let mut state = self.state();
        if state.told.back() != Some(&head) {
            if state.told.len() >= TOLD {
                state.told.pop_front();
            }
            state.told.push_back(head);
        }
    }

    /// Whether this very head was told since the start: then it is known to be so.
    pub fn was_told(&self, head: &ChainHead) -> bool {
        self.state().told.contains(head)
    }

    /// Somebody has proved that this signer's journal was another one: nothing is allowed until the next start.
    pub fn roll_back(&self, words: String, metrics: &Metrics) {
        let mut state = self.state();
        if state.rolled_back.is_none() {
            tracing::error!(words, "ALARM: this signer's store was put back; it signs nothing");
            metrics.rolled_back.set(1);
            state.rolled_back = Some(words);
        }
    }

    /// How the journal was found to be another one.
    pub fn rolled_back(&self) -> Option<String> {
        self.state().rolled_back.clone()
    }

    /// Refuses unless so many of these peers count, and none of them knows what this signer does not.
    pub fn check<'a>(
        &self,
        peers: impl Iterator<Item = &'a NodeId>,
        needed: usize,
        now: Uptime,
    ) -> Result<(), ApiError> {
        let state = self.state();
        let refuse = |message: String| Err(ApiError::new(Code::NoStanding, message));
        if let Some(words) = &state.rolled_back {
            return refuse(format!("this signer's store was put back, and it signs nothing: {words}"));
        }
        let (mut standing, mut missing, mut blocked) = (0usize, Vec::new(), false);
        let unknown = Peer::default();
        for node in peers {
            match state.peers.get(node).unwrap_or(&unknown).trouble(now) {
                None => standing = standing.saturating_add(1),
                Some(trouble) => {
                    blocked |= trouble.blocks;
                    missing.push(format!("{node} {}", trouble.why));
                }
            }
        }
        if standing < needed || blocked {
            let missing = missing.join("; ");
            return refuse(format!("{standing} of {needed} peers that are needed are known to stand well: {missing}"));
        }
        Ok(())
    }

    /// How many of these peers stand well and have this charter in force; none while this signer's own store was put back, or a peer
    /// knows what this signer does not.
    pub fn under<'a>(
        &self,
        charter: CharterHash,
        peers: impl Iterator<Item = &'a NodeId> + Clone,
        now: Uptime,
    ) -> usize {
        if self.check(peers.clone(), 0, now).is_err() {
            return 0;
        }
        let state = self.state();
        let is_under = |node: &&NodeId| {
            let peer = state.peers.get(*node).filter(|peer| peer.trouble(now).is_none());
            peer.and_then(|peer| peer.word).is_some_and(|word| word.charter == charter)
        };
        peers.filter(is_under).count()
    }

    /// How each of these peers stands.
    pub fn shown<'a>(&self, peers: impl Iterator<Item = &'a NodeId>, now: Uptime) -> Vec<Shown> {
        let (state, unknown) = (self.state(), Peer::default());
        let one = |node: &NodeId| {
            let trouble = state.peers.get(node).unwrap_or(&unknown).trouble(now).map(|trouble| trouble.why);
            Shown { node: node.clone(), trouble }
        };
        peers.map(one).collect()
    }
}

impl Peer {
    /// Only what is new here gives a peer more time: a corrupt one can hand over worthless records for ever.
    fn note(&mut self, read: ChainHead, news: bool, now: Uptime) {
        self.read = read;
        let owed = if news { 0 } else { self.owed_for(now) };
        self.owed_before = (owed.min(2 * OWED_MS), now);
        self.owed_since = self.owes().then_some(now);
    }

    /// For how long it has owed something since anything new was read of it. A second is forgotten in ten in which it owes
    /// nothing.
    fn owed_for(&self, now: Uptime) -> u64 {
        let (before, until) = self.owed_before;
        match self.owed_since {
            Some(since) => before.saturating_add(now.0.saturating_sub(since.0)),
            None => before.saturating_sub(now.0.saturating_sub(until.0) / 10),
        }
    }
}
