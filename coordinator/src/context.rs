//! What all parts of the coordinator share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Limits, Presign, Timing};
use crate::keys::ring::KeyRing;
use crate::ledger::{LedgerPort, Ledgers};
use crate::lifecycle::Event;
use crate::log::Ports;
use crate::metrics::Metrics;
use crate::shadow::Shadow;
use crate::signers::Signers;
use crate::signing::nonces::NoncePools;
use crate::signing::presign::PresignaturePools;
use crate::store::{Entry, Store, StoreError};

/// What the driver of one request can be told from outside.
pub(crate) enum Command {
    /// A checked stop record of its requester.
    Cancel(pb::Envelope, oneshot::Sender<Result<Entry, ApiError>>),
    /// What a person said or a checker found, checked; answered once it is durable.
    Said(Box<Event>, oneshot::Sender<Result<(), ApiError>>),
    /// Something that came from outside its sessions; answered once it is in the books.
    Learned(Box<Event>, oneshot::Sender<()>),
}

/// The requests that have a driver. While it lives, nobody else writes the request.
#[derive(Default)]
pub(crate) struct Drivers(Mutex<HashMap<IntentId, Place>>);

struct Place {
    commands: mpsc::Sender<Command>,
    open: bool,
}

impl Drivers {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<IntentId, Place>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// How many requests have not ended.
    pub(crate) fn open(&self) -> usize {
        self.with(|drivers| drivers.values().filter(|place| place.open).count())
    }
    /// `None` if the request has a driver already.
    pub(crate) fn register(&self, id: IntentId) -> Option<mpsc::Receiver<Command>> {
        self.with(|drivers| {
            if drivers.contains_key(&id) {
                return None;
            }
            let (commands, receiver) = mpsc::channel(8);
            drivers.insert(id, Place { commands, open: true });
            Some(receiver)
        })
    }
    pub(crate) fn find(&self, id: &IntentId) -> Option<mpsc::Sender<Command>> {
        self.with(|drivers| drivers.get(id).map(|place| place.commands.clone()))
    }
    /// The request has ended, but its driver still takes in late answers.
    pub(crate) fn ended(&self, id: &IntentId) {
        self.with(|drivers| {
            if let Some(place) = drivers.get_mut(id) {
                place.open = false;
            }
        });
    }
    pub(crate) fn remove(&self, id: &IntentId) {
        self.with(|drivers| drivers.remove(id));
    }
}

/// Denied requests of which signers are told at the same time; of more they are not told.
const MOST_TOLD: usize = 64;

/// What all parts of the coordinator share. One per process; tests make many.
pub struct Core {
    pub(crate) charter: RwLock<Arc<Charter>>,
    /// The time.
    pub clock: Clock,
    /// The books.
    pub store: Store,
    /// The signers.
    pub signers: Signers,
    /// Keys that sign.
    pub keys: KeyRing,
    /// Held while an order of new shares is taken.
    pub ordering: tokio::sync::Mutex<()>,
    /// Changes whenever a custodian's proof was taken.
    pub(crate) proofs: watch::Sender<u64>,
    /// Counters.
    pub metrics: Metrics,
    /// Bounds.
    pub limits: Limits,
    /// Time-outs.
    pub timing: Timing,
    /// Wanted presignatures.
    pub presign: Vec<Presign>,
    pub(crate) ledgers: Ledgers,
    pub(crate) log: Ports,
    pub(crate) nonces: NoncePools,
    pub(crate) presignatures: PresignaturePools,
    pub(crate) drivers: Drivers,
    pub(crate) shadow: Shadow,
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) watches: Arc<Semaphore>,
    /// Places for denied requests of which signers are told.
    pub(crate) telling: Arc<Semaphore>,
    /// Held by whoever changes a request that has no driver.
    pub(crate) late: tokio::sync::Mutex<()>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) ready: CancellationToken,
}

/// The parts that a coordinator is made of.
pub struct Parts {
    /// The charter in force.
    pub charter: Charter,
    /// The time.
    pub clock: Clock,
    /// The books.
    pub store: Store,
    /// The signers.
    pub signers: Signers,
    /// The ways to all members of ledger committees: signers and witnesses.
    pub ledgers: BTreeMap<NodeId, Arc<dyn LedgerPort>>,
    /// The ways to all nodes that cosign the evidence log; none where this coordinator does not keep it.
    pub log: Ports,
    /// Bounds.
    pub limits: Limits,
    /// Time-outs.
    pub timing: Timing,
    /// Wanted presignatures.
    pub presign: Vec<Presign>,
}

impl Core {
    /// Puts the parts together. Nothing runs before [`crate::run::start`].
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { charter, clock, store, signers, ledgers, log, limits, timing, presign } = parts;
        let ledgers = Ledgers::new(ledgers);
        Arc::new(Self {
            charter: RwLock::new(Arc::new(charter)),
            clock,
            store,
            signers,
            keys: KeyRing::default(),
            ordering: tokio::sync::Mutex::new(()),
            proofs: watch::Sender::new(0),
            ledgers,
            log,
            metrics: Metrics::new(),
            sessions: Arc::new(Semaphore::new(limits.max_running_sessions)),
            watches: Arc::new(Semaphore::new(limits.max_watches)),
            telling: Arc::new(Semaphore::new(MOST_TOLD)),
            late: tokio::sync::Mutex::default(),
            limits,
            timing,
            presign,
            nonces: NoncePools::default(),
            presignatures: PresignaturePools::default(),
            drivers: Drivers::default(),
            shadow: Shadow::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            ready: CancellationToken::new(),
        })
    }

    /// Takes nothing new from now on; [`crate::run::stop`] waits for what is running.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Refuses calls until the memory of the signers has been read, and while stopping.
    pub(crate) fn check_serving(&self) -> Result<(), ApiError> {
        if self.stop.is_cancelled() {
            return Err(ApiError::new(Code::ShuttingDown, "the coordinator is stopping"));
        }
        if !self.ready.is_cancelled() {
            let message = "the coordinator is starting: it reads what the signers remember first";
            return Err(ApiError::new(Code::ShuttingDown, message));
        }
        Ok(())
    }
}

/// Fills the bytes from the system's random number generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| ApiError::new(Code::Internal, format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A store that fails is our own fault, and the process is about to stop.
pub(crate) fn store_failed(error: StoreError) -> ApiError {
    ApiError::new(Code::Internal, error.to_string())
}
