//! The share vault: shares at rest, sealed; shares in memory, for a while, and only for who holds a token.
//!
//! Each record is sealed by AES-256-GCM under a data key of its own, which a [`limen_hsm::Provider`] has wrapped. What both
//! authenticate names node, key, epoch, record and purpose, and a generation number that must be the one the journal noted: a
//! record moved to another place, node or time does not open. Core share and protocol set-up are separate records.

mod destroy;
mod erase;
mod held;
mod import;
mod sealed;
mod token_key;
mod wrapping;

use std::sync::Arc;
use std::time::Duration;

use limen_hsm::{HsmError, Kind, Provider};
use limen_mpc::{ImportError, KeyPublic, KeyShare, NonceError, NoncePair, Seed, nonce_batch};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, Epoch, KeyId, NodeId};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::Uptime;
use crate::entropy;
use crate::guard::{HandoverToken, PresignToken, SignToken};
use crate::store::rows::ShareRow;
use crate::store::{Store, StoreError, View};

pub use destroy::Wrapped;
use held::Held;
use sealed::Place;
use token_key::TokenKey;
pub use wrapping::{Group, Rotated};

const CORE: &str = "core";
const SETUP: &str = "set-up";
/// The records of a share.
const PURPOSES: [&str; 2] = [CORE, SETUP];

/// The record from before a rotation that is not finished.
fn before(purpose: &str) -> &'static str {
    if purpose == CORE { "core before" } else { "set-up before" }
}

/// A device that says that a record does not open, as the record's own trouble.
fn unopened(error: HsmError, key: &KeyId, purpose: &'static str) -> VaultError {
    match error.kind() {
        Kind::DoesNotOpen => VaultError::Sealed { key: key.clone(), purpose },
        _ => VaultError::Provider(error),
    }
}

/// Why a share cannot be stored or used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// What wraps the data keys.
    #[error("the shares are sealed, and what seals them does not serve: {0}")]
    Provider(#[from] HsmError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed record does not open: damaged, moved, of another generation or under another key.
    #[error(
        "the sealed {purpose} record of key {key} does not open: it is damaged, moved, old or of another node, or the token holds \
         another key of the name that wraps it"
    )]
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
    /// The token shows another key, or signs something else, than it was asked for.
    #[error("the token's answer about key {key} is refused: {why}; nothing of it leaves this signer")]
    WrongAnswer {
        /// Which key.
        key: KeyId,
        /// What is wrong.
        why: String,
    },
    /// The protocol made no nonces.
    #[error("no nonces for key {key}: {error}")]
    Nonces {
        /// Which key.
        key: KeyId,
        /// Why.
        error: NonceError,
    },
    /// The token remembers another journal than this store's.
    #[error("this store was put back: {0}; work on the newest one")]
    PutBack(String),
    /// The charter has destroyed the key, and its token has it still.
    #[error(
        "the token of this signer holds key {0} still: whoever has the token destroys it there, see docs/key-states.md"
    )]
    InToken(KeyId),
    /// Nothing was ever dealt to this signer, or what opens it was forgotten.
    #[error("this signer has no import recipient: `limen-node import-recipient` makes one, to which pieces are dealt")]
    NoImportRecipient,
    /// There is none of this key, or of this generation of it.
    #[error("this signer stores no share of key {0}, or one of another epoch")]
    NoShare(KeyId),
}

impl VaultError {
    /// Whether another record of the same share may open where this one does not.
    fn is_of_the_record(&self) -> bool {
        match self {
            Self::Provider(error) => error.kind() == Kind::Missing,
            Self::Sealed { .. } | Self::Missing { .. } => true,
            _ => false,
        }
    }

    /// What it is to a caller: whether the token has to come back, or people have to look at this signer's disk.
    pub fn to_api(&self) -> ApiError {
        match self {
            Self::Provider(error) => {
                let code = match error.kind() {
                    Kind::DoesNotOpen => Code::ShareDamaged,
                    Kind::WrongSignature => Code::HsmWrongAnswer,
                    Kind::HeldUnsupported | Kind::Input => Code::WrongScheme,
                    _ => Code::HsmUnavailable,
                };
                ApiError::new(code, self.to_string())
            }
            Self::Store(error) => crate::shared::Shared::store_error(error),
            Self::PutBack(_) => ApiError::new(Code::NoStanding, self.to_string()),
            Self::NoShare(_) | Self::InToken(_) => ApiError::new(Code::KeyNotActive, self.to_string()),
            Self::NoImportRecipient => ApiError::new(Code::WrongState, self.to_string()),
            Self::WrongAnswer { .. } => ApiError::new(Code::HsmWrongAnswer, self.to_string()),
            Self::Nonces { .. } => ApiError::new(Code::Internal, self.to_string()),
            Self::Sealed { .. } | Self::Missing { .. } | Self::Import { .. } | Self::Public(_) => {
                ApiError::new(Code::ShareDamaged, self.to_string())
            }
        }
    }
}

/// Seals and opens shares, and holds opened ones for a while.
pub struct Vault {
    cluster: ClusterId,
    node: NodeId,
    provider: Arc<dyn Provider>,
    store: Store,
    held: Held,
}

/// Both sealed records of a share; none of a key in the token.
pub struct SealedShare {
    /// Encoded public part.
    pub public: Vec<u8>,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl SealedShare {
    /// Of a key in the token: all that there is of it here.
    pub fn in_token(public: &KeyPublic) -> Result<Self, VaultError> {
        Ok(Self { public: encode_public(public)?, records: Vec::new() })
    }
    /// SHA-256 over both records, or over the public part where there is nothing else, for the journal.
    pub fn hash(&self) -> [u8; 32] {
        if self.records.is_empty() {
            return Sha256::digest(&self.public).into();
        }
        self.records.iter().fold(Sha256::new(), |hash, (_, record)| hash.chain_update(record)).finalize().into()
    }
    /// Puts the records into a transaction.
    pub fn put(&self, txn: &mut crate::store::Txn<'_>, key: &KeyId, epoch: Epoch) -> Result<(), StoreError> {
        self.records.iter().try_for_each(|(purpose, record)| txn.put_share(key, epoch, purpose, record))
    }
}

/// A share that was opened, out of reach until a permission of the guard is shown; or a key that the token has shown.
pub struct Opened {
    what: What,
    at: Uptime,
}

enum What {
    Share(Arc<KeyShare>),
    InToken(Box<TokenKey>),
}

impl Opened {
    /// The share, if it is the one that the guard has judged, in every part that is public.
    fn of(&self, public: &KeyPublic) -> Result<Arc<KeyShare>, VaultError> {
        match &self.what {
            What::Share(share) if share.public() == public => Ok(Arc::clone(share)),
            _ => Err(VaultError::NoShare(public.key.clone())),
        }
    }

    fn public(&self) -> &KeyPublic {
        match &self.what {
            What::Share(share) => share.public(),
            What::InToken(key) => &key.public,
        }
    }

    /// Makes nonces for signatures to come. They sign nothing by themselves: using one takes a [`SignToken`].
    pub fn make_nonces(&self, count: usize) -> Result<Vec<NoncePair>, VaultError> {
        let failed = |error| VaultError::Nonces { key: self.public().key.clone(), error };
        let What::Share(share) = &self.what else { return Err(VaultError::NoShare(self.public().key.clone())) };
        nonce_batch(share, count, Seed::new(*entropy::random())).map_err(failed)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({}, redacted)", self.public().key)
    }
}

/// Encodes the public part of a key for its row.
pub fn encode_public(public: &KeyPublic) -> Result<Vec<u8>, VaultError> {
    postcard::to_extend(public, vec![1]).map_err(|_| VaultError::Public(public.key.clone()))
}

/// Decodes it; consistency is checked together with the share, or with what this node has stated of it.
pub fn decode_public(key: &KeyId, bytes: &[u8]) -> Result<KeyPublic, VaultError> {
    match bytes.split_first() {
        Some((1, body)) => postcard::from_bytes(body).map_err(|_| VaultError::Public(key.clone())),
        _ => Err(VaultError::Public(key.clone())),
    }
}

impl Vault {
    /// Over a store and what wraps its data keys; opened shares stay in memory for `hold`, none at all for zero. Asks nobody yet.
    pub fn new(cluster: ClusterId, node: NodeId, provider: Arc<dyn Provider>, store: Store, hold: Duration) -> Self {
        Self { cluster, node, provider, store, held: Held::new(hold) }
    }

    fn place<'a>(&'a self, public: &'a KeyPublic, purpose: &'static str, generation: u64) -> Place<'a> {
        Place { cluster: &self.cluster, node: &self.node, key: &public.key, epoch: public.epoch, purpose, generation }
    }

    /// Seals a share under a generation number of its own, by a wrapping key of its group, which is made if there is none. Blocks.
    pub fn seal(&self, share: &KeyShare, group: &Group, generation: u64) -> Result<SealedShare, VaultError> {
        let public = share.public();
        let damaged = |source| VaultError::Import { key: public.key.clone(), source };
        let kek = wrapping::current_or_new(&*self.provider, group)?;
        let seal = |purpose, secret: &[u8]| {
            sealed::seal(&*self.provider, &kek, &self.place(public, purpose, generation), secret)
        };
        Ok(SealedShare {
            public: encode_public(public)?,
            records: vec![
                (CORE, seal(CORE, &share.export_core())?),
                (SETUP, seal(SETUP, &share.export_setup().map_err(damaged)?)?),
            ],
        })
    }

    /// Seals and opens something of no worth for a group, so that a token that does not serve is known before a share is made. Blocks.
    pub fn rehearse(&self, group: &Group) -> Result<(), VaultError> {
        let kek = wrapping::current_or_new(&*self.provider, group)?;
        let (context, nothing) = (b"limen node rehearsal v1", *entropy::random::<32>());
        let opened = self.provider.unseal(&kek, context, &self.provider.seal(&kek, context, &nothing)?)?;
        if *opened == nothing {
            return Ok(());
        }
        let other = HsmError::new(Kind::DoesNotOpen, "seal and open", "what was sealed opens as something else");
        Err(VaultError::Provider(other))
    }

    /// Reads a share back from the committed store and checks all of it. During a rotation the record from before serves where
    /// the new one does not. Blocks.
    pub fn read(&self, view: &View, key: &KeyId, row: &ShareRow) -> Result<KeyShare, VaultError> {
        let open = |public: &KeyPublic, purpose, from: &str| {
            let record = view.share(key, public.epoch, from)?;
            let record = record.ok_or_else(|| VaultError::Missing { key: key.clone(), purpose })?;
            let place = self.place(public, purpose, row.generation);
            sealed::open(&*self.provider, &place, &record).map_err(|error| unopened(error, key, purpose))
        };
        let either = |public: &KeyPublic, purpose| match open(public, purpose, purpose) {
            Err(error) if error.is_of_the_record() => open(public, purpose, before(purpose)).map_err(|_| error),
            other => other,
        };
        self.import(key, row, either)
    }

    fn import(
        &self,
        key: &KeyId,
        row: &ShareRow,
        open: impl Fn(&KeyPublic, &'static str) -> Result<Zeroizing<Vec<u8>>, VaultError>,
    ) -> Result<KeyShare, VaultError> {
        let public = decode_public(key, &row.public)?;
        if public.key != *key || public.epoch.0 != row.epoch || public.cluster != self.cluster {
            return Err(VaultError::Public(key.clone()));
        }
        let (core, setup) = (open(&public, CORE)?, open(&public, SETUP)?);
        KeyShare::import(public, &core, &setup).map_err(|source| VaultError::Import { key: key.clone(), source })
    }

    /// The share of a key's epoch: the one in memory, or opened now. Blocks.
    pub fn open(&self, key: &KeyId, epoch: Epoch, now: Uptime) -> Result<Opened, VaultError> {
        if let Some(opened) = self.held(key, epoch, now) {
            return Ok(opened);
        }
        let view = self.store.view()?;
        let row = view.key(key)?.ok_or_else(|| VaultError::NoShare(key.clone()))?;
        let share = row.share.as_ref().filter(|share| share.epoch == epoch.0);
        let share = share.ok_or_else(|| VaultError::NoShare(key.clone()))?;
        let what = match decode_public(key, &share.public)?.protocol.is_threshold() {
            true => What::Share(self.held.watched(self.read(&view, key, share)?)),
            false => What::InToken(Box::new(self.find_in_token(key, &row)?)),
        };
        Ok(Opened { what, at: now })
    }

    /// The share of a key's epoch, if it is in memory.
    pub fn held(&self, key: &KeyId, epoch: Epoch, now: Uptime) -> Option<Opened> {
        self.held.get(key, epoch, now).map(|(share, at)| Opened { what: What::Share(share), at })
    }

    /// For the session that the guard has allowed. Kept in memory from now on for what is left of the configured time.
    pub fn to_sign(&self, opened: &Opened, token: &SignToken) -> Result<Arc<KeyShare>, VaultError> {
        let share = opened.of(&token.key().public)?;
        self.held.put(&share, opened.at);
        Ok(share)
    }

    /// The same for the presigning session that the guard has allowed.
    pub fn to_presign(&self, opened: &Opened, token: &PresignToken) -> Result<Arc<KeyShare>, VaultError> {
        let share = opened.of(&token.key().public)?;
        self.held.put(&share, opened.at);
        Ok(share)
    }

    /// For the handover that the guard has allowed: not kept in memory for it.
    pub fn to_hand_over(&self, opened: &Opened, token: &HandoverToken) -> Result<Arc<KeyShare>, VaultError> {
        opened.of(token.present())
    }

    /// Drops shares of epochs before this one from memory.
    pub fn forget_before(&self, key: &KeyId, epoch: Epoch) {
        self.held.forget_before(key, epoch);
    }

    /// Drops every share of a key from memory; whether sessions have any of them still is [`Self::is_in_use`]'s to say.
    pub fn forget(&self, key: &KeyId) {
        self.held.forget(key);
    }

    /// Whether a share of the key that was opened here is in memory still.
    pub fn is_in_use(&self, key: &KeyId) -> bool {
        self.held.is_in_use(key)
    }

    /// Drops from memory what has been there for long enough.
    pub fn sweep(&self, now: Uptime) {
        self.held.sweep(now);
    }

    /// What wraps the data keys. Its calls block.
    pub(crate) fn provider(&self) -> &dyn Provider {
        &*self.provider
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({}/{}, secrets redacted)", self.cluster, self.node)
    }
}

#[cfg(test)]
mod tests;
