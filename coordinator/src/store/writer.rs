//! The one thread that writes.

use std::sync::Arc;

use redb::{ReadableTable as _, Table, WriteTransaction};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::schema::{decode_key, decode_request, encode_key, encode_request, seal};
use super::{
    CHANGES, Changed, Entry, IDEMPOTENCY, KEYS, META, META_ENDED, META_NUMBER, META_SEQUENCE, NUMBERS, OPEN,
    READ_SIGNERS, REQUESTS, StoreError, TOMBSTONES, Write, log,
};
use crate::keys::KeyRecord;
use crate::lifecycle::Record;

/// Writes that share one commit at most.
const GROUP: usize = 256;

/// What became of a new request.
#[derive(Debug)]
pub enum Inserted {
    /// It is stored.
    New(Box<Entry>),
    /// The same bytes were here before.
    Same(Box<Entry>),
    /// Other bytes hold the requester's idempotency key.
    Taken(Box<Entry>),
}

/// Answers that wait for the commit.
enum Reply {
    Inserted(oneshot::Sender<Inserted>, Inserted),
    Updated(oneshot::Sender<Entry>, Box<Entry>),
    KeyInserted(oneshot::Sender<Result<(), Box<KeyRecord>>>, Result<(), Box<KeyRecord>>),
    Done(oneshot::Sender<()>),
}

pub(super) fn run(
    database: &redb::Database,
    mut queue: mpsc::Receiver<Write>,
    changes: &broadcast::Sender<Changed>,
    failed: &CancellationToken,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        group.clear();
        if queue.blocking_recv_many(&mut group, GROUP) == 0 {
            return;
        }
        match commit(database, group.drain(..)) {
            Ok(replies) => answer(replies, changes),
            Err(error) => {
                // Dropping the queue makes every caller fail; the process stops as soon as it sees the token.
                tracing::error!(%error, "a durable write failed; stopping");
                return failed.cancel();
            }
        }
    }
}

fn answer(replies: Vec<Reply>, changes: &broadcast::Sender<Changed>) {
    for reply in replies {
        let changed = match &reply {
            Reply::Inserted(_, Inserted::New(entry)) => Some(Arc::new(Entry::clone(entry))),
            Reply::Updated(_, entry) => Some(Arc::new(Entry::clone(entry))),
            _ => None,
        };
        // A caller that has gone away does not need its answer; the write stands.
        match reply {
            Reply::Inserted(reply, inserted) => drop(reply.send(inserted)),
            Reply::Updated(reply, entry) => drop(reply.send(*entry)),
            Reply::KeyInserted(reply, result) => drop(reply.send(result)),
            Reply::Done(reply) => drop(reply.send(())),
        }
        if let Some(entry) = changed {
            drop(changes.send(Changed { entry }));
        }
    }
}

fn commit(database: &redb::Database, group: impl Iterator<Item = Write>) -> Result<Vec<Reply>, StoreError> {
    let transaction = database.begin_write()?;
    let replies = {
        let mut tables = Tables::open(&transaction)?;
        let replies = group.map(|write| tables.apply(write)).collect::<Result<Vec<_>, _>>()?;
        tables.save_counters()?;
        replies
    };
    transaction.commit()?;
    Ok(replies)
}

struct Tables<'t> {
    transaction: &'t WriteTransaction,
    requests: Table<'t, &'static [u8; 32], &'static [u8]>,
    idempotency: Table<'t, (&'static str, &'static str), &'static [u8; 32]>,
    numbers: Table<'t, u64, &'static [u8; 32]>,
    changes: Table<'t, u64, &'static [u8; 32]>,
    open: Table<'t, &'static [u8; 32], ()>,
    keys: Table<'t, &'static str, &'static [u8]>,
    meta: Table<'t, &'static str, u64>,
    read_signers: Table<'t, &'static str, u64>,
    tombstones: Table<'t, (&'static [u8; 32], &'static str), &'static [u8]>,
    number: u64,
    sequence: u64,
    ended: u64,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        let meta = transaction.open_table(META)?;
        let counter = |name| meta.get(name).map(|value| value.map_or(0, |value| value.value()));
        let (number, sequence, ended) = (counter(META_NUMBER)?, counter(META_SEQUENCE)?, counter(META_ENDED)?);
        Ok(Self {
            transaction,
            requests: transaction.open_table(REQUESTS)?,
            idempotency: transaction.open_table(IDEMPOTENCY)?,
            numbers: transaction.open_table(NUMBERS)?,
            changes: transaction.open_table(CHANGES)?,
            open: transaction.open_table(OPEN)?,
            keys: transaction.open_table(KEYS)?,
            read_signers: transaction.open_table(READ_SIGNERS)?,
            tombstones: transaction.open_table(TOMBSTONES)?,
            meta,
            number,
            sequence,
            ended,
        })
    }

    fn apply(&mut self, write: Write) -> Result<Reply, StoreError> {
        Ok(match write {
            Write::Insert(record, reply) => Reply::Inserted(reply, self.insert(record)?),
            Write::Update(record, reply) => Reply::Updated(reply, Box::new(self.update(record)?)),
            Write::InsertKey(key, reply) => Reply::KeyInserted(reply, self.insert_key(&key)?),
            Write::UpdateKey(key, reply) => {
                self.keys.insert(key.key_id.as_str(), encode_key(&key).as_slice())?;
                Reply::Done(reply)
            }
            Write::SignerRead(node, reply) => {
                self.read_signers.insert(node.as_str(), 1)?;
                Reply::Done(reply)
            }
            Write::Log(write, reply) => {
                log::apply(self.transaction, write)?;
                Reply::Done(reply)
            }
            Write::Tombstone(id, node, record, reply) => {
                self.tombstones.insert((id.as_bytes(), node.as_str()), seal(&*record).as_slice())?;
                Reply::Done(reply)
            }
        })
    }

    fn stored(&self, id: &[u8; 32]) -> Result<Option<Entry>, StoreError> {
        self.requests.get(id)?.map(|bytes| decode_request(bytes.value())).transpose()
    }

    fn insert(&mut self, record: Record) -> Result<Inserted, StoreError> {
        if let Some(entry) = self.stored(record.id.as_bytes())? {
            return Ok(Inserted::Same(Box::new(entry)));
        }
        let name = (record.requester.as_str(), record.idempotency_key.as_str());
        let holder = self.idempotency.get(name)?.map(|id| *id.value());
        if let Some(entry) = holder.map(|id| self.stored(&id)).transpose()?.flatten() {
            return Ok(Inserted::Taken(Box::new(entry)));
        }
        self.idempotency.insert(name, record.id.as_bytes())?;
        self.forget_tombstones(record.id.as_bytes())?;
        self.number += 1;
        self.numbers.insert(self.number, record.id.as_bytes())?;
        let number = self.number;
        Ok(Inserted::New(Box::new(self.put(record, number, None)?)))
    }

    /// What signers said of the request without its bytes is in its record now.
    fn forget_tombstones(&mut self, id: &[u8; 32]) -> Result<(), StoreError> {
        let told = self.tombstones.range((id, "")..)?;
        let mut nodes = Vec::new();
        for row in told {
            let (key, _) = row?;
            let (of, node) = key.value();
            if of != id {
                break;
            }
            nodes.push(node.to_owned());
        }
        for node in nodes {
            self.tombstones.remove((id, node.as_str()))?;
        }
        Ok(())
    }

    fn update(&mut self, record: Record) -> Result<Entry, StoreError> {
        let before = self.stored(record.id.as_bytes())?;
        let before = before.ok_or_else(|| StoreError::Damaged { what: format!("no request {}", record.id) })?;
        let number = before.number;
        self.put(record, number, Some(&before))
    }

    fn put(&mut self, record: Record, number: u64, before: Option<&Entry>) -> Result<Entry, StoreError> {
        self.sequence += 1;
        if let Some(before) = before {
            self.changes.remove(before.sequence)?;
        }
        let id = *record.id.as_bytes();
        self.changes.insert(self.sequence, &id)?;
        let was_open = before.is_some_and(|before| !before.record.state.is_end());
        match (was_open, record.state.is_end()) {
            (false, false) => drop(self.open.insert(&id, ())?),
            (true, true) => drop(self.open.remove(&id)?),
            _ => {}
        }
        if record.state.is_end() && (was_open || before.is_none()) {
            self.ended += 1;
        }
        let entry = Entry { record, number, sequence: self.sequence };
        self.requests.insert(&id, encode_request(&entry).as_slice())?;
        Ok(entry)
    }

    fn insert_key(&mut self, key: &KeyRecord) -> Result<Result<(), Box<KeyRecord>>, StoreError> {
        let present = self.keys.get(key.key_id.as_str())?.map(|bytes| decode_key(bytes.value())).transpose()?;
        if let Some(present) = present {
            return Ok(Err(Box::new(present)));
        }
        self.keys.insert(key.key_id.as_str(), encode_key(key).as_slice())?;
        Ok(Ok(()))
    }

    fn save_counters(&mut self) -> Result<(), StoreError> {
        self.meta.insert(META_NUMBER, self.number)?;
        self.meta.insert(META_SEQUENCE, self.sequence)?;
        self.meta.insert(META_ENDED, self.ended)?;
        Ok(())
    }
}
