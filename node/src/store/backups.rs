//! What a signer keeps of the backups of its shares: facts in one table, files in another, by key and epoch.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{Epoch, KeyId};
use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::rows::{decode, encode};
use super::schema::{BACKUP_FILES, BACKUPS};
use super::{StoreError, Txn, View};

/// Backups whose shares are erased of which one key's list tells: the newest ones.
pub const DEAD_BACKUPS: usize = 64;

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

/// What a signer knows of one backup beside its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRow {
    /// What it is called by.
    pub hash: [u8; 32],
    /// The charter that named its custodians.
    pub charter: [u8; 32],
    /// Milliseconds since 1970 at which it was made.
    pub made_ms: u64,
    /// Who holds pieces, by place: person and recipient.
    pub custodians: Vec<(String, String)>,
    /// How many of them give the share.
    pub pieces_required: u8,
    /// What the next proofs have to be over.
    pub nonce: [u8; 32],
    /// Milliseconds since 1970 at which that was drawn.
    pub nonce_ms: u64,
    /// The one before, over which proofs may still be on their way.
    pub nonce_before: Option<[u8; 32]>,
    /// The last proof of each custodian.
    pub proofs: BTreeMap<String, ProofRow>,
}

/// A proof that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRow {
    /// Milliseconds since 1970 at which it was.
    pub at_ms: u64,
    /// Its envelope, as protocol buffer.
    pub envelope: Vec<u8>,
}

impl BackupRow {
    /// Custodians who have not proven yet, by place.
    pub fn missing(&self) -> Vec<String> {
        let people = self.custodians.iter().map(|(person, _)| person);
        people.filter(|person| !self.proofs.contains_key(*person)).cloned().collect()
    }

    /// Who is to hold pieces, whatever the places.
    pub fn people(&self) -> BTreeSet<(&str, &str)> {
        self.custodians.iter().map(|(person, recipient)| (person.as_str(), recipient.as_str())).collect()
    }
}

impl Txn<'_> {
    /// What is known of a backup.
    pub fn backup(&self, key: &KeyId, epoch: Epoch) -> Result<Option<BackupRow>, StoreError> {
        let found = ok(self.backups.get((key.as_str(), epoch.0)))?;
        found.map(|bytes| decode("backups", bytes.value())).transpose()
    }

    /// Replaces it.
    pub fn put_backup(&mut self, key: &KeyId, epoch: Epoch, row: &BackupRow) -> Result<(), StoreError> {
        ok(self.backups.insert((key.as_str(), epoch.0), encode(row)?.as_slice())).map(drop)
    }

    /// Keeps a new backup's file, in the place of the one before.
    pub fn put_backup_file(&mut self, key: &KeyId, epoch: Epoch, file: &[u8]) -> Result<(), StoreError> {
        ok(self.backup_files.insert((key.as_str(), epoch.0), file)).map(drop)
    }

    /// Drops a backup as if it had never been made.
    pub fn forget_backup(&mut self, key: &KeyId, epoch: Epoch) -> Result<(), StoreError> {
        ok(self.backups.remove((key.as_str(), epoch.0)))?;
        ok(self.backup_files.remove((key.as_str(), epoch.0))).map(drop)
    }

    /// Drops the file of a backup whose share is erased. Who holds pieces of it is remembered: they are to be destroyed.
    pub fn bury_backup(&mut self, key: &KeyId, epoch: Epoch) -> Result<(), StoreError> {
        let Some(mut row) = self.backup(key, epoch)? else { return Ok(()) };
        row.proofs.clear();
        self.put_backup(key, epoch, &row)?;
        ok(self.backup_files.remove((key.as_str(), epoch.0)))?;
        let mut dead = Vec::new();
        for entry in ok(self.backups.range((key.as_str(), 0)..=(key.as_str(), u64::MAX)))? {
            let (place, _) = ok(entry)?;
            let epoch = place.value().1;
            if ok(self.backup_files.get((key.as_str(), epoch)))?.is_none() {
                dead.push(epoch);
            }
        }
        for oldest in dead.iter().take(dead.len().saturating_sub(DEAD_BACKUPS)) {
            ok(self.backups.remove((key.as_str(), *oldest)))?;
        }
        Ok(())
    }
}

impl View {
    /// What is known of every backup, by key and epoch.
    pub fn backups(&self) -> Result<Vec<(KeyId, Epoch, BackupRow)>, StoreError> {
        let backups = self.table(BACKUPS)?;
        ok(backups.iter())?
            .map(|entry| {
                let (place, bytes) = ok(entry)?;
                let (key, epoch) = place.value();
                let key = KeyId::new(key).map_err(|error| StoreError::damaged(error.to_string()))?;
                Ok((key, Epoch(epoch), decode("backups", bytes.value())?))
            })
            .collect()
    }

    /// What is known of one.
    pub fn backup(&self, key: &KeyId, epoch: Epoch) -> Result<Option<BackupRow>, StoreError> {
        let backups = self.table(BACKUPS)?;
        ok(backups.get((key.as_str(), epoch.0)))?.map(|bytes| decode("backups", bytes.value())).transpose()
    }

    /// Its file; nothing once its share is erased.
    pub fn backup_file(&self, key: &KeyId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
        let files = self.table(BACKUP_FILES)?;
        Ok(ok(files.get((key.as_str(), epoch.0)))?.map(|bytes| bytes.value().to_vec()))
    }
}
