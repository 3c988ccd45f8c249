//! Tables and the format number. A change of meaning raises [`FORMAT`]; a program refuses formats above its own and
//! migrates lower ones step by step, in one transaction, before it does anything else.

use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::{Options, StoreError};

/// The store format that this program writes.
pub const FORMAT: u32 = 15;

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Sequence number → record.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// Order of first sight → intent.
pub(super) const INTENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("intents");
/// Tombstones by chunk of [`CHUNK`] places in the order of first sight: rows of some hundred bytes each, packed so that
/// they fill a page.
pub(super) const TOMBSTONES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("tombstones");
/// First half of the intent id → order of first sight.
pub(super) const INTENT_IDS: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("intent-ids");
/// Idempotency keys and account nonces → order of first sight of the holder.
pub(super) const CLAIMS: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("claims");
/// Sessions ever started here → order of first sight of the intent, 0 for sessions without one.
pub(super) const SESSIONS: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("sessions");
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Sealed share records.
pub(super) const SHARES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("shares");
/// Key and epoch → what is known of the backup of this signer's share.
pub(super) const BACKUPS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("backups");
/// The same → its file, until the share is erased.
pub(super) const BACKUP_FILES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("backup-files");
/// Drill → the last one that was held, by its record.
pub(super) const DRILLS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("drills");
/// Intent and requester → signed cancellation.
pub(super) const STOPS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("stops");
/// What is counted for each requester.
pub(super) const TALLIES: TableDefinition<'_, &str, u64> = TableDefinition::new("tallies");
/// Limit and subject → what was allowed here without a certificate.
pub(super) const METERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("meters");
/// Every stop record in the order in which it was taken, from 0.
pub(super) const STOP_LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("stop-log");
/// Id of a stop record → its place.
pub(super) const STOP_IDS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("stop-ids");
/// Live freezes by id.
pub(super) const FREEZES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("freezes");
/// Scope → ids of its freezes that were lifted.
pub(super) const LIFTED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("lifted");
/// Requester → when its requests were denied that count still.
pub(super) const DENIALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("denials");
/// Requester → this signer's own freeze of it.
pub(super) const AUTOMATIC: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("automatic-freezes");
/// Freeze that has not come yet → who says that it may be lifted.
pub(super) const EARLY_LIFTERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("early-lifters");
/// Intent that has not been seen → what people said against it.
pub(super) const AHEAD: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("verdicts-ahead");
/// Peer → the longest journal that it has shown of itself.
pub(super) const REMEMBERED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("remembered");
/// Peer → how far its stop records have been read.
pub(super) const CURSORS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("cursors");
/// Ledgers that this node keeps.
pub(super) const LEDGERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ledgers");
/// Ledger and number → certificate, as protocol buffer.
pub(super) const CERTIFICATES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("ledger-certificates");
/// Ledger and number → the entry that was acknowledged there and is not certified yet, in its exact bytes.
pub(super) const PROMISES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("ledger-promises");
/// Index → leaf of the evidence log, as this node has cosigned it.
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Level and index → hashes of a tile of the log's tree.
pub(super) const LOG_TILES: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("log-tiles");
/// Hash of a leaf → where it stands in the log.
pub(super) const LOG_LEAVES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("log-leaves");
/// Order in which they were made → own leaves that are not safely in the log.
pub(super) const PENDING_LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("pending-leaves");
pub(super) const BANS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bans");

/// Hash → version of the charter.
pub(super) const CHARTERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("charters");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_OWNER: &str = "owner";
/// Length (8 bytes, big-endian) and head (32 bytes) of the journal.
pub(super) const META_HEAD: &str = "journal-head";
/// The same at the checkpoint: records before it are gone.
pub(super) const META_CHECKPOINT: &str = "journal-checkpoint";
/// Milliseconds that this node has been running, over all boots (8 bytes, big-endian).
pub(super) const META_UPTIME: &str = "uptime";
/// How the versions of the charter follow one another.
pub(super) const META_LINEAGE: &str = "charter-lineage";
/// Hash of the charter in force, and of a sibling that forbids to decide under it, if there is one: 32 or 64 bytes.
pub(super) const META_IN_FORCE: &str = "charter-in-force";
/// Since when what the charter in force names stands as it does.
pub(super) const META_AGES: &str = "charter-ages";
/// From when on the peers' records are to be read anew, in seconds since 1970 (8 bytes, big-endian); absent if nothing waits for that.
pub(super) const META_READ_ANEW: &str = "stops-read-anew";
/// How many freezes this signer has made by itself (8 bytes, big-endian).
pub(super) const META_AUTOMATIC: &str = "automatic-freezes-made";
/// Next order of first sight that compaction looks at.
pub(super) const META_COMPACTED: &str = "compacted-to";

/// Tombstones in one row of their table.
pub(super) const CHUNK: u64 = 32;

/// Chunk and place within it of an intent.
pub(super) const fn chunk_of(sequence: u64) -> (u64, usize) {
    let index = sequence.saturating_sub(1);
    let place = (index % CHUNK) as usize;
    (index / CHUNK, place)
}

/// Makes the tables of a new store, or checks format and owner of an old one.
pub(super) fn prepare(db: &Database, options: &Options) -> Result<(), StoreError> {
    let owner = format!("{}/{}", options.cluster, options.node);
    match read_meta(db)? {
        None => create(db, &owner),
        Some((FORMAT, found)) if found == owner => Ok(()),
        Some((FORMAT, found)) => Err(StoreError::OtherOwner { found, expected: owner }),
        Some((found, _)) if found > FORMAT => Err(StoreError::Newer { found, known: FORMAT }),
        Some((found, _)) => Err(StoreError::Unreleased { found, known: FORMAT }),
    }
}

fn read_meta(db: &Database) -> Result<Option<(u32, String)>, StoreError> {
    let txn = db.begin_read().map_err(StoreError::engine)?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(StoreError::engine(error)),
    };
    let format = meta.get(META_FORMAT).map_err(StoreError::engine)?;
    let format = format.and_then(|bytes| <[u8; 4]>::try_from(bytes.value()).ok()).map(u32::from_be_bytes);
    let format = format.ok_or_else(|| StoreError::damaged("it has no format number"))?;
    let owner = meta.get(META_OWNER).map_err(StoreError::engine)?;
    let owner = owner.map(|owner| String::from_utf8_lossy(owner.value()).into_owned()).unwrap_or_default();
    Ok(Some((format, owner)))
}

fn create(db: &Database, owner: &str) -> Result<(), StoreError> {
    let txn = db.begin_write().map_err(StoreError::engine)?;
    {
        let mut meta = txn.open_table(META).map_err(StoreError::engine)?;
        let put = |meta: &mut redb::Table<'_, &'static str, &'static [u8]>, key, value: &[u8]| {
            meta.insert(key, value).map(drop).map_err(StoreError::engine)
        };
        put(&mut meta, META_FORMAT, &FORMAT.to_be_bytes())?;
        put(&mut meta, META_OWNER, owner.as_bytes())?;
        put(&mut meta, META_HEAD, &[0; 40])?;
        put(&mut meta, META_CHECKPOINT, &[0; 40])?;
        put(&mut meta, META_UPTIME, &0u64.to_be_bytes())?;
        put(&mut meta, META_COMPACTED, &1u64.to_be_bytes())?;
    }
    macro_rules! make {
        ($($table:ident)*) => { $(txn.open_table($table).map_err(StoreError::engine)?;)* };
    }
    make!(JOURNAL INTENTS TOMBSTONES INTENT_IDS CLAIMS SESSIONS KEYS SHARES STOPS TALLIES METERS BANS CHARTERS);
    make!(STOP_LOG STOP_IDS FREEZES LIFTED EARLY_LIFTERS AHEAD CURSORS REMEMBERED DENIALS AUTOMATIC);
    make!(LEDGERS CERTIFICATES PROMISES BACKUPS BACKUP_FILES DRILLS);
    make!(LOG LOG_TILES LOG_LEAVES PENDING_LEAVES);
    txn.commit().map_err(StoreError::engine)
}
