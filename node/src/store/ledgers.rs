//! What a member of a ledger's committee must not forget, row by row.

use limen_policy::ledger::{Change, Committee};
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

/// Under what a ledger is kept, which is apart for each of its committees: another one's numbers are others. No id has a space.
fn place(ledger: &LedgerId, committee: &CommitteeHash) -> String {
    format!("{ledger} {committee}")
}

impl Txn<'_> {
    /// Writes what a member's step changes, and who keeps the ledger; its answer may leave once this transaction is durable.
    pub fn put_ledger(&mut self, committee: &Committee, changes: &[Change], now: Millis) -> Result<(), StoreError> {
        let ledger = committee.ledger();
        let place = place(ledger, &committee.hash());
        let name = place.as_str();
        let mut row: LedgerRow = view::row("ledgers", &self.ledgers, name)?.unwrap_or_default();
        row.committee = committee.to_wire().encode_to_vec();
        for change in changes {
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
        }
        ok(self.ledgers.insert(name, encode(&row)?.as_slice()))?;
        Ok(())
    }
}

impl View {
    /// What is remembered of one committee's part in a ledger, if anything is.
    pub fn ledger(&self, ledger: &LedgerId, committee: &CommitteeHash) -> Result<Option<LedgerRow>, StoreError> {
        let row = ok(self.table(LEDGERS)?.get(place(ledger, committee).as_str()))?;
        row.map(|bytes| decode("ledgers", bytes.value())).transpose()
    }

    /// Every committee of a ledger of which something is remembered.
    pub fn ledger_committees(&self, ledger: &LedgerId) -> Result<Vec<CommitteeHash>, StoreError> {
        let (table, from, to) = (self.table(LEDGERS)?, format!("{ledger} "), format!("{ledger}!"));
        let damaged =
            |key: &str| StoreError::damaged(format!("a ledger's committee is not named by its hash: {key:?}"));
        let hash = |row: Result<(redb::AccessGuard<'_, &str>, _), _>| {
            let (key, _) = ok(row)?;
            key.value().strip_prefix(&from).and_then(|hash| hash.parse().ok()).ok_or_else(|| damaged(key.value()))
        };
        let rows: redb::Range<'_, &str, &[u8]> = ok(table.range(from.as_str()..to.as_str()))?;
        rows.map(hash).collect()
    }

    /// Up to `most` certificates of a committee after a number, in order.
    pub fn certificates(
        &self,
        committee: &Committee,
        after: u64,
        most: usize,
    ) -> Result<Vec<pb::Envelope>, StoreError> {
        let (table, place) = (self.table(CERTIFICATES)?, place(committee.ledger(), &committee.hash()));
        let name = place.as_str();
        let rows = ok(table.range((name, after.saturating_add(1))..=(name, u64::MAX)))?;
        rows.take(most).map(|row| envelope(ok(row)?.1.value())).collect()
    }

    /// The certificate of the highest number of a committee.
    pub fn last_certificate(&self, committee: &Committee) -> Result<Option<pb::Envelope>, StoreError> {
        let (table, place) = (self.table(CERTIFICATES)?, place(committee.ledger(), &committee.hash()));
        let name = place.as_str();
        let mut rows = ok(table.range((name, 0)..=(name, u64::MAX)))?;
        rows.next_back().map(|row| envelope(ok(row)?.1.value())).transpose()
    }

    /// The exact bytes of the entries that were acknowledged and are not certified, in order.
    pub fn promises(&self, committee: &Committee) -> Result<Vec<Vec<u8>>, StoreError> {
        let (table, place) = (self.table(PROMISES)?, place(committee.ledger(), &committee.hash()));
        let name = place.as_str();
        let rows = ok(table.range((name, 0)..=(name, u64::MAX)))?;
        rows.map(|row| Ok(ok(row)?.1.value().to_vec())).collect()
    }
}
