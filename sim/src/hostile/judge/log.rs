//! The evidence log: whose leaves are in no log, and what was cosigned.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Rank, Release, Violation, broken};

/// For how long a signer's own leaf may be missing while it goes on: milliseconds of its running time.
const PATIENCE_MS: u64 = 60_000;

/// What was shown and said.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Permissions whose leaves a signer was shown in a log that enough have cosigned, by session.
    safe: BTreeSet<(u8, usize)>,
    cosigned: BTreeMap<(u8, u64), [u8; 32]>,
    /// How long a signer had been running when it was started last.
    started: BTreeMap<u8, u64>,
}

impl Judge {
    /// A signer was shown a checkpoint that enough nodes have cosigned, of a log with this permission's leaf.
    pub(crate) fn leaf_safe(&mut self, signer: u8, session: usize) {
        self.log.safe.insert((signer, session));
    }

    /// A signer has been running for so long when it is started.
    pub(crate) fn boots(&mut self, signer: u8, uptime: u64) {
        self.log.started.insert(signer, uptime);
        self.own.boots(signer);
    }

    /// An honest node has cosigned a tree.
    pub(crate) fn cosigned(&mut self, node: u8, size: u64, root: [u8; 32]) -> Result<(), Violation> {
        let before = *self.log.cosigned.entry((node, size)).or_insert(root);
        if before == root {
            return Ok(());
        }
        broken(Rank::Log, format!("signer {node} has cosigned two logs of {size} leaves"))
    }

    /// Running time since the last start is never forgotten; of that before it a power cut may take some.
    pub(super) fn judge_leaves(&self, release: &Release) -> Result<(), Violation> {
        if !self.plan.log {
            return Ok(());
        }
        let (signer, uptime) = (release.signer, release.moment.uptime);
        let started = self.log.started.get(&signer).copied().unwrap_or(0);
        let missing = |other: &&Release| {
            other.signer == signer
                && uptime - other.moment.uptime.max(started) >= PATIENCE_MS
                && !self.log.safe.contains(&(signer, other.session))
        };
        match self.releases.iter().find(missing) {
            None => Ok(()),
            Some(other) => {
                let what = format!("signer {signer} was never shown its leaf of session s{} in a log", other.session);
                broken(Rank::Leaf, what)
            }
        }
    }
}
