//! A witness: a node that holds no share and has no vault. It keeps ledgers and cosigns the evidence log, so that any one
//! machine may be down, hears from the signers what versions of the charter there are and what was stopped, and serves
//! nothing else but health and metrics.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use limen_policy::charter::Charter;
use limen_wire::error::ApiError;
use limen_wire::ids::NodeId;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::evidence_server::EvidenceServer;
use limen_wire::pb::ledger_server::LedgerServer;
use limen_wire::pb::witness_server::WitnessServer;
use limen_wire::tls::{self, Pins, TlsIdentity};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::charters::{self, Follows, Orphans};
use crate::clock::{Clock, Now, Running};
use crate::config::{Config, Identity as Place};
use crate::crypto::CryptoPool;
use crate::decisions::{Decisions, Keys};
use crate::identity::{Credentials, Identity};
use crate::ledger::{Keeper, Ledgers, NoPeers};
use crate::log::{Follower, LogAlarm};
use crate::metrics::{Metrics, Reason};
use crate::node::{StartError, callers, door, open_store, pins, read_charter};
use crate::recent::Recent;
use crate::service::{EvidenceService, FollowsLog, Keeps, LedgerService, WitnessService};
use crate::store::{Store, StoreError, compaction};
use crate::{entropy, exporter, log, stops, upkeep};

/// How late a version may bind here, or a freeze be lifted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two times that the running time is written down.
const UPTIME_EVERY: u32 = 10;
/// Time between two looks at the token of its identity, if that is in one.
const TOKEN_EVERY: Duration = Duration::from_secs(5);
/// Looks between two rounds of compaction.
const COMPACT_EVERY: u32 = 600;
/// Signatures under versions of the charter are checked one after the other.
const THREADS: usize = 1;
/// How long calls may take to end after a stop was asked for.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// The parts of a running witness.
struct Parts {
    me: NodeId,
    in_force: RwLock<Arc<Charter>>,
    pins: Pins,
    identity: Arc<Identity>,
    clock: Running,
    store: Store,
    /// None: it holds no share of any.
    keys: Keys,
    recent: Recent,
    ledgers: Ledgers,
    log_alarm: LogAlarm,
    metrics: Arc<Metrics>,
    crypto: CryptoPool,
    orphans: Orphans,
}

impl Follows for Parts {
    fn decisions(&self) -> Decisions<'_> {
        let Self { store, keys, recent, clock, .. } = self;
        Decisions { charter: self.charter(), store, keys, recent, now: clock.now() }
    }
    fn held(&self) -> &RwLock<Arc<Charter>> {
        &self.in_force
    }
    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
    fn crypto(&self) -> &CryptoPool {
        &self.crypto
    }
    fn orphans(&self) -> &Orphans {
        &self.orphans
    }
}

impl Keeps for Parts {
    fn keeper(&self) -> Result<Keeper<'_>, ApiError> {
        let Self { ledgers, me, identity, .. } = self;
        Ok(Keeper { decisions: self.decisions(), ledgers, me, identity, peers: &NoPeers })
    }
    fn pins(&self) -> &Pins {
        &self.pins
    }
    fn refuse(&self, mut error: ApiError) -> ApiError {
        error.node = self.me.to_string();
        self.metrics.refusals.get_or_create(&Reason { reason: error.code.as_str() }).inc();
        error
    }
    fn tell(&self, _news: &[pb::Envelope]) {}
}

impl FollowsLog for Parts {
    fn follower(&self) -> Result<Follower<'_>, ApiError> {
        let Self { store, me, identity, metrics, .. } = self;
        Ok(Follower { charter: self.charter(), store, me, identity, metrics, now: self.clock.now() })
    }
    fn log_alarm(&self) -> &LogAlarm {
        &self.log_alarm
    }
}

/// A witness that serves until it is stopped.
pub struct Witness {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Witness {
    /// Starts on the configured address.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        Self::start_on(config, clock, listener).await
    }

    /// Starts on a port that is already open.
    pub async fn start_on(config: &Config, clock: Arc<dyn Clock>, listener: TcpListener) -> Result<Self, StartError> {
        let (charter, text) = read_charter(config)?;
        let credentials = Credentials::present(config, &charter).await?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let metrics = Arc::new(Metrics::default());
        let store = open_store(config, &charter, &metrics).await?;
        let clock = Running::new(clock, store.view()?.uptime()?);
        let (boot, now) = (*entropy::random::<16>(), clock.now());
        store.write(move |txn| upkeep::boot_record(txn, boot, now.wall)).await?;
        let charter = Arc::new(charters::begin(&store, charter, text, now).await?);
        log::give_up(&store, credentials.signs.public_key(), &charter, config.give_up_log.as_deref(), now).await?;
        let parts = Arc::new(Parts {
            me: config.node.clone(),
            pins: pins(&charter),
            in_force: RwLock::new(charter),
            identity: Arc::clone(&credentials.signs),
            clock,
            store,
            keys: Keys::default(),
            recent: Recent::default(),
            ledgers: Ledgers::default(),
            log_alarm: LogAlarm::default(),
            metrics,
            crypto: CryptoPool::new(THREADS),
            orphans: Orphans::default(),
        });
        charters::consider(parts.as_ref()).await?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(look_after(Arc::clone(&parts), config.store.retention(), stop.clone()));
        if config.identity == Place::Hsm {
            tasks.spawn(watch_token(Arc::clone(&parts), stop.clone()));
        }
        let metrics_address = match config.metrics {
            Some(address) => Some(exporter::serve(&parts.metrics, &stop, &tasks, address).await?),
            None => None,
        };
        let server = serve(&parts, &credentials.serves, listener, (&stop, &tasks))?;
        tracing::info!(node = %parts.me, %address, "witness started");
        Ok(Self { address, metrics_address, server, stop, tasks })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are read.
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Ends calls, server and store.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        match tokio::time::timeout(STOP_PATIENCE, self.server).await {
            Ok(Ok(Ok(()))) => tracing::info!("witness stopped"),
            other => tracing::warn!(?other, "the server did not stop cleanly"),
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Witness({})", self.address)
    }
}

/// Binds versions and lifts freezes when they are due, makes the running time durable now and then, and lets ended requests
/// shrink.
async fn look_after(parts: Arc<Parts>, retention: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0u32.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = look(&parts, round, retention).await {
            tracing::debug!(%error, "upkeep goes on later");
        }
    }
}

async fn look(parts: &Parts, round: u32, retention: Duration) -> Result<(), StoreError> {
    charters::consider(parts).await?;
    stops::lift_due(parts).await?;
    let Now { uptime, wall } = parts.clock.now();
    if round.is_multiple_of(UPTIME_EVERY) {
        parts.store.write_later(move |txn| txn.put_uptime(uptime))?;
    }
    if round.is_multiple_of(COMPACT_EVERY) {
        let before = wall.minus(retention);
        parts.store.write_later(move |txn| compaction::step(txn, before, wall).map(drop))?;
    }
    Ok(())
}

/// Looks whether its identity's token is there, for its alarm and its metrics. By itself: a silent token holds nothing else up.
async fn watch_token(parts: Arc<Parts>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TOKEN_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let identity = Arc::clone(&parts.identity);
        if let Ok(found) = tokio::task::spawn_blocking(move || identity.look()).await {
            parts.metrics.token_works.set(i64::from(found.is_ok()));
        }
    }
}

fn serve(
    parts: &Arc<Parts>,
    identity: &TlsIdentity,
    listener: TcpListener,
    (stop, tasks): (&CancellationToken, &TaskTracker),
) -> Result<tokio::task::JoinHandle<Result<(), tonic::transport::Error>>, StartError> {
    let checked = tls::pinned_server(identity, parts.pins.clone())?;
    let incoming = callers(checked, &parts.metrics, listener);
    let ledger = LedgerServer::new(LedgerService::new(Arc::clone(parts)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let evidence = EvidenceServer::new(EvidenceService::new(Arc::clone(parts)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let hears = WitnessServer::new(WitnessService::new(Arc::clone(parts)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    let stopping = stop.clone();
    tasks.spawn(async move {
        health.set_serving::<LedgerServer<LedgerService<Parts>>>().await;
        stopping.cancelled().await;
        health.set_not_serving::<LedgerServer<LedgerService<Parts>>>().await;
    });
    let router = door().add_service(health_service).add_service(ledger).add_service(evidence).add_service(hears);
    let stopped = stop.clone().cancelled_owned();
    Ok(tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped)))
}
