//! What this signer counts and freezes by itself, by requester: denied requests, and its own freezes.

use limen_policy::freeze::{Automatic, Lifters};
use limen_wire::ids::{IntentId, RequesterId};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::rows::{decode, encode};
use super::schema::{AUTOMATIC, META, META_AUTOMATIC};
use super::stops::Lifting;
use super::{StoreError, Txn, View};
use crate::clock::Uptime;

/// This signer's own freeze of a requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticRow {
    /// Random: what an unfreeze names.
    pub id: [u8; 32],
    /// How many requests were denied.
    pub refused: u32,
    /// Within how many seconds of running time.
    pub within_secs: u64,
    /// Milliseconds since 1970 at which it was made.
    pub since_ms: u64,
    /// Enough people lift it: the delay runs.
    pub lifting: Option<Lifting>,
    /// Who has said that it may be lifted.
    pub lifters: Lifters,
}

impl AutomaticRow {
    /// As the guard sees it.
    pub const fn seen(&self) -> Automatic {
        let Self { id, refused, within_secs, since_ms, .. } = *self;
        Automatic { id: IntentId::new(id), refused, within_secs, since_ms }
    }
}

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

pub(super) fn rows(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<(RequesterId, AutomaticRow)>, StoreError> {
    let entry = |entry: Result<_, redb::StorageError>| {
        let (name, bytes): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>) = ok(entry)?;
        let name = RequesterId::new(name.value()).map_err(|error| StoreError::damaged(error.to_string()))?;
        Ok((name, decode("automatic freezes", bytes.value())?))
    };
    ok(table.iter())?.map(entry).collect()
}

fn made(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StoreError> {
    let bytes = ok(meta.get(META_AUTOMATIC))?.and_then(|bytes| <[u8; 8]>::try_from(bytes.value()).ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}

impl Txn<'_> {
    /// When requests of this requester were denied that count still, oldest first.
    pub fn denials(&self, requester: &RequesterId) -> Result<Vec<Uptime>, StoreError> {
        let found = ok(self.denials.get(requester.as_str()))?;
        let times: Option<Vec<u64>> = found.map(|bytes| decode("denials", bytes.value())).transpose()?;
        Ok(times.unwrap_or_default().into_iter().map(Uptime).collect())
    }

    /// Replaces them.
    pub fn put_denials(&mut self, requester: &RequesterId, times: &[Uptime]) -> Result<(), StoreError> {
        if times.is_empty() {
            return ok(self.denials.remove(requester.as_str())).map(drop);
        }
        let times: Vec<u64> = times.iter().map(|at| at.0).collect();
        ok(self.denials.insert(requester.as_str(), encode(&times)?.as_slice())).map(drop)
    }

    /// Nothing has been denied.
    pub fn forget_denials(&mut self) -> Result<(), StoreError> {
        ok(self.denials.retain(|_, _| false))
    }

    /// This signer's own freezes, by requester.
    pub fn automatic_rows(&self) -> Result<Vec<(RequesterId, AutomaticRow)>, StoreError> {
        rows(&self.automatic)
    }

    /// Whether this signer has frozen the requester by itself.
    pub fn is_frozen_here(&self, requester: &RequesterId) -> Result<bool, StoreError> {
        Ok(ok(self.automatic.get(requester.as_str()))?.is_some())
    }

    /// Adds a freeze of this signer's own, and counts it.
    pub fn add_automatic(&mut self, requester: &RequesterId, row: &AutomaticRow) -> Result<(), StoreError> {
        let count = made(&self.meta)?.saturating_add(1);
        self.put_meta(META_AUTOMATIC, &count.to_be_bytes())?;
        self.put_automatic(requester, row)
    }

    /// Replaces it.
    pub fn put_automatic(&mut self, requester: &RequesterId, row: &AutomaticRow) -> Result<(), StoreError> {
        ok(self.automatic.insert(requester.as_str(), encode(row)?.as_slice())).map(drop)
    }

    /// Ends it.
    pub fn remove_automatic(&mut self, requester: &RequesterId) -> Result<(), StoreError> {
        ok(self.automatic.remove(requester.as_str())).map(drop)
    }

    /// Forgets what is counted and frozen of requesters that are not among these.
    pub fn keep_requesters(&mut self, stays: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        ok(self.denials.retain(|requester, _| stays(requester)))?;
        ok(self.automatic.retain(|requester, _| stays(requester)))
    }
}

impl View {
    /// This signer's own freezes, by requester.
    pub fn automatic_rows(&self) -> Result<Vec<(RequesterId, AutomaticRow)>, StoreError> {
        rows(&self.table(AUTOMATIC)?)
    }

    /// How many this signer has ever made.
    pub fn automatic_made(&self) -> Result<u64, StoreError> {
        made(&self.table(META)?)
    }
}
