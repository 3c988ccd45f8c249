//! Opening the file: versions first.

use std::path::Path;
use std::sync::Arc;

use limen_wire::ids::{ClusterId, tagged_hash};
use redb::ReadableTable as _;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::schema::SCHEMA_VERSION;
use super::{
    CHANGE_QUEUE, CHANGES, IDEMPOTENCY, KEYS, META, META_CLUSTER, META_SCHEMA, NUMBERS, OPEN, QUEUE, READ_SIGNERS,
    REQUESTS, Store, StoreError, TOMBSTONES, log, writer,
};

impl Store {
    /// Opens or creates the store and starts its writer thread, which ends with the last clone of the store.
    pub fn open(path: &Path, cluster: &ClusterId) -> Result<Self, StoreError> {
        Self::start(redb::Database::create(path)?, cluster)
    }

    /// Opens a store that lies elsewhere than in a file, for example on a disk that tests can break.
    pub fn open_backend(backend: impl redb::StorageBackend, cluster: &ClusterId) -> Result<Self, StoreError> {
        Self::start(redb::Database::builder().create_with_backend(backend)?, cluster)
    }

    fn start(database: redb::Database, cluster: &ClusterId) -> Result<Self, StoreError> {
        prepare(&database, cluster)?;
        let database = Arc::new(database);
        let (writes, queue) = mpsc::channel(QUEUE);
        let (changes, _) = broadcast::channel(CHANGE_QUEUE);
        let store = Self {
            database: Arc::clone(&database),
            writes,
            changes: changes.clone(),
            failed: CancellationToken::new(),
            danger: None,
        };
        let failed = store.failed.clone();
        let run = move || writer::run(&database, queue, &changes, &failed);
        let spawned = std::thread::Builder::new().name("store-writer".to_owned()).spawn(run);
        spawned.map_err(|error| StoreError::Engine(Box::new(redb::Error::Io(error))))?;
        Ok(store)
    }
}

fn prepare(database: &redb::Database, cluster: &ClusterId) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(META_SCHEMA)?.map(|version| version.value());
        match found {
            None => drop(meta.insert(META_SCHEMA, SCHEMA_VERSION)?),
            Some(found) if found > SCHEMA_VERSION => {
                return Err(StoreError::Newer { found, known: SCHEMA_VERSION });
            }
            // Version 2 only added fields, whose absence in older records says what was true then.
            Some(found) if found < SCHEMA_VERSION => drop(meta.insert(META_SCHEMA, SCHEMA_VERSION)?),
            Some(_) => {}
        }
        let name = cluster_number(cluster);
        let stored = meta.get(META_CLUSTER)?.map(|stored| stored.value());
        match stored {
            None => drop(meta.insert(META_CLUSTER, name)?),
            Some(stored) if stored != name => {
                return Err(StoreError::OtherCluster { cluster: cluster.to_string() });
            }
            Some(_) => {}
        }
        transaction.open_table(REQUESTS)?;
        transaction.open_table(IDEMPOTENCY)?;
        transaction.open_table(NUMBERS)?;
        transaction.open_table(CHANGES)?;
        transaction.open_table(OPEN)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(READ_SIGNERS)?;
        transaction.open_table(TOMBSTONES)?;
        log::prepare(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}

fn cluster_number(cluster: &ClusterId) -> u64 {
    let hash = tagged_hash("limen coordinator store", [cluster.as_str().as_bytes()]);
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
