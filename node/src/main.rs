//! `limen-node`: the signer daemon.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use limen_node::clock::SystemClock;
use limen_node::config::{Config, Log, LogFormat};
use limen_node::memory;
use limen_node::node::{
    Act, Node, check, forget_import_recipient, former_identity, import_recipient, protect, prove_identity, rotation,
};
use limen_node::vault::Rotated;
use limen_node::witness::Witness;
use limen_policy::ceremony::Mode;
use limen_wire::ids::NodeId;
use tokio::signal::unix::{SignalKind, signal};

/// What is freed is overwritten: shares and everything that is computed from them.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// One signer or witness of a Limen cluster.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; limen-node.sample.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check configuration, charter, identity and provider, then exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until the process is ended. What happens without a command.
    Serve,
    /// Sign by this node's identity that it holds it, for the plan of a ceremony, and print the signature: limen-ceremony takes it with
    /// --machine NAME=@FILE.
    ProveIdentity {
        /// The plan, as it was reviewed.
        plan: PathBuf,
        /// For a rehearsal: the real ceremony does not take it.
        #[arg(long)]
        rehearsal: bool,
        /// For a rotation of wrapping keys: those of this node are rotated and the old ones destroyed, and that is what is signed.
        #[arg(long)]
        rotated: bool,
    },
    /// Wrap every share by the next wrapping keys of the token, and open each so. The old ones stay until `destroy-old-wrapping-keys`:
    /// bring the new ones to every token that steps in for this one first. The signer must not run; interrupted, it is run again.
    RotateWrappingKeys,
    /// Open every share by the new wrapping keys, then destroy the old ones. Copies of the disk from before open nothing afterwards.
    DestroyOldWrappingKeys,
    /// Print to whom pieces of keys that this signer is to import are encrypted; it is made if there is none. The signer must not run.
    /// Bring it to where the key is dealt by hand: whoever puts another one in its place has the piece.
    ImportRecipient,
    /// Print what stands in the next version of the charter when this signer, or another, gets another identity: the present one, with the
    /// statements of keys that it has signed and that go on. The signer must not run.
    FormerIdentity {
        /// The signer that gets another identity, if it is another one than this.
        #[arg(long, value_name = "NODE")]
        of: Option<NodeId>,
    },
    /// Destroy what opens such pieces, once every key that was dealt to this signer is imported: nobody opens them any more. The signer
    /// must not run.
    ForgetImportRecipient,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config)?;
    log(&config.log)?;
    memory::hide()?;
    if arguments.check_config {
        check(&config)?;
        tracing::info!(config = %arguments.config.display(), "configuration is usable");
        return Ok(());
    }
    if let Some(Command::ProveIdentity { plan, rehearsal, rotated }) = &arguments.command {
        use std::io::Write as _;
        let mode = if *rehearsal { Mode::Rehearsal } else { Mode::Real };
        let proof = prove_identity(&config, plan, mode, *rotated)?;
        return writeln!(std::io::stdout(), "{}", hex::encode(proof)).context("writing the proof");
    }
    protect(&config)?;
    match arguments.command {
        Some(Command::RotateWrappingKeys) => return rotated(&rotation(&config, Act::Rotate, &SystemClock)?),
        Some(Command::DestroyOldWrappingKeys) => return rotated(&rotation(&config, Act::DestroyOld, &SystemClock)?),
        Some(Command::ImportRecipient) => return say(&import_recipient(&config)?),
        Some(Command::FormerIdentity { of }) => return say(former_identity(&config, of)?.trim()),
        Some(Command::ForgetImportRecipient) => {
            let was_there = forget_import_recipient(&config)?;
            return say(if was_there { "forgotten" } else { "there was none" });
        }
        Some(Command::Serve | Command::ProveIdentity { .. }) | None => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(run(&config));
    // Protocol steps that nobody waits for any more do not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// What a configuration asks for.
enum Running {
    Signer(Box<Node>),
    Witness(Witness),
}

impl Running {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let clock = Arc::new(SystemClock);
        Ok(match config.witness {
            true => Self::Witness(Witness::start(config, clock).await?),
            false => Self::Signer(Box::new(Node::start(config, clock).await?)),
        })
    }

    async fn stop(self) {
        match self {
            Self::Signer(node) => node.stop().await,
            Self::Witness(witness) => witness.stop().await,
        }
    }
}

async fn run(config: &Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let node = Running::start(config).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new sessions, the running ones finish");
    node.stop().await;
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}").context("writing the answer")
}

/// Says what an act of a rotation did; a share that does not open is no success.
fn rotated(done: &Rotated) -> anyhow::Result<()> {
    use std::io::Write as _;
    let opened = done.keys.iter().map(|key| format!("opened by its new wrapping key: the share of key {key}"));
    let sealing = done.sealing.iter().map(|kek| format!("seals: wrapping key {kek}"));
    let destroyed = done.destroyed.iter().map(|kek| format!("destroyed: wrapping key {kek}"));
    let damaged = done.damaged.iter().map(|(key, error)| format!("DAMAGED: the share of key {key}: {error}"));
    let mut out = std::io::stdout().lock();
    for line in opened.chain(sealing).chain(destroyed).chain(damaged) {
        writeln!(out, "{line}").context("writing the answer")?;
    }
    let Rotated { keys, destroyed, damaged, .. } = done;
    let (opened, destroyed) = (keys.len(), destroyed.len());
    writeln!(out, "{opened} shares opened, {destroyed} wrapping keys destroyed").context("writing the answer")?;
    anyhow::ensure!(damaged.is_empty(), "{} shares do not open; what wraps them stays as it is", damaged.len());
    Ok(())
}

fn log(log: &Log) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter).context("reading log.filter")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
