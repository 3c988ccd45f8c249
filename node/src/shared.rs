//! What all parts of one signer share: made once at start, changed by nobody else than the part that owns it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, KeyId, NodeId};
use limen_wire::tls::Pins;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backups::Backups;
use crate::charters::Orphans;
use crate::clock::{Millis, Now, Running};
use crate::config::Limits;
use crate::crypto::CryptoPool;
use crate::decisions::{Decisions, Keys};
use crate::destruction::LookedAt;
use crate::guard::KeyFacts;
use crate::identity::Identity;
use crate::import::Importing;
use crate::ledger::Ledgers;
use crate::log::LogAlarm;
use crate::memory::leaving_no_trace;
use crate::mesh::Mesh;
use crate::metrics::Metrics;
use crate::nonces::Nonces;
use crate::presigning::Presignatures;
use crate::primes::PrimePool;
use crate::recent::Recent;
use crate::sessions::{Quarantine, Sessions};
use crate::standing::Standings;
use crate::store::{Store, StoreError};
use crate::token::{self, TokenWatch};
use crate::trace::PartialTrace;
use crate::vault::{Opened, Vault, VaultError};

/// The parts of a running signer.
pub struct Shared {
    /// Its name.
    pub me: NodeId,
    pub(crate) in_force: RwLock<Arc<Charter>>,
    /// Bounds.
    pub limits: Limits,
    /// Whose certificates let people in to hand stop records in.
    pub client_authority: Option<PathBuf>,
    /// Names by pinned TLS key, as [`caller_name`] writes them.
    pub pins: Pins,
    /// Versions of the charter that were shown here and follow what is not known.
    pub orphans: Orphans,
    /// Signs what this node says.
    pub identity: Arc<Identity>,
    /// The time.
    pub clock: Running,
    /// Random per start.
    pub boot: [u8; 16],
    /// Keys that are being imported here, each from its piece to its stored share.
    pub(crate) importing: Importing,
    /// Durable memory.
    pub store: Store,
    /// Shares.
    pub vault: Arc<Vault>,
    /// Whether what seals them works.
    pub token: TokenWatch,
    /// Shares that are opened at the same time.
    pub openings: Arc<Semaphore>,
    /// Held while a share is sealed and not stored yet, so that no wrapping key is destroyed meanwhile.
    pub wrapping: tokio::sync::RwLock<()>,
    /// What may be done for backups of shares, and what could not be.
    pub backups: Backups,
    /// Held while a key goes over to another epoch, on disk and in memory.
    pub switching: tokio::sync::Mutex<()>,
    /// How often the token is told of the journal; `None` where it keeps no anchor.
    pub anchor_every: Option<Duration>,
    /// Public facts of every key with a share here.
    pub keys: Keys,
    /// Intents examined a moment ago.
    pub recent: Recent,
    /// What was looked at of destroyed keys in this run.
    pub destructions: LookedAt,
    /// Ledgers that this node keeps.
    pub ledgers: Ledgers,
    /// Running sessions.
    pub sessions: Arc<Sessions>,
    /// FROST nonces shared ahead.
    pub nonces: Arc<Nonces>,
    /// CGGMP24 presignatures.
    pub presignatures: Presignatures,
    /// CGGMP24 safe primes.
    pub primes: Arc<PrimePool>,
    /// What peers have said of themselves.
    pub standings: Standings,
    /// Milliseconds of running time for which an own leaf may be missing from the log.
    pub leaf_patience_ms: u64,
    /// Whether another log was shown than the one that was cosigned.
    pub log_alarm: LogAlarm,
    /// Links to peers.
    pub mesh: Arc<Mesh>,
    /// Protocol threads.
    pub crypto: CryptoPool,
    /// Peers with which no further protocol step runs in this boot.
    pub quarantine: Arc<Quarantine>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Last-round messages are written down.
    pub trace: Option<Arc<PartialTrace>>,
    /// Session tasks, awaited at the end.
    pub tasks: TaskTracker,
    /// No new sessions from here on.
    pub stopping: CancellationToken,
    /// Links, server helpers and recurring work.
    pub links: TaskTracker,
    /// Ends them.
    pub mesh_stop: CancellationToken,
}

/// Who a TLS key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A signer of the charter.
    Node,
    /// A coordinator of the charter.
    Coordinator,
}

/// The name under which a caller's key is pinned.
pub fn caller_name(kind: CallerKind, id: &NodeId) -> String {
    match kind {
        CallerKind::Node => format!("node:{id}"),
        CallerKind::Coordinator => format!("coordinator:{id}"),
    }
}

/// The reverse of [`caller_name`].
pub fn parse_caller(name: &str) -> Option<(CallerKind, NodeId)> {
    let (kind, id) = name.split_once(':')?;
    let kind = match kind {
        "node" => CallerKind::Node,
        "coordinator" => CallerKind::Coordinator,
        _ => return None,
    };
    Some((kind, NodeId::new(id).ok()?))
}

impl Shared {
    /// Now, by the wall clock.
    pub fn now(&self) -> Millis {
        self.clock.now().wall
    }
    /// Now, by the wall clock and by the time that this node has been running.
    pub fn time(&self) -> Now {
        self.clock.now()
    }

    /// What this signer decides with, now.
    pub fn decisions(&self) -> Decisions<'_> {
        let Self { store, keys, recent, .. } = self;
        Decisions { charter: self.charter(), store, keys, recent, now: self.time() }
    }

    /// The facts of a key.
    pub fn key(&self, key: &KeyId) -> Option<Arc<KeyFacts>> {
        self.decisions().key(key)
    }

    /// The keys that sign.
    pub fn active_keys(&self) -> Vec<Arc<KeyFacts>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().filter(|key| key.active).cloned().collect()
    }

    /// Sets the facts of a key.
    pub fn put_key(&self, facts: KeyFacts) {
        let key = facts.public.key.clone();
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // What was read before a switch says nothing after it.
        if keys.get(&key).is_none_or(|known| known.public.epoch <= facts.public.epoch) {
            keys.insert(key, Arc::new(facts));
        }
    }

    /// The share of a key's epoch, opened: at once if it is in memory, else by the device, on a thread that may wait.
    pub async fn open_share(self: &Arc<Self>, key: &KeyId, epoch: Epoch) -> Result<Opened, VaultError> {
        token::compare(self).await?;
        let now = self.time().uptime;
        if let Some(opened) = self.vault.held(key, epoch, now) {
            return Ok(opened);
        }
        let stopped = |_| VaultError::Store(StoreError::Stopped);
        // A share whose time is over is wanted by many sessions at once, and tokens serve few callers at a time.
        let place =
            Arc::clone(&self.openings).acquire_owned().await.map_err(|_| VaultError::Store(StoreError::Stopped))?;
        let (vault, name) = (Arc::clone(&self.vault), key.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let _place = place;
            leaving_no_trace(|| vault.open(&name, epoch, now))
        });
        opening.await.map_err(stopped)?
    }

    /// Forgets the facts of a key of which this signer has no share any more.
    pub fn drop_key(&self, key: &KeyId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// An error that names this signer, counted.
    pub fn refuse(&self, mut error: ApiError) -> ApiError {
        error.node = self.me.to_string();
        self.metrics.refusals.get_or_create(&crate::metrics::Reason { reason: error.code.as_str() }).inc();
        error
    }

    /// What a store failure is to a caller. Real failures end the process in the writer; these are the others.
    pub fn store_error(error: &StoreError) -> ApiError {
        let code = match error {
            StoreError::Busy => Code::Overloaded,
            StoreError::Stopped => Code::ShuttingDown,
            _ => Code::Internal,
        };
        ApiError::new(code, error.to_string())
    }

    /// Refuses while the process stops.
    pub fn check_running(&self) -> Result<(), ApiError> {
        if self.stopping.is_cancelled() {
            return Err(ApiError::new(Code::ShuttingDown, "this signer is stopping"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.me)
    }
}
