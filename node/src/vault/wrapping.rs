//! Wrapping keys: one for all shares of an epoch, one for each key of a cold vault; their rotation.
//!
//! Tokens have room for few objects, so shares of one epoch have a wrapping key together, and a cold key has its own. The token
//! itself remembers which ones there are: the name's last part counts rotations, and the highest one seals. Every record names
//! the one that opens it.
//!
//! A rotation has two acts, so that the new keys can be brought to every token that steps in before the old ones go. After the first
//! one each share lies there twice, under the new wrapping key and under the old one.

use std::collections::BTreeSet;

use limen_hsm::{HsmError, Kind, Provider};
use limen_mpc::KeyPublic;
use limen_policy::charter::Charter;
use limen_policy::charter::vault::Tier;
use limen_wire::ids::{ClusterId, Epoch, KekId, KeyId, NodeId, tagged_hash};
use sha2::{Digest as _, Sha256};

use super::sealed::{self, Record};
use super::{PURPOSES, Vault, VaultError, before, decode_public};
use crate::clock::Millis;
use crate::store::journal::Event;
use crate::store::rows::ShareRow;
use crate::store::{StoreError, View};
use crate::token;

const META_ROTATION: &str = "wrapping-rotation";

/// Shares that have a wrapping key together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(String);

impl Group {
    /// Where a key's share of this epoch belongs under this charter. The name tells the epoch; whose it is stands in a hash, because
    /// names are bounded and a token may serve another cluster too.
    pub fn of(charter: &Charter, node: &NodeId, key: &KeyId, epoch: Epoch) -> Self {
        match charter.vaults.of_key(key) {
            Some(vault) if vault.tier == Tier::Cold => Self::named("cold", &charter.cluster, node, key.as_str(), epoch),
            _ => Self::common(&charter.cluster, node, epoch),
        }
    }

    /// The one of all shares of an epoch that have no wrapping key of their own.
    pub fn common(cluster: &ClusterId, node: &NodeId, epoch: Epoch) -> Self {
        Self::named("shares", cluster, node, "", epoch)
    }

    /// The one of the identity that pieces of imported keys are encrypted to: it wraps no share, and no rotation touches it.
    pub(super) fn import(cluster: &ClusterId, node: &NodeId) -> Self {
        Self::named("import", cluster, node, "", Epoch(0))
    }

    fn named(kind: &str, cluster: &ClusterId, node: &NodeId, key: &str, epoch: Epoch) -> Self {
        let parts = [cluster.as_str().as_bytes(), node.as_str().as_bytes(), key.as_bytes()];
        let hash = hex::encode(tagged_hash("limen node wrapping group v1", parts).split_at(8).0);
        Self(format!("{kind}.{hash}.e{epoch}"))
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

/// Makes a wrapping key that may be there: made beforehand, by an act that was interrupted, or by a session that was quicker.
fn make(provider: &dyn Provider, kek: &KekId) -> Result<(), HsmError> {
    match provider.create_kek(kek) {
        Err(error) if error.kind() == Kind::Exists => Ok(()),
        other => other,
    }
}

/// The wrapping key that seals for a group; the first one is made when there is none.
pub(super) fn current_or_new(provider: &dyn Provider, group: &Group) -> Result<KekId, HsmError> {
    if let Some(rotation) = group.newest(&provider.keks()?) {
        return group.kek(rotation);
    }
    let first = group.kek(1)?;
    make(provider, &first).map(|()| first)
}

/// What an act of a rotation did.
#[derive(Debug, Default)]
pub struct Rotated {
    /// Keys whose share is wrapped anew, and opened so.
    pub keys: Vec<KeyId>,
    /// The wrapping keys that seal now.
    pub sealing: Vec<KekId>,
    /// Those that are destroyed.
    pub destroyed: Vec<KekId>,
    /// Keys whose share does not open, and why. What wraps it stays as it is.
    pub damaged: Vec<(KeyId, VaultError)>,
}

/// A share's records as they lie in the store.
struct Lying {
    key: KeyId,
    row: ShareRow,
    records: Vec<(&'static str, Vec<u8>)>,
    /// It is of an epoch that is over, and is to be erased.
    is_over: bool,
}

impl Lying {
    fn keks(&self) -> impl Iterator<Item = KekId> + '_ {
        self.records.iter().filter_map(|(_, bytes)| Some(Record::parse(bytes)?.kek))
    }
}

impl Vault {
    /// The first act: wraps all data keys by the next wrapping key of their group and opens every share so; the records from before
    /// stay beside the new ones. A wrapping key that was made beforehand and seals nothing yet is taken. Interrupted anywhere it can
    /// be run again. Blocks; no signer may run on the store.
    pub fn rotate(&self, charter: &Charter, now: Millis) -> Result<Rotated, VaultError> {
        self.check_newest()?;
        let lying = self.lying()?;
        let plan = self.plan(charter, &lying)?;
        let mut done = Rotated::default();
        for share in &lying {
            let group = Group::of(charter, &self.node, &share.key, Epoch(share.row.epoch));
            let rotation = plan.iter().find(|(name, _)| *name == group.0).map_or(1, |(_, rotation)| *rotation);
            let kek = group.kek(rotation)?;
            if !done.sealing.contains(&kek) {
                make(&*self.provider, &kek)?;
                done.sealing.push(kek.clone());
            }
            let wrapped = match share.keks().all(|named| named == kek) {
                true => Ok(()),
                false => self.wrap_anew(share, &kek, now),
            };
            match wrapped.and_then(|()| self.read_newest(share)) {
                Ok(()) => done.keys.push(share.key.clone()),
                // An erasing that was cut off has destroyed what opened it.
                Err(VaultError::Provider(error)) if error.kind() == Kind::Missing && share.is_over => {
                    done.damaged.push((share.key.clone(), VaultError::Provider(error)));
                }
                Err(error @ (VaultError::Sealed { .. } | VaultError::Import { .. } | VaultError::Public(_))) => {
                    done.damaged.push((share.key.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// The second act: opens every share by the new wrapping keys once more, destroys the old ones, and drops the records that they
    /// opened. Nothing happens without the first act. Blocks; no signer may run on the store.
    pub fn destroy_old(&self, now: Millis) -> Result<Rotated, VaultError> {
        self.check_newest()?;
        let (lying, mut done) = (self.lying()?, Rotated::default());
        let (mut old, mut named) = (BTreeSet::new(), BTreeSet::new());
        let mut twice = Vec::new();
        for share in &lying {
            named.extend(share.keks());
            let older = self.older(share)?;
            if older.is_empty() {
                continue;
            }
            // Not one that opens by the old key alone.
            self.read_newest(share)?;
            old.extend(older.iter().filter_map(|bytes| Some(Record::parse(bytes)?.kek)));
            twice.push((share.key.clone(), Epoch(share.row.epoch)));
            done.keys.push(share.key.clone());
        }
        for kek in old.into_iter().filter(|kek| !named.contains(kek)) {
            match self.provider.destroy_kek(&kek) {
                // By an act that was interrupted.
                Err(error) if error.kind() == Kind::Missing => {}
                other => other?,
            }
            let name = kek.to_string();
            self.store.write_blocking(move |txn| txn.append(now, Event::WrappingKeyDestroyed { kek: name }))?;
            done.destroyed.push(kek);
        }
        done.sealing = named.into_iter().collect();
        self.store.write_blocking(move |txn| {
            for (key, epoch) in &twice {
                PURPOSES.iter().try_for_each(|purpose| txn.remove_share(key, *epoch, before(purpose)))?;
            }
            txn.put_meta(META_ROTATION, &[])
        })?;
        Ok(done)
    }

    /// The wrapping keys of a newer disk would be destroyed for the sake of an older one.
    fn check_newest(&self) -> Result<(), VaultError> {
        match token::contradiction(&*self.provider, &self.store)? {
            Some(words) => Err(VaultError::PutBack(words)),
            None => Ok(()),
        }
    }

    /// The rotation that each group goes to, fixed before anything is made, so that an act that is run again goes to the same.
    fn plan(&self, charter: &Charter, lying: &[Lying]) -> Result<Vec<(String, u32)>, VaultError> {
        let kept = self.store.view()?.meta(META_ROTATION)?.filter(|bytes| !bytes.is_empty());
        let damaged = || StoreError::Damaged("the plan of a rotation does not read".to_owned());
        let mut plan: Vec<(String, u32)> = match &kept {
            Some(bytes) => postcard::from_bytes(bytes).map_err(|_| damaged())?,
            None => Vec::new(),
        };
        let keks = self.provider.keks()?;
        let named: BTreeSet<KekId> = lying.iter().flat_map(Lying::keks).collect();
        for share in lying {
            let group = Group::of(charter, &self.node, &share.key, Epoch(share.row.epoch));
            if plan.iter().any(|(name, _)| *name == group.0) {
                continue;
            }
            let newest = group.newest(&keks).unwrap_or(0);
            let is_unused = newest > 0 && !named.contains(&group.kek(newest)?);
            let next = newest.checked_add(1).ok_or_else(|| {
                HsmError::new(Kind::Full, "name a wrapping key", format!("{} has no further rotation", group.0))
            })?;
            plan.push((group.0, if is_unused { newest } else { next }));
        }
        let bytes = postcard::to_stdvec(&plan).map_err(|_| damaged())?;
        self.store.write_blocking(move |txn| txn.put_meta(META_ROTATION, &bytes))?;
        Ok(plan)
    }

    fn lying(&self) -> Result<Vec<Lying>, VaultError> {
        let view = self.store.view()?;
        let mut lying = Vec::new();
        for (key, row) in view.keys()? {
            let in_force = row.in_force().map_or(0, |epoch| epoch.0);
            // Those that are not certified yet are the key's next shares, and those that are over are not worthless before they are erased.
            for row in row.shares() {
                let is_over = row.epoch < in_force;
                lying.extend(Self::lies(&view, &key, row)?.map(|share| Lying { is_over, ..share }));
            }
        }
        Ok(lying)
    }

    fn lies(view: &View, key: &KeyId, row: &ShareRow) -> Result<Option<Lying>, VaultError> {
        // The token holds the whole key, and nothing is wrapped.
        if decode_public(key, &row.public).is_ok_and(|public| !public.protocol.is_threshold()) {
            return Ok(None);
        }
        let mut records = Vec::new();
        for purpose in PURPOSES {
            let record = view.share(key, Epoch(row.epoch), purpose)?;
            records.push((purpose, record.ok_or_else(|| VaultError::Missing { key: key.clone(), purpose })?));
        }
        Ok(Some(Lying { key: key.clone(), row: row.clone(), records, is_over: false }))
    }

    /// The records from before the rotation that is not finished.
    fn older(&self, share: &Lying) -> Result<Vec<Vec<u8>>, VaultError> {
        let view = self.store.view()?;
        let record = |purpose| view.share(&share.key, Epoch(share.row.epoch), before(purpose));
        Ok(PURPOSES.into_iter().map(record).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Opens a share by its newest records alone.
    fn read_newest(&self, share: &Lying) -> Result<(), VaultError> {
        let view = self.store.view()?;
        let open = |public: &KeyPublic, purpose| {
            let record = view.share(&share.key, public.epoch, purpose)?;
            let record = record.ok_or_else(|| VaultError::Missing { key: share.key.clone(), purpose })?;
            let place = self.place(public, purpose, share.row.generation);
            let opened = sealed::open(&*self.provider, &place, &record);
            opened.map_err(|error| super::unopened(error, &share.key, purpose))
        };
        self.import(&share.key, &share.row, open).map(drop)
    }

    fn wrap_anew(&self, share: &Lying, kek: &KekId, now: Millis) -> Result<(), VaultError> {
        let public = decode_public(&share.key, &share.row.public)?;
        let mut records = Vec::new();
        let mut hash = Sha256::new();
        for (purpose, bytes) in &share.records {
            let place = self.place(&public, purpose, share.row.generation);
            let anew = sealed::rewrap(&*self.provider, &place, bytes, kek);
            let anew = anew.map_err(|error| super::unopened(error, &share.key, purpose))?;
            hash.update(&anew);
            records.push((*purpose, bytes.clone(), anew));
        }
        let (key, epoch, kek) = (share.key.clone(), Epoch(share.row.epoch), kek.to_string());
        let sealed_hash = hash.finalize().into();
        self.store.write_blocking(move |txn| {
            for (purpose, old, anew) in &records {
                txn.put_share(&key, epoch, before(purpose), old)?;
                txn.put_share(&key, epoch, purpose, anew)?;
            }
            txn.append(now, Event::ShareRewrapped { key: key.to_string(), epoch: epoch.0, kek, sealed_hash })
        })?;
        Ok(())
    }
}
