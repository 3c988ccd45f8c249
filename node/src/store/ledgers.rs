//! What a member of a ledger's committee must not forget, row by row.

use limen_policy::ledger::Change;
use limen_wire::ids::{CommitteeHash, LedgerId};
use limen_wire::pb;
use prost::Message as _;

use super::journal::Event;
use super::rows::{LedgerRow, decode, encode};
use super::schema::{CERTIFICATES, LEDGERS, PROMISES};
use super::{StoreError, Txn, View, view};
use crate::clock::Millis;

fn ok<T>(result: Result<T, redb::StorageError>) -> Result<T, StoreError> {
    result.map_err(StoreError::engine)
}

fn envelope(bytes: &[u8]) -> Result<pb::Envelope, StoreError> {
    pb::Envelope::decode(bytes).map_err(|error| StoreError::damaged(format!("a ledger's certificate: {error}")))
}

impl Txn<'_> {
    /// Writes what a member's step changes; its answer may leave once this transaction is durable.
    pub fn put_ledger(
        &mut self,
        (ledger, committee): (&LedgerId, CommitteeHash),
        changes: &[Change],
        now: Millis,
    ) -> Result<(), StoreError> {
        let name = ledger.as_str();
        for change in changes {
            let mut row: LedgerRow = view::row("ledgers", &self.ledgers, name)?.unwrap_or_default();
            row.committee = *committee.as_bytes();
            let named = |number, entry| Event::Ledger { ledger: ledger.to_string(), number, entry };
            match change {
                Change::Acknowledged(entry) => {
                    ok(self.promises.insert((name, entry.number), entry.payload().as_ref()))?;
                    self.append(now, named(entry.number, Some(*entry.hash().as_bytes())))?;
                }
                Change::Closed { through } => {
                    row.closed_through = row.closed_through.max(*through);
                    self.append(now, named(*through, None))?;
                }
                Change::Learned(certificate) => {
                    let number = certificate.entry().number;
                    ok(self.certificates.insert((name, number), certificate.envelope().encode_to_vec().as_slice()))?;
                    ok(self.promises.retain_in((name, 0)..=(name, number), |_, _| false))?;
                }
            }
            ok(self.ledgers.insert(name, encode(&row)?.as_slice()))?;
        }
        Ok(())
    }
}

impl View {
    /// What is remembered of a ledger, if anything is.
    pub fn ledger(&self, ledger: &LedgerId) -> Result<Option<LedgerRow>, StoreError> {
        let row = ok(self.table(LEDGERS)?.get(ledger.as_str()))?;
        row.map(|bytes| decode("ledgers", bytes.value())).transpose()
    }

    /// Up to `most` certificates after a number, in order.
    pub fn certificates(&self, ledger: &LedgerId, after: u64, most: usize) -> Result<Vec<pb::Envelope>, StoreError> {
        let (table, name) = (self.table(CERTIFICATES)?, ledger.as_str());
        let rows = ok(table.range((name, after.saturating_add(1))..=(name, u64::MAX)))?;
        rows.take(most).map(|row| envelope(ok(row)?.1.value())).collect()
    }

    /// The exact bytes of the entries that were acknowledged and are not certified, in order.
    pub fn promises(&self, ledger: &LedgerId) -> Result<Vec<Vec<u8>>, StoreError> {
        let (table, name) = (self.table(PROMISES)?, ledger.as_str());
        let rows = ok(table.range((name, 0)..=(name, u64::MAX)))?;
        rows.map(|row| Ok(ok(row)?.1.value().to_vec())).collect()
    }
}
