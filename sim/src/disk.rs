//! A disk that fails on order: what is written and what is durable are held apart, and a plan says what goes wrong when.
//!
//! What redb asks of a disk is four operations; three of them change it: write, set the length, sync. They are counted from
//! 1 in the order in which they come. Until a sync has succeeded, any part of what was written may survive a power cut, in any
//! order, and of a write any of its sectors; so may any change of length. A failed sync loses what it was for, although
//! reading still shows it, as file systems do (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC
//! 2020). Everything random comes from a seed.

mod fault;
mod image;
mod tape;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::Dice;
pub use fault::{Fault, Kind};
pub use image::{Image, SECTOR};
pub use tape::{Moment, Tape};

/// One operation that changes a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Bytes at an offset.
    Write(u64, Arc<[u8]>),
    /// Another length.
    Length(u64),
}

/// The disk. A clone is the same disk; [`Disk::copy`] makes another one.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What reading shows.
    seen: Image,
    durable: Image,
    since: Vec<Change>,
    /// Operations so far.
    count: u64,
    fault: Option<Fault>,
    /// The fault has shown itself.
    struck: bool,
    tape: Option<Arc<Mutex<Tape>>>,
}

/// What is left of changes that were not synced, each whole, in part, or not at all.
fn leftover(durable: &Image, since: &[Change], dice: &mut Dice) -> Image {
    let mut image = durable.clone();
    // Mostly a mixture; sometimes nothing of it or all.
    let keep = [500, 500, 100, 900, 0, 1000][usize::try_from(dice.below(6)).unwrap_or(0)];
    for change in since {
        match change {
            Change::Write(offset, bytes) if dice.chance(keep) => {
                if dice.chance(800) {
                    image.apply(change);
                } else {
                    image.tear(*offset, bytes, dice);
                }
            }
            Change::Length(_) if dice.chance(keep) => image.apply(change),
            _ => {}
        }
    }
    image
}

impl Disk {
    /// A disk that holds this, durably.
    pub fn holding(image: Image) -> Self {
        Self(Arc::new(Mutex::new(State { seen: image.clone(), durable: image, ..State::default() })))
    }

    /// The same content, and from now on every change is recorded.
    pub fn recorded(image: Image) -> (Self, Arc<Mutex<Tape>>) {
        let tape = Arc::new(Mutex::new(Tape::new(image.clone())));
        let disk = Self::holding(image);
        disk.state().tape = Some(Arc::clone(&tape));
        (disk, tape)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something goes wrong from now on, or nothing more.
    pub fn plan(&self, fault: Option<Fault>) {
        let mut state = self.state();
        let count = state.count;
        state.fault = fault.map(|fault| Fault { at: fault.at.saturating_add(count), ..fault });
        state.struck = false;
    }

    /// Whether what was planned has happened.
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().count
    }

    /// What reading shows.
    pub fn seen(&self) -> Image {
        self.state().seen.clone()
    }

    /// What a sync has made durable.
    pub fn durable(&self) -> Image {
        self.state().durable.clone()
    }

    /// Another disk, as this one is, in order.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        let (seen, durable, since) = (state.seen.clone(), state.durable.clone(), state.since.clone());
        Self(Arc::new(Mutex::new(State { seen, durable, since, ..State::default() })))
    }

    /// What a power cut leaves: everything durable, and any part of the rest.
    pub fn after_power_cut(&self, dice: &mut Dice) -> Image {
        let state = self.state();
        leftover(&state.durable, &state.since, dice)
    }

    /// The caller has been told so far that its work is durable.
    pub fn mark(&self) {
        if let Some(tape) = &self.state().tape {
            tape.lock().unwrap_or_else(PoisonError::into_inner).mark();
        }
    }

    /// Counts an operation, and does what the fault asks instead of it.
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state();
        state.count = state.count.saturating_add(1);
        if let Some(fault) = state.fault.clone().filter(|fault| fault.hits(state.count, &change, &state.seen)) {
            state.struck = true;
            if let Some(part) = fault.part(&change) {
                state.take(part);
            }
            return Err(fault.error());
        }
        if let Some(tape) = &state.tape {
            tape.lock().unwrap_or_else(PoisonError::into_inner).change(change.clone());
        }
        state.take(change);
        Ok(())
    }
}

impl State {
    fn take(&mut self, change: Change) {
        self.seen.apply(&change);
        self.since.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.since) {
            self.durable.apply(&change);
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.fault.clone().filter(|fault| fault.hits_reading(state.count)) {
            state.struck = true;
            return Err(fault.error());
        }
        state.seen.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count = state.count.saturating_add(1);
        if let Some(fault) = state.fault.clone().filter(|fault| fault.hits_sync(state.count)) {
            state.struck = true;
            if fault.forgets() {
                // Clean in the cache, absent on the disk: the next sync has nothing to do and succeeds.
                state.since.clear();
            }
            return Err(fault.error());
        }
        if let Some(tape) = &state.tape {
            tape.lock().unwrap_or_else(PoisonError::into_inner).sync();
        }
        state.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, Arc::from(data)))
    }
}
