//! Reading: always committed data, never the writer's queue.

use limen_wire::ids::{IntentId, KeyId, NodeId, RequesterId};
use limen_wire::pb;
use redb::{ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::schema::{decode_key, decode_request, unseal};
use super::{
    CHANGES, Entry, IDEMPOTENCY, KEYS, META, META_ENDED, META_SEQUENCE, NUMBERS, OPEN, READ_SIGNERS, REQUESTS, Store,
    StoreError, TOMBSTONES,
};
use crate::keys::KeyRecord;
use crate::lifecycle::State;

/// Rows that one page may look at: a filter that fits nothing must not read the whole store in one call.
const SCAN: usize = 20_000;

/// Which requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; empty means all.
    pub states: Vec<State>,
    /// Only requests for this key.
    pub key_id: Option<KeyId>,
}

impl Filter {
    fn matches(&self, entry: &Entry) -> bool {
        let state = self.states.is_empty() || self.states.contains(&entry.record.state);
        state && self.key_id.as_ref().is_none_or(|key| *key == entry.record.key_id)
    }
}

/// A page of requests, newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// The requests.
    pub entries: Vec<Entry>,
    /// Go on below this number; `None` at the end.
    pub next: Option<u64>,
}

pub(super) fn request(database: &redb::Database, id: &IntentId) -> Result<Option<Entry>, StoreError> {
    let table = database.begin_read()?.open_table(REQUESTS)?;
    let bytes = table.get(id.as_bytes())?;
    bytes.map(|bytes| decode_request(bytes.value())).transpose()
}

impl Store {
    /// The request that a requester knows by this idempotency key.
    pub fn by_idempotency(&self, requester: &RequesterId, key: &str) -> Result<Option<Entry>, StoreError> {
        let table = self.database.begin_read()?.open_table(IDEMPOTENCY)?;
        let id = table.get((requester.as_str(), key))?.map(|id| IntentId::new(*id.value()));
        id.map_or(Ok(None), |id| self.request(&id))
    }

    /// A page of requests below this number (`None`: from the newest).
    pub fn list(&self, below: Option<u64>, size: usize, filter: &Filter) -> Result<Page, StoreError> {
        let transaction = self.database.begin_read()?;
        let (numbers, requests) = (transaction.open_table(NUMBERS)?, transaction.open_table(REQUESTS)?);
        let mut page = Page::default();
        for (seen, row) in numbers.range(..below.unwrap_or(u64::MAX))?.rev().enumerate() {
            let (number, id) = row?;
            if page.entries.len() == size || seen == SCAN {
                page.next = Some(number.value().saturating_add(1));
                break;
            }
            let bytes = requests.get(id.value())?;
            let entry = bytes.map(|bytes| decode_request(bytes.value())).transpose()?;
            page.entries.extend(entry.filter(|entry| filter.matches(entry)));
        }
        Ok(page)
    }

    /// Requests that changed after this sequence number, in that order, each as it is now.
    pub fn changed_after(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let transaction = self.database.begin_read()?;
        let (changes, requests) = (transaction.open_table(CHANGES)?, transaction.open_table(REQUESTS)?);
        let mut entries = Vec::new();
        for row in changes.range(sequence.saturating_add(1)..)?.take(limit) {
            let bytes = requests.get(row?.1.value())?;
            entries.extend(bytes.map(|bytes| decode_request(bytes.value())).transpose()?);
        }
        Ok(entries)
    }

    /// Sequence number of the newest change.
    pub fn sequence(&self) -> Result<u64, StoreError> {
        self.meta(META_SEQUENCE)
    }

    /// Requests that have not ended.
    pub fn open_requests(&self) -> Result<Vec<Entry>, StoreError> {
        let transaction = self.database.begin_read()?;
        let (open, requests) = (transaction.open_table(OPEN)?, transaction.open_table(REQUESTS)?);
        let mut entries = Vec::new();
        for row in open.iter()? {
            let bytes = requests.get(row?.0.value())?;
            entries.extend(bytes.map(|bytes| decode_request(bytes.value())).transpose()?);
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    /// How many requests are open, and how many have ended.
    pub fn counts(&self) -> Result<(u64, u64), StoreError> {
        let open = self.database.begin_read()?.open_table(OPEN)?.len()?;
        Ok((open, self.meta(META_ENDED)?))
    }

    /// All keys by name.
    pub fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let table = self.database.begin_read()?.open_table(KEYS)?;
        table.iter()?.map(|row| decode_key(row?.1.value())).collect()
    }

    /// One key.
    pub fn key(&self, key: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let table = self.database.begin_read()?.open_table(KEYS)?;
        let bytes = table.get(key.as_str())?;
        bytes.map(|bytes| decode_key(bytes.value())).transpose()
    }

    /// The signers whose memory has been taken over since the store was empty.
    pub fn signers_read(&self) -> Result<Vec<String>, StoreError> {
        let table = self.database.begin_read()?.open_table(READ_SIGNERS)?;
        table.iter()?.map(|row| Ok(row?.0.value().to_owned())).collect()
    }

    /// What signers that no longer hold the bytes remember of this request.
    pub fn tombstones(&self, id: &IntentId) -> Result<Vec<(NodeId, pb::IntentRecord)>, StoreError> {
        let table = self.database.begin_read()?.open_table(TOMBSTONES)?;
        let mut found = Vec::new();
        for row in table.range((id.as_bytes(), "")..)? {
            let (name, bytes) = row?;
            let (of, node) = name.value();
            if of != id.as_bytes() {
                break;
            }
            let damaged = |_| StoreError::Damaged { what: "the signer of a tombstone".to_owned() };
            found.push((NodeId::new(node).map_err(damaged)?, unseal(bytes.value(), "a tombstone")?));
        }
        Ok(found)
    }

    fn meta(&self, name: &str) -> Result<u64, StoreError> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get(name)?.map_or(0, |value| value.value()))
    }
}
