//! What the coordinator remembers, on disk: requests, keys, and the lists by which they are found.
//!
//! One thread writes. It takes what waits in its queue, commits it in one transaction with an fsync and only then
//! answers, so a hundred requests share one disk flush. Reads go straight to the store and see committed data only.

mod danger;
mod log;
mod open;
mod read;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;
use redb::TableDefinition;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::keys::KeyRecord;
use crate::lifecycle::Record;

pub use danger::{CrashPoint, DangerCrash, Moment};
pub use log::NoteKind;
pub use read::{Filter, Page};
pub use schema::Entry;
pub use writer::Inserted;

/// Requests by intent id.
const REQUESTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("requests");
/// Intent ids by requester and idempotency key, for ever.
const IDEMPOTENCY: TableDefinition<'_, (&str, &str), &[u8; 32]> = TableDefinition::new("idempotency");
/// Intent ids in the order in which they came.
const NUMBERS: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("numbers");
/// Intent ids by the sequence number of their last change: one row a request.
const CHANGES: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("changes");
/// Intent ids of requests that have not ended.
const OPEN: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("open");
/// Keys by name.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Versions, names and counters.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Signers whose memory has been read since this store was empty.
const READ_SIGNERS: TableDefinition<'_, &str, u64> = TableDefinition::new("read_signers");

/// What signers remember of requests whose bytes they no longer hold and nobody has shown yet: by intent id and signer.
const TOMBSTONES: TableDefinition<'_, (&[u8; 32], &str), &[u8]> = TableDefinition::new("tombstones");

const META_SCHEMA: &str = "schema_version";
const META_CLUSTER: &str = "cluster";
const META_NUMBER: &str = "last_number";
const META_SEQUENCE: &str = "last_sequence";
const META_ENDED: &str = "requests_ended";

/// Writes that wait for the writer thread.
const QUEUE: usize = 4096;
/// Changes that a watcher may lag behind before it goes back to the store.
const CHANGE_QUEUE: usize = 1024;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine.
    #[error("the store failed: {0}; check the disk and the file's owner, then start again")]
    Engine(#[from] Box<redb::Error>),
    /// Bytes that are not what was written.
    #[error(
        "the store holds {what} that is not what was written: the disk is damaged; move the file away, and the coordinator rebuilds itself from the signers"
    )]
    Damaged {
        /// What was read.
        what: String,
    },
    /// Written by a newer release.
    #[error(
        "the store has schema version {found}, this release reads {known} and older: start the newer release, or move the file away and let the coordinator rebuild itself from the signers"
    )]
    Newer {
        /// The store's version.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// It belongs to another cluster.
    #[error("the store belongs to another cluster than {cluster}; check `data_dir`")]
    OtherCluster {
        /// The configured cluster.
        cluster: String,
    },
    /// A write failed earlier; nothing is answered any more.
    #[error("the store has stopped after a failed write; start the coordinator again")]
    Stopped,
}

macro_rules! engine_error {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        })*
    };
}
engine_error!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// One change, as watchers get it.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The request and its sequence number.
    pub entry: Arc<Entry>,
}

enum Write {
    Insert(Record, oneshot::Sender<Inserted>),
    Update(Record, oneshot::Sender<Entry>),
    InsertKey(KeyRecord, oneshot::Sender<Result<(), Box<KeyRecord>>>),
    UpdateKey(KeyRecord, oneshot::Sender<()>),
    SignerRead(NodeId, oneshot::Sender<()>),
    Tombstone(IntentId, NodeId, Box<pb::IntentRecord>, oneshot::Sender<()>),
    Log(log::LogWrite, oneshot::Sender<()>),
}

/// The open store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<redb::Database>,
    writes: mpsc::Sender<Write>,
    changes: broadcast::Sender<Changed>,
    failed: CancellationToken,
    danger: Option<DangerCrash>,
}

impl Store {
    /// A store whose process dies at the chosen write: for development only.
    #[must_use]
    pub fn with_danger_crash(mut self, crash: Option<DangerCrash>) -> Self {
        self.danger = crash;
        self
    }

    fn pass(&self, moment: Moment, record: &Record) {
        if let Some(crash) = self.danger {
            crash.pass(moment, record);
        }
    }

    /// Stores a request unless its id or its idempotency key is there already.
    pub async fn insert(&self, record: Record) -> Result<Inserted, StoreError> {
        self.pass(Moment::Before, &record);
        let inserted = self.write(|reply| Write::Insert(record, reply)).await?;
        if let Inserted::New(entry) = &inserted {
            self.pass(Moment::After, &entry.record);
        }
        Ok(inserted)
    }

    /// Stores a request's new state. Each request is written by one task only.
    pub async fn update(&self, record: Record) -> Result<Entry, StoreError> {
        self.pass(Moment::Before, &record);
        let entry = self.write(|reply| Write::Update(record, reply)).await?;
        self.pass(Moment::After, &entry.record);
        Ok(entry)
    }

    /// Stores a key unless its name is taken; then gives back what is there.
    pub async fn insert_key(&self, key: KeyRecord) -> Result<Result<(), Box<KeyRecord>>, StoreError> {
        self.write(|reply| Write::InsertKey(key, reply)).await
    }

    /// Stores a key's new state.
    pub async fn update_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.write(|reply| Write::UpdateKey(key, reply)).await
    }

    /// Notes that everything this signer remembers has been taken over.
    pub async fn signer_read(&self, node: NodeId) -> Result<(), StoreError> {
        self.write(|reply| Write::SignerRead(node, reply)).await
    }

    /// Keeps what a signer remembers of a request whose bytes it no longer holds.
    pub async fn keep_tombstone(&self, id: IntentId, node: NodeId, record: pb::IntentRecord) -> Result<(), StoreError> {
        self.write(|reply| Write::Tombstone(id, node, Box::new(record), reply)).await
    }

    async fn write<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Write) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writes.send(make(reply)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)
    }

    /// Changes from now on, in the order of their sequence numbers.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Resolves when a write has failed: the process must stop.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// The request under this id.
    pub fn request(&self, id: &IntentId) -> Result<Option<Entry>, StoreError> {
        read::request(&self.database, id)
    }
}
