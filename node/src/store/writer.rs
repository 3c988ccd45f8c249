//! One thread that owns all writing, with group commit: what waits when a commit begins is in it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, Durability};

use super::journal::Head;
use super::{CommitStats, Draw, Options, StoreError, Txn};

/// Writes that may wait; more are refused as busy.
const QUEUE: usize = 4096;
/// Operations in one transaction.
const BATCH: usize = 512;
/// How long operations that nobody waits for may wait for company.
const LAZY: Duration = Duration::from_millis(20);

type Reply = Box<dyn FnOnce() + Send>;
type Operation = Box<dyn FnOnce(&mut Txn<'_>) -> Result<Reply, StoreError> + Send>;

/// One queued operation.
pub(super) struct Job {
    operation: Operation,
    urgent: bool,
}

/// Wraps an operation and what becomes of its value once that is durable.
pub(super) fn job<T: Send + 'static>(
    operation: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    urgent: bool,
    reply: impl FnOnce(T) + Send + 'static,
) -> Job {
    let operation: Operation = Box::new(move |txn| {
        let value = operation(txn)?;
        Ok(Box::new(move || reply(value)))
    });
    Job { operation, urgent }
}

pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn spawn(db: Arc<Database>, head: Head, options: Options) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let run = move || {
            if let Err(error) = run(&db, &jobs, head, &options) {
                (options.on_fatal)(&error);
            }
        };
        let thread = std::thread::Builder::new().name("limen-store".to_owned()).spawn(run);
        let thread = thread.map_err(|source| StoreError::Folder { path: "writer thread".to_owned(), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) fn push(&self, job: Job) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped)?;
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has already ended the process or lost its queue; there is nothing left to save.
            drop(thread.join());
        }
    }
}

fn run(db: &Database, jobs: &Receiver<Job>, mut head: Head, options: &Options) -> Result<(), StoreError> {
    while let Some(batch) = collect(jobs) {
        let operations = batch.len();
        let timing = |duration| (options.on_commit)(CommitStats { operations, duration });
        let (replies, next) = commit(db, batch, (head, &options.draw), timing)?;
        head = next;
        replies.into_iter().for_each(|reply| reply());
    }
    Ok(())
}

/// Waits for work; `None` once the store is closed and the queue empty.
fn collect(jobs: &Receiver<Job>) -> Option<Vec<Job>> {
    let first = jobs.recv().ok()?;
    let started = Instant::now();
    let mut urgent = first.urgent;
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let next =
            if urgent { jobs.try_recv().ok() } else { jobs.recv_timeout(LAZY.saturating_sub(started.elapsed())).ok() };
        let Some(job) = next else { break };
        urgent |= job.urgent;
        batch.push(job);
    }
    Some(batch)
}

/// Applies a batch and makes it durable. Nothing is answered before this returns.
fn commit(
    db: &Database,
    batch: Vec<Job>,
    (head, draw): (Head, &Draw),
    timing: impl FnOnce(Duration),
) -> Result<(Vec<Reply>, Head), StoreError> {
    let mut write = db.begin_write().map_err(StoreError::engine)?;
    write.set_durability(Durability::Immediate).map_err(StoreError::engine)?;
    // The new root is durable before anything points at it, so that after a crash one bit that has turned over in it is damage,
    // not a reason to take the commit before for the last one.
    write.set_two_phase_commit(true);
    let mut replies = Vec::with_capacity(batch.len());
    let head = {
        let mut txn = Txn::new(&write, head, draw)?;
        for job in batch {
            replies.push((job.operation)(&mut txn)?);
        }
        txn.finish()?
    };
    let started = Instant::now();
    write.commit().map_err(StoreError::engine)?;
    timing(started.elapsed());
    Ok((replies, head))
}
