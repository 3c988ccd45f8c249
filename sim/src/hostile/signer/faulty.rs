//! A signer whose disk fails: what it had promised before, and what it must still know afterwards.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use limen_node::decisions::Decisions;
use limen_node::guard::SignToken;
use limen_node::store::journal::Head;
use limen_node::store::{JournalAt, StoreError, View};
use limen_wire::ids::{IntentId, NodeId, SessionId};

use super::Signer;
use crate::Dice;
use crate::disk::{Disk, Fault, Image, Kind, Tape};

/// Every disk of every signer that was recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Tapes>>);

type Tapes = Vec<(NodeId, Arc<Mutex<Tape>>)>;

impl Recording {
    /// All tapes, in the order in which their disks were put in.
    pub(crate) fn tapes(&self) -> Vec<(NodeId, Tape)> {
        let tapes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |(node, tape): &(NodeId, Arc<Mutex<Tape>>)| {
            (node.clone(), tape.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        tapes.iter().map(copy).collect()
    }
}

/// What goes wrong once with a signer's disks, counted over all that it gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faulty {
    fault: Option<Fault>,
    before: u64,
}

/// What a signer has let go, and its journal when it last answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promised {
    allowed: Vec<(IntentId, SessionId)>,
    head: Option<Head>,
}

impl Signer {
    /// Every change of its disks is recorded from now on.
    pub(crate) fn record(&mut self, recording: &Recording) {
        self.recording = Some(recording.clone());
        self.insert(self.disk.seen());
    }

    /// Puts another disk in. What is still to go wrong goes wrong there.
    pub(crate) fn insert(&mut self, image: Image) {
        self.faulty.before += self.disk.operations();
        if self.disk.struck() {
            self.faulty.fault = None;
        }
        self.disk = match &self.recording {
            None => Disk::holding(image),
            Some(Recording(tapes)) => {
                let (disk, tape) = Disk::recorded(image);
                tapes.lock().unwrap_or_else(PoisonError::into_inner).push((self.node.clone(), tape));
                disk
            }
        };
        let before = self.faulty.before;
        let left = self.faulty.fault.clone().filter(|fault| fault.at > before);
        self.disk.plan(left.map(|fault| Fault { at: fault.at - before, ..fault }));
    }

    /// Its disk fails at an operation, counted from now.
    pub(crate) fn plan(&mut self, fault: Fault) {
        self.faulty = Faulty { fault: Some(fault.clone()), before: 0 };
        self.disk.plan(Some(fault));
    }

    /// Operations on all its disks, counted from the plan or its first start.
    pub(crate) fn operations(&self) -> u64 {
        self.faulty.before + self.disk.operations()
    }

    /// Its process would have ended itself, or could not start.
    pub(crate) fn is_dead(&self) -> bool {
        // Callers hear that a write has failed a moment before the process ends: who asks again waits until it has.
        let ends = |decisions: Decisions<'_>| decisions.store.write_blocking(|_| Ok(())).is_err();
        self.dead.load(Ordering::Relaxed) || self.disk.struck() && self.decisions().is_some_and(ends)
    }

    /// What the store gave; nothing where the disk has failed as planned, which ends the process.
    pub(crate) fn kept<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.disk.struck(), "a simulated store failed: {error}");
                self.dead.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// It has let its last message go.
    pub(crate) fn promise(&mut self, permit: &SignToken) {
        self.promised.allowed.push((permit.examined().intent().id, *permit.session()));
    }

    /// It has answered everything: what stands on its disk now stands for good.
    pub(crate) fn settle(&mut self) {
        if self.faulty.fault.is_some() && !self.is_dead() {
            let head = self.decisions().and_then(|decisions| decisions.store.view().and_then(|view| view.head()).ok());
            self.promised.head = head.or(self.promised.head);
        }
    }

    /// Its process ends, with the power or without, and the disk heals after a start in vain if `try_first`.
    ///
    /// # Errors
    ///
    /// What it does not come back from.
    pub(crate) fn revive(&mut self, dice: &mut Dice, version: usize) -> Result<(), String> {
        let process = self.process.take();
        let kind = self.faulty.fault.as_ref().map(|fault| fault.kind);
        // A process that aborts leaves to the kernel what it has written; a dead disk or a power cut does not.
        let power = kind == Some(Kind::Dead) || dice.chance(500);
        let left = if power { self.disk.after_power_cut(dice) } else { self.disk.seen() };
        drop(process);
        self.faulty.fault = None;
        self.insert(left);
        if let Some(kind) = kind.filter(|kind| *kind != Kind::Dead)
            && dice.chance(500)
        {
            // The condition is still there: the start is refused, or succeeds.
            self.disk.plan(Some(Fault { at: 1, kind }));
            self.start(version);
            self.process = None;
            let left = if power { self.disk.after_power_cut(dice) } else { self.disk.seen() };
            self.insert(left);
        }
        let versions = self.files.charters.len();
        let started = self.start(version) || (0..versions).any(|other| self.start(other));
        if !started {
            return Err(format!("{} does not start again after its disk has healed", self.node));
        }
        let view = self.decisions().ok_or("no process")?.store.view().map_err(|error| error.to_string())?;
        self.promised.kept_in(&view).map_err(|error| format!("{}: {error}", self.node))
    }
}

impl Promised {
    /// Whether a store still knows all of it.
    fn kept_in(&self, view: &View) -> Result<(), String> {
        let failed = |error: StoreError| error.to_string();
        if let Some(head) = self.head {
            match view.journal_at(head.length).map_err(failed)? {
                JournalAt::Hash(hash) if hash == head.hash => {}
                JournalAt::Compacted => {}
                other => return Err(format!("the journal is not the one that was told of: {other:?}")),
            }
        }
        for (intent, session) in &self.allowed {
            let row = view.intent(intent).map_err(failed)?.map(|(_, row)| row);
            let row = row.ok_or_else(|| format!("intent {intent} was allowed and is not known"))?;
            let known = row.live.is_none() || view.session_seen(session).map_err(failed)?;
            if !row.allowed || !known {
                return Err(format!("the permission for intent {intent} in session {session} is forgotten"));
            }
        }
        Ok(())
    }
}
