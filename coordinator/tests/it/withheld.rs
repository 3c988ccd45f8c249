//! Fake signers' shares that wait for their backups.

use limen_wire::backup::BackupProof;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;

use crate::fake::Memory;

impl Memory {
    /// Keeps the newest statement of a key back while custodians have to prove.
    pub(crate) fn withhold(&mut self, key: &str, (epoch, order): (u64, IntentId), is_new: bool) -> Option<pb::Error> {
        let share = self.keys.get_mut(key).unwrap();
        if is_new && !self.custodians.is_empty() {
            let statement = if epoch == 1 { share.statement.take() } else { share.pending.take() };
            self.statements.insert(key.to_owned(), statement.unwrap());
            share.withheld = Some(pb::WithheldShare {
                epoch,
                order_id: order.as_bytes().to_vec().into(),
                custodians: self.custodians.clone(),
                trouble: String::new(),
            });
        }
        share.withheld.as_ref().map(|_| ApiError::new(Code::BackupUnproven, "it is not proven").to_wire())
    }

    /// Takes a custodian's proof without a look.
    pub(crate) fn believe(&mut self, proof: &pb::Envelope) {
        let (said, _) = BackupProof::open(proof).unwrap();
        let share = self.keys.get_mut(said.key.as_str()).unwrap();
        let withheld = share.withheld.as_mut().unwrap();
        withheld.custodians.retain(|person| person != said.person.as_str());
        if withheld.custodians.is_empty() {
            let epoch = share.withheld.take().unwrap().epoch;
            let statement = self.statements.remove(said.key.as_str());
            if epoch == 1 { share.statement = statement } else { share.pending = statement }
        }
    }

    /// The backups of shares that are withheld.
    pub(crate) fn backups(&self, node: &NodeId) -> Vec<pb::BackupRecord> {
        let record = |(key, share): (&String, &pb::KeyShareRecord)| {
            let epoch = share.withheld.as_ref()?.epoch;
            Some(pb::BackupRecord { node: node.to_string(), key_id: key.clone(), epoch, ..pb::BackupRecord::default() })
        };
        self.keys.iter().filter_map(record).collect()
    }
}

/// What a signer answers with.
pub(crate) fn statement_unless(refusal: Option<&pb::Error>, statement: pb::Envelope) -> Option<pb::Envelope> {
    if refusal.is_some() { None } else { Some(statement) }
}
