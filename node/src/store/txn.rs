//! The state inside one write transaction: what operations of the writer see and change.

use std::collections::BTreeMap;

use limen_policy::succession::{Ages, Lineage};
use limen_wire::ids::{CharterHash, Epoch, IntentId, KeyId, NodeId, SessionId};
use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::journal::{Event, Head, Record};
use super::rows::{
    BanRow, CharterRow, ClaimKey, IntentRow, KeyRow, Sequence, Tally, decode, encode, meter_name, share_name,
    share_prefix, stop_name,
};
use super::schema::{
    AHEAD, AUTOMATIC, BACKUP_FILES, BACKUPS, BANS, CERTIFICATES, CHARTERS, CLAIMS, CURSORS, DENIALS, DRILLS,
    EARLY_LIFTERS, FREEZES, INTENT_IDS, INTENTS, JOURNAL, KEYS, LEDGERS, LIFTED, LOG, LOG_LEAVES, LOG_TILES, META,
    META_AGES, META_HEAD, META_IN_FORCE, META_LINEAGE, META_UPTIME, METERS, PENDING_LEAVES, PROMISES, REMEMBERED,
    SESSIONS, SHARES, STOP_IDS, STOP_LOG, STOPS, TALLIES, TOMBSTONES, chunk_of,
};
use super::{Draw, StoreError, view};
use crate::clock::{Millis, Uptime};
use crate::guard::{InForce, Meter};

/// Open tables of a write transaction. Changes of an operation become durable together with its record, or not at all.
pub struct Txn<'t> {
    pub(super) meta: Table<'t, &'static str, &'static [u8]>,
    pub(super) journal: Table<'t, u64, &'static [u8]>,
    pub(super) intents: Table<'t, u64, &'static [u8]>,
    dead: Table<'t, u64, &'static [u8]>,
    pub(super) intent_ids: Table<'t, &'static [u8; 16], u64>,
    pub(super) claims: Table<'t, &'static [u8; 16], u64>,
    pub(super) sessions: Table<'t, &'static [u8; 16], u64>,
    keys: Table<'t, &'static str, &'static [u8]>,
    shares: Table<'t, &'static str, &'static [u8]>,
    pub(super) backups: Table<'t, (&'static str, u64), &'static [u8]>,
    pub(super) backup_files: Table<'t, (&'static str, u64), &'static [u8]>,
    pub(super) drills: Table<'t, &'static str, &'static [u8]>,
    pub(super) stops: Table<'t, &'static [u8; 32], &'static [u8]>,
    tallies: Table<'t, &'static str, u64>,
    meters: Table<'t, &'static [u8; 32], &'static [u8]>,
    charters: Table<'t, &'static [u8; 32], &'static [u8]>,
    bans: Table<'t, &'static str, &'static [u8]>,
    pub(super) stop_log: Table<'t, u64, &'static [u8]>,
    pub(super) stop_ids: Table<'t, &'static [u8; 32], u64>,
    pub(super) freezes: Table<'t, &'static [u8; 32], &'static [u8]>,
    pub(super) lifted: Table<'t, &'static str, &'static [u8]>,
    pub(super) early_lifters: Table<'t, &'static [u8; 32], &'static [u8]>,
    pub(super) ahead: Table<'t, &'static [u8; 32], &'static [u8]>,
    pub(super) cursors: Table<'t, &'static str, &'static [u8]>,
    pub(super) ledgers: Table<'t, &'static str, &'static [u8]>,
    pub(super) certificates: Table<'t, (&'static str, u64), &'static [u8]>,
    pub(super) promises: Table<'t, (&'static str, u64), &'static [u8]>,
    pub(super) remembered: Table<'t, &'static str, &'static [u8]>,
    pub(super) log: Table<'t, u64, &'static [u8]>,
    pub(super) log_tiles: Table<'t, (u8, u64), &'static [u8]>,
    pub(super) log_leaves: Table<'t, &'static [u8; 32], u64>,
    pub(super) pending_leaves: Table<'t, u64, &'static [u8]>,
    pub(super) denials: Table<'t, &'static str, &'static [u8]>,
    pub(super) automatic: Table<'t, &'static str, &'static [u8]>,
    head: Head,
    draw: &'t Draw,
}

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

impl<'t> Txn<'t> {
    pub(super) fn new(write: &'t WriteTransaction, head: Head, draw: &'t Draw) -> Result<Self, StoreError> {
        macro_rules! open {
            ($table:ident) => {
                write.open_table($table).map_err(StoreError::engine)?
            };
        }
        Ok(Self {
            meta: open!(META),
            journal: open!(JOURNAL),
            intents: open!(INTENTS),
            dead: open!(TOMBSTONES),
            intent_ids: open!(INTENT_IDS),
            claims: open!(CLAIMS),
            sessions: open!(SESSIONS),
            keys: open!(KEYS),
            shares: open!(SHARES),
            backups: open!(BACKUPS),
            backup_files: open!(BACKUP_FILES),
            drills: open!(DRILLS),
            stops: open!(STOPS),
            tallies: open!(TALLIES),
            meters: open!(METERS),
            charters: open!(CHARTERS),
            bans: open!(BANS),
            stop_log: open!(STOP_LOG),
            stop_ids: open!(STOP_IDS),
            freezes: open!(FREEZES),
            lifted: open!(LIFTED),
            early_lifters: open!(EARLY_LIFTERS),
            ahead: open!(AHEAD),
            cursors: open!(CURSORS),
            ledgers: open!(LEDGERS),
            certificates: open!(CERTIFICATES),
            promises: open!(PROMISES),
            remembered: open!(REMEMBERED),
            log: open!(LOG),
            log_tiles: open!(LOG_TILES),
            log_leaves: open!(LOG_LEAVES),
            pending_leaves: open!(PENDING_LEAVES),
            denials: open!(DENIALS),
            automatic: open!(AUTOMATIC),
            head,
            draw,
        })
    }

    pub(super) fn finish(mut self) -> Result<Head, StoreError> {
        let bytes = self.head.to_bytes();
        ok(self.meta.insert(META_HEAD, &bytes[..]))?;
        Ok(self.head)
    }

    /// 32 random bytes: a name that nobody knew before.
    pub fn draw(&self) -> [u8; 32] {
        (self.draw)()
    }

    /// Appends a record to the journal.
    pub fn append(&mut self, at: Millis, event: Event) -> Result<(), StoreError> {
        let bytes = encode(&Record { at_ms: at.0, event })?;
        ok(self.journal.insert(self.head.length, bytes.as_slice()))?;
        self.head = self.head.after(&bytes);
        Ok(())
    }

    /// The journal's head with everything of this transaction so far.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// An intent and its place in the order of first sight.
    pub fn intent(&self, id: &IntentId) -> Result<Option<(Sequence, IntentRow)>, StoreError> {
        view::intent(&self.intent_ids, &self.intents, &self.dead, id)
    }

    /// The intent at a place in the order of first sight.
    pub fn intent_at(&self, sequence: Sequence) -> Result<Option<IntentRow>, StoreError> {
        view::intent_at(&self.intents, &self.dead, sequence)
    }

    /// Adds an intent at the end of the order of first sight.
    pub fn add_intent(&mut self, row: &IntentRow) -> Result<Sequence, StoreError> {
        let sequence = view::last_sequence(&self.intents, &self.dead)?.saturating_add(1);
        ok(self.intent_ids.insert(&ClaimKey::intent(&row.intent_id()), sequence))?;
        self.put_intent(sequence, row)?;
        Ok(sequence)
    }

    /// Replaces an intent's row. A tombstone stays one.
    pub fn put_intent(&mut self, sequence: Sequence, row: &IntentRow) -> Result<(), StoreError> {
        if row.live.is_some() {
            return ok(self.intents.insert(sequence, encode(row)?.as_slice())).map(drop);
        }
        self.bury(sequence, row)
    }

    /// Puts a tombstone in its place; those before it are there already, because compaction goes in order.
    fn bury(&mut self, sequence: Sequence, row: &IntentRow) -> Result<(), StoreError> {
        let (chunk, place) = chunk_of(sequence);
        let mut rows = view::tombstones(&self.dead, chunk)?;
        let next = rows.len() == place;
        match rows.get_mut(place) {
            Some(old) => *old = row.clone(),
            None if next => rows.push(row.clone()),
            None => return Err(StoreError::damaged(format!("intent {sequence} was to be compacted out of turn"))),
        }
        ok(self.dead.insert(chunk, encode(&rows)?.as_slice()))?;
        ok(self.intents.remove(sequence)).map(drop)
    }

    /// Who holds a claim.
    pub fn claim(&self, key: ClaimKey) -> Result<Option<Sequence>, StoreError> {
        Ok(ok(self.claims.get(&key.0))?.map(|sequence| sequence.value()))
    }

    /// Gives a claim to an intent, also if another held it: whether that may be was the guard's question.
    pub fn put_claim(&mut self, key: ClaimKey, holder: Sequence) -> Result<(), StoreError> {
        ok(self.claims.insert(&key.0, holder)).map(drop)
    }

    /// Whether a session of this name was ever started here.
    pub fn session_seen(&self, session: &SessionId) -> Result<bool, StoreError> {
        Ok(ok(self.sessions.get(&ClaimKey::session(session.as_bytes())))?.is_some())
    }

    /// Notes a session for ever (for sessions of an intent: until the intent has shrunk to a tombstone).
    pub fn put_session(&mut self, session: &SessionId, intent: Sequence) -> Result<(), StoreError> {
        ok(self.sessions.insert(&ClaimKey::session(session.as_bytes()), intent)).map(drop)
    }

    /// A key.
    pub fn key(&self, key: &KeyId) -> Result<Option<KeyRow>, StoreError> {
        view::row("keys", &self.keys, key.as_str())
    }

    /// How many names of keys are taken.
    pub fn key_names(&self) -> Result<usize, StoreError> {
        Ok(usize::try_from(ok(self.keys.len())?).unwrap_or(usize::MAX))
    }

    /// Replaces a key's row.
    pub fn put_key(&mut self, key: &KeyId, row: &KeyRow) -> Result<(), StoreError> {
        ok(self.keys.insert(key.as_str(), encode(row)?.as_slice())).map(drop)
    }

    /// Writes a sealed record; there must be none of that name.
    pub fn put_share(&mut self, key: &KeyId, epoch: Epoch, purpose: &str, sealed: &[u8]) -> Result<(), StoreError> {
        ok(self.shares.insert(share_name(key, epoch, purpose).as_str(), sealed)).map(drop)
    }

    /// Erases a sealed record, if it is there.
    pub fn remove_share(&mut self, key: &KeyId, epoch: Epoch, purpose: &str) -> Result<(), StoreError> {
        ok(self.shares.remove(share_name(key, epoch, purpose).as_str())).map(drop)
    }

    /// Erases every sealed record of a key.
    pub fn remove_shares_of(&mut self, key: &KeyId) -> Result<(), StoreError> {
        let prefix = share_prefix(key);
        ok(self.shares.retain(|name, _| !name.starts_with(&prefix)))
    }

    /// A value of the store's own, such as the wrapped sealing key.
    pub fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(ok(self.meta.get(name))?.map(|value| value.value().to_vec()))
    }

    /// Sets a value of the store's own.
    pub fn put_meta(&mut self, name: &'static str, value: &[u8]) -> Result<(), StoreError> {
        ok(self.meta.insert(name, value)).map(drop)
    }

    /// How the versions of the charter follow one another here.
    pub fn lineage(&self) -> Result<Lineage, StoreError> {
        let lineage = view::lineage(&self.meta)?;
        lineage.ok_or_else(|| StoreError::damaged("no charter is pinned"))
    }

    /// Replaces it, and with it what is in force.
    pub fn put_lineage(&mut self, lineage: &Lineage) -> Result<(), StoreError> {
        ok(self.meta.insert(META_LINEAGE, encode(lineage)?.as_slice()))?;
        // Whether there is a fork is no matter of time.
        let fork = lineage.outlook(0).fork;
        let bytes = [Some(lineage.in_force()), fork].into_iter().flatten().flat_map(|hash| *hash.as_bytes());
        ok(self.meta.insert(META_IN_FORCE, bytes.collect::<Vec<u8>>().as_slice())).map(drop)
    }

    /// Since when what the charter in force names stands as it does.
    pub fn ages(&self) -> Result<Ages, StoreError> {
        view::ages(&self.meta)
    }

    /// Replaces it.
    pub fn put_ages(&mut self, ages: &Ages) -> Result<(), StoreError> {
        ok(self.meta.insert(META_AGES, encode(ages)?.as_slice())).map(drop)
    }

    /// The charter in force.
    pub fn in_force(&self) -> Result<InForce, StoreError> {
        let bytes = ok(self.meta.get(META_IN_FORCE))?.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
        let hashes: Vec<CharterHash> = bytes.chunks(32).filter_map(|hash| CharterHash::from_slice(hash).ok()).collect();
        match hashes.as_slice() {
            [hash] => Ok(InForce { hash: *hash, fork: None }),
            [hash, fork] => Ok(InForce { hash: *hash, fork: Some(*fork) }),
            _ => Err(StoreError::damaged("no charter is pinned")),
        }
    }

    /// A version of the charter.
    pub fn charter(&self, version: CharterHash) -> Result<Option<CharterRow>, StoreError> {
        ok(self.charters.get(version.as_bytes()))?.map(|bytes| decode("charters", bytes.value())).transpose()
    }

    /// Keeps a version of the charter.
    pub fn put_charter(&mut self, version: CharterHash, row: &CharterRow) -> Result<(), StoreError> {
        ok(self.charters.insert(version.as_bytes(), encode(row)?.as_slice())).map(drop)
    }

    /// What of a limit was allowed here for its subject.
    pub fn meter(&self, limit: &str, subject: &str) -> Result<Meter, StoreError> {
        let found = ok(self.meters.get(&meter_name(limit, subject)))?;
        Ok(found.map(|bytes| decode("meters", bytes.value())).transpose()?.unwrap_or_default())
    }
    /// Replaces it.
    pub fn put_meter(&mut self, limit: &str, subject: &str, meter: &Meter) -> Result<(), StoreError> {
        ok(self.meters.insert(&meter_name(limit, subject), encode(meter)?.as_slice())).map(drop)
    }
    /// Makes durable how long this node has been running. Never less than before.
    pub fn put_uptime(&mut self, uptime: Uptime) -> Result<(), StoreError> {
        let before = view::uptime(&self.meta)?;
        ok(self.meta.insert(META_UPTIME, &before.max(uptime).0.to_be_bytes()[..])).map(drop)
    }
    /// Whether a stop record of this requester names the intent.
    pub fn stopped(&self, intent: &IntentId, requester: &str) -> Result<bool, StoreError> {
        Ok(ok(self.stops.get(&stop_name(intent, requester)))?.is_some())
    }

    /// Keeps a requester's stop record.
    pub fn put_stop(&mut self, intent: &IntentId, requester: &str, envelope: &[u8]) -> Result<(), StoreError> {
        ok(self.stops.insert(&stop_name(intent, requester), envelope)).map(drop)
    }

    /// How much is counted for a requester.
    pub fn tally(&self, what: Tally, requester: &str) -> Result<u64, StoreError> {
        Ok(ok(self.tallies.get(what.name(requester).as_str()))?.map_or(0, |count| count.value()))
    }

    /// Counts one more.
    pub fn count_up(&mut self, what: Tally, requester: &str) -> Result<(), StoreError> {
        let count = self.tally(what, requester)?.saturating_add(1);
        ok(self.tallies.insert(what.name(requester).as_str(), count)).map(drop)
    }

    /// Counts one less.
    pub fn count_down(&mut self, what: Tally, requester: &str) -> Result<(), StoreError> {
        let count = self.tally(what, requester)?.saturating_sub(1);
        ok(self.tallies.insert(what.name(requester).as_str(), count)).map(drop)
    }

    /// Why a peer is banned, if it is.
    pub fn ban(&self, peer: &NodeId) -> Result<Option<BanRow>, StoreError> {
        ok(self.bans.get(peer.as_str()))?.map(|bytes| decode("bans", bytes.value())).transpose()
    }

    /// Of each key the highest epoch for which anything may have been made here.
    pub fn newest_epochs(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        ok(self.keys.iter())?
            .map(|entry| {
                let (name, bytes) = ok(entry)?;
                let row: KeyRow = decode("keys", bytes.value())?;
                Ok((name.value().to_owned(), row.newest_epoch().0))
            })
            .collect()
    }

    /// Bans a peer.
    pub fn put_ban(&mut self, peer: &NodeId, row: &BanRow) -> Result<(), StoreError> {
        ok(self.bans.insert(peer.as_str(), encode(row)?.as_slice())).map(drop)
    }
}

impl std::fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Txn({:?})", self.head)
    }
}
