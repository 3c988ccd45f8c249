//! Starts a whole cluster of real processes for a test or a measurement, at a chosen distance from each other.
//!
//! Every file is made afresh: authority, identities, a development charter, configurations. Each signer stands behind a
//! [`DelayProxy`], so that every connection between two daemons passes exactly one proxy and takes the same round trip.
//! The caller stands beside the coordinator.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use limen_client::{Client, ClientConfig};
use tokio::time::Instant;

use crate::proxy::{DelayProxy, Distance};

mod daemon;
mod files;
mod identity;
mod tokens;

pub use daemon::{Daemon, Usage};
pub use tokens::{Bridge, TokenFault, TokenPlan};

/// How long a cluster may take until every signer sees every other.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    /// Where `limen-node` and `limen-coordinator` stand.
    pub bin_dir: PathBuf,
    /// Where everything is written; empty or absent at first.
    pub dir: PathBuf,
    /// How many signers.
    pub signers_total: u8,
    /// How far every signer is from every other and from the coordinator. Zero leaves the proxies out.
    pub distance: Distance,
    /// Seed of everything that the simulation draws.
    pub seed: u64,
    /// Lines of the signers' `[limits]` section, as key and value.
    pub node_limits: BTreeMap<String, String>,
    /// Lines of the coordinator's `[timing]` section.
    pub timing: BTreeMap<String, String>,
    /// CGGMP24 presignatures to hold ready, by key.
    pub presignatures: BTreeMap<String, u32>,
    /// Whether signers write every last-round message to a file, for tests that look for reused nonces.
    pub trace_partials: bool,
    /// Requesters beside `backend`; each finds `NAME.crt` and `NAME.key` in the folder.
    pub more_requesters: Vec<String>,
    /// Charter text after the rules: more rules.
    pub more_rules: String,
    /// SoftHSM2 tokens instead of wrapping keys in files.
    pub tokens: Option<TokenPlan>,
}

impl ClusterPlan {
    /// A cluster on loopback with default limits.
    pub fn new(bin_dir: impl Into<PathBuf>, dir: impl Into<PathBuf>, signers_total: u8) -> Self {
        Self {
            bin_dir: bin_dir.into(),
            dir: dir.into(),
            signers_total,
            distance: Distance::default(),
            seed: 1,
            node_limits: BTreeMap::new(),
            timing: BTreeMap::new(),
            presignatures: BTreeMap::new(),
            trace_partials: false,
            more_requesters: Vec::new(),
            more_rules: String::new(),
            tokens: None,
        }
    }
}

/// What starting or running a cluster can end in.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file or a process.
    #[error("could not {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// A certificate or key could not be made.
    #[error("could not make an identity: {0}")]
    Identity(String),
    /// A token could not be made.
    #[error("could not make a token: {0}")]
    Token(String),
    /// The client's configuration was refused.
    #[error("could not prepare the client: {0}")]
    Client(#[from] limen_client::ConfigError),
    /// A process has ended by itself.
    #[error("{name} ended before the cluster was ready: {last:?}; its log is {}", log.display())]
    Ended {
        /// Which.
        name: String,
        /// What it wrote last.
        last: String,
        /// All that it wrote.
        log: PathBuf,
    },
    /// The processes run, but do not find each other.
    #[error("the cluster was not ready within {} s: {last}; the logs stand in {logs}", READY_WITHIN.as_secs())]
    NotReady {
        /// What it said last.
        last: String,
        /// Where to look.
        logs: String,
    },
}

impl ClusterError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// A running cluster. Dropping it kills its processes; their files stay.
#[derive(Debug)]
pub struct Cluster {
    plan: ClusterPlan,
    bridges: Vec<Bridge>,
    signers: Vec<Daemon>,
    coordinator: Daemon,
    proxies: Vec<DelayProxy>,
    client: ClientConfig,
}

/// Where a process listens, and where others reach it.
#[derive(Debug, Clone, Copy)]
struct Place {
    listen: SocketAddr,
    reached: SocketAddr,
    metrics: SocketAddr,
}

impl Place {
    /// Free ports, without a proxy.
    fn direct() -> Result<Self, ClusterError> {
        let listen = free_port()?;
        Ok(Self { listen, reached: listen, metrics: free_port()? })
    }
}

impl Cluster {
    /// Writes the files, starts the processes and waits until every signer is connected.
    pub async fn start(plan: ClusterPlan) -> Result<Self, ClusterError> {
        let mut places = Vec::new();
        let mut proxies = Vec::new();
        for index in 0..plan.signers_total {
            let (place, proxy) = reserve(&plan, u64::from(index)).await?;
            places.push(place);
            proxies.extend(proxy);
        }
        places.push(Place::direct()?);
        let written = files::write(&plan, &places)?;
        let (mut signers, mut bridges) = (Vec::new(), Vec::new());
        for (index, config) in written.signers.iter().enumerate() {
            let name = files::signer_name(index);
            if plan.tokens.is_some() {
                bridges.push(Bridge::start(&plan.bin_dir, &plan.dir, &name)?);
            }
            let binary = plan.bin_dir.join("limen-node");
            signers.push(Daemon::start(&binary, &name, config, metrics(&places, index), Vec::new())?);
        }
        let binary = plan.bin_dir.join("limen-coordinator");
        let last = metrics(&places, usize::from(plan.signers_total));
        let coordinator = Daemon::start(&binary, files::COORDINATOR, &written.coordinator, last, Vec::new())?;
        let client = ClientConfig::from_file(&written.client)?;
        let mut cluster = Self { plan, bridges, signers, coordinator, proxies, client };
        let asking = cluster.client()?;
        let started = Instant::now();
        while !cluster.is_ready(&asking, started).await? {
            cluster.check_running()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(cluster)
    }

    /// A new client with a connection of its own.
    pub fn client(&self) -> Result<Client, ClusterError> {
        Ok(Client::connect(&self.client)?)
    }

    /// The client's configuration.
    pub fn client_config(&self) -> &ClientConfig {
        &self.client
    }

    /// The signer processes, in the order of the charter.
    pub fn signers(&mut self) -> &mut [Daemon] {
        &mut self.signers
    }

    /// What stands between the signers and their tokens; empty without tokens.
    pub fn bridges(&mut self) -> &mut [Bridge] {
        &mut self.bridges
    }

    /// The coordinator process.
    pub fn coordinator(&mut self) -> &mut Daemon {
        &mut self.coordinator
    }

    /// What stands before each signer; empty without distance.
    pub fn proxies(&self) -> &[DelayProxy] {
        &self.proxies
    }

    /// The folder with every file and log.
    pub fn dir(&self) -> &Path {
        &self.plan.dir
    }

    /// Processor time and bytes of all processes so far.
    pub async fn usage(&self) -> Result<Usage, ClusterError> {
        let mut total = Usage::default();
        for daemon in self.signers.iter().chain([&self.coordinator]) {
            total = total.plus(&daemon.usage().await?);
        }
        Ok(total)
    }

    /// Waits until the coordinator reaches every signer and every signer every other.
    pub async fn wait_until_ready(&self) -> Result<(), ClusterError> {
        let client = self.client()?;
        let started = Instant::now();
        while !self.is_ready(&client, started).await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Asks once; an error if it is not and had its time.
    async fn is_ready(&self, client: &Client, started: Instant) -> Result<bool, ClusterError> {
        let last = match client.status().await {
            Ok(view) if ready(&view, usize::from(self.plan.signers_total)) => return Ok(true),
            Ok(view) => describe(&view),
            Err(error) => error.to_string(),
        };
        if started.elapsed() > READY_WITHIN {
            return Err(ClusterError::NotReady { last, logs: self.plan.dir.display().to_string() });
        }
        Ok(false)
    }

    fn check_running(&mut self) -> Result<(), ClusterError> {
        match self.signers.iter_mut().chain([&mut self.coordinator]).find_map(|one| (!one.is_running()).then_some(one))
        {
            Some(ended) => {
                let log = ended.log();
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let last = text.lines().last().unwrap_or_default().to_owned();
                Err(ClusterError::Ended { name: ended.name().to_owned(), last, log })
            }
            None => Ok(()),
        }
    }
}

fn metrics(places: &[Place], index: usize) -> Option<SocketAddr> {
    places.get(index).map(|place| place.metrics)
}

fn ready(view: &limen_client::ClusterView, signers: usize) -> bool {
    let connected = |status: &limen_wire::pb::StatusResponse| {
        status.peers.iter().filter(|peer| peer.connected).count() == signers.saturating_sub(1)
    };
    let up = view.signers.iter().filter(|signer| signer.reachable && signer.status.as_ref().is_some_and(connected));
    up.count() == signers
}

fn describe(view: &limen_client::ClusterView) -> String {
    let one = |signer: &limen_wire::pb::SignerHealth| {
        let peers = signer.status.as_ref().map_or(0, |s| s.peers.iter().filter(|peer| peer.connected).count());
        format!("{}: reachable {}, {peers} peers", signer.node, signer.reachable)
    };
    view.signers.iter().map(one).collect::<Vec<_>>().join("; ")
}

async fn reserve(plan: &ClusterPlan, salt: u64) -> Result<(Place, Option<DelayProxy>), ClusterError> {
    let listen = free_port()?;
    let metrics = free_port()?;
    if plan.distance == Distance::default() {
        return Ok((Place { listen, reached: listen, metrics }, None));
    }
    let seed = plan.seed.wrapping_add(salt);
    let proxy =
        DelayProxy::start(listen, plan.distance, seed).await.map_err(ClusterError::io("start a delay proxy"))?;
    Ok((Place { listen, reached: proxy.address(), metrics }, Some(proxy)))
}

/// Below those that the kernel gives to outgoing connections (32768 and up, ip(7)): one of those could take the place of a process
/// that is about to start, or that was killed.
const PORTS: Range<u16> = 10_000..30_000;

/// One that nobody listens at, and that this process has not given out before; others begin elsewhere.
fn free_port() -> Result<SocketAddr, ClusterError> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.len();
    let mut last = None;
    for _ in 0..count {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(std::process::id().wrapping_mul(97).wrapping_add(given)).unwrap_or_default();
        let Some(port) = PORTS.clone().nth(place.checked_rem(count).unwrap_or_default()) else { continue };
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener.local_addr().map_err(ClusterError::io("find a free port")),
            Err(error) => last = Some(error),
        }
    }
    Err(ClusterError::io("find a free port")(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())))
}
