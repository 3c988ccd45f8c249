//! The signer's durable memory: one redb file, one writer thread, one hash-chained journal.
//!
//! Every change goes through [`Store::write`]: the operation sees the newest state, and its answer is handed out only
//! after the transaction that holds state and journal record together is on disk. A failed write ends the process,
//! because nothing that was promised could be kept any more.

pub mod automatic;
pub mod backups;
pub mod compaction;
mod content;
pub mod drills;
pub mod journal;
mod ledgers;
pub mod log;
mod medium;
pub mod rows;
mod schema;
pub mod stops;
mod txn;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limen_wire::ids::{ClusterId, NodeId};
use redb::{Builder, Database, ReadableDatabase as _, StorageBackend};

pub use medium::Medium;
pub use schema::FORMAT;
pub use txn::Txn;
pub use view::{JournalAt, View};
use writer::Writer;

/// Why the store cannot be used. All but [`StoreError::Busy`] and [`StoreError::Stopped`] end the process.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or read.
    #[error("could not open the store in {path}: {source}")]
    Folder {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the store {path} is in use by another process; one signer runs on one store")]
    InUse {
        /// Where.
        path: String,
    },
    /// It was written by a newer version.
    #[error(
        "the store has format {found}, this program knows up to {known}; run the newer program, formats never go back"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It was written before the first release.
    #[error(
        "the store has format {found}, which no release has written, and this program reads {known}; a development \
         cluster is made anew: give another folder"
    )]
    Unreleased {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It belongs to another node or cluster.
    #[error("the store belongs to {found}, this process is {expected}; give each node a data folder of its own")]
    OtherOwner {
        /// Owner on disk.
        found: String,
        /// Who asks.
        expected: String,
    },
    /// Content that no version of this program writes.
    #[error("the store is damaged: {0}; restore it from the share backup by a ceremony, never from an old copy")]
    Damaged(String),
    /// The engine.
    #[error("the store failed: {0}")]
    Engine(#[from] Box<redb::Error>),
    /// Too many writes wait.
    #[error("the store's queue is full; try again")]
    Busy,
    /// The writer has ended.
    #[error("the store is closed")]
    Stopped,
}

impl StoreError {
    fn engine(error: impl Into<redb::Error>) -> Self {
        Self::Engine(Box::new(error.into()))
    }
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// What a commit did, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct CommitStats {
    /// Operations in the transaction.
    pub operations: usize,
    /// Time that the commit took.
    pub duration: Duration,
}

/// Gives 32 random bytes.
pub type Draw = Box<dyn Fn() -> [u8; 32] + Send>;

/// How the store is opened.
pub struct Options {
    /// Whose it is.
    pub node: NodeId,
    /// In which cluster.
    pub cluster: ClusterId,
    /// Check every page first.
    pub check: bool,
    /// Where it lies: `None` is the file `limen-node.redb` in its folder.
    pub medium: Option<Medium>,
    /// Bytes of pages that are kept in memory at most.
    pub cache: usize,
    /// Random names for what the store's own operations make.
    pub draw: Draw,
    /// Told about each commit.
    pub on_commit: Box<dyn Fn(CommitStats) + Send>,
    /// Called when a write failed: must not return in production.
    pub on_fatal: Box<dyn Fn(&StoreError) + Send>,
}

impl Options {
    /// For a node, with the operating system's randomness and a process abort on failure.
    pub fn new(node: NodeId, cluster: ClusterId) -> Self {
        Self {
            node,
            cluster,
            check: true,
            medium: None,
            cache: 64 << 20,
            draw: Box::new(|| *crate::entropy::random::<32>()),
            on_commit: Box::new(|_| {}),
            on_fatal: Box::new(|error| {
                tracing::error!(%error, "a durable write failed: the process stops here, before anything leaves it");
                std::process::abort()
            }),
        }
    }
}

/// The open store. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    db: Arc<Database>,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens or makes `limen-node.redb` in a folder; the folder is left alone where the options name another medium.
    pub fn open(folder: &Path, mut options: Options) -> Result<Self, StoreError> {
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache).set_check_integrity_on_open(options.check);
        let db = match options.medium.take() {
            Some(medium) => builder.create_with_backend(medium).map_err(StoreError::engine)?,
            None => open_file(folder, &builder, &options)?,
        };
        Self::start(db, options)
    }

    /// Opens or makes a store on a medium of the caller's own: simulations and campaigns bring disks that fail.
    pub fn open_on(medium: impl StorageBackend, mut options: Options) -> Result<Self, StoreError> {
        options.medium = Some(Medium::new(medium));
        Self::open(Path::new(""), options)
    }

    fn start(db: Database, options: Options) -> Result<Self, StoreError> {
        schema::prepare(&db, &options)?;
        let db = Arc::new(db);
        let view = View::new(db.begin_read().map_err(StoreError::engine)?)?;
        let head = view.verify_journal()?;
        drop(view);
        let writer = Writer::spawn(Arc::clone(&db), head, options)?;
        Ok(Self { db, writer: Arc::new(writer) })
    }

    /// Runs an operation on the newest state; resolves once it is durable.
    pub async fn write<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (send, receive) = tokio::sync::oneshot::channel();
        self.writer.push(writer::job(operation, true, move |value| drop(send.send(value))))?;
        receive.await.map_err(|_| StoreError::Stopped)
    }

    /// The same from a plain thread. Must not be called from async code.
    pub fn write_blocking<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.writer.push(writer::job(operation, true, move |value| drop(send.send(value))))?;
        receive.recv().map_err(|_| StoreError::Stopped)
    }

    /// Queues an operation that nobody waits for: it is applied in order and becomes durable with the next commit, at
    /// the latest some milliseconds later.
    pub fn write_later<F>(&self, operation: F) -> Result<(), StoreError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        self.writer.push(writer::job(operation, false, |()| {}))
    }

    /// The newest committed state, unchanging while held.
    pub fn view(&self) -> Result<View, StoreError> {
        View::new(self.db.begin_read().map_err(StoreError::engine)?)
    }
}

/// A new file comes into its place whole: what a power cut leaves of a making is made again, and needs nobody.
fn open_file(folder: &Path, builder: &Builder, options: &Options) -> Result<Database, StoreError> {
    let failed = |source| StoreError::Folder { path: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file: PathBuf = folder.join("limen-node.redb");
    let open = |file: &Path| {
        builder.create(file).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: file.display().to_string() },
            other => StoreError::engine(other),
        })
    };
    if !file.try_exists().map_err(failed)? {
        let beside = folder.join("limen-node.redb.new");
        let db = match open(&beside) {
            Err(StoreError::Engine(_)) if beside.try_exists().map_err(failed)? => {
                std::fs::remove_file(&beside).map_err(failed)?;
                open(&beside)?
            }
            other => other?,
        };
        schema::prepare(&db, options)?;
        drop(db);
        std::fs::rename(&beside, &file).map_err(failed)?;
    }
    let db = open(&file)?;
    // The directory entry of a new file is not durable until its folder is synced.
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(db)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests;
