//! Wrapping keys: one for all shares of an epoch, one for each key of a cold vault; their rotation.
//!
//! Tokens have room for few objects, so shares of one epoch have a wrapping key together; it can be destroyed once the epoch has
//! ended for all of them. A cold key's goes with that key. The token itself remembers which ones there are: the name's last part counts
//! rotations, and the highest one seals. Every record names the one that opens it.

use std::collections::BTreeSet;

use limen_hsm::{HsmError, Kind, Provider};
use limen_policy::charter::Charter;
use limen_policy::charter::vault::Tier;
use limen_wire::ids::{Epoch, KekId, KeyId, NodeId, tagged_hash};
use sha2::{Digest as _, Sha256};

use super::sealed::{self, Record};
use super::{PURPOSES, Vault, VaultError, decode_public};
use crate::clock::Millis;
use crate::store::journal::Event;
use crate::store::rows::ShareRow;
use crate::token;

/// Shares that have a wrapping key together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(String);

impl Group {
    /// Where a key's share of this epoch belongs under this charter.
    pub fn of(charter: &Charter, node: &NodeId, key: &KeyId, epoch: Epoch) -> Self {
        if charter.vaults.of_key(key).is_none_or(|vault| vault.tier != Tier::Cold) {
            return Self(format!("shares.{node}.e{epoch}"));
        }
        // Names are bounded: the longest ones give way to their hash.
        let name = format!("cold.{node}.{key}.e{epoch}");
        if name.len().saturating_add(".r000000".len()) <= KekId::MAX_LEN {
            return Self(name);
        }
        let hash = tagged_hash("limen node cold group v1", [node.as_str().as_bytes(), key.as_str().as_bytes()]);
        Self(format!("cold.{}.e{epoch}", hex::encode(hash)))
    }

    fn kek(&self, rotation: u32) -> Result<KekId, HsmError> {
        let named = KekId::new(format!("{}.r{rotation}", self.0));
        named.map_err(|error| HsmError::new(Kind::Input, "name a wrapping key", error.to_string()))
    }

    /// Which rotation of this group a wrapping key is.
    fn rotation(&self, kek: &KekId) -> Option<u32> {
        kek.as_str().strip_prefix(&self.0)?.strip_prefix(".r")?.parse().ok()
    }

    fn newest(&self, keks: &[KekId]) -> Option<u32> {
        keks.iter().filter_map(|kek| self.rotation(kek)).max()
    }
}

/// The wrapping key that seals for a group; the first one is made when there is none.
pub(super) fn current_or_new(provider: &dyn Provider, group: &Group) -> Result<KekId, HsmError> {
    if let Some(rotation) = group.newest(&provider.keks()?) {
        return group.kek(rotation);
    }
    let first = group.kek(1)?;
    match provider.create_kek(&first) {
        // Two keys are made at a time, and the other one was quicker.
        Err(error) if error.kind() == Kind::Exists => Ok(first),
        other => other.map(|()| first),
    }
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotated {
    /// Keys whose share is wrapped anew.
    pub keys: Vec<KeyId>,
    /// The wrapping keys that seal now.
    pub made: Vec<KekId>,
    /// Those that are destroyed.
    pub destroyed: Vec<KekId>,
}

/// A share's record as it lies in the store.
struct Lying {
    key: KeyId,
    row: ShareRow,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl Vault {
    /// Makes a new wrapping key for every group, wraps all data keys anew, opens every share by them, and only then destroys the old
    /// ones. Interrupted anywhere it can be run again. Blocks; no signer may run on the store.
    pub fn rotate(&self, charter: &Charter, now: Millis) -> Result<Rotated, VaultError> {
        // The keys of a newer disk would be destroyed for the sake of an older one.
        if let Some(words) = token::contradiction(&*self.provider, &self.store)? {
            return Err(VaultError::PutBack(words));
        }
        let lying = self.lying()?;
        let mut done = Rotated::default();
        let (mut before, mut groups) = (BTreeSet::new(), Vec::new());
        for share in &lying {
            let group = Group::of(charter, &self.node, &share.key, Epoch(share.row.epoch));
            let kek = self.next(&group, &mut done)?;
            groups.push(group);
            for (purpose, bytes) in &share.records {
                let damaged = || VaultError::Sealed { key: share.key.clone(), purpose };
                before.insert(Record::parse(bytes).ok_or_else(damaged)?.kek);
            }
            self.wrap_anew(share, &kek, now)?;
            done.keys.push(share.key.clone());
        }
        // The proof that nothing hangs on the old ones: every share opens, and no record names one.
        let mut named = BTreeSet::new();
        for share in self.lying()? {
            let view = self.store.view()?;
            self.read(&view, &share.key, &share.row)?;
            named.extend(share.records.iter().filter_map(|(_, bytes)| Some(Record::parse(bytes)?.kek)));
        }
        // Also those of a rotation that was interrupted.
        let left =
            self.provider.keks()?.into_iter().filter(|kek| groups.iter().any(|group| group.rotation(kek).is_some()));
        before.extend(left);
        for kek in before.into_iter().filter(|kek| !named.contains(kek)) {
            self.provider.destroy_kek(&kek)?;
            let name = kek.to_string();
            self.store.write_blocking(move |txn| txn.append(now, Event::WrappingKeyDestroyed { kek: name }))?;
            done.destroyed.push(kek);
        }
        Ok(done)
    }

    fn lying(&self) -> Result<Vec<Lying>, VaultError> {
        let view = self.store.view()?;
        let mut lying = Vec::new();
        for (key, row) in view.keys()? {
            let Some(row) = row.share else { continue };
            let mut records = Vec::new();
            for purpose in PURPOSES {
                let record = view.share(&key, Epoch(row.epoch), purpose)?;
                records.push((purpose, record.ok_or_else(|| VaultError::Missing { key: key.clone(), purpose })?));
            }
            lying.push(Lying { key, row, records });
        }
        Ok(lying)
    }

    /// The new wrapping key of a group: made once in a rotation.
    fn next(&self, group: &Group, done: &mut Rotated) -> Result<KekId, VaultError> {
        if let Some(made) = done.made.iter().find(|kek| group.rotation(kek).is_some()) {
            return Ok(made.clone());
        }
        let rotation = group.newest(&self.provider.keks()?).unwrap_or(0).saturating_add(1);
        let kek = group.kek(rotation)?;
        self.provider.create_kek(&kek)?;
        done.made.push(kek.clone());
        Ok(kek)
    }

    fn wrap_anew(&self, share: &Lying, kek: &KekId, now: Millis) -> Result<(), VaultError> {
        let public = decode_public(&share.key, &share.row.public)?;
        let mut records = Vec::new();
        let mut hash = Sha256::new();
        for (purpose, bytes) in &share.records {
            let place = self.place(&public, purpose, share.row.generation);
            let record = sealed::rewrap(&*self.provider, &place, bytes, kek)?;
            hash.update(&record);
            records.push((*purpose, record));
        }
        let (key, epoch, kek) = (share.key.clone(), Epoch(share.row.epoch), kek.to_string());
        let sealed_hash = hash.finalize().into();
        self.store.write_blocking(move |txn| {
            for (purpose, record) in &records {
                txn.put_share(&key, epoch, purpose, record)?;
            }
            txn.append(now, Event::ShareRewrapped { key: key.to_string(), epoch: epoch.0, kek, sealed_hash })
        })?;
        Ok(())
    }
}
