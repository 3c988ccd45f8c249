//! The token: what it says of itself, and which keys it shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use limen_client::{ClientConfig, Error};
use limen_wire::statement::KeyStatement;
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
    /// Nobody has been asked yet, or there was no good answer; with the word for why, so that the log says it once.
    Unknown(&'static str),
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
            standing: Mutex::new(vec![Standing::Unknown(""); config.keys.len()]),
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
            let Standing::Unknown(told) = known else { continue };
            let answer = cluster.statement(&shown.key);
            let is_gone = matches!(answer, Err(Error::Unreachable { .. }));
            let (now, fault) = judge(shown, answer);
            // Another thread may have heard more meanwhile.
            if let Some(entry @ Standing::Unknown(_)) = self.standing().get_mut(at) {
                *entry = now.clone();
            }
            match fault {
                Some(fault) if is_gone && self.nothing_to_show() => return Err(fault),
                Some(fault) if !matches!(now, Standing::Unknown(why) if why == *told) => {
                    log.failure("C_OpenSession", &fault);
                }
                _ => {}
            }
            // The others would not be heard of either.
            if is_gone {
                break;
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
            Standing::Unknown(_) | Standing::Unfit => None,
        }
    }

    /// `CK_TOKEN_INFO` with so many sessions open, and so many of them for writing. Nobody has to log in.
    pub(crate) fn info(&self, (sessions, for_writing): (usize, usize)) -> CK_TOKEN_INFO {
        let count = |sessions| CK_ULONG::try_from(sessions).unwrap_or(CK_ULONG::MAX);
        CK_TOKEN_INFO {
            label: padded(&self.label),
            manufacturerID: padded(MANUFACTURER),
            model: padded("cluster"),
            serialNumber: padded(&self.serial),
            flags: CKF_RNG | CKF_TOKEN_INITIALIZED,
            ulMaxSessionCount: count(MAX_SESSIONS),
            ulSessionCount: count(sessions),
            ulMaxRwSessionCount: count(MAX_SESSIONS),
            ulRwSessionCount: count(for_writing),
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

/// What an answer makes of a key, and what is to be said about it.
fn judge(shown: &Shown, answer: Result<KeyStatement, Error>) -> (Standing, Option<Fault>) {
    let key = shown.key.clone();
    match answer.map(|statement| Key::new(shown, &statement)) {
        Ok(Ok(attested)) => (Standing::Attested(Arc::new(attested)), None),
        Ok(Err(reason)) => (Standing::Unfit, Some(Fault::Unfit { key, reason })),
        Err(source) => (Standing::Unknown(source.code()), Some(Fault::Opening { key, source })),
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
