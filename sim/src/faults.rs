//! Campaigns against disks: the node's own code on storage that is cut, refused, spoilt and put back, and what must hold then.
//!
//! Each campaign is a list of rounds by number. A round is the same every time, so that a failure replays by its number and a
//! campaign goes on where it was stopped. Start reading at [`Campaign`].
#![expect(clippy::expect_used, reason = "a round that cannot be built ends the campaign")]

mod bitrot;
mod crash;
mod failing;
mod keys;
mod opening;
mod rollback;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

/// What a round tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// The power goes before, in and after every operation that changes the disk.
    CrashPoints,
    /// Every operation that changes the disk fails in every way.
    Disk,
    /// Bits turn over at rest.
    Bitrot,
    /// Older disks are put back.
    Rollback,
}

impl Campaign {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("crash-points", Self::CrashPoints),
        ("disk", Self::Disk),
        ("bitrot", Self::Bitrot),
        ("rollback", Self::Rollback),
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, campaign)| *campaign)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CrashPoints => "crash-points",
            Self::Disk => "disk",
            Self::Bitrot => "bitrot",
            Self::Rollback => "rollback",
        }
    }

    /// Rounds of every change, and of `--long`.
    pub const fn rounds(self, long: bool) -> u64 {
        match (self, long) {
            (Self::CrashPoints, false) => crash::SHORT,
            (Self::CrashPoints, true) => crash::SHORT * 20,
            (Self::Disk, false) => failing::SHORT,
            (Self::Disk, true) => failing::SHORT * 20,
            (Self::Rollback, false) => rollback::SHORT,
            (Self::Rollback, true) => rollback::SHORT * 20,
            (Self::Bitrot, false) => 2_000 / bitrot::FLIPS,
            (Self::Bitrot, true) => 100_000 / bitrot::FLIPS,
        }
    }

    /// Plays a round.
    pub fn round(self, number: u64) -> Found {
        let play = || match self {
            Self::CrashPoints => crash::round(number),
            Self::Disk => failing::round(number),
            Self::Bitrot => bitrot::round(number),
            Self::Rollback => rollback::round(number),
        };
        caught(play).unwrap_or_else(|panic| {
            let mut found = Found::default();
            found.broken(format!("panicked: {panic}"));
            found
        })
    }
}

/// What rounds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Disks cut, spoilt or made to fail.
    pub tried: u64,
    /// What became of them, in words.
    pub outcomes: BTreeMap<String, u64>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Found {
    fn count(&mut self, what: impl Into<String>) {
        *self.outcomes.entry(what.into()).or_default() += 1;
    }

    fn broken(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Adds what another round came to, which is named in what it broke.
    pub fn add(&mut self, round: u64, other: Self) {
        self.tried += other.tried;
        for (what, count) in other.outcomes {
            *self.outcomes.entry(what).or_default() += count;
        }
        self.violations.extend(other.violations.into_iter().map(|what| format!("round {round}: {what}")));
    }
}

/// What was done, or the words of a panic in it.
fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        words.or_else(|| panic.downcast_ref::<&str>().map(|&word| word.to_owned())).unwrap_or_default()
    })
}
