//! Erasing everything that lies here of a key, for good.

use std::collections::BTreeSet;

use limen_hsm::Kind;
use limen_wire::ids::{Epoch, KekId, KeyId};

use super::sealed::Record;
use super::{Vault, VaultError, decode_public};
use crate::clock::Millis;
use crate::store::journal::Event;
use crate::store::rows::{KeyRow, share_prefix};

/// Wrapping keys of a key's records: those that are gone, and those that other keys' shares need.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wrapped {
    /// No record of another key names them.
    pub alone: BTreeSet<KekId>,
    /// Others do.
    pub shared: BTreeSet<KekId>,
}

impl Vault {
    fn wrapped(&self, key: &KeyId) -> Result<Wrapped, VaultError> {
        let prefix = share_prefix(key);
        let (mut of_key, mut of_others) = (BTreeSet::new(), BTreeSet::new());
        for (name, bytes) in self.store.view()?.share_records()? {
            if let Some(record) = Record::parse(&bytes) {
                let of = if name.starts_with(&prefix) { &mut of_key } else { &mut of_others };
                of.insert(record.kek);
            }
        }
        let shared = of_key.intersection(&of_others).cloned().collect();
        Ok(Wrapped { alone: of_key.difference(&of_others).cloned().collect(), shared })
    }

    /// Destroys the wrapping keys that only this key's shares need, then drops every share of it. A key in the token has to be gone
    /// from there first. Interrupted anywhere it can be run again. Blocks; nothing may be sealed and not stored yet meanwhile.
    pub fn destroy(&self, key: &KeyId, row: &KeyRow, now: Millis) -> Result<(), VaultError> {
        let in_token = |bytes: &[u8]| decode_public(key, bytes).is_ok_and(|public| !public.protocol.is_threshold());
        if row.share.as_ref().is_some_and(|share| in_token(&share.public)) && !self.is_gone_from_token(key, row)? {
            return Err(VaultError::InToken(key.clone()));
        }
        let wrapped = self.destroy_keks_of(key)?;
        let of = key.clone();
        let names = |keks: &BTreeSet<KekId>| keks.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (keks, keks_left) = (names(&wrapped.alone), names(&wrapped.shared));
        self.store.write_blocking(move |txn| {
            txn.remove_shares_of(&of)?;
            let Some(mut row) = txn.key(&of)? else { return Ok(()) };
            for epoch in &row.destroyed.epochs {
                txn.bury_backup(&of, Epoch(*epoch))?;
            }
            row.share = None;
            row.epochs.pending.clear();
            row.epochs.old.clear();
            (row.destroyed.erased, row.destroyed.keks_left) = (true, keks_left.clone());
            txn.put_key(&of, &row)?;
            let (charter, epochs) = (row.destroyed.charter, row.destroyed.epochs);
            txn.append(now, Event::KeyDestroyed { key: of.to_string(), charter, epochs, keks, keks_left })
        })?;
        Ok(())
    }

    /// The part of [`Self::destroy`] that makes shares unreadable wherever their records lie. Blocks.
    pub fn destroy_keks_of(&self, key: &KeyId) -> Result<Wrapped, VaultError> {
        let wrapped = self.wrapped(key)?;
        for kek in &wrapped.alone {
            match self.provider.destroy_kek(kek) {
                // By an act that was interrupted.
                Err(error) if error.kind() == Kind::Missing => {}
                other => other?,
            }
        }
        Ok(wrapped)
    }

    /// Those of these wrapping keys that there are still. Blocks.
    pub fn keks_there(&self, names: &[String]) -> Result<Vec<String>, VaultError> {
        let there: BTreeSet<String> = self.provider.keks()?.iter().map(ToString::to_string).collect();
        Ok(names.iter().filter(|name| there.contains(*name)).cloned().collect())
    }
}
