//! The configuration file: TOML, unknown keys refused, every key shown in `limen-node.sample.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limen_wire::ids::NodeId;
use serde::Deserialize;

use crate::guard::LEAF_PATIENCE_MS;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("could not read the configuration {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration {path} is refused: {reason}; compare with limen-node.sample.toml")]
    Parse {
        /// Which file.
        path: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A value is out of range.
    #[error("the configuration's {key} is refused: {reason}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Everything that the daemon is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's name.
    pub node: NodeId,
    /// It holds no share and keeps ledgers only.
    #[serde(default)]
    pub witness: bool,
    /// Where coordinators and peers reach it.
    pub listen: SocketAddr,
    /// Where metrics are read; loopback only.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Folder of the store.
    pub data_dir: PathBuf,
    /// The charter file.
    pub charter: PathBuf,
    /// The record of the genesis ceremony that made the charter; all but development charters need one.
    #[serde(default)]
    pub genesis: Option<PathBuf>,
    /// File for emitted last-round messages; development charters only.
    #[serde(default)]
    pub danger_trace_partials: Option<PathBuf>,
    /// Seconds for which an own leaf may be missing from the log, instead of 60; development charters only.
    #[serde(default)]
    pub danger_leaf_patience_secs: Option<u64>,
    /// Shares in memory may be swapped out; development charters only.
    #[serde(default)]
    pub danger_unlocked_memory: bool,
    /// Root of a forked log that this node shall forget, in hexadecimal: see docs/evidence.md.
    #[serde(default)]
    pub give_up_log: Option<String>,
    /// By what peers know it.
    pub identity: Identity,
    /// The authority behind the certificates of people who hand stop records in; nobody does without it.
    #[serde(default)]
    pub client_authority: Option<PathBuf>,
    /// What wraps the sealing key, and keeps the identity if that is of kind hsm. A witness has one for its identity only.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// How long opened shares stay in memory.
    #[serde(default)]
    pub shares: Shares,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Retention and checks.
    #[serde(default)]
    pub store: Store,
    /// What is logged and how.
    #[serde(default)]
    pub log: Log,
}

/// Where the key lies by which peers know the node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "IdentityKeys")]
pub enum Identity {
    /// In files.
    Files {
        /// PEM certificate.
        certificate: PathBuf,
        /// PEM PKCS#8 key.
        key: PathBuf,
    },
    /// In the token of the configuration's [`Provider`].
    Hsm,
}

/// `[identity]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityKeys {
    #[serde(default)]
    kind: IdentityKind,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IdentityKind {
    #[default]
    Files,
    Hsm,
}

impl TryFrom<IdentityKeys> for Identity {
    type Error = &'static str;

    fn try_from(keys: IdentityKeys) -> Result<Self, Self::Error> {
        match (keys.kind, keys.certificate, keys.key) {
            (IdentityKind::Files, Some(certificate), Some(key)) => Ok(Self::Files { certificate, key }),
            (IdentityKind::Files, ..) => Err("identity has `certificate` and `key`, or `kind = \"hsm\"` and neither"),
            (IdentityKind::Hsm, None, None) => Ok(Self::Hsm),
            (IdentityKind::Hsm, ..) => Err("an identity of kind hsm has no files: leave `certificate` and `key` out"),
        }
    }
}

/// What wraps the key that seals shares.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Provider {
    /// A key in a file: development only.
    DangerSoftware {
        /// 64 hexadecimal digits.
        key_file: PathBuf,
    },
    /// A token behind `limen-hsm-bridge`.
    HsmBridge {
        /// The bridge's socket.
        socket: PathBuf,
        /// How long a call may take, in milliseconds.
        #[serde(default = "bridge_timeout_ms")]
        timeout_ms: u32,
        /// Seconds after which the token is told how far the journal has come; 0 for never.
        #[serde(default = "anchor_secs")]
        anchor_secs: u32,
    },
}

impl Provider {
    /// How often the token is told of the journal. What lies in files beside the store would be put back with it.
    pub fn anchor_every(&self) -> Option<Duration> {
        match self {
            Self::DangerSoftware { .. } | Self::HsmBridge { anchor_secs: 0, .. } => None,
            Self::HsmBridge { anchor_secs, .. } => Some(Duration::from_secs((*anchor_secs).into())),
        }
    }
}

const fn anchor_secs() -> u32 {
    300
}

const MOST_TIMEOUT_MS: u32 = 30_000;
const MOST_HOLD_SECS: u32 = 24 * 3600;

const fn bridge_timeout_ms() -> u32 {
    5_000
}

/// How long opened shares stay in memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// Seconds after which an opened share is wiped and the token is asked anew; 0 opens it for each session.
    pub hold_secs: u32,
    /// Plugins of age that may be run to encrypt backups of shares, by what follows `age-plugin-` in their programs' names.
    pub backup_plugins: Vec<String>,
}

impl Default for Shares {
    fn default() -> Self {
        Self { hold_secs: 60, backup_plugins: Vec::new() }
    }
}

/// Bounds on what others can make grow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sessions at a time.
    pub sessions: usize,
    /// Longest signing session, in milliseconds.
    pub sign_timeout_ms: u32,
    /// Longest key generation or presigning session, in milliseconds.
    pub keygen_timeout_ms: u32,
    /// Messages waiting for one peer.
    pub peer_queue: usize,
    /// Frames kept for sessions that have not started here.
    pub early_frames: usize,
    /// How long they are kept, in milliseconds.
    pub early_frames_ms: u32,
    /// Threads for protocol steps; 0 means one per processor.
    pub crypto_threads: usize,
    /// FROST nonces shared ahead per key.
    pub frost_nonces: usize,
    /// Presignatures kept per key.
    pub presignatures: usize,
    /// Sets of safe primes made ahead.
    pub prime_sets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 256,
            sign_timeout_ms: 10_000,
            keygen_timeout_ms: 1_800_000,
            peer_queue: 4096,
            early_frames: 4096,
            early_frames_ms: 10_000,
            crypto_threads: 0,
            frost_nonces: 512,
            presignatures: 64,
            prime_sets: 0,
        }
    }
}

impl Limits {
    /// Protocol threads, counted.
    pub fn crypto_threads(&self) -> usize {
        match self.crypto_threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            some => some,
        }
    }
    /// How long a signing session may take when the coordinator asks for `asked` milliseconds (0: no wish).
    pub fn sign_timeout(&self, asked: u32) -> Duration {
        timeout(asked, self.sign_timeout_ms)
    }
    /// The same for key generation and presigning.
    pub fn keygen_timeout(&self, asked: u32) -> Duration {
        timeout(asked, self.keygen_timeout_ms)
    }
}

fn timeout(asked: u32, bound: u32) -> Duration {
    let millis = if asked == 0 { bound } else { asked.min(bound) };
    Duration::from_millis(millis.into())
}

/// Retention and checks of the store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Days until an ended request shrinks to a tombstone.
    pub retention_days: u32,
    /// Check every page at start.
    pub check_at_start: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self { retention_days: 90, check_at_start: true }
    }
}

impl Store {
    /// The retention as a duration.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days).saturating_mul(24 * 3600))
    }
}

/// What is logged and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Text or JSON lines.
    pub format: LogFormat,
    /// Which lines.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

impl Config {
    /// Reads, checks, and makes paths relative to the file's folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base).map_err(|error| match error {
            ConfigError::Parse { reason, .. } => ConfigError::Parse { path: path.display().to_string(), reason },
            other => other,
        })
    }

    /// For how many milliseconds an own leaf may be missing from the log.
    pub fn leaf_patience_ms(&self) -> u64 {
        self.danger_leaf_patience_secs.map_or(LEAF_PATIENCE_MS, |secs| secs.saturating_mul(1000))
    }

    /// Parses text; relative paths start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: "text".to_owned(), reason: error.to_string() })?;
        for path in [&mut config.data_dir, &mut config.charter] {
            *path = base.join(&path);
        }
        if let Identity::Files { certificate, key } = &mut config.identity {
            (*certificate, *key) = (base.join(&certificate), base.join(&key));
        }
        match &mut config.provider {
            Some(Provider::DangerSoftware { key_file: path } | Provider::HsmBridge { socket: path, .. }) => {
                *path = base.join(&path);
            }
            None => {}
        }
        let more = [&mut config.danger_trace_partials, &mut config.client_authority, &mut config.genesis];
        for path in more.into_iter().flatten() {
            *path = base.join(&path);
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if self.metrics.is_some_and(|address| !address.ip().is_loopback()) {
            return value(
                "metrics",
                "metrics are served without authentication, so the address must be a loopback address",
            );
        }
        let wanted = !self.witness || self.identity == Identity::Hsm;
        if wanted != self.provider.is_some() {
            return value(
                "provider",
                "a signer needs one for its shares, and an identity of kind hsm needs one to lie in; a witness with its identity in \
                 files leaves it out",
            );
        }
        if self.shares.hold_secs > MOST_HOLD_SECS {
            return value("shares.hold_secs", "a share is held in memory for a day at most");
        }
        if let Some(Provider::HsmBridge { timeout_ms, .. }) = self.provider
            && !(1..=MOST_TIMEOUT_MS).contains(&timeout_ms)
        {
            return value("provider.timeout_ms", "a call to the bridge takes between 1 and 30000 milliseconds");
        }
        let limits = &self.limits;
        let positive = [
            ("limits.sessions", limits.sessions),
            ("limits.peer_queue", limits.peer_queue),
            ("limits.early_frames", limits.early_frames),
            ("limits.sign_timeout_ms", limits.sign_timeout_ms as usize),
            ("limits.keygen_timeout_ms", limits.keygen_timeout_ms as usize),
            ("limits.early_frames_ms", limits.early_frames_ms as usize),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return value(key, "it must be at least 1");
        }
        if limits.frost_nonces > limen_wire::limits::NONCE_BATCH {
            return value("limits.frost_nonces", "at most 1024 nonces are shared ahead per key");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
