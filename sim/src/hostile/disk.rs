//! A disk in memory that remembers what was not synced yet, so that a power cut can take any part of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::Dice;

const PAGE: usize = 4096;
type Page = Arc<[u8; PAGE]>;

/// The disk. Copies share their content until one of them writes: see [`Disk::copy`]; a clone is the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    length: u64,
    pages: BTreeMap<u64, Page>,
    /// The disk as it was at the last sync, and what was written since.
    synced: BTreeMap<u64, Page>,
    since: Vec<(u64, Vec<u8>)>,
}

fn write(pages: &mut BTreeMap<u64, Page>, offset: u64, data: &[u8]) {
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let (number, start) = (at / PAGE as u64, usize::try_from(at % PAGE as u64).unwrap_or(0));
        let (now, later) = rest.split_at(rest.len().min(PAGE - start));
        let page = Arc::make_mut(pages.entry(number).or_insert_with(|| Arc::new([0; PAGE])));
        page[start..start + now.len()].copy_from_slice(now);
        (at, rest) = (at + now.len() as u64, later);
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Another disk with what was synced.
    pub(crate) fn synced(&self) -> Self {
        let state = self.state();
        let (length, synced) = (state.length, state.synced.clone());
        Self(Arc::new(Mutex::new(State { length, pages: synced.clone(), synced, since: Vec::new() })))
    }

    /// What is left after a power cut: everything synced, and any part of the rest.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let state = self.state();
        let mut pages = state.synced.clone();
        for (offset, data) in &state.since {
            if dice.chance(500) {
                write(&mut pages, *offset, data);
            }
        }
        let (length, synced) = (state.length, pages.clone());
        Self(Arc::new(Mutex::new(State { length, pages, synced, since: Vec::new() })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state();
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            let (number, start) = (at / PAGE as u64, usize::try_from(at % PAGE as u64).unwrap_or(0));
            let take = rest.len().min(PAGE - start);
            let (now, later) = rest.split_at_mut(take);
            match state.pages.get(&number) {
                Some(page) => now.copy_from_slice(&page[start..start + take]),
                None => now.fill(0),
            }
            (at, rest) = (at + take as u64, later);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut state = self.state();
        state.length = length;
        state.pages.retain(|page, _| page * (PAGE as u64) < length);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state();
        let since = std::mem::take(&mut state.since);
        for (offset, data) in since {
            write(&mut state.synced, offset, &data);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state();
        write(&mut state.pages, offset, data);
        state.since.push((offset, data.to_vec()));
        Ok(())
    }
}
