//! `limen-hsm-bridge`: owns a hardware token's library, and serves it to a signer.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use limen_hsm_bridge::config::{Config, Log, LogFormat};
use limen_hsm_bridge::doctor::{Weight, examine_all};
use limen_hsm_bridge::pin;
use limen_hsm_bridge::provider::Pkcs11Provider;
use limen_hsm_bridge::serve::Listening;
use limen_wire::ids::{HeldId, KekId};

/// What is freed is overwritten: PINs, and data keys on their way.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Owns a hardware token's PKCS#11 library in a process of its own, and serves it to a signer.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; limen-hsm-bridge.sample.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, then exit. No library is loaded and no PIN is read.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the socket until the process is ended. What happens without a command.
    Serve,
    /// Make the identity on the first token, where there is none, and print its public key.
    Init {
        /// Make this wrapping key too, where it is not there; may be given more than once. Signers make the ones they need by
        /// themselves: only keys that a second token is to hold as well are made beforehand.
        #[arg(long, value_name = "NAME")]
        kek: Vec<KekId>,
    },
    /// Examine the tokens: what they can do, and what on them is dangerous. Exit code 1 if anything is bad.
    Doctor,
    /// Print name, kind and public key of every key that lives in the tokens and signs there. Exit code 1 if one cannot be read.
    Held,
    /// Destroy such a key at every token, for ever: there is no copy. No signer can ask for this. Restart the bridge afterwards.
    DestroyHeld {
        /// As `held` prints it.
        name: HeldId,
        /// The same name once more.
        #[arg(long, value_name = "NAME")]
        confirm: HeldId,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config)?;
    log(&config.log)?;
    forbid_core_dumps();
    if arguments.check_config {
        tracing::info!(config = %arguments.config.display(), "configuration is usable");
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config),
        Command::Init { kek } => init(&config, &kek),
        Command::Doctor => doctor(&config),
        Command::Held => held(&config),
        Command::DestroyHeld { name, confirm } => destroy_held(&config, &name, &confirm),
    }
}

fn open(config: &Config) -> anyhow::Result<Pkcs11Provider> {
    Ok(Pkcs11Provider::open(config, pin::credentials().as_deref())?)
}

fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    use limen_hsm::Provider as _;
    let listening = Listening::on(&config.socket, config.tls.as_ref())?;
    let provider = open(config)?;
    // A token that is not there yet, or refuses its PIN, is no reason to end: a supervisor would only try again.
    match provider.describe() {
        Ok(token) => tracing::info!(?token, socket = %config.socket.display(), "serving"),
        Err(error) => tracing::error!(%error, socket = %config.socket.display(), "serving without a token"),
    }
    listening.serve(config, Arc::new(provider))
}

fn init(config: &Config, wanted: &[KekId]) -> anyhow::Result<ExitCode> {
    use limen_hsm::Provider as _;
    let provider = open(config)?;
    let made = provider.make_identity().and_then(|key| {
        let there = provider.keks()?;
        wanted.iter().filter(|kek| !there.contains(kek)).try_for_each(|kek| provider.create_kek(kek))?;
        Ok(key)
    });
    provider.close();
    let key = made?;
    let keks = wanted.iter().map(|kek| format!("wrapping key {kek}"));
    print(&std::iter::once(format!("identity {key}")).chain(keks).collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

fn doctor(config: &Config) -> anyhow::Result<ExitCode> {
    let provider = open(config)?;
    let findings = examine_all(&provider);
    provider.close();
    print(&findings.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let is_bad = findings.iter().any(|finding| finding.weight == Weight::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn held(config: &Config) -> anyhow::Result<ExitCode> {
    use limen_hsm::Provider as _;
    let provider = open(config)?;
    // One that cannot be read must not hide the others.
    let mut whole = true;
    let mut line = |name: &HeldId| match provider.held(name) {
        Ok(key) => format!("{name} {} {}", key.kind(), hex::encode(key.to_bytes())),
        Err(error) => {
            whole = false;
            format!("{name}: {error}")
        }
    };
    let lines = provider.held_names().map(|names| names.iter().map(&mut line).collect::<Vec<_>>());
    provider.close();
    print(&lines?)?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn destroy_held(config: &Config, name: &HeldId, confirm: &HeldId) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(name == confirm, "--confirm says {confirm}, not {name}: nothing was destroyed");
    let provider = open(config)?;
    let destroyed = provider.destroy_held(name);
    provider.close();
    destroyed?;
    print(&[format!("{name} is destroyed")])?;
    Ok(ExitCode::SUCCESS)
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").context("writing the answer")?;
    }
    Ok(())
}

/// A core dump would write the PIN and opened secrets to disk.
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "core dumps could not be turned off: turn them off for this service");
    }
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
