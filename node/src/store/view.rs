//! Reading: the same look-ups for write transactions and for snapshots of what is committed.

use limen_policy::succession::{Ages, Lineage};
use limen_wire::ids::{CharterHash, Epoch, IntentId, KeyId, SessionId};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, TableDefinition};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::journal::{Head, Record};
use super::rows::{BanRow, CharterRow, ClaimKey, IntentRow, KeyRow, Sequence, decode, share_name, stop_name};
use super::schema::{
    BACKUP_FILES, BACKUPS, BANS, CHARTERS, CHUNK, CLAIMS, DRILLS, INTENT_IDS, INTENTS, JOURNAL, KEYS, LOG, LOG_LEAVES,
    LOG_TILES, META, META_AGES, META_CHECKPOINT, META_HEAD, META_LINEAGE, META_UPTIME, METERS, PENDING_LEAVES,
    SESSIONS, SHARES, STOP_IDS, STOP_LOG, STOPS, TALLIES, TOMBSTONES, chunk_of,
};
use crate::clock::Uptime;

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

/// A row under a text key.
pub(super) fn row<T: DeserializeOwned>(
    what: &str,
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<T>, StoreError> {
    ok(table.get(key))?.map(|bytes| decode(what, bytes.value())).transpose()
}

/// The tombstones of one chunk, in order.
pub(super) fn tombstones(
    table: &impl ReadableTable<u64, &'static [u8]>,
    chunk: u64,
) -> Result<Vec<IntentRow>, StoreError> {
    let rows = ok(table.get(chunk))?.map(|bytes| decode("tombstones", bytes.value())).transpose()?;
    Ok(rows.unwrap_or_default())
}

pub(super) fn intent_at(
    intents: &impl ReadableTable<u64, &'static [u8]>,
    dead: &impl ReadableTable<u64, &'static [u8]>,
    sequence: Sequence,
) -> Result<Option<IntentRow>, StoreError> {
    if let Some(bytes) = ok(intents.get(sequence))? {
        return decode("intents", bytes.value()).map(Some);
    }
    let (chunk, place) = chunk_of(sequence);
    let mut rows = tombstones(dead, chunk)?;
    Ok(if place < rows.len() { Some(rows.swap_remove(place)) } else { None })
}

/// How long this node had been running when that was last made durable.
pub(super) fn uptime(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Uptime, StoreError> {
    let bytes = ok(meta.get(META_UPTIME))?;
    let number = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes.value()).ok()).map(u64::from_be_bytes);
    number.map(Uptime).ok_or_else(|| StoreError::damaged("it does not know how long this node has been running"))
}

/// How the versions of the charter follow one another; `None` before one is pinned.
pub(super) fn lineage(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<Lineage>, StoreError> {
    ok(meta.get(META_LINEAGE))?.map(|bytes| decode("charter-lineage", bytes.value())).transpose()
}

/// Since when what the charter in force names stands as it does; nothing is known before a charter is pinned.
pub(super) fn ages(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Ages, StoreError> {
    ok(meta.get(META_AGES))?.map_or_else(|| Ok(Ages::default()), |bytes| decode("charter-ages", bytes.value()))
}

/// The newest place in the order of first sight, 0 if there is none.
pub(super) fn last_sequence(
    intents: &impl ReadableTable<u64, &'static [u8]>,
    dead: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<Sequence, StoreError> {
    if let Some((sequence, _)) = ok(intents.last())? {
        return Ok(sequence.value());
    }
    let Some((chunk, bytes)) = ok(dead.last())? else { return Ok(0) };
    let rows: Vec<IntentRow> = decode("tombstones", bytes.value())?;
    Ok(chunk.value().saturating_mul(CHUNK).saturating_add(rows.len() as u64))
}

pub(super) fn intent(
    ids: &impl ReadableTable<&'static [u8; 16], u64>,
    intents: &impl ReadableTable<u64, &'static [u8]>,
    dead: &impl ReadableTable<u64, &'static [u8]>,
    id: &IntentId,
) -> Result<Option<(Sequence, IntentRow)>, StoreError> {
    let Some(sequence) = ok(ids.get(&ClaimKey::intent(id)))?.map(|sequence| sequence.value()) else { return Ok(None) };
    let row = intent_at(intents, dead, sequence)?;
    let row = row.ok_or_else(|| StoreError::damaged(format!("intent {id} is indexed but not there")))?;
    // Two intents that share half of their id: nobody finds those by chance, so the second is simply not known.
    Ok((row.id == *id.as_bytes()).then_some((sequence, row)))
}

fn table_bytes(stats: redb::TableStats) -> u64 {
    stats.stored_bytes().saturating_add(stats.metadata_bytes()).saturating_add(stats.fragmented_bytes())
}

/// What a journal once was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalAt {
    /// Its hash then.
    Hash([u8; 32]),
    /// The records are gone behind the checkpoint.
    Compacted,
    /// It never had so many: it has this many.
    Beyond(u64),
}

/// A snapshot of what is committed.
pub struct View {
    txn: ReadTransaction,
}

impl View {
    pub(super) fn new(txn: ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { txn })
    }

    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<redb::ReadOnlyTable<K, V>, StoreError> {
        self.txn.open_table(table).map_err(StoreError::engine)
    }

    fn head_at(&self, name: &'static str) -> Result<Head, StoreError> {
        let meta = self.table(META)?;
        let bytes = ok(meta.get(name))?.ok_or_else(|| StoreError::damaged(format!("{name} is missing")))?;
        Head::from_bytes(bytes.value())
    }

    /// Length and hash of the journal.
    pub fn head(&self) -> Result<Head, StoreError> {
        self.head_at(META_HEAD)
    }

    /// Length and hash of the journal at the checkpoint.
    pub fn checkpoint(&self) -> Result<Head, StoreError> {
        self.head_at(META_CHECKPOINT)
    }

    /// How long this node had been running when that was last made durable.
    pub fn uptime(&self) -> Result<Uptime, StoreError> {
        uptime(&self.table(META)?)
    }

    /// Follows the chain from the checkpoint to the head. Costs one hash per record since the checkpoint.
    pub fn verify_journal(&self) -> Result<Head, StoreError> {
        let (mut head, newest) = (self.checkpoint()?, self.head()?);
        let journal = self.table(JOURNAL)?;
        for entry in ok(journal.iter())? {
            let (sequence, record) = ok(entry)?;
            if sequence.value() != head.length {
                return Err(StoreError::damaged(format!("journal record {} is missing", head.length)));
            }
            head = head.after(record.value());
        }
        if head == newest {
            return Ok(head);
        }
        Err(StoreError::damaged(format!(
            "the journal's records give the head {} at {}, noted are {} at {}",
            hex::encode(head.hash),
            head.length,
            hex::encode(newest.hash),
            newest.length
        )))
    }

    /// What the journal was after so many records.
    pub fn journal_at(&self, length: u64) -> Result<JournalAt, StoreError> {
        let (mut head, newest) = (self.checkpoint()?, self.head()?);
        if length > newest.length {
            return Ok(JournalAt::Beyond(newest.length));
        }
        if length < head.length {
            return Ok(JournalAt::Compacted);
        }
        let journal = self.table(JOURNAL)?;
        for entry in ok(journal.range(head.length..length))? {
            head = head.after(ok(entry)?.1.value());
        }
        Ok(JournalAt::Hash(head.hash))
    }

    /// The records since the checkpoint, oldest first.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        let journal = self.table(JOURNAL)?;
        ok(journal.iter())?
            .map(|entry| {
                let (_, record) = ok(entry)?;
                decode("journal", record.value())
            })
            .collect()
    }

    /// An intent and its place in the order of first sight.
    pub fn intent(&self, id: &IntentId) -> Result<Option<(Sequence, IntentRow)>, StoreError> {
        intent(&self.table(INTENT_IDS)?, &self.table(INTENTS)?, &self.table(TOMBSTONES)?, id)
    }

    /// Up to `limit` intents after a place, and whether there are more.
    pub fn intents_after(
        &self,
        after: Sequence,
        limit: usize,
    ) -> Result<(Vec<(Sequence, IntentRow)>, bool), StoreError> {
        let (intents, dead) = (self.table(INTENTS)?, self.table(TOMBSTONES)?);
        let last = last_sequence(&intents, &dead)?;
        let end = after.saturating_add(limit as u64).min(last);
        let mut rows = Vec::new();
        let mut chunk: Option<(u64, Vec<IntentRow>)> = None;
        for sequence in after.saturating_add(1)..=end {
            if let Some(bytes) = ok(intents.get(sequence))? {
                rows.push((sequence, decode("intents", bytes.value())?));
                continue;
            }
            let (wanted, place) = chunk_of(sequence);
            let held = match chunk.take() {
                Some((number, held)) if number == wanted => held,
                _ => tombstones(&dead, wanted)?,
            };
            let row = held.get(place).cloned();
            rows.push((sequence, row.ok_or_else(|| StoreError::damaged(format!("intent {sequence} is missing")))?));
            chunk = Some((wanted, held));
        }
        Ok((rows, end < last))
    }

    /// Whether a session of this name was ever started here, of an intent that is not a tombstone yet.
    pub fn session_seen(&self, session: &SessionId) -> Result<bool, StoreError> {
        Ok(ok(self.table(SESSIONS)?.get(&ClaimKey::session(session.as_bytes())))?.is_some())
    }

    /// How many intents are known.
    pub fn intent_count(&self) -> Result<u64, StoreError> {
        last_sequence(&self.table(INTENTS)?, &self.table(TOMBSTONES)?)
    }

    /// Bytes of all tables, with the room that their pages leave free.
    pub fn stored_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.table_bytes()?.into_iter().map(|(_, bytes)| bytes).sum())
    }

    /// Bytes by table.
    pub fn table_bytes(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        macro_rules! sizes {
            ($($name:literal $table:ident),*) => {
                Ok(vec![$(($name, table_bytes(ok(self.table($table)?.stats())?)),)*])
            };
        }
        sizes!(
            "journal" JOURNAL, "intents" INTENTS, "tombstones" TOMBSTONES, "intent-ids" INTENT_IDS, "claims" CLAIMS, "sessions" SESSIONS,
            "keys" KEYS, "shares" SHARES, "backups" BACKUPS, "backup-files" BACKUP_FILES, "drills" DRILLS, "stops" STOPS, "stop-log" STOP_LOG, "stop-ids" STOP_IDS,
            "tallies" TALLIES, "meters" METERS, "charters" CHARTERS, "bans" BANS, "log" LOG, "log-tiles" LOG_TILES,
            "log-leaves" LOG_LEAVES, "pending-leaves" PENDING_LEAVES
        )
    }

    /// All keys by name.
    pub fn keys(&self) -> Result<Vec<(KeyId, KeyRow)>, StoreError> {
        let keys = self.table(KEYS)?;
        ok(keys.iter())?
            .map(|entry| {
                let (name, bytes) = ok(entry)?;
                let name = KeyId::new(name.value()).map_err(|error| StoreError::damaged(error.to_string()))?;
                Ok((name, decode("keys", bytes.value())?))
            })
            .collect()
    }

    /// One key.
    pub fn key(&self, key: &KeyId) -> Result<Option<KeyRow>, StoreError> {
        row("keys", &self.table(KEYS)?, key.as_str())
    }

    /// A sealed record.
    pub fn share(&self, key: &KeyId, epoch: Epoch, purpose: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let shares = self.table(SHARES)?;
        Ok(ok(shares.get(share_name(key, epoch, purpose).as_str()))?.map(|bytes| bytes.value().to_vec()))
    }

    /// Every sealed record with its name.
    pub fn share_records(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let shares = self.table(SHARES)?;
        ok(shares.iter())?
            .map(|entry| {
                let (name, bytes) = ok(entry)?;
                Ok((name.value().to_owned(), bytes.value().to_vec()))
            })
            .collect()
    }

    /// A value of the store's own.
    pub fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(ok(self.table(META)?.get(name))?.map(|value| value.value().to_vec()))
    }

    /// The stop record of this requester that names the intent, as protocol buffer.
    pub fn stop(&self, intent: &IntentId, requester: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(ok(self.table(STOPS)?.get(&stop_name(intent, requester)))?.map(|record| record.value().to_vec()))
    }

    /// How the versions of the charter follow one another; `None` before one is pinned.
    pub fn lineage(&self) -> Result<Option<Lineage>, StoreError> {
        lineage(&self.table(META)?)
    }

    /// Since when what the charter in force names stands as it does.
    pub fn ages(&self) -> Result<Ages, StoreError> {
        ages(&self.table(META)?)
    }

    /// A version of the charter.
    pub fn charter(&self, version: CharterHash) -> Result<Option<CharterRow>, StoreError> {
        let charters = self.table(CHARTERS)?;
        ok(charters.get(version.as_bytes()))?.map(|bytes| decode("charters", bytes.value())).transpose()
    }

    /// The banned peers.
    pub fn bans(&self) -> Result<Vec<(String, BanRow)>, StoreError> {
        let bans = self.table(BANS)?;
        ok(bans.iter())?
            .map(|entry| {
                let (peer, bytes) = ok(entry)?;
                Ok((peer.value().to_owned(), decode("bans", bytes.value())?))
            })
            .collect()
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}
