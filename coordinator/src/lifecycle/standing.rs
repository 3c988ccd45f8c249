//! How far the members of a key are with a request, by what they last said of it.

use std::collections::BTreeSet;

use limen_wire::ids::NodeId;
use limen_wire::pb;

use super::record::{Opinion, Record};

/// The members of the request's key and what bounds its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    /// Members in index order: the first has index 1.
    pub members: Vec<NodeId>,
    /// How many must take part.
    pub required: usize,
    /// Sessions that the charter allows for one request.
    pub max_sessions: u32,
}

/// What enough members say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// They would sign now.
    Ready,
    /// Their approvals are met, and this is the shortest wait after which enough of them sign.
    Locked {
        /// In milliseconds.
        wait_ms: u64,
    },
    /// They allow it once people approve.
    Unapproved,
    /// Too few have answered.
    Open,
}

impl Committee {
    fn opinions<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Opinion> + 'a {
        self.members.iter().filter_map(|node| record.opinions.get(node))
    }

    /// So many members refuse that the others are too few.
    pub(super) fn is_refused(&self, record: &Record) -> bool {
        let refusing = self.opinions(record).filter(|opinion| !opinion.decision.allowed).count();
        refusing + self.required > self.members.len()
    }

    /// What enough of them say.
    pub(super) fn standing(&self, record: &Record, now_ms: u64) -> Standing {
        let allowing = self.opinions(record).filter(|opinion| opinion.decision.allowed).count();
        let mut waits: Vec<u64> = self.opinions(record).filter_map(|opinion| opinion.wait_ms(now_ms)).collect();
        waits.sort_unstable();
        match self.required.checked_sub(1).and_then(|last| waits.get(last)) {
            Some(0) => Standing::Ready,
            Some(&wait_ms) => Standing::Locked { wait_ms },
            None if allowing >= self.required => Standing::Unapproved,
            None => Standing::Open,
        }
    }

    /// The hash of the live freezes that enough of them name.
    pub fn agreed_freeze_epoch(&self, record: &Record) -> Option<[u8; 32]> {
        let named: Vec<[u8; 32]> =
            self.opinions(record).filter_map(|opinion| opinion.freeze_epoch.as_ref().try_into().ok()).collect();
        let count = |epoch: &[u8; 32]| named.iter().filter(|other| *other == epoch).count();
        named.iter().find(|epoch| count(epoch) >= self.required).copied()
    }

    /// Some member has not answered, or not since the last approval came.
    pub(super) fn is_unheard(&self, record: &Record) -> bool {
        self.members.iter().any(|node| !record.has_heard(node))
    }
}

impl Opinion {
    /// Milliseconds until this signer would sign, by what it said then; `None` if it refuses or people are missing.
    /// Zero is said by the signer alone: a wait that has run out here has not run out there.
    pub fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        let met: BTreeSet<&str> =
            self.requirements.iter().filter(|status| status.met).map(|status| status.rule.as_str()).collect();
        let all_met = self.requirements.iter().all(|status| status.met)
            && self.decision.requirements.iter().all(|asked| met.contains(asked.rule.as_str()));
        if !self.decision.allowed || !all_met {
            return None;
        }
        let said = self.requirements.iter().map(|status| status.wait_ms).max().unwrap_or_default();
        Some(if said == 0 { 0 } else { self.left(said, now_ms).max(1) })
    }

    /// Its requirements with what is left of their waits. A wait for people does not run.
    pub(super) fn requirements_at(&self, now_ms: u64) -> Vec<pb::RequirementStatus> {
        let at = |status: &pb::RequirementStatus| match status.met {
            true => pb::RequirementStatus { wait_ms: self.left(status.wait_ms, now_ms), ..status.clone() },
            false => status.clone(),
        };
        self.requirements.iter().map(at).collect()
    }

    /// What is left now of a wait that this signer named.
    const fn left(&self, wait_ms: u64, now_ms: u64) -> u64 {
        wait_ms.saturating_sub(now_ms.saturating_sub(self.said_at_ms))
    }

    /// Whether people would read the same in it, besides how long they wait.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let words = |opinion: &Self| {
            let status = |status: &pb::RequirementStatus| {
                (status.rule.clone(), status.met, status.missing.clone(), status.wait_ms == 0)
            };
            opinion.requirements.iter().map(status).collect::<Vec<_>>()
        };
        let same = self.decision == other.decision && self.refusal == other.refusal;
        same && self.freeze_epoch == other.freeze_epoch && words(self) == words(other)
    }
}
