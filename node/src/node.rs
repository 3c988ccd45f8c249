//! A running signer: everything put together, started, and stopped in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use limen_evidence::ceremony::{GenesisError, may_begin};
use limen_hsm::{BridgeClient, DangerSoftware, HsmError};
use limen_policy::ceremony::{Mode, Plan};
use limen_policy::charter::{Charter, CharterError};
use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::identities::{FormerIdentities, FormerIdentity};
use limen_wire::ids::{CharterHash, NodeId};
use limen_wire::keys::PublicKey;
use limen_wire::limits::{GRPC_MESSAGE_BYTES, STOP_RECORD_BYTES};
use limen_wire::pb;
use limen_wire::pb::evidence_server::EvidenceServer;
use limen_wire::pb::ledger_server::LedgerServer;
use limen_wire::pb::peer_server::PeerServer;
use limen_wire::pb::signer_server::SignerServer;
use limen_wire::pb::stops_server::StopsServer;
use limen_wire::tls::{self, Pins, TlsError, TlsIdentity};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;

use crate::backups::Backups;
use crate::clock::{Clock, Running};
use crate::config::{Config, Provider};
use crate::crypto::CryptoPool;
use crate::destruction::LookedAt;
use crate::identity::{Credentials, Identity, IdentityError};
use crate::import::Importing;
use crate::ledger::Ledgers;
use crate::log::LogAlarm;
use crate::memory::{self, MemoryError};
use crate::mesh::{Greeting, Mesh, Setup};
use crate::metrics::Metrics;
use crate::nonces::Nonces;
use crate::presigning::Presignatures;
use crate::primes::PrimePool;
use crate::recent::Recent;
use crate::service::{EvidenceService, LedgerService, PeerService, SignerService, StopsService};
use crate::sessions::Sessions;
use crate::shared::{CallerKind, Shared, caller_name};
use crate::standing::Standings;
use crate::stops::exchange;
use crate::store::{Options, Store, StoreError};
use crate::token::TokenWatch;
use crate::trace::PartialTrace;
use crate::vault::{Rotated, Vault, VaultError};
use crate::{charters, entropy, epochs, exporter, log, shares, token, upkeep, witnesses};

/// Calls that one connection may have open: a coordinator's sign calls, each as long as its session.
const STREAMS: u32 = 1024;
/// Shares that are opened at the same time: as many as the bridge's client keeps connections for.
const OPENINGS: usize = 8;
/// How long running sessions may go on after a stop was asked for.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Why a signer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The charter file.
    #[error("could not read the charter {path}: {source}")]
    ReadCharter {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its content.
    #[error("the charter is refused: {0}")]
    Charter(#[from] CharterError),
    /// The record of the genesis.
    #[error("could not read the record of the genesis {path}: {source}")]
    ReadGenesis {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// What it does not prove.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A plan of a ceremony.
    #[error("the plan {path} is refused: {reason}")]
    Plan {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Another file than the one that this signer began with.
    #[error(
        "the charter file is {file}, which this signer has not taken as a version; {in_force} is in force: \
         new versions come signed, by `limen charter submit`, not as files"
    )]
    OtherCharter {
        /// The file's.
        file: CharterHash,
        /// What is in force.
        in_force: CharterHash,
    },
    /// What was begun for development stays so, and what came out of a genesis too.
    #[error(
        "this store was begun with charter {in_force}, and `danger_development` is not the same in the file, {file}: what was made for \
         development counts for nothing else; begin with an empty data folder"
    )]
    OtherDevelopment {
        /// The file's.
        file: CharterHash,
        /// What is in force.
        in_force: CharterHash,
    },
    /// This node is not in it.
    #[error(
        "the charter has no such signer node, or with `witness = true` no such witness, as {0}: check the configuration"
    )]
    NotInCharter(String),
    /// The identity key is not the pinned one.
    #[error(
        "the identity key is {found}, not {pinned}, which the charter pins for {node}; peers would refuse this node: put the \
         right key or token in place, or have the charter changed"
    )]
    OtherIdentity {
        /// This node.
        node: NodeId,
        /// The key in the file or token.
        found: Box<PublicKey>,
        /// The charter's.
        pinned: Box<PublicKey>,
    },
    /// Identity files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity in a token, at a check.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A signer without a provider.
    #[error(
        "a signer needs a [provider] that wraps the key of its share vault, and an identity of kind hsm needs one too"
    )]
    NoProvider,
    /// The wrapping key or the mode of a secret file.
    #[error(transparent)]
    Provider(#[from] HsmError),
    /// A folder in which a store is expected.
    #[error("there is no store in {0}: data_dir must be the folder of a signer that has run")]
    NoStore(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The shares.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A trace of partial signatures outside of development.
    #[error("danger_trace_partials works only under a development charter")]
    TraceRefused,
    /// Another patience with missing leaves outside of development.
    #[error("danger_leaf_patience_secs works only under a development charter")]
    PatienceRefused,
    /// Memory that may be swapped out or read by others.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The trace's file.
    #[error("could not open the trace of partial signatures: {0}")]
    Trace(std::io::Error),
    /// A thread.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
    /// A port.
    #[error("could not listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The reflection service.
    #[error("the reflection service refuses the file descriptors: {0}")]
    Reflection(String),
}

/// Reads and checks the charter that a configuration names, that it fits the configuration, and that this node may begin with it.
pub(crate) fn read_charter(config: &Config) -> Result<(Charter, String), StartError> {
    let (charter, text, pinned) = charter_file(config)?;
    let unreadable = |path: &Path, source| StartError::ReadGenesis { path: path.display().to_string(), source };
    let record = config.genesis.as_deref().map(|path| std::fs::read(path).map_err(|source| unreadable(path, source)));
    may_begin(&charter, record.transpose()?.as_deref(), &config.node, &pinned)?;
    if config.danger_trace_partials.is_some() && !charter.is_development() {
        return Err(StartError::TraceRefused);
    }
    if config.danger_leaf_patience_secs.is_some() && !charter.is_development() {
        return Err(StartError::PatienceRefused);
    }
    Ok((charter, text))
}

/// The charter of the configuration, whether or not this node may begin with it, and the key that it pins for this node.
fn charter_file(config: &Config) -> Result<(Charter, String, PublicKey), StartError> {
    let path = &config.charter;
    let text = std::fs::read_to_string(path)
        .map_err(|source| StartError::ReadCharter { path: path.display().to_string(), source })?;
    let charter = Charter::from_toml(&text)?;
    let here = if config.witness { charter.witness(&config.node) } else { charter.node(&config.node) };
    let pinned = here.ok_or_else(|| StartError::NotInCharter(config.node.to_string()))?.public_key;
    Ok((charter, text, pinned))
}

/// Signs by this node's identity that it holds it, for the plan of a ceremony: see [`Plan::machine_proof`]. Needs no genesis, which this is
/// for. For a rotation of wrapping keys it signs that they are rotated here, so `rotated` has to say so, and for no other plan.
pub fn prove_identity(config: &Config, path: &Path, mode: Mode, rotated: bool) -> Result<[u8; 64], StartError> {
    let refused = |reason: String| StartError::Plan { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let plan = Plan::from_toml(&text)
        .map_err(|problems| refused(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    match (plan.kind.claim(), rotated) {
        (Some(claim), false) => {
            let reason = format!("what is signed for it says that this node {claim}: once it has, say so by --rotated");
            return Err(refused(reason));
        }
        (None, true) => return Err(refused("it rotates no wrapping keys: leave --rotated out".to_owned())),
        _ => {}
    }
    let (charter, _, pinned) = charter_file(config)?;
    let machine = plan.machine(&config.node).filter(|machine| machine.public_key == pinned);
    let machine = machine
        .ok_or_else(|| refused(format!("it has no machine {} with key {pinned}, as the charter does", config.node)))?;
    let proof = Unsigned::new(PayloadType::MachineProof, plan.machine_proof(machine, mode).into_bytes());
    Ok(Credentials::read(config, &charter)?.signs.sign(&proof.message())?)
}

/// What seals the shares. A token is not asked yet: a signer whose token is away keeps ledgers and log, hears bad news, and says
/// so when it is to sign.
pub(crate) fn provider(config: &Config, charter: &Charter) -> Result<Arc<dyn limen_hsm::Provider>, StartError> {
    match config.provider.as_ref().ok_or(StartError::NoProvider)? {
        Provider::DangerSoftware { key_file } => {
            let provider = DangerSoftware::open(key_file, charter.is_development())?;
            tracing::warn!("DANGER: shares are sealed under a key in a file; for development only");
            Ok(Arc::new(provider))
        }
        Provider::HsmBridge { socket, timeout_ms, .. } => {
            Ok(Arc::new(BridgeClient::new(socket, Duration::from_millis((*timeout_ms).into()))))
        }
    }
}

/// Checks everything that can be checked without starting: files, charter, identity, provider.
pub fn check(config: &Config) -> Result<(), StartError> {
    let (charter, _) = read_charter(config)?;
    Credentials::read(config, &charter)?.check()?;
    if !config.witness {
        let limen_hsm::Description { kind, label, serial, mechanism, .. } = provider(config, &charter)?.describe()?;
        tracing::info!(kind, label, serial, mechanism = mechanism.name(), "what seals the shares works");
    }
    Ok(())
}

/// An act of a rotation of wrapping keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// [`Vault::rotate`].
    Rotate,
    /// [`Vault::destroy_old`].
    DestroyOld,
}

/// The store of a signer that does not run, and the charter that it knows.
fn at_rest(config: &Config) -> Result<(Store, Charter), StartError> {
    let (file, _) = read_charter(config)?;
    let mut options = Options::new(config.node.clone(), file.cluster.clone());
    options.check = config.store.check_at_start;
    // A mistyped folder must not become an empty store of which all is well.
    if !config.data_dir.join("limen-node.redb").is_file() {
        return Err(StartError::NoStore(config.data_dir.display().to_string()));
    }
    let store = open_private(&config.data_dir, options)?;
    // A signer that has begun knows its charter better than the file does.
    let charter = charters::known(&store)?.unwrap_or(file);
    Ok((store, charter))
}

/// The vault of a signer that does not run, and the charter that it knows.
fn vault_at_rest(config: &Config) -> Result<(Vault, Charter), StartError> {
    let (store, charter) = at_rest(config)?;
    let provider = provider(config, &charter)?;
    let vault = Vault::new(charter.cluster.clone(), config.node.clone(), provider, store, Duration::ZERO);
    Ok((vault, charter))
}

/// Does an act of a rotation for a signer that does not run.
pub fn rotation(config: &Config, act: Act, clock: &dyn Clock) -> Result<Rotated, StartError> {
    let (vault, charter) = vault_at_rest(config)?;
    Ok(match act {
        Act::Rotate => vault.rotate(&charter, clock.now())?,
        Act::DestroyOld => vault.destroy_old(clock.now())?,
    })
}

/// To whom pieces of imported keys are encrypted for a signer that does not run; made if there is none.
pub fn import_recipient(config: &Config) -> Result<String, StartError> {
    Ok(vault_at_rest(config)?.0.import_recipient()?.to_string())
}

/// The identity that a signer has by the charter in force, with the statements of keys under it that a signer which does not run knows:
/// a table for the version that gives it another one.
pub fn former_identity(config: &Config, of: Option<NodeId>) -> Result<String, StartError> {
    let (store, charter) = at_rest(config)?;
    let node = of.unwrap_or_else(|| config.node.clone());
    let key = charter.node_key(&node).ok_or_else(|| StartError::NotInCharter(node.to_string()))?;
    let statements = epochs::stated_under(&store.view()?, &node, &key)?;
    Ok(FormerIdentities::from_iter([FormerIdentity { node, public_key: key, statements }]).to_toml())
}

/// Destroys what opens such pieces; `false` if there is nothing.
pub fn forget_import_recipient(config: &Config) -> Result<bool, StartError> {
    Ok(vault_at_rest(config)?.0.forget_import_recipient()?)
}

/// Keeps this process's memory off the swap device, as the configuration asks. A witness has no share to hide.
pub fn protect(config: &Config) -> Result<(), StartError> {
    if config.witness {
        return Ok(());
    }
    let (charter, _) = read_charter(config)?;
    Ok(memory::lock(config.danger_unlocked_memory, charter.is_development())?)
}

pub(crate) fn pins(charter: &Charter) -> Pins {
    let coordinators =
        charter.coordinators.iter().map(|c| (caller_name(CallerKind::Coordinator, &c.id), &c.public_key));
    let nodes = charter.nodes.iter().map(|n| (caller_name(CallerKind::Node, &n.id), &n.public_key));
    coordinators.chain(nodes).fold(Pins::default(), |pins, (name, key)| pins.with(name, key))
}

/// A signer that serves until it is stopped.
pub struct Node {
    shared: Arc<Shared>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    server_stop: CancellationToken,
}

impl Node {
    /// Starts on the configured address.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        Self::start_on(config, clock, listener).await
    }

    /// Starts on a port that is already open.
    pub async fn start_on(config: &Config, clock: Arc<dyn Clock>, listener: TcpListener) -> Result<Self, StartError> {
        let (file, text) = read_charter(config)?;
        let credentials = Credentials::present(config, &file).await?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let metrics = Arc::new(Metrics::default());
        let store = open_store(config, &file, &metrics).await?;
        let time = Running::new(Arc::clone(&clock), store.view()?.uptime()?).now();
        let charter = Arc::new(charters::begin(&store, file, text, time).await?);
        credentials.is_in_force(&charter)?;
        let provider = provider(config, &charter)?;
        let hold = Duration::from_secs(config.shares.hold_secs.into());
        let vault = Vault::new(charter.cluster.clone(), config.node.clone(), provider, store.clone(), hold);
        let shared = assemble(config, charter, clock, &credentials, store, vault, metrics)?;
        let key = shared.identity.public_key();
        log::give_up(&shared.store, key, &shared.charter(), config.give_up_log.as_deref(), shared.time()).await?;
        upkeep::begin(&shared, config.store.retention()).await?;
        shares::load(&shared).await?;
        witnesses::tell_all(&shared, &credentials.dials)?;
        if config.limits.frost_nonces > 0 {
            upkeep::keep_pools_full(&shared);
        }
        let metrics_address = match config.metrics {
            Some(address) => {
                let Shared { metrics, mesh_stop, links, .. } = shared.as_ref();
                Some(exporter::serve(metrics, mesh_stop, links, address).await?)
            }
            None => None,
        };
        let server_stop = CancellationToken::new();
        let server = serve(&shared, &credentials.serves, listener, server_stop.clone())?;
        tracing::info!(node = %shared.me, %address, boot = %hex::encode(shared.boot), "signer started");
        Ok(Self { shared, address, metrics_address, server, server_stop })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are read.
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its parts, for tests.
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops in order: no new sessions, the running ones finish within a bound, links and server close, the store too.
    pub async fn stop(self) {
        self.shared.stopping.cancel();
        self.shared.primes.stop();
        self.shared.tasks.close();
        if tokio::time::timeout(STOP_PATIENCE, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(sessions = self.shared.sessions.running(), "sessions were still running at the end");
        }
        token::last_anchor(&self.shared).await;
        self.server_stop.cancel();
        self.shared.mesh_stop.cancel();
        self.shared.links.close();
        self.shared.links.wait().await;
        match tokio::time::timeout(STOP_PATIENCE, self.server).await {
            Ok(Ok(Ok(()))) => tracing::info!("signer stopped"),
            other => tracing::warn!(?other, "the server did not stop cleanly"),
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({}, {})", self.shared.me, self.address)
    }
}

pub(crate) async fn open_store(
    config: &Config,
    charter: &Charter,
    metrics: &Arc<Metrics>,
) -> Result<Store, StartError> {
    let mut options = Options::new(config.node.clone(), charter.cluster.clone());
    options.check = config.store.check_at_start;
    let counted = Arc::clone(metrics);
    options.on_commit = Box::new(move |stats| {
        counted.store_commits.inc();
        counted.store_operations.inc_by(stats.operations as u64);
        counted.store_commit_seconds.0.observe(stats.duration.as_secs_f64());
    });
    let folder = config.data_dir.clone();
    let opening = tokio::task::spawn_blocking(move || open_private(&folder, options));
    Ok(opening.await.map_err(|_| StoreError::Stopped)??)
}

/// Sealed or not, nobody else has business in this folder.
fn open_private(folder: &Path, options: Options) -> Result<Store, StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::Folder { path: folder.display().to_string(), source })?;
    Store::open(folder, options)
}

fn assemble(
    config: &Config,
    charter: Arc<Charter>,
    clock: Arc<dyn Clock>,
    credentials: &Credentials,
    store: Store,
    vault: Vault,
    metrics: Arc<Metrics>,
) -> Result<Arc<Shared>, StartError> {
    let boot = *entropy::random::<16>();
    let trace = match &config.danger_trace_partials {
        Some(path) => Some(Arc::new(PartialTrace::open(path, &boot).map_err(StartError::Trace)?)),
        None => None,
    };
    let (links, mesh_stop) = (TaskTracker::new(), CancellationToken::new());
    let nonces = Arc::new(Nonces::new(charter.cluster.clone(), config.node.clone(), boot, Arc::clone(&metrics)));
    let mesh = Mesh::start(&Setup {
        charter: &charter,
        me: &config.node,
        identity: &credentials.dials,
        boot,
        queue: config.limits.peer_queue,
        metrics: Arc::clone(&metrics),
        stop: mesh_stop.clone(),
        tasks: &links,
        greeting: greeting(&config.node, &store, &nonces, &credentials.signs),
    })?;
    let limits = &config.limits;
    let early_for = Duration::from_millis(limits.early_frames_ms.into());
    Ok(Arc::new(Shared {
        me: config.node.clone(),
        pins: pins(&charter),
        in_force: RwLock::new(charter),
        limits: limits.clone(),
        client_authority: config.client_authority.clone(),
        identity: Arc::clone(&credentials.signs),
        clock: Running::new(clock, store.view()?.uptime()?),
        boot,
        importing: Importing::default(),
        store,
        vault: Arc::new(vault),
        token: TokenWatch::default(),
        openings: Arc::new(Semaphore::new(OPENINGS)),
        wrapping: tokio::sync::RwLock::new(()),
        backups: Backups::new(&config.shares.backup_plugins),
        switching: tokio::sync::Mutex::new(()),
        anchor_every: config.provider.as_ref().and_then(Provider::anchor_every),
        keys: RwLock::new(HashMap::new()),
        recent: Recent::default(),
        destructions: LookedAt::default(),
        ledgers: Ledgers::default(),
        sessions: Sessions::new(limits.sessions, limits.early_frames, early_for, Arc::clone(&metrics)),
        nonces,
        presignatures: Presignatures::new(limits.presignatures, Arc::clone(&metrics)),
        primes: PrimePool::start(limits.prime_sets, Arc::clone(&metrics)).map_err(StartError::Thread)?,
        standings: Standings::default(),
        leaf_patience_ms: config.leaf_patience_ms(),
        log_alarm: LogAlarm::default(),
        orphans: charters::Orphans::default(),
        mesh,
        crypto: CryptoPool::new(limits.crypto_threads()),
        quarantine: Arc::default(),
        metrics,
        trace,
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
        links,
        mesh_stop,
    }))
}

/// What a new link begins with: the question for stop records and versions of the charter that came meanwhile, before all else
/// because bad news waits for nothing; every certificate, so that a signer that missed one catches up without a coordinator; and
/// every unused nonce commitment.
fn greeting(me: &NodeId, store: &Store, nonces: &Arc<Nonces>, identity: &Arc<Identity>) -> Greeting {
    let (me, store) = (me.clone(), store.clone());
    let (nonces, identity) = (Arc::clone(nonces), Arc::clone(identity));
    Arc::new(move |peer| {
        let (me, store, peer) = (me.clone(), store.clone(), peer.clone());
        let (nonces, identity) = (Arc::clone(&nonces), Arc::clone(&identity));
        Box::pin(async move {
            let question = exchange::question(&store, &peer).ok().map(pb::peer_message::Kind::StopsAfter);
            let mut kinds: Vec<_> = question.into_iter().chain(certificates(&store)).collect();
            for batch in nonces.greeting(&peer) {
                kinds.push(pb::peer_message::Kind::NonceBatch(identity.seal(batch, &me).await?));
            }
            Ok(kinds.into_iter().map(|kind| pb::PeerMessage { kind: Some(kind) }).collect())
        })
    })
}

fn certificates(store: &Store) -> Vec<pb::peer_message::Kind> {
    let keys = store.view().and_then(|view| view.keys()).unwrap_or_default();
    let news = keys.iter().filter_map(|(_, row)| epochs::news(row));
    news.map(pb::peer_message::Kind::KeyEpoch).collect()
}

/// Keeps clients out of what is for machines of the charter.
fn machines_only(
    shared: &Arc<Shared>,
) -> impl FnMut(tonic::Request<()>) -> Result<tonic::Request<()>, Status> + Clone + use<> {
    let shared = Arc::clone(shared);
    move |request| match tls::caller(&request, &shared.pins) {
        Some(_) => Ok(request),
        None => {
            let error = ApiError::new(Code::NotEnrolled, "only machines of the charter may call this");
            Err(shared.refuse(error).into())
        }
    }
}

fn serve(
    shared: &Arc<Shared>,
    identity: &TlsIdentity,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<Result<(), tonic::transport::Error>>, StartError> {
    let authority = shared.client_authority.as_deref();
    let checked = tls::pinned_or_authority_server(identity, shared.pins.clone(), authority)?;
    let incoming = callers(checked, &shared.metrics, listener);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(limen_wire::FILE_DESCRIPTORS)
        .build_v1()
        .map_err(|error| StartError::Reflection(error.to_string()))?;
    let signer = SignerServer::new(SignerService::new(Arc::clone(shared)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let peer = PeerServer::new(PeerService::new(Arc::clone(shared)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let stops = StopsServer::new(StopsService::new(Arc::clone(shared)))
        .max_decoding_message_size(STOP_RECORD_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let ledger = LedgerServer::new(LedgerService::new(Arc::clone(shared)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let evidence = EvidenceServer::new(EvidenceService::new(Arc::clone(shared)))
        .max_decoding_message_size(GRPC_MESSAGE_BYTES)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    let stopping = shared.stopping.clone();
    shared.links.spawn(async move {
        health.set_serving::<SignerServer<SignerService>>().await;
        stopping.cancelled().await;
        health.set_not_serving::<SignerServer<SignerService>>().await;
    });
    let router = door()
        .add_service(InterceptedService::new(health_service, machines_only(shared)))
        .add_service(InterceptedService::new(reflection, machines_only(shared)))
        .add_service(signer)
        .add_service(ledger)
        .add_service(evidence)
        .add_service(peer)
        .add_service(stops);
    let stopped = async move { stop.cancelled().await };
    Ok(tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped)))
}

/// Connections of those whom TLS lets in.
pub(crate) fn callers(
    checked: Arc<rustls::ServerConfig>,
    metrics: &Arc<Metrics>,
    listener: TcpListener,
) -> ReceiverStream<Result<tls::ServerStream, std::io::Error>> {
    let metrics = Arc::clone(metrics);
    let refused = move |remote: SocketAddr, reason: String| {
        metrics.refused_connections.inc();
        if let Some(count) = crate::ratelimit::WARNINGS.pass("refused_connection") {
            tracing::warn!(%remote, reason, count, "refused a connection");
        }
    };
    tls::incoming(listener, checked, refused)
}

/// A gRPC server with this house's bounds.
pub(crate) fn door() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
}
