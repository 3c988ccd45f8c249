//! FROST nonce commitments that signers have shared ahead: which numbers are free, as the signers report them.
//!
//! Numbers are handed out once, rising within a key and a boot. A signer refuses a number that it has used all the same,
//! so a mistake here costs a retry, never a nonce.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use limen_wire::ids::{KeyId, NodeId};
use limen_wire::pb;

#[derive(Debug)]
struct Pool {
    boot: Bytes,
    next: u64,
    end: u64,
}

/// All pools of all signers.
#[derive(Debug, Default)]
pub(crate) struct NoncePools(Mutex<HashMap<(KeyId, NodeId), Pool>>);

impl NoncePools {
    /// Takes in what a signer reports.
    pub(crate) fn observe(&self, node: &NodeId, report: &pb::NoncePool) {
        let Ok(key) = KeyId::new(report.key_id.clone()) else { return };
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pools.get_mut(&(key.clone(), node.clone())) {
            // Reports overtake each other: numbers only rise.
            Some(pool) if pool.boot == report.boot => {
                pool.next = pool.next.max(report.next_index);
                pool.end = pool.end.max(report.end_index);
            }
            _ => {
                let pool = Pool { boot: report.boot.clone(), next: report.next_index, end: report.end_index };
                pools.insert((key, node.clone()), pool);
            }
        }
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

    /// Forgets what these signers reported for the key: one of them knew better. They will report again.
    pub(crate) fn forget(&self, key: &KeyId, signers: &[(u32, NodeId)]) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, node) in signers {
            if let Some(pool) = pools.get_mut(&(key.clone(), node.clone())) {
                pool.next = pool.end;
            }
        }
    }
}
