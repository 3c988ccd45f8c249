//! A digest of everything that a store holds: two stores with the same one decide alike.

use redb::{Key, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, Value};
use sha2::{Digest as _, Sha256};

use super::schema::{
    AHEAD, AUTOMATIC, BACKUP_FILES, BACKUPS, BANS, CERTIFICATES, CHARTERS, CLAIMS, CURSORS, DENIALS, DRILLS,
    EARLY_LIFTERS, FREEZES, INTENT_IDS, INTENTS, JOURNAL, KEYS, LEDGERS, LIFTED, LOG, LOG_LEAVES, LOG_TILES, META,
    METERS, PENDING_LEAVES, PROMISES, REMEMBERED, SESSIONS, SHARES, STOP_IDS, STOP_LOG, STOPS, TALLIES, TOMBSTONES,
};
use super::{StoreError, View};

impl View {
    /// SHA-256 over every row of every table, each with its length. Reads the whole store: for campaigns that break disks,
    /// and to compare copies.
    pub fn content(&self) -> Result<[u8; 32], StoreError> {
        let mut hash = Sha256::new();
        macro_rules! all {
            ($($table:ident)*) => { $(self.add($table, &mut hash)?;)* };
        }
        all!(META JOURNAL INTENTS TOMBSTONES INTENT_IDS CLAIMS SESSIONS KEYS SHARES STOPS TALLIES METERS STOP_LOG);
        all!(STOP_IDS FREEZES LIFTED DENIALS AUTOMATIC EARLY_LIFTERS AHEAD REMEMBERED CURSORS LEDGERS CERTIFICATES);
        all!(BACKUPS BACKUP_FILES DRILLS PROMISES LOG LOG_TILES LOG_LEAVES PENDING_LEAVES BANS CHARTERS);
        Ok(hash.finalize().into())
    }

    fn add<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
        hash: &mut Sha256,
    ) -> Result<(), StoreError> {
        let table = self.table(definition)?;
        hash.update(table.len().map_err(StoreError::engine)?.to_be_bytes());
        for entry in table.iter().map_err(StoreError::engine)? {
            let (key, value) = entry.map_err(StoreError::engine)?;
            let (key, value) = (key.value(), value.value());
            for bytes in [K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref()] {
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
        Ok(())
    }
}
