//! What a signer truly heard of its peers, and when.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Rank, Release, Violation, broken};
use crate::hostile::plan::Plan;

/// How old a word may be, and how far clocks may be apart, and how long a peer that does not hand over what it speaks of
/// keeps a signer from deciding: milliseconds.
const BOUND_MS: u64 = 30_000;

/// A stop record, by the number under which it was seen first.
pub(crate) type Mark = usize;

/// A peer's answer, as it truly was when it was given and when it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// How long the signer that asked had been running when it asked.
    pub asked: u64,
    /// Milliseconds between both clocks: the one when it answered, the other when it heard.
    pub skew_ms: u64,
    /// The stop records that the one that answered held.
    pub held: BTreeSet<Mark>,
}

#[derive(Debug)]
struct Word {
    answer: Answer,
    /// Since when it has spoken of what did not arrive.
    owed_since: Option<u64>,
}

/// What arrived.
#[derive(Debug, Default)]
pub(super) struct Standings {
    words: BTreeMap<(u8, u8), Word>,
    delivered: BTreeMap<u8, BTreeSet<Mark>>,
    put_back: BTreeSet<u8>,
}

impl Standings {
    pub(super) fn is_put_back(&self, signer: u8) -> bool {
        self.put_back.contains(&signer)
    }

    fn delivered(&self, signer: u8, held: &BTreeSet<Mark>) -> bool {
        held.iter().all(|mark| self.delivered.get(&signer).is_some_and(|known| known.contains(mark)))
    }

    /// Why a signer that has been running for so long knows too little of its peers.
    fn lacks(&self, plan: &Plan, signer: u8, uptime: u64) -> Option<String> {
        let heard = self.words.iter().filter(|((hearer, _), _)| *hearer == signer);
        let fresh: Vec<(u8, &Word)> = heard
            .filter(|(_, word)| uptime - word.answer.asked <= BOUND_MS)
            .map(|((_, peer), word)| (*peer, word))
            .collect();
        for (peer, Word { answer, owed_since }) in &fresh {
            if !self.delivered(signer, &answer.held) && owed_since.is_some_and(|since| uptime - since <= BOUND_MS) {
                return Some(format!("signer {peer} has just spoken of stop records that signer {signer} never got"));
            }
        }
        let counts = |word: &Word| word.answer.skew_ms <= BOUND_MS && self.delivered(signer, &word.answer.held);
        let counted: Vec<u8> = fresh.iter().filter(|(_, word)| counts(word)).map(|(peer, _)| *peer).collect();
        let needed = usize::from(plan.required) - 1;
        (counted.len() < needed)
            .then(|| format!("signer {signer} has heard from {counted:?} how they stand, {needed} are needed"))
    }
}

impl Judge {
    /// A signer was shown a stop record, by whomever.
    pub(crate) fn shown(&mut self, signer: u8, mark: Mark) {
        self.standings.delivered.entry(signer).or_default().insert(mark);
    }

    /// A peer's answer arrived.
    pub(crate) fn heard(&mut self, signer: u8, peer: u8, answer: Answer, uptime: u64) {
        let owes = !self.standings.delivered(signer, &answer.held);
        let before = self.standings.words.get(&(signer, peer));
        if before.is_some_and(|before| before.answer.asked > answer.asked) {
            return;
        }
        let since = before.and_then(|before| before.owed_since).unwrap_or(uptime);
        self.standings.words.insert((signer, peer), Word { answer, owed_since: owes.then_some(since) });
    }

    /// A signer starts: nobody has told it anything yet.
    pub(crate) fn started(&mut self, signer: u8) {
        self.standings.words.retain(|(hearer, _), _| *hearer != signer);
    }

    /// A signer has an old disk, and all its peers have seen that its journal went further.
    pub(crate) fn put_back(&mut self, signer: u8) {
        self.standings.put_back.insert(signer);
    }

    pub(super) fn judge_standing(&self, release: &Release) -> Result<(), Violation> {
        let (signer, uptime) = (release.signer, release.moment.uptime);
        if self.standings.put_back.contains(&signer) {
            return broken(
                Rank::PutBack,
                format!("signer {signer} signs on an old disk that its peers know to be old"),
            );
        }
        if !self.plan.standing {
            return Ok(());
        }
        self.standings.lacks(&self.plan, signer, uptime).map_or(Ok(()), |what| broken(Rank::Standing, what))
    }
}
