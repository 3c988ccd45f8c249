//! The token: what it says of itself, and which keys it shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use limen_client::{ClientConfig, Error};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Shown};
use crate::error::Fault;
use crate::log::Log;
use crate::objects::{Class, Key, handle, place};
use crate::session::MAX_SESSIONS;
use crate::signer::Cluster;

/// The one slot.
pub(crate) const SLOT: CK_SLOT_ID = 0;
const MANUFACTURER: &str = "Limen";
const VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };

/// What is known of a key of the configuration.
#[derive(Debug, Clone)]
enum Standing {
    /// Nobody has been asked yet, or nobody answered.
    Unknown,
    /// Its signers attest it.
    Attested(Arc<Key>),
    /// It will never be shown.
    Unfit,
}

/// The token.
#[derive(Debug)]
pub(crate) struct Token {
    label: String,
    serial: String,
    keys: Vec<Shown>,
    standing: Mutex<Vec<Standing>>,
}

impl Token {
    pub(crate) fn new(config: &Config, client: &ClientConfig) -> Self {
        let name = format!("{}/{}", client.cluster, client.requester);
        let hash = Sha256::digest(name.as_bytes());
        Self {
            label: config.label.clone().unwrap_or_else(|| format!("Limen {}", client.cluster)),
            serial: hex::encode(hash).chars().take(16).collect(),
            keys: config.keys.clone(),
            standing: Mutex::new(vec![Standing::Unknown; config.keys.len()]),
        }
    }

    fn standing(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the cluster about the keys that are not known yet. Fails where nobody answers and there is nothing to show; a key
    /// that cannot be proved is not shown, and the log says why.
    pub(crate) fn learn(&self, cluster: &dyn Cluster, log: &Log) -> Result<(), Fault> {
        let before = self.standing().clone();
        for (at, (shown, known)) in self.keys.iter().zip(&before).enumerate() {
            if !matches!(known, Standing::Unknown) {
                continue;
            }
            let now = match cluster.statement(&shown.key) {
                Ok(statement) => match Key::new(shown, &statement) {
                    Ok(key) => Standing::Attested(Arc::new(key)),
                    Err(reason) => {
                        log.failure("C_OpenSession", &Fault::Unfit { key: shown.key.clone(), reason });
                        Standing::Unfit
                    }
                },
                Err(source @ Error::Unreachable { .. }) => {
                    let fault = Fault::Opening { key: shown.key.clone(), source };
                    if self.nothing_to_show() {
                        return Err(fault);
                    }
                    log.failure("C_OpenSession", &fault);
                    return Ok(());
                }
                Err(source) => {
                    log.failure("C_OpenSession", &Fault::Opening { key: shown.key.clone(), source });
                    continue;
                }
            };
            if let Some(entry) = self.standing().get_mut(at) {
                *entry = now;
            }
        }
        Ok(())
    }

    fn nothing_to_show(&self) -> bool {
        !self.standing().iter().any(|one| matches!(one, Standing::Attested(_)))
    }

    /// All objects that are shown, in the order of the configuration.
    pub(crate) fn objects(&self) -> Vec<(CK_OBJECT_HANDLE, Class, Arc<Key>)> {
        let mut list = Vec::new();
        for (at, one) in self.standing().iter().enumerate() {
            if let Standing::Attested(key) = one {
                list.extend([Class::Public, Class::Private].map(|class| (handle(at, class), class, Arc::clone(key))));
            }
        }
        list
    }

    /// The object behind a handle; `None` if there is none.
    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Option<(Class, Arc<Key>)> {
        let (at, class) = place(handle)?;
        match self.standing().get(at)? {
            Standing::Attested(key) => Some((class, Arc::clone(key))),
            Standing::Unknown | Standing::Unfit => None,
        }
    }

    /// `CK_TOKEN_INFO`. There is a generator of random bytes, nothing can be written, and nobody has to log in.
    pub(crate) fn info(&self, sessions: usize) -> CK_TOKEN_INFO {
        CK_TOKEN_INFO {
            label: padded(&self.label),
            manufacturerID: padded(MANUFACTURER),
            model: padded("cluster"),
            serialNumber: padded(&self.serial),
            flags: CKF_RNG | CKF_WRITE_PROTECTED | CKF_TOKEN_INITIALIZED,
            ulMaxSessionCount: MAX_SESSIONS as CK_ULONG,
            ulSessionCount: CK_ULONG::try_from(sessions).unwrap_or(CK_ULONG::MAX),
            ulMaxRwSessionCount: CK_UNAVAILABLE_INFORMATION,
            ulRwSessionCount: 0,
            ulMaxPinLen: 255,
            ulMinPinLen: 0,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
            utcTime: padded(""),
        }
    }
}

/// `CK_SLOT_INFO`. The token is always in it; whether the cluster answers shows when a session is opened.
pub(crate) fn slot_info() -> CK_SLOT_INFO {
    CK_SLOT_INFO {
        slotDescription: padded("Limen custody cluster"),
        manufacturerID: padded(MANUFACTURER),
        flags: CKF_TOKEN_PRESENT,
        hardwareVersion: VERSION,
        firmwareVersion: VERSION,
    }
}

/// `CK_INFO`.
pub(crate) fn library_info() -> CK_INFO {
    CK_INFO {
        cryptokiVersion: CK_VERSION { major: 2, minor: 40 },
        manufacturerID: padded(MANUFACTURER),
        flags: 0,
        libraryDescription: padded("Limen custody cluster"),
        libraryVersion: VERSION,
    }
}

/// PKCS#11 pads text with blanks; what is too long loses whole characters.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let end = (0..=text.len().min(N)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let mut field = [b' '; N];
    field.iter_mut().zip(text.bytes().take(end)).for_each(|(to, from)| *to = from);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_padded_and_cut_between_characters() {
        assert_eq!(padded::<5>("ab"), *b"ab   ");
        assert_eq!(padded::<3>("abcd"), *b"abc");
        assert_eq!(padded::<3>("abé"), *b"ab ");
    }
}
