//! Rebuilding the books from what the signers remember, after the coordinator's disk is lost.
//!
//! An empty store asks every signer for its keys and intents before it serves anyone. Each signer has a reader of its own
//! that goes on, page by page, until it has seen everything; nobody waits for a slow one longer than the patience lasts.
//! A request with a signature is signed; one that some signer has allowed may have been signed and goes on asking; signers
//! repeat their decision and never make a second effect.
//!
//! Signers are believed no more than clients: what they show is checked as if its requester had just handed it in.

mod keys;
mod reader;
mod requests;

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;

use crate::context::Core;
use crate::store::StoreError;
use reader::{End, Reader};

/// Whoever holds it takes over alone.
type Books = Arc<Mutex<()>>;

/// Starts a reader for every signer that has not been read since the store was empty. Returns when all have ended or
/// patience is over and one signer at least has been read whole; the others go on. Nothing is taken over while the guard
/// is held.
pub(crate) async fn first(core: &Arc<Core>) -> Result<OwnedMutexGuard<()>, StoreError> {
    let books = Books::default();
    let patience = tokio::time::Instant::now() + core.timing.rebuild_patience;
    let known = core.store.signers_read()?;
    let unread = core.signers.all().iter().filter(|signer| !known.contains(&signer.node.to_string()));
    let mut readers = keys_first(core, &books, unread.map(|signer| Reader::new(Arc::clone(signer))).collect()).await?;
    let (mut left, mut read) = (readers.len(), core.signers.all().len().saturating_sub(readers.len()));
    let (ends, mut ended) = mpsc::channel(left.max(1));
    for reader in readers.drain(..) {
        let (core, books, ends) = (Arc::clone(core), Arc::clone(&books), ends.clone());
        core.clone().tasks.spawn(async move {
            let stop = core.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                end = reader.run(&core, &books) => drop(ends.send(end).await),
            }
        });
    }
    drop(ends);
    let mut over = false;
    while left > 0 && !(over && read > 0) {
        tokio::select! {
            () = core.stop.cancelled() => break,
            () = tokio::time::sleep_until(patience), if !over => over = true,
            end = ended.recv() => match end.transpose()? {
                Some(End::Read) => (left, read) = (left.saturating_sub(1), read.saturating_add(1)),
                Some(End::GivenUp) => left = left.saturating_sub(1),
                None => break,
            },
        }
    }
    Ok(books.lock_owned().await)
}

/// Requests need their keys, and any signer may be the one that has a key's certificate.
async fn keys_first(core: &Arc<Core>, books: &Books, readers: Vec<Reader>) -> Result<Vec<Reader>, StoreError> {
    let mut calls = JoinSet::new();
    for mut reader in readers {
        let (core, books) = (Arc::clone(core), Arc::clone(books));
        calls.spawn(async move { reader.keys(&core, &books).await.map(|()| reader) });
    }
    let mut readers = Vec::new();
    while let Some(reader) = calls.join_next().await {
        match reader {
            Ok(reader) => readers.push(reader?),
            // It panicked, which is not caught: nothing is left to be read here.
            Err(_) => return Err(StoreError::Stopped),
        }
    }
    Ok(readers)
}
