//! Sequence numbers of one account, given out one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_wire::ids::IntentId;

use crate::intent::SignedIntent;

#[cfg(test)]
mod tests;

/// The sequence numbers of one account. Each goes to one [`Lease`] at a time. It comes back only as long as nothing was
/// sent under it, or when the cluster has definitely refused what was sent.
#[derive(Debug, Clone, Default)]
pub struct Nonces {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// One past the highest number given out.
    next: u64,
    /// Numbers below `next` that are free again, with the dead request that a new one must name as replaced.
    free: BTreeMap<u64, Option<IntentId>>,
    /// What was sent without a definite answer: the same bytes must be sent again.
    unsettled: BTreeMap<u64, SignedIntent>,
    /// What the cluster has accepted and has not ended.
    accepted: BTreeMap<u64, IntentId>,
}

impl State {
    fn settle(&mut self, intent: IntentId) -> Option<u64> {
        let nonce = self.unsettled.iter().find(|(_, waiting)| waiting.id() == intent).map(|(nonce, _)| *nonce)?;
        self.unsettled.remove(&nonce);
        Some(nonce)
    }
}

impl Nonces {
    /// The next number, not below what the chain says.
    pub fn lease(&self, chain_says: u64) -> Lease {
        let mut state = self.lock();
        state.next = state.next.max(chain_says);
        // What the chain has passed is gone, whoever used it.
        state.free.retain(|nonce, _| *nonce >= chain_says);
        state.unsettled.retain(|nonce, _| *nonce >= chain_says);
        state.accepted.retain(|nonce, _| *nonce >= chain_says);
        let (nonce, replaces) = state.free.pop_first().unwrap_or_else(|| {
            let nonce = state.next;
            state.next = nonce.saturating_add(1);
            (nonce, None)
        });
        Lease { nonces: self.clone(), nonce, replaces, settled: false }
    }

    /// What was sent and has no definite answer yet.
    pub fn unsettled(&self) -> Vec<SignedIntent> {
        self.lock().unsettled.values().cloned().collect()
    }

    /// The cluster has these bytes.
    pub fn accepted(&self, intent: &SignedIntent) {
        let mut state = self.lock();
        if let Some(nonce) = state.settle(intent.id()) {
            state.accepted.insert(nonce, intent.id());
        }
    }

    /// The cluster has definitely refused these bytes: their number is free again.
    pub fn refused(&self, intent: &SignedIntent) {
        let mut state = self.lock();
        if let Some(nonce) = state.settle(intent.id()) {
            state.free.insert(nonce, None);
        }
    }

    /// The number of these bytes belongs to somebody else, so they can never be signed: it is not given out again.
    pub fn taken(&self, dead: IntentId) {
        let mut state = self.lock();
        state.settle(dead);
        state.accepted.retain(|_, accepted| *accepted != dead);
    }

    /// An accepted request has ended without a signature: the next transfer takes its number over and names it.
    pub fn ended(&self, dead: IntentId) {
        let mut state = self.lock();
        let nonce = state.accepted.iter().find(|(_, accepted)| **accepted == dead).map(|(nonce, _)| *nonce);
        if let Some(nonce) = nonce {
            state.accepted.remove(&nonce);
            state.free.insert(nonce, Some(dead));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sequence number, held by one transfer. Dropped before [`Lease::bind`], it is free again.
#[derive(Debug)]
pub struct Lease {
    nonces: Nonces,
    nonce: u64,
    replaces: Option<IntentId>,
    settled: bool,
}

impl Lease {
    /// The number.
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }
    /// The dead request whose number this was.
    pub const fn replaces(&self) -> Option<IntentId> {
        self.replaces
    }
    /// From now on the number belongs to these bytes, whatever happens to the caller.
    pub fn bind(mut self, intent: SignedIntent) {
        self.settled = true;
        self.nonces.lock().unsettled.insert(self.nonce, intent);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.settled {
            self.nonces.lock().free.insert(self.nonce, self.replaces);
        }
    }
}
