//! Who wraps the data key: an HSM later, a file now.

use std::path::Path;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use zeroize::Zeroizing;

use crate::entropy;

/// Why wrapping or unwrapping failed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The key file could not be read.
    #[error("could not read the wrapping key from {path}: {source}")]
    Read {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The key file holds something else.
    #[error("{path} must hold 64 hexadecimal digits: make one with `openssl rand -hex 32`")]
    Content {
        /// Where.
        path: String,
    },
    /// Others may read the key file.
    #[error("{path} can be read by others (mode {mode:o}): run chmod 600 on it")]
    Exposed {
        /// Where.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not allowed under this charter.
    #[error("the provider danger_software keeps its key in a file and works only under a development charter")]
    NotDevelopment,
    /// The wrapped key does not open.
    #[error("the data key does not open: the wrapping key is another one than the store was made with")]
    Opened,
    /// The cipher refused.
    #[error("the cipher refused to seal")]
    Seal,
}

/// What a provider is, for logs and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its kind as in the configuration.
    pub kind: &'static str,
    /// The wrapping key cannot leave its device.
    pub hardware: bool,
}

/// Wraps keys. Never hands out its own.
pub trait KeyProvider: Send + Sync {
    /// Encrypts and authenticates; `context` is associated data.
    fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, ProviderError>;
    /// The reverse, with the same context.
    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError>;
    /// What it is.
    fn describe(&self) -> Description;
}

/// AES-256-GCM under a key in a file: whoever copies disk and file has the shares. Development only.
pub struct DangerSoftware {
    cipher: Box<Aes256Gcm>,
}

impl DangerSoftware {
    /// Reads the key file. Refused unless the charter is a development charter.
    pub fn open(key_file: &Path, development: bool) -> Result<Self, ProviderError> {
        if !development {
            return Err(ProviderError::NotDevelopment);
        }
        let path = || key_file.display().to_string();
        let failed = |source| ProviderError::Read { path: path(), source };
        let text = Zeroizing::new(std::fs::read_to_string(key_file).map_err(failed)?);
        check_mode(key_file)?;
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut()).map_err(|_| ProviderError::Content { path: path() })?;
        let cipher = Aes256Gcm::new_from_slice(key.as_ref()).map_err(|_| ProviderError::Content { path: path() })?;
        Ok(Self { cipher: Box::new(cipher) })
    }
}

/// Refuses a secret file that group or others can read.
pub(crate) fn check_mode(path: &Path) -> Result<(), ProviderError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |source| ProviderError::Read { path: path.display().to_string(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(ProviderError::Exposed { path: path.display().to_string(), mode }) }
}

impl KeyProvider for DangerSoftware {
    fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let nonce = *entropy::random::<12>();
        let payload = Payload { msg: secret, aad: context };
        let sealed = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| ProviderError::Seal)?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(ProviderError::Opened)?;
        let payload = Payload { msg: sealed, aad: context };
        let opened = self.cipher.decrypt(&(*nonce).into(), payload).map_err(|_| ProviderError::Opened)?;
        Ok(Zeroizing::new(opened))
    }

    fn describe(&self) -> Description {
        Description { kind: "danger_software", hardware: false }
    }
}

impl std::fmt::Debug for DangerSoftware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DangerSoftware(key redacted)")
    }
}
