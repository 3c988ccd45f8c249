//! `limen-node`: the signer daemon.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use limen_node::clock::SystemClock;
use limen_node::config::{Config, Log, LogFormat};
use limen_node::memory;
use limen_node::node::{Node, check, protect, rotate};
use limen_node::vault::Rotated;
use limen_node::witness::Witness;
use tokio::signal::unix::{SignalKind, signal};

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
    /// Wrap every share anew by fresh wrapping keys of the token, open each by them, then destroy the old ones. The signer must not
    /// run meanwhile; interrupted, it is run again.
    RotateWrappingKeys,
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
    protect(&config)?;
    if matches!(arguments.command, Some(Command::RotateWrappingKeys)) {
        return rotated(&rotate(&config, &SystemClock)?);
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

fn rotated(done: &Rotated) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    for key in &done.keys {
        writeln!(out, "wrapped anew and opened: the share of key {key}").context("writing the answer")?;
    }
    for kek in &done.made {
        writeln!(out, "made: wrapping key {kek}").context("writing the answer")?;
    }
    for kek in &done.destroyed {
        writeln!(out, "destroyed: wrapping key {kek}").context("writing the answer")?;
    }
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
