//! Erasing shares of epochs that are over.

use std::collections::BTreeSet;

use limen_hsm::Kind;
use limen_wire::ids::{Epoch, KekId, KeyId};

use super::sealed::Record;
use super::{PURPOSES, Vault, VaultError, before};
use crate::clock::Millis;
use crate::store::journal::Event;
use crate::store::rows::share_name;

impl Vault {
    /// Destroys the wrapping keys that only shares of these epochs need, then drops these shares; gives the keys that are gone.
    /// A page of a database may lie on a disk for long after it was dropped: what makes a share unreadable is that its wrapping
    /// key is gone, for which the last share of its group has to go. Interrupted anywhere it can be run again. Blocks; nothing may
    /// be sealed and not stored yet meanwhile.
    pub fn erase(&self, key: &KeyId, epochs: &BTreeSet<Epoch>, now: Millis) -> Result<Vec<KekId>, VaultError> {
        let names: BTreeSet<String> = epochs
            .iter()
            .flat_map(|epoch| {
                PURPOSES.into_iter().flat_map(|purpose| [purpose, before(purpose)]).map(|purpose| (*epoch, purpose))
            })
            .map(|(epoch, purpose)| share_name(key, epoch, purpose))
            .collect();
        let (mut doomed, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for (name, bytes) in self.store.view()?.share_records()? {
            if let Some(record) = Record::parse(&bytes) {
                let of = if names.contains(&name) { &mut doomed } else { &mut needed };
                of.insert(record.kek);
            }
        }
        let gone: Vec<KekId> = doomed.difference(&needed).cloned().collect();
        for kek in &gone {
            match self.provider.destroy_kek(kek) {
                // By an act that was interrupted.
                Err(error) if error.kind() == Kind::Missing => {}
                other => other?,
            }
        }
        let (of, over, keks) = (key.clone(), epochs.clone(), gone.iter().map(ToString::to_string).collect());
        self.store.write_blocking(move |txn| {
            for epoch in &over {
                for purpose in PURPOSES {
                    txn.remove_share(&of, *epoch, purpose)?;
                    txn.remove_share(&of, *epoch, before(purpose))?;
                }
                txn.bury_backup(&of, *epoch)?;
            }
            if let Some(mut row) = txn.key(&of)? {
                row.epochs.old.retain(|epoch, _| !over.contains(&Epoch(*epoch)));
                row.epochs.pending.retain(|epoch, _| !over.contains(&Epoch(*epoch)));
                txn.put_key(&of, &row)?;
            }
            let epochs = over.iter().map(|epoch| epoch.0).collect();
            txn.append(now, Event::SharesErased { key: of.to_string(), epochs, keks })
        })?;
        Ok(gone)
    }
}
