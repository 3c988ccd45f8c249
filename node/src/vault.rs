//! The share vault: shares at rest, sealed; shares in memory, only for who holds a token.
//!
//! A share is sealed by AES-256-GCM under a data key that a [`limen_hsm::Provider`] has wrapped. Associated data name
//! node, key, epoch, record and purpose, and a generation number that must be the one the journal noted: a record moved
//! to another place, node or time does not open. Core share and protocol set-up are separate records.

mod sealed;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use limen_hsm::{HsmError, Kind, Provider};
use limen_mpc::{ImportError, KeyPublic, KeyShare, NonceError, NoncePair, Seed, nonce_batch};
use limen_wire::ids::{ClusterId, KekId, KeyId, NodeId};
use sha2::{Digest, Sha256};

use crate::entropy;
use crate::guard::{PresignToken, SignToken};
use crate::store::rows::ShareRow;
use crate::store::{Store, StoreError, View};

use sealed::{DataKey, Place};

const META_DATA_KEY: &str = "wrapped-data-key";
/// The wrapping key of the data key; the software provider opens stores from before keys had names under it.
const KEK: &str = limen_hsm::software::UNNAMED;
const CORE: &str = "core";
const SETUP: &str = "set-up";

/// Why a share cannot be stored or used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The wrapping key.
    #[error("the key that wraps the vault: {0}")]
    Provider(#[from] HsmError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed record does not open: damaged, moved, of another generation or under another key.
    #[error("the sealed {purpose} record of key {key} does not open: it is damaged, moved, old or of another node")]
    Sealed {
        /// Which key.
        key: KeyId,
        /// Which record.
        purpose: &'static str,
    },
    /// A record that must be there is not.
    #[error("the sealed {purpose} record of key {key} is missing")]
    Missing {
        /// Which key.
        key: KeyId,
        /// Which record.
        purpose: &'static str,
    },
    /// What was opened is not a consistent share.
    #[error("the share of key {key} is refused: {source}")]
    Import {
        /// Which key.
        key: KeyId,
        /// Why.
        source: ImportError,
    },
    /// The public part's encoding.
    #[error("the public part of key {0} is damaged")]
    Public(KeyId),
    /// The protocol made no nonces.
    #[error("no nonces for key {key}: {error}")]
    Nonces {
        /// Which key.
        key: KeyId,
        /// Why.
        error: NonceError,
    },
    /// Not in memory: its records did not open at start.
    #[error("the share of key {0} is not usable; see the log of the start")]
    NotLoaded(KeyId),
}

/// Seals, opens and holds shares.
pub struct Vault {
    cluster: ClusterId,
    node: NodeId,
    data_key: DataKey,
    shares: RwLock<HashMap<KeyId, Arc<KeyShare>>>,
}

/// Both sealed records of a share.
pub struct SealedShare {
    /// Encoded public part.
    pub public: Vec<u8>,
    core: Vec<u8>,
    setup: Vec<u8>,
}

impl SealedShare {
    /// SHA-256 over both records, for the journal.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(&self.core).chain_update(&self.setup).finalize().into()
    }
    /// Puts both records into a transaction.
    pub fn put(
        &self,
        txn: &mut crate::store::Txn<'_>,
        key: &KeyId,
        epoch: limen_wire::ids::Epoch,
    ) -> Result<(), StoreError> {
        txn.put_share(key, epoch, CORE, &self.core)?;
        txn.put_share(key, epoch, SETUP, &self.setup)
    }
}

/// Encodes the public part of a key for its row.
pub fn encode_public(public: &KeyPublic) -> Result<Vec<u8>, VaultError> {
    postcard::to_extend(public, vec![1]).map_err(|_| VaultError::Public(public.key.clone()))
}

/// Decodes it; consistency is checked together with the share.
pub fn decode_public(key: &KeyId, bytes: &[u8]) -> Result<KeyPublic, VaultError> {
    match bytes.split_first() {
        Some((1, body)) => postcard::from_bytes(body).map_err(|_| VaultError::Public(key.clone())),
        _ => Err(VaultError::Public(key.clone())),
    }
}

impl Vault {
    /// Unwraps the data key, or makes and wraps one in a new store.
    pub fn open(cluster: ClusterId, node: NodeId, provider: &dyn Provider, store: &Store) -> Result<Self, VaultError> {
        let context = format!("limen node data key v1\0{cluster}\0{node}");
        let kek = wrapping_key()?;
        let data_key = match store.view()?.meta(META_DATA_KEY)? {
            Some(wrapped) => data_key(&provider.unseal(&kek, context.as_bytes(), &wrapped)?)?,
            None => {
                // A start that ended before the store had a data key has left the wrapping key.
                if !provider.keks()?.contains(&kek) {
                    provider.create_kek(&kek)?;
                }
                let fresh = entropy::random::<32>();
                let wrapped = provider.seal(&kek, context.as_bytes(), fresh.as_ref())?;
                store.write_blocking(move |txn| txn.put_meta(META_DATA_KEY, &wrapped))?;
                data_key(fresh.as_ref())?
            }
        };
        Ok(Self { cluster, node, data_key, shares: RwLock::default() })
    }

    fn place<'a>(&'a self, public: &'a KeyPublic, purpose: &'static str, generation: u64) -> Place<'a> {
        Place { cluster: &self.cluster, node: &self.node, key: &public.key, epoch: public.epoch, purpose, generation }
    }

    /// Seals a share under a generation number of its own.
    pub fn seal(&self, share: &KeyShare, generation: u64) -> Result<SealedShare, VaultError> {
        let public = share.public();
        let damaged = |source| VaultError::Import { key: public.key.clone(), source };
        let failed = |purpose| VaultError::Sealed { key: public.key.clone(), purpose };
        let seal = |purpose, secret: &[u8]| {
            self.data_key.seal(&self.place(public, purpose, generation), secret).ok_or_else(|| failed(purpose))
        };
        Ok(SealedShare {
            public: encode_public(public)?,
            core: seal(CORE, &share.export_core())?,
            setup: seal(SETUP, &share.export_setup().map_err(damaged)?)?,
        })
    }

    /// Reads a share back from the committed store and checks all of it.
    pub fn read(&self, view: &View, key: &KeyId, row: &ShareRow) -> Result<KeyShare, VaultError> {
        let public = decode_public(key, &row.public)?;
        let open = |purpose| {
            let sealed = view.share(key, public.epoch, purpose)?;
            let sealed = sealed.ok_or_else(|| VaultError::Missing { key: key.clone(), purpose })?;
            let place = self.place(&public, purpose, row.generation);
            self.data_key.open(&place, &sealed).ok_or_else(|| VaultError::Sealed { key: key.clone(), purpose })
        };
        let (core, setup) = (open(CORE)?, open(SETUP)?);
        KeyShare::import(public, &core, &setup).map_err(|source| VaultError::Import { key: key.clone(), source })
    }

    /// Keeps an opened share in memory.
    pub fn hold(&self, share: KeyShare) {
        let key = share.public().key.clone();
        let mut shares = self.shares.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        shares.insert(key, Arc::new(share));
    }

    fn share(&self, key: &KeyId) -> Result<Arc<KeyShare>, VaultError> {
        let shares = self.shares.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        shares.get(key).cloned().ok_or_else(|| VaultError::NotLoaded(key.clone()))
    }

    /// Makes nonces for signatures to come. They sign nothing by themselves: using one takes a [`SignToken`].
    pub fn make_nonces(&self, key: &KeyId, count: usize) -> Result<Vec<NoncePair>, VaultError> {
        let seed = Seed::new(*entropy::random());
        nonce_batch(&*self.share(key)?, count, seed).map_err(|error| VaultError::Nonces { key: key.clone(), error })
    }

    /// The share that a signing permission is for.
    pub fn share_to_sign(&self, token: &SignToken) -> Result<Arc<KeyShare>, VaultError> {
        self.share(&token.key().public.key)
    }

    /// The share that a presigning permission is for.
    pub fn share_to_presign(&self, token: &PresignToken) -> Result<Arc<KeyShare>, VaultError> {
        self.share(&token.key().public.key)
    }
}

fn wrapping_key() -> Result<KekId, HsmError> {
    KekId::new(KEK).map_err(|error| HsmError::new(Kind::Input, "name the wrapping key", error.to_string()))
}

fn data_key(bytes: &[u8]) -> Result<DataKey, HsmError> {
    let wrong = || HsmError::new(Kind::DoesNotOpen, "use the data key", "what was opened has not 32 bytes");
    DataKey::new(bytes).ok_or_else(wrong)
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({}/{}, secrets redacted)", self.cluster, self.node)
    }
}

#[cfg(test)]
mod tests;
