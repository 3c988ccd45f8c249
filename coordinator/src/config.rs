//! The configuration file: TOML, every key documented in `limen-coordinator.sample.toml`, unknown keys refused.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limen_wire::ids::{KeyId, NodeId};
use limen_wire::intent::check_path;
use serde::Deserialize;

use crate::store::DangerCrash;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("could not read the configuration {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Not TOML, a key that does not exist, or a value of the wrong kind.
    #[error("the configuration {path} cannot be used: {reason}; limen-coordinator.sample.toml shows every key")]
    Syntax {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A value that makes no sense.
    #[error("in the configuration, {key}: {reason}")]
    Invalid {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: NodeId,
    charter: PathBuf,
    genesis: Option<PathBuf>,
    shadow_charter: Option<PathBuf>,
    data_dir: PathBuf,
    listen: String,
    metrics_listen: Option<SocketAddr>,
    tls: Tls,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    timing: FileTiming,
    #[serde(default)]
    presign: Vec<Presign>,
    danger_crash: Option<DangerCrash>,
}

/// Files of the TLS identity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM certificate chain.
    pub certificate: PathBuf,
    /// PKCS#8 PEM private key.
    pub key: PathBuf,
    /// PEM file with the authorities of clients.
    pub client_authority: PathBuf,
}

/// Bounds on what clients can make grow.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests open at one time.
    pub max_open_requests: usize,
    /// Sessions running at one time.
    pub max_running_sessions: usize,
    /// Watches open at one time.
    pub max_watches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_open_requests: 2000, max_running_sessions: 16, max_watches: 256 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTiming {
    status_interval_ms: u64,
    status_timeout_ms: u64,
    call_timeout_ms: u64,
    session_timeout_ms: u64,
    keygen_timeout_ms: u64,
    primes_timeout_ms: u64,
    retry_base_ms: u64,
    retry_max_ms: u64,
    ask_interval_ms: u64,
    rebuild_patience_ms: u64,
    shutdown_ms: u64,
}

impl Default for FileTiming {
    fn default() -> Self {
        Self {
            status_interval_ms: 500,
            status_timeout_ms: 1500,
            call_timeout_ms: 5000,
            session_timeout_ms: 15_000,
            keygen_timeout_ms: 300_000,
            primes_timeout_ms: 1_200_000,
            retry_base_ms: 100,
            retry_max_ms: 3000,
            ask_interval_ms: 30_000,
            rebuild_patience_ms: 5000,
            shutdown_ms: 5000,
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two looks at a signer's health.
    pub status_interval: Duration,
    /// One status call.
    pub status_timeout: Duration,
    /// One announcement, simulation, stop, activation or page.
    pub call_timeout: Duration,
    /// One signing session.
    pub session_timeout: Duration,
    /// One key generation.
    pub keygen_timeout: Duration,
    /// What a CGGMP24 key gets on top, for its members to find their safe primes.
    pub primes_timeout: Duration,
    /// First pause after a failed session.
    pub retry_base: Duration,
    /// Longest pause between sessions.
    pub retry_max: Duration,
    /// Longest pause before signers are asked again about a request that waits for people or for a delay.
    pub ask_interval: Duration,
    /// How long an empty store waits for all signers.
    pub rebuild_patience: Duration,
    /// How long a stop waits for what is running.
    pub shutdown: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self::from(FileTiming::default())
    }
}

impl From<FileTiming> for Timing {
    fn from(file: FileTiming) -> Self {
        Self {
            status_interval: Duration::from_millis(file.status_interval_ms),
            status_timeout: Duration::from_millis(file.status_timeout_ms),
            call_timeout: Duration::from_millis(file.call_timeout_ms),
            session_timeout: Duration::from_millis(file.session_timeout_ms),
            keygen_timeout: Duration::from_millis(file.keygen_timeout_ms),
            primes_timeout: Duration::from_millis(file.primes_timeout_ms),
            retry_base: Duration::from_millis(file.retry_base_ms),
            retry_max: Duration::from_millis(file.retry_max_ms),
            ask_interval: Duration::from_millis(file.ask_interval_ms),
            rebuild_patience: Duration::from_millis(file.rebuild_patience_ms),
            shutdown: Duration::from_millis(file.shutdown_ms),
        }
    }
}

/// Presignatures to hold ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presign {
    /// For which key.
    pub key_id: KeyId,
    /// For which derivation path.
    #[serde(default)]
    pub path: Vec<u32>,
    /// How many for each signer set that is in use.
    pub target: usize,
}

/// A checked configuration; paths are resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// The coordinator's name.
    pub id: NodeId,
    /// The charter's file.
    pub charter: PathBuf,
    /// The record of the genesis ceremony that made the charter; all but development charters need one.
    pub genesis: Option<PathBuf>,
    /// The file of a draft by which new requests are judged as well.
    pub shadow_charter: Option<PathBuf>,
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// `host:port` for clients.
    pub listen: String,
    /// Where metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    /// TLS identity.
    pub tls: Tls,
    /// Bounds.
    pub limits: Limits,
    /// Time-outs.
    pub timing: Timing,
    /// Presignature pools.
    pub presign: Vec<Presign>,
    /// Where the process kills itself.
    pub danger_crash: Option<DangerCrash>,
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        Self::parse(&text, path.parent().unwrap_or_else(|| Path::new("."))).map_err(|error| match error {
            ConfigError::Syntax { reason, .. } => ConfigError::Syntax { path: shown, reason },
            other => other,
        })
    }

    /// Checks a text whose relative paths start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax { path: "text".to_owned(), reason: error.to_string() })?;
        check(&file)?;
        let at = |path: &Path| base.join(path);
        Ok(Self {
            id: file.id,
            charter: at(&file.charter),
            genesis: file.genesis.as_deref().map(at),
            shadow_charter: file.shadow_charter.as_deref().map(at),
            data_dir: at(&file.data_dir),
            listen: file.listen,
            metrics_listen: file.metrics_listen,
            tls: Tls {
                certificate: at(&file.tls.certificate),
                key: at(&file.tls.key),
                client_authority: at(&file.tls.client_authority),
            },
            limits: file.limits,
            timing: file.timing.into(),
            presign: file.presign,
            danger_crash: file.danger_crash,
        })
    }
}

fn check(file: &File) -> Result<(), ConfigError> {
    let invalid = |key, reason: &str| Err(ConfigError::Invalid { key, reason: reason.to_owned() });
    if file.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
        return invalid("metrics_listen", "metrics are served without TLS, so on loopback addresses only");
    }
    if file.limits.max_open_requests == 0 || file.limits.max_running_sessions == 0 {
        return invalid("limits", "a limit of zero would refuse everything");
    }
    let timing = &file.timing;
    if timing.status_interval_ms == 0 || timing.status_timeout_ms == 0 || timing.call_timeout_ms == 0 {
        return invalid("timing", "zero milliseconds are no time to answer");
    }
    if !(1000..=600_000).contains(&timing.session_timeout_ms) {
        return invalid("timing.session_timeout_ms", "between 1000 and 600000 milliseconds are possible");
    }
    if timing.retry_base_ms == 0 || timing.retry_max_ms < timing.retry_base_ms {
        return invalid("timing.retry_base_ms", "it must be above zero and at most retry_max_ms");
    }
    if !(1000..=3_600_000).contains(&timing.ask_interval_ms) {
        return invalid("timing.ask_interval_ms", "between 1000 and 3600000 milliseconds are possible");
    }
    for pool in &file.presign {
        if let Err(error) = check_path(&pool.path) {
            return invalid("presign.path", &error.to_string());
        }
    }
    Ok(())
}
