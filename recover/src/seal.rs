//! Pieces under the keys of their custodians, by age (age-encryption.org/v1).

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;

use age::{Callbacks, Decryptor, EncryptError, Identity, IdentityFile};
use limen_wire::recipient::Recipient;
use zeroize::Zeroizing;

/// Which plugins of age may be run to encrypt: a recipient names the program that is run for it, so whoever writes recipients
/// would choose programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plugins(BTreeSet<String>);

impl Plugins {
    /// None: recipients of X25519 alone.
    pub fn none() -> Self {
        Self::default()
    }
    /// These, by the names that follow `age-plugin-` in theirs.
    pub fn of<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
    /// Refuses a recipient whose plugin may not be run.
    pub fn check(&self, recipient: &Recipient) -> Result<(), SealError> {
        match recipient.plugin() {
            Some(plugin) if !self.0.contains(plugin) => {
                Err(SealError::NotAllowed { plugin: plugin.to_owned(), recipient: recipient.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Why a piece could not be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Nothing can be encrypted to this recipient: mistyped, or of a plugin where there are none.
    #[error("recipient {0} is mistyped, or of a plugin that this program cannot use")]
    Recipient(Recipient),
    /// Its plugin was not allowed.
    #[error("recipient {recipient} wants the program age-plugin-{plugin} to be run, which was not allowed by name")]
    NotAllowed {
        /// The plugin's name.
        plugin: String,
        /// Whose recipient.
        recipient: Recipient,
    },
    /// The encryption failed: a plugin is missing or has refused, for example.
    #[error("encrypting to {recipient} failed")]
    Encrypt {
        /// To whom.
        recipient: Recipient,
        /// What age says.
        #[source]
        cause: Box<EncryptError>,
    },
}

/// Encrypts one piece. The randomness of age's own keys comes from the operating system.
pub(crate) fn seal<C: Callbacks>(
    recipient: &Recipient,
    piece: &[u8],
    plugins: &Plugins,
    callbacks: C,
) -> Result<Vec<u8>, SealError> {
    plugins.check(recipient)?;
    let cause = |cause| SealError::Encrypt { recipient: recipient.clone(), cause: Box::new(cause) };
    if recipient.plugin().is_some() {
        return age::encrypt(&plugin(recipient, callbacks)?, piece).map_err(cause);
    }
    let key: age::x25519::Recipient =
        recipient.as_str().parse().map_err(|_| SealError::Recipient(recipient.clone()))?;
    age::encrypt(&key, piece).map_err(cause)
}

#[cfg(feature = "plugin")]
fn plugin<C: Callbacks>(recipient: &Recipient, callbacks: C) -> Result<impl age::Recipient, SealError> {
    let key: age::plugin::Recipient =
        recipient.as_str().parse().map_err(|_| SealError::Recipient(recipient.clone()))?;
    age::plugin::RecipientPluginV1::new(key.plugin(), std::slice::from_ref(&key), &[], callbacks)
        .map_err(|cause| SealError::Encrypt { recipient: recipient.clone(), cause: Box::new(cause) })
}

#[cfg(not(feature = "plugin"))]
fn plugin<C: Callbacks>(recipient: &Recipient, _callbacks: C) -> Result<age::x25519::Recipient, SealError> {
    Err(SealError::Recipient(recipient.clone()))
}

/// Text that is no identity file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "reading an identity file of age: it must have lines `AGE-SECRET-KEY-1…`, or `AGE-PLUGIN-…` of plugins at hand, comments and \
     nothing else; one under a passphrase has to be decrypted by age first"
)]
pub struct BadIdentities;

/// A custodian's keys. Unprintable.
pub struct Identities(Vec<Box<dyn Identity>>);

impl Identities {
    /// Reads an identity file as `age-keygen` and plugins write it. `callbacks` ask for what plugins want of people.
    pub fn read(text: &[u8], callbacks: impl Callbacks) -> Result<Self, BadIdentities> {
        let file = IdentityFile::from_buffer(text).map_err(|_| BadIdentities)?;
        let identities = file.with_callbacks(callbacks).into_identities().map_err(|_| BadIdentities)?;
        if identities.is_empty() { Err(BadIdentities) } else { Ok(Self(identities)) }
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities, redacted", self.0.len())
    }
}

/// Why a piece was not decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnsealError {
    /// It is for other identities.
    NotForThese,
    /// It is damaged, or a plugin failed.
    Failed(String),
}

/// Decrypts at most `most` bytes.
pub(crate) fn unseal(identities: &Identities, sealed: &[u8], most: usize) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
    let failed = |error: &dyn fmt::Display| UnsealError::Failed(error.to_string());
    let decryptor = Decryptor::new(sealed).map_err(|error| failed(&error))?;
    let keys = identities.0.iter().map(|identity| &**identity);
    let reader = decryptor.decrypt(keys).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => UnsealError::NotForThese,
        other => failed(&other),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(most.saturating_add(1)));
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut plain).map_err(|error| failed(&error))?;
    Ok(plain)
}
