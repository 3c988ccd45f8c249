//! What goes wrong.

use std::io;
use std::sync::Arc;

use super::{Change, Image};

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing can be read or written any more from this operation on.
    Dead,
    /// Changes fail (EIO) from this one on.
    Broken,
    /// This one change fails (EIO), later ones do not.
    Once,
    /// Of a write only the beginning arrives, and it fails (EIO); later ones do not.
    Short,
    /// What needs more room fails (ENOSPC) from this one on; written pages can be written again.
    Full,
    /// Every write fails (ENOSPC) from this one on, as on file systems that copy on write.
    FullCopying,
    /// This sync, or the next, fails and loses what it was for; later ones succeed.
    SyncLost,
    /// Syncs fail from here on.
    SyncBroken,
    /// Changes fail (EROFS) from this one on: the file system has been remounted.
    ReadOnly,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Dead,
        Self::Broken,
        Self::Once,
        Self::Short,
        Self::Full,
        Self::FullCopying,
        Self::SyncLost,
        Self::SyncBroken,
        Self::ReadOnly,
    ];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Broken => "EIO",
            Self::Once => "EIO once",
            Self::Short => "short write",
            Self::Full => "ENOSPC",
            Self::FullCopying => "ENOSPC everywhere",
            Self::SyncLost => "fsync lost",
            Self::SyncBroken => "fsync error",
            Self::ReadOnly => "read-only",
        }
    }
}

/// A fault and its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The operation, counted from 1 where the plan is made.
    pub at: u64,
    /// What happens.
    pub kind: Kind,
}

impl Fault {
    pub(super) fn hits(&self, count: u64, change: &Change, seen: &Image) -> bool {
        let (now, on) = (count == self.at, count >= self.at);
        match self.kind {
            Kind::Dead | Kind::Broken | Kind::ReadOnly => on,
            Kind::FullCopying => on && !shrinks(change, seen),
            Kind::Once => now,
            Kind::Short => now && matches!(change, Change::Write(..)),
            Kind::Full => on && needs_room(change, seen),
            Kind::SyncLost | Kind::SyncBroken => false,
        }
    }

    pub(super) const fn hits_sync(&self, count: u64) -> bool {
        match self.kind {
            Kind::Dead | Kind::Broken | Kind::SyncBroken | Kind::ReadOnly => count >= self.at,
            Kind::SyncLost | Kind::Once => count == self.at,
            Kind::Short | Kind::Full | Kind::FullCopying => false,
        }
    }

    pub(super) fn hits_reading(&self, count: u64) -> bool {
        self.kind == Kind::Dead && count >= self.at
    }

    /// What of a failed sync's data is gone for good.
    pub(super) const fn forgets(&self) -> bool {
        matches!(self.kind, Kind::SyncLost | Kind::SyncBroken | Kind::Once)
    }

    /// The part of a failed change that arrives.
    pub(super) fn part(&self, change: &Change) -> Option<Change> {
        match (self.kind, change) {
            (Kind::Short, Change::Write(offset, bytes)) => {
                let half = bytes.len() / 2;
                Some(Change::Write(*offset, Arc::from(&bytes[..half])))
            }
            _ => None,
        }
    }

    pub(super) fn error(&self) -> io::Error {
        let kind = match self.kind {
            Kind::Full | Kind::FullCopying => io::ErrorKind::StorageFull,
            Kind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            _ => return io::Error::other(format!("planned: {}", self.kind.as_str())),
        };
        kind.into()
    }
}

fn shrinks(change: &Change, seen: &Image) -> bool {
    matches!(change, Change::Length(length) if *length <= seen.len())
}

fn needs_room(change: &Change, seen: &Image) -> bool {
    match change {
        Change::Length(length) => *length > seen.len(),
        Change::Write(offset, bytes) => !seen.has_room(*offset, bytes.len()),
    }
}
