//! FROST nonce commitments that signers have shared ahead: which numbers are free, as the signers report them.
//!
//! Numbers are handed out once, rising within a key and a boot. A signer refuses a number that it has used all the same,
//! so a mistake here costs that request a retry in two rounds, never a nonce.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use limen_wire::ids::{KeyId, NodeId, Protocol};
use limen_wire::{limits, pb};

use crate::context::Core;
use crate::keys::ring::KeyRing;

/// A boot's random name.
const BOOT_BYTES: usize = 16;
/// Numbers of one pool that count as free at most. The lowest may lag: one that a failed session skipped stays free for ever.
const FREE: u64 = limits::NONCE_BATCH as u64;

#[derive(Debug)]
struct Pool {
    boot: Bytes,
    next: u64,
    end: u64,
}

/// What is wrong with a report that no honest signer makes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("it reports nonces for key {0}, of which it holds no FROST share")]
    NotItsKey(KeyId),
    #[error("it reports nonces of a boot of {0} bytes where {BOOT_BYTES} are needed")]
    Boot(usize),
    #[error("it reports nonces from {next} up to {end}: they end before they start")]
    Order { next: u64, end: u64 },
}

impl Core {
    /// Takes in what a signer reports, up to the first report that cannot be.
    pub(crate) fn observe_nonces<'a>(&self, node: &NodeId, reports: impl IntoIterator<Item = &'a pb::NoncePool>) {
        let observed = reports.into_iter().try_for_each(|report| self.nonces.observe(&self.keys, node, report));
        if let Err(error) = observed {
            self.metrics.nonce_report_refused(node);
            tracing::warn!(%node, %error, "a report of nonces is dropped");
        }
    }
}

/// All pools of all signers.
#[derive(Debug, Default)]
pub(crate) struct NoncePools(Mutex<HashMap<(KeyId, NodeId), Pool>>);

impl NoncePools {
    /// Takes in what a signer reports of one key. Keys that do not sign yet are passed over: the report will come again.
    fn observe(&self, keys: &KeyRing, node: &NodeId, report: &pb::NoncePool) -> Result<(), ReportError> {
        let Some(key) = KeyId::new(report.key_id.as_str()).ok().and_then(|id| keys.find(&id)) else { return Ok(()) };
        let id = &key.statement.key_id;
        if key.statement.protocol != Protocol::Frost || !key.committee.members.contains(node) {
            return Err(ReportError::NotItsKey(id.clone()));
        }
        if report.boot.len() != BOOT_BYTES {
            return Err(ReportError::Boot(report.boot.len()));
        }
        let (next, end) = (report.next_index, report.end_index);
        if next > end {
            return Err(ReportError::Order { next, end });
        }
        let next = next.max(end.saturating_sub(FREE));
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pools.get_mut(&(id.clone(), node.clone())) {
            // Reports overtake each other: numbers only rise.
            Some(pool) if pool.boot == report.boot => {
                pool.next = pool.next.max(next);
                pool.end = pool.end.max(end);
            }
            _ => {
                // A copy: the report's bytes hold the whole message that it came in.
                let pool = Pool { boot: Bytes::copy_from_slice(&report.boot), next, end };
                pools.insert((id.clone(), node.clone()), pool);
            }
        }
        Ok(())
    }

    /// One number of each signer, or nothing if one of them has none left: then the session takes two rounds.
    pub(crate) fn take(&self, key: &KeyId, signers: &[(u32, NodeId)]) -> Option<Vec<pb::NonceReference>> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |pools: &HashMap<_, Pool>, node: &NodeId| {
            pools.get(&(key.clone(), node.clone())).is_some_and(|pool| pool.next < pool.end)
        };
        if signers.is_empty() || !signers.iter().all(|(_, node)| free(&pools, node)) {
            return None;
        }
        let mut taken = Vec::with_capacity(signers.len());
        for (signer, node) in signers {
            let pool = pools.get_mut(&(key.clone(), node.clone()))?;
            taken.push(pb::NonceReference { signer: *signer, boot: pool.boot.clone(), index: pool.next });
            pool.next = pool.next.saturating_add(1);
        }
        Some(taken)
    }
}
