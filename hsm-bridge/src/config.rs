//! The configuration file: TOML, unknown keys refused, every key shown in `limen-hsm-bridge.sample.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limen_hsm::Mechanism;
use limen_wire::keys::PublicKey;
use serde::Deserialize;

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
    #[error("the configuration {path} is refused: {reason}; compare with limen-hsm-bridge.sample.toml")]
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
        reason: &'static str,
    },
}

/// Everything that the daemon is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The socket.
    pub socket: PathBuf,
    /// What is remembered beside the token.
    pub state_dir: PathBuf,
    /// Users that may call beside our own.
    #[serde(default)]
    pub allow_uids: Vec<u32>,
    /// The door for a signer on another machine.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// How records are sealed.
    #[serde(default)]
    pub sealing: Sealing,
    /// Tokens, the first first.
    pub tokens: Vec<Token>,
    /// What is logged and how.
    #[serde(default)]
    pub log: Log,
}

/// The door for signers on other machines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where it is.
    pub listen: SocketAddr,
    /// PEM certificate; only its public key counts.
    pub certificate: PathBuf,
    /// PEM PKCS#8 key.
    pub key: PathBuf,
    /// Public keys that get in.
    pub callers: Vec<PublicKey>,
}

/// Bounds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest call at one token, in milliseconds.
    pub deadline_ms: u32,
    /// Threads with a session each.
    pub workers: usize,
    /// Calls that wait.
    pub queue: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Wrapping keys at most.
    pub keks: usize,
    /// Seconds without a token that works after which the process ends, to be started anew; 0 for never.
    pub restart_secs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline_ms: 2000, workers: 4, queue: 64, connections: 32, keks: 256, restart_secs: 30 }
    }
}

impl Limits {
    /// Longest call at one token.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }
}

/// How records are sealed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sealing {
    /// `auto`, or a mechanism's name.
    pub mechanism: String,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { mechanism: "auto".to_owned() }
    }
}

impl Sealing {
    /// The one that must be used; `None` for the best that works.
    pub fn wanted(&self) -> Option<Mechanism> {
        Mechanism::from_name(&self.mechanism)
    }
}

/// A token and how to get in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The vendor's library.
    pub module: PathBuf,
    /// Its label or serial number.
    #[serde(default)]
    pub token: Option<String>,
    /// Or its slot.
    #[serde(default)]
    pub slot: Option<u64>,
    /// Its PIN.
    pub pin: PinSource,
}

/// Where a PIN comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PinSource {
    /// A credential of the service manager, in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file of mode 600.
    File(PathBuf),
    /// An inherited file descriptor.
    Descriptor(u32),
    /// A person at the terminal.
    Prompt(bool),
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
        Self::parse(&text, path.parent().unwrap_or(Path::new("."))).map_err(|error| match error {
            ConfigError::Parse { reason, .. } => ConfigError::Parse { path: path.display().to_string(), reason },
            other => other,
        })
    }

    /// Parses text; relative paths start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: "text".to_owned(), reason: error.to_string() })?;
        for path in [&mut config.socket, &mut config.state_dir] {
            *path = base.join(&path);
        }
        if let Some(tls) = &mut config.tls {
            tls.certificate = base.join(&tls.certificate);
            tls.key = base.join(&tls.key);
        }
        for token in &mut config.tokens {
            token.module = base.join(&token.module);
            if let PinSource::File(path) = &mut token.pin {
                *path = base.join(&path);
            }
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, reason| Err(ConfigError::Value { key, reason });
        let limits = &self.limits;
        let positive = [
            ("limits.deadline_ms", limits.deadline_ms as usize),
            ("limits.workers", limits.workers),
            ("limits.queue", limits.queue),
            ("limits.connections", limits.connections),
            ("limits.keks", limits.keks),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return value(key, "it must be at least 1");
        }
        if limits.workers > 64 || limits.connections > 1024 || limits.queue > 65536 {
            return value("limits", "at most 64 workers, 1024 connections and 65536 waiting calls");
        }
        if self.sealing.mechanism != "auto" && self.sealing.wanted().is_none() {
            return value("sealing.mechanism", "it is auto, aes-256-gcm or aes-256-cbc-hmac-sha256");
        }
        if !(1..=8).contains(&self.tokens.len()) {
            return value("tokens", "one token at least, and at most 8");
        }
        if self.tls.as_ref().is_some_and(|tls| tls.callers.is_empty()) {
            return value("tls.callers", "nobody could call: name a public key, or leave [tls] out");
        }
        if self.tokens.iter().any(|token| token.token.is_some() == token.slot.is_some()) {
            return value("tokens", "each is named either by `token` or by `slot`");
        }
        let prompts = self.tokens.iter().any(|token| matches!(token.pin, PinSource::Prompt(false)));
        if prompts {
            return value("tokens.pin", "a prompt is wanted (`prompt = true`), or another source is named");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../limen-hsm-bridge.sample.toml");

    #[test]
    fn the_sample_parses_and_shows_the_defaults() {
        let config = Config::parse(SAMPLE, Path::new("/etc/limen")).unwrap();
        assert_eq!(config.socket, Path::new("/etc/limen/run/bridge.sock"));
        assert_eq!(config.tokens[0].token.as_deref(), Some("node1"));
        assert!(matches!(&config.tokens[0].pin, PinSource::Credential(name) if name == "hsm-pin"));
        assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
        assert_eq!(format!("{:?}", config.sealing), format!("{:?}", Sealing::default()));
        assert_eq!(format!("{:?}", config.log), format!("{:?}", Log::default()));
        assert_eq!(config.tls.unwrap().certificate, Path::new("/etc/limen/bridge.crt"));
        for other in ["# pin = { file", "# pin = { descriptor", "# pin = { prompt"] {
            let text = SAMPLE.replace("pin = { credential = \"hsm-pin\" }\n", "").replace(other, &other[2..]);
            Config::parse(&text, Path::new(".")).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (from, to) in [
            ("socket = ", "colour = 1\nsocket = "),
            ("workers = 4", "workers = 0"),
            ("workers = 4", "workers = 65"),
            ("mechanism = \"auto\"", "mechanism = \"rot13\""),
            ("token = \"node1\"", "token = \"node1\"\nslot = 1"),
            ("token = \"node1\"\n", ""),
            ("pin = { credential = \"hsm-pin\" }", "pin = { prompt = false }"),
            ("pin = { credential = \"hsm-pin\" }", "pin = \"1234\""),
            ("[[tokens]]", "[[others]]"),
            ("callers = [\"p256:036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\"]", "callers = []"),
            ("\"p256:036b", "\"p256:996b"),
        ] {
            let text = SAMPLE.replacen(from, to, 1);
            assert_ne!(text, SAMPLE, "{from}");
            assert!(Config::parse(&text, Path::new(".")).is_err(), "{to}");
        }
    }
}
