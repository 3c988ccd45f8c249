//! A disk in memory that loses power at a chosen flush.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;
use tokio_util::sync::CancellationToken;

/// On which side of the flush the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

#[derive(Debug, Default)]
struct State {
    written: Vec<u8>,
    durable: Vec<u8>,
    flushes: u64,
    crash: Option<(u64, Moment)>,
    dead: bool,
}

/// What is written is lost in a crash unless it was flushed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    /// Cancelled in the moment of the crash.
    pub(crate) crashed: CancellationToken,
}

impl Disk {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dead {
            return Err(io::Error::other("no power"));
        }
        act(&mut state)
    }

    /// Loses power at the flush this many from now, counted from 1.
    pub(crate) fn crash_in(&self, flushes: u64, moment: Moment) {
        let mut state = self.state.lock().unwrap();
        state.crash = Some((state.flushes + flushes, moment));
    }

    /// What a new start finds.
    pub(crate) fn after_crash(&self) -> Self {
        let durable = self.state.lock().unwrap().durable.clone();
        let state = State { written: durable.clone(), durable, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), crashed: CancellationToken::new() }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.written.len() as u64))
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let start = usize::try_from(offset).unwrap();
            out.copy_from_slice(&state.written[start..start + out.len()]);
            Ok(())
        })
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            state.written.resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        })
    }
    fn sync_data(&self) -> io::Result<()> {
        let crashed = self.crashed.clone();
        self.with(|state| {
            state.flushes += 1;
            let crash = state.crash.filter(|(at, _)| *at == state.flushes).map(|(_, moment)| moment);
            if crash != Some(Moment::Before) {
                state.durable = state.written.clone();
            }
            if crash.is_some() {
                state.dead = true;
                crashed.cancel();
            }
            if crash == Some(Moment::Before) { Err(io::Error::other("no power")) } else { Ok(()) }
        })
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let start = usize::try_from(offset).unwrap();
            state.written[start..start + data.len()].copy_from_slice(data);
            Ok(())
        })
    }
}
