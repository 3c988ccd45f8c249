//! Drills that were held: the last of each, by the charter's name for it.

use limen_wire::ids::DrillId;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::rows::{decode, encode};
use super::schema::DRILLS;
use super::{StoreError, Txn, View};

/// The last result of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRow {
    /// What was played: the word in plans.
    pub scenario: String,
    /// With which key: its name and its public key in hexadecimal, a space between them.
    pub key: String,
    /// When, in seconds since 1970, by the record.
    pub at_secs: u64,
    /// The record's name.
    pub record: [u8; 32],
}

fn drill(
    drills: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &DrillId,
) -> Result<Option<DrillRow>, StoreError> {
    let found = drills.get(id.as_str()).map_err(StoreError::engine)?;
    found.map(|bytes| decode("drills", bytes.value())).transpose()
}

impl Txn<'_> {
    /// The last result of a drill.
    pub fn drill(&self, id: &DrillId) -> Result<Option<DrillRow>, StoreError> {
        drill(&self.drills, id)
    }

    /// Replaces it.
    pub fn put_drill(&mut self, id: &DrillId, row: &DrillRow) -> Result<(), StoreError> {
        self.drills.insert(id.as_str(), encode(row)?.as_slice()).map(drop).map_err(StoreError::engine)
    }
}

impl View {
    /// The last result of a drill.
    pub fn drill(&self, id: &DrillId) -> Result<Option<DrillRow>, StoreError> {
        drill(&self.table(DRILLS)?, id)
    }
}
