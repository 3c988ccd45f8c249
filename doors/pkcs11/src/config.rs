//! The configuration file: TOML, unknown keys refused, every key shown in `limen-pkcs11.sample.toml`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use limen_chain::DerivationPath;
use limen_client::ClientConfig;
use limen_wire::ids::{KeyId, VaultId};
use serde::Deserialize;

use crate::error::ConfigFault;

/// The environment variable that names the file.
pub(crate) const VARIABLE: &str = "LIMEN_PKCS11_CONFIG";
/// The version of the file format.
pub(crate) const VERSION: u32 = 1;

const MAX_KEYS: usize = 64;
/// Of labels, in bytes; also what `CK_TOKEN_INFO` has room for.
const MAX_LABEL: usize = 32;
const MAX_ID: usize = 64;
/// Of every time-out: a day.
const MAX_SECS: u64 = 86_400;

/// Everything that the library is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Version of the format: 1.
    pub(crate) version: u32,
    /// The client's configuration, as `limen --config` takes it: coordinator, certificates, requester, pinned signers.
    pub(crate) client: PathBuf,
    /// The token's label, at most 32 bytes; "Limen CLUSTER" if left out.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Where reasons are written; standard error if left out.
    #[serde(default)]
    pub(crate) log: Option<PathBuf>,
    /// Time-outs.
    #[serde(default)]
    pub(crate) timing: Timing,
    /// The keys that are shown, and no others.
    pub(crate) keys: Vec<Shown>,
}

/// Time-outs, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timing {
    /// Longest wait for an answer of the coordinator, repetitions included.
    pub(crate) answer_secs: u64,
    /// Longest wait for a signature, people and delays included.
    pub(crate) sign_secs: u64,
    /// How long a request lives in the cluster.
    pub(crate) request_secs: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { answer_secs: 5, sign_secs: 60, request_secs: 600 }
    }
}

impl Timing {
    pub(crate) const fn answer(&self) -> Duration {
        Duration::from_secs(self.answer_secs)
    }
    pub(crate) const fn sign(&self) -> Duration {
        Duration::from_secs(self.sign_secs)
    }
    pub(crate) const fn request(&self) -> Duration {
        Duration::from_secs(self.request_secs)
    }
}

/// A key that is shown, and what is asked when a program signs with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    /// The cluster's key.
    pub(crate) key: KeyId,
    /// Non-hardened path to the account below it; the key itself if left out.
    #[serde(default = "DerivationPath::root")]
    pub(crate) path: DerivationPath,
    /// `CKA_LABEL`; the key's name if left out.
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// `CKA_ID` in hexadecimal; made from the public key if left out.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The vault that requests name.
    #[serde(default)]
    pub(crate) vault: Option<VaultId>,
    /// A note in each request, for people.
    #[serde(default)]
    pub(crate) note: String,
}

impl Shown {
    /// `CKA_LABEL`.
    pub(crate) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(self.key.as_str())
    }
    /// `CKA_ID`, where the file says one.
    pub(crate) fn id_bytes(&self) -> Option<Vec<u8>> {
        hex::decode(self.id.as_deref()?).ok()
    }
}

impl Config {
    /// Reads a file and what it names, refusing private keys that others may use. Paths become relative to its folder.
    pub(crate) fn from_file(path: &Path) -> Result<(Self, ClientConfig), ConfigFault> {
        let content = |reason: String| ConfigFault::Content { path: path.to_path_buf(), reason };
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigFault::Open { path: path.to_path_buf(), source })?;
        let mut config = Self::parse(&text).map_err(content)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        config.client = folder.join(&config.client);
        config.log = config.log.map(|log| folder.join(log));
        let client = ClientConfig::from_file(&config.client)?;
        private(&client.key)?;
        private(&client.envelope_key)?;
        Ok((config, client))
    }

    /// Reads the text of a file and checks its values.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if config.version != VERSION {
            return Err(format!("version {} is not known here; {VERSION} is", config.version));
        }
        let Timing { answer_secs, sign_secs, request_secs } = config.timing;
        if [answer_secs, sign_secs, request_secs].iter().any(|secs| !(1..=MAX_SECS).contains(secs)) {
            return Err(format!("timing: each of them is 1 to {MAX_SECS} seconds"));
        }
        if config.keys.is_empty() || config.keys.len() > MAX_KEYS {
            return Err(format!("keys: 1 to {MAX_KEYS} of them, not {}", config.keys.len()));
        }
        config.label.as_deref().map_or(Ok(()), good_label)?;
        let (mut labels, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for shown in &config.keys {
            if shown.label.is_some() {
                good_label(shown.label())?;
            }
            if !labels.insert(shown.label()) {
                return Err(format!("label {:?} stands at two keys", shown.label()));
            }
            let Some(id) = &shown.id else { continue };
            let bytes = hex::decode(id).map_err(|error| format!("id {id:?}: {error}"))?;
            if bytes.is_empty() || bytes.len() > MAX_ID {
                return Err(format!("id {id:?}: 1 to {MAX_ID} bytes, not {}", bytes.len()));
            }
            if !ids.insert(bytes) {
                return Err(format!("id {id:?} stands at two keys"));
            }
        }
        Ok(config)
    }
}

fn good_label(label: &str) -> Result<(), String> {
    let good = !label.is_empty() && label.len() <= MAX_LABEL && !label.chars().any(char::is_control);
    if good { Ok(()) } else { Err(format!("label {label:?}: 1 to {MAX_LABEL} bytes of printable text")) }
}

/// A private key is its owner's alone.
fn private(file: &Path) -> Result<(), ConfigFault> {
    let path = file.to_path_buf();
    let found = std::fs::metadata(file).map_err(|source| ConfigFault::Open { path: path.clone(), source })?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(ConfigFault::Mode { path, mode }) }
}

#[cfg(test)]
mod tests;
