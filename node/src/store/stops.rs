//! Stop records, for ever: every one in the order in which this node took it, the freezes among them, and what waits for an
//! intent that has not been seen.

use std::collections::BTreeSet;

use limen_policy::freeze::{Freezes, Lifters, Live};
use limen_wire::freeze::FreezeScope;
use limen_wire::ids::{CredentialId, IntentId, NodeId, PersonId, tagged_hash};
use limen_wire::pb;
use prost::Message as _;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::rows::{decode, encode};
use super::schema::{AHEAD, AUTOMATIC, CURSORS, FREEZES, LIFTED, META, META_READ_ANEW, REMEMBERED, STOP_IDS, STOP_LOG};
use super::{StoreError, Txn, View, automatic};

/// How many stop records a node has, and the running hash over their ids.
///
/// After record n: `tagged_hash("limen node stops v1", [hash before, id])`, starting from zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StopHead {
    /// Records ever taken.
    pub length: u64,
    /// Hash at the newest, zeros at the beginning.
    pub hash: [u8; 32],
}

impl StopHead {
    /// The head after one more record.
    #[must_use]
    pub fn after(&self, id: &[u8; 32]) -> Self {
        let hash = tagged_hash("limen node stops v1", [&self.hash[..], &id[..]]);
        Self { length: self.length.saturating_add(1), hash }
    }
}

/// One stop record in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRow {
    /// Its id.
    pub id: [u8; 32],
    /// The running hash up to it.
    pub hash: [u8; 32],
    /// The record's envelope, as protocol buffer.
    pub envelope: Vec<u8>,
}

/// A live freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRow {
    /// What it stops.
    pub scope: FreezeScope,
    /// Whose word it is.
    pub person: PersonId,
    /// Why.
    pub reason: String,
    /// The freeze's envelope, as protocol buffer.
    pub envelope: Vec<u8>,
    /// Milliseconds since 1970 since which it is held here.
    pub held_since_ms: u64,
    /// Enough people lift it: the delay runs.
    pub lifting: Option<Lifting>,
    /// Who has said that it may be lifted.
    pub lifters: Lifters,
}

/// The delay before a freeze is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifting {
    /// How long this node had been running when it began, in milliseconds.
    pub uptime: u64,
    /// What the charter asked for then, in seconds: a later charter makes it longer, never shorter.
    pub delay_secs: u64,
}

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

fn head(log: &impl ReadableTable<u64, &'static [u8]>) -> Result<StopHead, StoreError> {
    let Some((place, bytes)) = ok(log.last())? else { return Ok(StopHead::default()) };
    let row: StopRow = decode("stop records", bytes.value())?;
    Ok(StopHead { length: place.value().saturating_add(1), hash: row.hash })
}

fn read_anew_secs(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = ok(meta.get(META_READ_ANEW))? else { return Ok(None) };
    let secs = <[u8; 8]>::try_from(bytes.value()).ok().map(u64::from_be_bytes);
    secs.map(Some).ok_or_else(|| StoreError::damaged("when to read the peers' records anew is no number"))
}

/// Freezes that are waited for because one person lifts them already.
pub const EARLY_FREEZES: usize = 256;

/// Who lifts a freeze that has not come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EarlyRow {
    /// The journal's length at the first word.
    since: u64,
    lifters: Lifters,
}

fn freeze_rows(
    table: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
) -> Result<Vec<(IntentId, FreezeRow)>, StoreError> {
    let entry = |entry: Result<_, redb::StorageError>| {
        let (id, bytes): (redb::AccessGuard<'_, &[u8; 32]>, redb::AccessGuard<'_, &[u8]>) = ok(entry)?;
        Ok((IntentId::new(*id.value()), decode("freezes", bytes.value())?))
    };
    ok(table.iter())?.map(entry).collect()
}

fn freezes(
    live: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    lifted: &impl ReadableTable<&'static str, &'static [u8]>,
    own: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Freezes, StoreError> {
    let automatic = automatic::rows(own)?.into_iter().map(|(requester, row)| (requester, row.seen())).collect();
    let mut freezes = Freezes { automatic, ..Freezes::default() };
    for (id, row) in freeze_rows(live)? {
        freezes.live.insert(id, Live { scope: row.scope, person: row.person, reason: row.reason });
    }
    for entry in ok(lifted.iter())? {
        let (scope, bytes) = ok(entry)?;
        let scope = scope.value().parse().map_err(|error| StoreError::damaged(format!("a lifted freeze: {error}")))?;
        let ids: BTreeSet<[u8; 32]> = decode("lifted freezes", bytes.value())?;
        freezes.lifted.insert(scope, ids.into_iter().map(IntentId::new).collect());
    }
    Ok(freezes)
}

impl Txn<'_> {
    /// Whether a stop record has been taken.
    pub fn stop_known(&self, id: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(ok(self.stop_ids.get(id))?.is_some())
    }

    /// Puts a stop record at the end of all, unless it is there; false if it is.
    pub fn log_stop(&mut self, id: &[u8; 32], envelope: &[u8]) -> Result<bool, StoreError> {
        if self.stop_known(id)? {
            return Ok(false);
        }
        let before = head(&self.stop_log)?;
        let row = StopRow { id: *id, hash: before.after(id).hash, envelope: envelope.to_vec() };
        ok(self.stop_log.insert(before.length, encode(&row)?.as_slice()))?;
        ok(self.stop_ids.insert(id, before.length))?;
        Ok(true)
    }

    /// Every freeze, as the guard sees them.
    pub fn freezes(&self) -> Result<Freezes, StoreError> {
        freezes(&self.freezes, &self.lifted, &self.automatic)
    }

    /// The live freezes with all that is known of them.
    pub fn freeze_rows(&self) -> Result<Vec<(IntentId, FreezeRow)>, StoreError> {
        freeze_rows(&self.freezes)
    }

    /// Writes a live freeze.
    pub fn put_freeze(&mut self, id: &IntentId, row: &FreezeRow) -> Result<(), StoreError> {
        ok(self.freezes.insert(id.as_bytes(), encode(row)?.as_slice())).map(drop)
    }

    /// Moves a freeze from the live ones to those that were lifted.
    pub fn lift(&mut self, id: &IntentId, scope: &FreezeScope) -> Result<(), StoreError> {
        ok(self.freezes.remove(id.as_bytes()))?;
        let scope = scope.to_string();
        let before = ok(self.lifted.get(scope.as_str()))?.map(|bytes| decode("lifted freezes", bytes.value()));
        let mut ids: BTreeSet<[u8; 32]> = before.transpose()?.unwrap_or_default();
        ids.insert(*id.as_bytes());
        ok(self.lifted.insert(scope.as_str(), encode(&ids)?.as_slice())).map(drop)
    }

    /// Who has said that a freeze may be lifted before the freeze itself was here; it is, now, and they are forgotten here.
    pub fn take_early_lifters(&mut self, id: &IntentId) -> Result<Lifters, StoreError> {
        let found = ok(self.early_lifters.remove(id.as_bytes()))?;
        let row: Option<EarlyRow> = found.map(|bytes| decode("early lifters", bytes.value())).transpose()?;
        Ok(row.map(|row| row.lifters).unwrap_or_default())
    }

    /// Somebody says that a freeze may be lifted which is not here yet. Many a freeze never comes, because it is another
    /// signer's own: of what one person has named so, the oldest goes where it is too much.
    pub fn add_early_lifter(&mut self, id: &IntentId, who: (PersonId, CredentialId)) -> Result<(), StoreError> {
        let rows = self.early()?;
        let (_, mut row) = rows
            .iter()
            .find(|(one, _)| one == id.as_bytes())
            .cloned()
            .unwrap_or_else(|| (*id.as_bytes(), EarlyRow { since: self.head().length, lifters: Lifters::new() }));
        let (person, credential) = who;
        if !row.lifters.contains_key(&person) {
            self.forget_oldest_of(&person, rows)?;
        }
        row.lifters.entry(person).or_default().insert(credential);
        self.put_early(id.as_bytes(), &row)
    }

    fn early(&self) -> Result<Vec<([u8; 32], EarlyRow)>, StoreError> {
        let row = |entry| {
            let (id, bytes): (redb::AccessGuard<'_, &[u8; 32]>, redb::AccessGuard<'_, &[u8]>) = ok(entry)?;
            Ok((*id.value(), decode("early lifters", bytes.value())?))
        };
        ok(self.early_lifters.iter())?.map(row).collect()
    }

    fn put_early(&mut self, id: &[u8; 32], row: &EarlyRow) -> Result<(), StoreError> {
        if row.lifters.is_empty() {
            return ok(self.early_lifters.remove(id)).map(drop);
        }
        ok(self.early_lifters.insert(id, encode(row)?.as_slice())).map(drop)
    }

    fn forget_oldest_of(&mut self, person: &PersonId, mut rows: Vec<([u8; 32], EarlyRow)>) -> Result<(), StoreError> {
        rows.retain(|(_, row)| row.lifters.contains_key(person));
        rows.sort_unstable_by_key(|(id, row)| (row.since, *id));
        let spare = rows.len().saturating_sub(EARLY_FREEZES.saturating_sub(1));
        rows.into_iter().take(spare).try_for_each(|(id, mut row)| {
            row.lifters.remove(person);
            self.put_early(&id, &row)
        })
    }

    /// What people said against an intent before it was seen, as protocol buffers.
    pub fn said_ahead(&self, intent: &IntentId) -> Result<Vec<Vec<u8>>, StoreError> {
        let found = ok(self.ahead.get(intent.as_bytes()))?;
        Ok(found.map(|bytes| decode("verdicts ahead", bytes.value())).transpose()?.unwrap_or_default())
    }

    /// Replaces it.
    pub fn put_said_ahead(&mut self, intent: &IntentId, said: &[Vec<u8>]) -> Result<(), StoreError> {
        if said.is_empty() {
            return ok(self.ahead.remove(intent.as_bytes())).map(drop);
        }
        ok(self.ahead.insert(intent.as_bytes(), encode(&said)?.as_slice())).map(drop)
    }

    /// Forgets how far every peer's records have been read: they are read anew.
    pub fn forget_cursors(&mut self) -> Result<(), StoreError> {
        ok(self.meta.remove(META_READ_ANEW))?;
        ok(self.cursors.retain(|_, _| false))
    }

    /// Notes that something was passed over which may count from this moment on, in seconds since 1970. The earliest stands.
    pub fn read_anew_from(&mut self, secs: u64) -> Result<(), StoreError> {
        let before = read_anew_secs(&self.meta)?;
        let first = before.map_or(secs, |before| before.min(secs));
        ok(self.meta.insert(META_READ_ANEW, &first.to_be_bytes()[..])).map(drop)
    }

    /// Notes how far a peer's records have been read.
    pub fn put_cursor(&mut self, peer: &NodeId, cursor: &StopHead) -> Result<(), StoreError> {
        ok(self.cursors.insert(peer.as_str(), encode(cursor)?.as_slice())).map(drop)
    }

    /// The same, if nobody has put it elsewhere since it stood there; `false` if somebody has.
    pub fn move_cursor(&mut self, peer: &NodeId, from: &StopHead, to: &StopHead) -> Result<bool, StoreError> {
        let stored = ok(self.cursors.get(peer.as_str()))?;
        let stored: StopHead = stored.map(|bytes| decode("cursors", bytes.value())).transpose()?.unwrap_or_default();
        if stored != *from {
            return Ok(false);
        }
        self.put_cursor(peer, to).map(|()| true)
    }
}

impl Txn<'_> {
    /// Keeps a peer's own word about its journal, if it is longer than any before.
    pub fn remember(&mut self, peer: &NodeId, length: u64, envelope: &[u8]) -> Result<(), StoreError> {
        let before = ok(self.remembered.get(peer.as_str()))?;
        let before: Option<Remembered> = before.map(|bytes| decode("remembered", bytes.value())).transpose()?;
        if before.is_some_and(|before| before.length >= length) {
            return Ok(());
        }
        let row = Remembered { length, envelope: envelope.to_vec() };
        ok(self.remembered.insert(peer.as_str(), encode(&row)?.as_slice())).map(drop)
    }
}

/// The longest journal that a peer has shown of itself.
#[derive(Serialize, Deserialize)]
struct Remembered {
    length: u64,
    envelope: Vec<u8>,
}

impl View {
    /// A peer's own word about its journal: the longest that it has shown.
    pub fn remembered(&self, peer: &NodeId) -> Result<Option<pb::Envelope>, StoreError> {
        let table = self.table(REMEMBERED)?;
        let Some(bytes) = ok(table.get(peer.as_str()))? else { return Ok(None) };
        let row: Remembered = decode("remembered", bytes.value())?;
        let envelope = pb::Envelope::decode(row.envelope.as_slice());
        envelope.map(Some).map_err(|error| StoreError::damaged(format!("a peer's journal head: {error}")))
    }

    /// From when on the peers' records are to be read anew, in seconds since 1970; `None` if nothing of them waits for that.
    pub fn read_anew_secs(&self) -> Result<Option<u64>, StoreError> {
        read_anew_secs(&self.table(META)?)
    }

    /// Whether a stop record has been taken.
    pub fn stop_known(&self, id: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(ok(self.table(STOP_IDS)?.get(id))?.is_some())
    }

    /// How many stop records there are.
    pub fn stop_head(&self) -> Result<StopHead, StoreError> {
        head(&self.table(STOP_LOG)?)
    }

    /// The head as it was after so many records; `None` if there are fewer.
    pub fn stop_head_at(&self, length: u64) -> Result<Option<StopHead>, StoreError> {
        let Some(last) = length.checked_sub(1) else { return Ok(Some(StopHead::default())) };
        let log = self.table(STOP_LOG)?;
        let row: Option<StopRow> = ok(log.get(last))?.map(|bytes| decode("stop records", bytes.value())).transpose()?;
        Ok(row.map(|row| StopHead { length, hash: row.hash }))
    }

    /// Up to `limit` stop records after so many, fewer if they have more than `bytes` together, but one at least.
    pub fn stops_after(&self, length: u64, limit: usize, bytes: usize) -> Result<Vec<StopRow>, StoreError> {
        let log = self.table(STOP_LOG)?;
        let (mut rows, mut size) = (Vec::new(), 0usize);
        for entry in ok(log.range(length..))?.take(limit) {
            let (_, row) = ok(entry)?;
            let row: StopRow = decode("stop records", row.value())?;
            size = size.saturating_add(row.envelope.len());
            if size > bytes && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Every freeze, as the guard sees them.
    pub fn freezes(&self) -> Result<Freezes, StoreError> {
        freezes(&self.table(FREEZES)?, &self.table(LIFTED)?, &self.table(AUTOMATIC)?)
    }

    /// The live freezes with all that is known of them.
    pub fn freeze_rows(&self) -> Result<Vec<(IntentId, FreezeRow)>, StoreError> {
        freeze_rows(&self.table(FREEZES)?)
    }

    /// What people said against an intent before it was seen.
    pub fn said_ahead(&self, intent: &IntentId) -> Result<Vec<Vec<u8>>, StoreError> {
        let table = self.table(AHEAD)?;
        let found = ok(table.get(intent.as_bytes()))?;
        Ok(found.map(|bytes| decode("verdicts ahead", bytes.value())).transpose()?.unwrap_or_default())
    }

    /// How far a peer's stop records have been read.
    pub fn cursor(&self, peer: &NodeId) -> Result<StopHead, StoreError> {
        let table = self.table(CURSORS)?;
        let found = ok(table.get(peer.as_str()))?;
        Ok(found.map(|bytes| decode("cursors", bytes.value())).transpose()?.unwrap_or_default())
    }
}
