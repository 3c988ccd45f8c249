//! `limen-coordinator`: reads its configuration, starts, serves, stops.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use limen_coordinator::clock::Clock;
use limen_coordinator::config::Config;
use limen_coordinator::context::{Core, Parts};
use limen_coordinator::ledger::GrpcLedgerPort;
use limen_coordinator::log::{GrpcEvidencePort, Ports};
use limen_coordinator::signers::{GrpcPort, Signers};
use limen_coordinator::store::Store;
use limen_coordinator::{metrics, run, server};
use limen_evidence::ceremony::may_begin;
use limen_policy::charter::{Charter, MAX_BYTES};
use limen_wire::ids::NodeId;
use limen_wire::tls::{self, TlsIdentity};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The coordinator of a Limen cluster.
#[derive(Debug, Parser)]
#[command(name = "limen-coordinator", version)]
struct Arguments {
    /// The configuration file; limen-coordinator.sample.toml shows every key.
    #[arg(long)]
    config: PathBuf,
    /// Check configuration, charter and TLS files, then exit.
    #[arg(long)]
    check_config: bool,
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
}

struct Loaded {
    config: Config,
    charter: Charter,
    draft: Option<Charter>,
    identity: TlsIdentity,
    clients: Arc<rustls::ServerConfig>,
}

fn load(path: &std::path::Path) -> anyhow::Result<Loaded> {
    let config = Config::read(path)?;
    let charter = read_charter(&config.charter)?;
    let draft = config.shadow_charter.as_deref().map(read_charter).transpose()?;
    anyhow::ensure!(
        draft.as_ref().is_none_or(|draft| draft.cluster == charter.cluster),
        "shadow_charter is of another cluster"
    );
    anyhow::ensure!(
        config.danger_crash.is_none() || charter.is_development(),
        "danger_crash works only under a development charter; remove it from the configuration"
    );
    let identity = TlsIdentity::from_pem_files(&config.tls.certificate, &config.tls.key)?;
    let key = tls::read_signing_key(&config.tls.key)?.public_key();
    let enrolled = charter.coordinators.iter().find(|coordinator| coordinator.id == config.id);
    let enrolled = enrolled.with_context(|| format!("the charter lists no coordinator {}", config.id))?;
    anyhow::ensure!(
        enrolled.public_key == key,
        "the charter lists another public key for {} than {} holds",
        config.id,
        config.tls.key.display()
    );
    let record = config.genesis.as_deref().map(|path| {
        std::fs::read(path).with_context(|| format!("reading the record of the genesis {}", path.display()))
    });
    may_begin(&charter, record.transpose()?.as_deref(), &config.id, &key)?;
    let clients = tls::authority_server(&identity, &config.tls.client_authority)?;
    Ok(Loaded { config, charter, draft, identity, clients })
}

fn read_charter(path: &std::path::Path) -> anyhow::Result<Charter> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("reading the charter {shown}"))?.len();
    anyhow::ensure!(size <= MAX_BYTES as u64, "the charter {shown} has {size} bytes, more than {MAX_BYTES}");
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the charter {shown}"))?;
    Charter::from_toml(&text).with_context(|| format!("in {shown}"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.log_json);
    let result = load(&arguments.config).and_then(|loaded| {
        if arguments.check_config {
            tracing::info!(config = %arguments.config.display(), "configuration, charter and TLS files are good");
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(loaded))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(json: bool) {
    let filter = EnvFilter::try_from_env("LIMEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { subscriber.json().init() } else { subscriber.init() }
}

/// Ways to the nodes that follow the log. One log has one keeper, the first coordinator of the charter: others have none.
fn log_ports(charter: &Charter, id: &NodeId, identity: &TlsIdentity) -> Result<Ports, tls::TlsError> {
    let keeps = charter.coordinators.first().is_some_and(|first| first.id == *id);
    let nodes = charter.machines().filter(|_| keeps);
    nodes.map(|node| Ok((node.id.clone(), GrpcEvidencePort::new(identity, node)?.shared()))).collect()
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, charter, draft, identity, clients } = loaded;
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("creating the data directory {}", config.data_dir.display()))?;
    if let Some(crash) = config.danger_crash {
        tracing::error!(?crash, "DANGER: this process will kill itself at a chosen write");
    }
    let store = Store::open(&config.data_dir.join("coordinator.redb"), &charter.cluster)?;
    let store = store.with_danger_crash(config.danger_crash);
    let ports = charter.nodes.iter().map(|node| {
        let port = GrpcPort::new(&identity, node)?;
        Ok((node.id.clone(), node.public_key, port.shared()))
    });
    let signers = Signers::new(ports.collect::<Result<_, tls::TlsError>>()?);
    let members = charter.machines().map(|node| Ok((node.id.clone(), GrpcLedgerPort::new(&identity, node)?.shared())));
    let ledgers = members.collect::<Result<_, tls::TlsError>>()?;
    let log = log_ports(&charter, &config.id, &identity)?;
    let timing = config.timing;
    let listener =
        TcpListener::bind(&config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let core = Core::new(Parts {
        charter,
        clock: Clock::system(),
        store: store.clone(),
        signers,
        ledgers,
        log,
        limits: config.limits,
        timing,
        presign: config.presign,
    });
    if let Some(draft) = draft {
        core.set_shadow(draft);
    }
    let metrics = match config.metrics_listen {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?),
        None => None,
    };
    tracing::info!(id = %config.id, listen = %listener.local_addr()?, cluster = %core.charter().cluster, charter = %core.charter().hash(), "starting");
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let work = async {
        tokio::try_join!(
            async { server::serve(Arc::clone(&core), listener, clients).await.map_err(anyhow::Error::from) },
            async { run::start(&core).await.map_err(anyhow::Error::from) },
            async {
                if let Some(listener) = metrics {
                    metrics::serve(Arc::clone(&core), listener).await;
                }
                Ok(())
            },
        )
        .map(|_| ())
    };
    let result = tokio::select! {
        result = work => result,
        () = store.failed() => Err(anyhow::anyhow!("a durable write failed: nothing can be promised any more")),
        () = async {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            tracing::info!("stopping");
            core.stop();
            tokio::time::sleep(timing.shutdown).await;
        } => Ok(()),
    };
    run::stop(&core, timing.shutdown).await;
    result
}
