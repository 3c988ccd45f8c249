//! What the daemon remembers beside the token: known records, the identity, the mechanism, and PINs that were refused. No secrets:
//! known records are sealed.

use std::path::PathBuf;

use limen_hsm::files::{self, Replace};
use limen_hsm::sealed::MAX_SEALED;
use limen_hsm::{HeldKind, HeldPublic, HsmError, Kind, Mechanism};
use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;

/// The folder.
#[derive(Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, HsmError> {
        files::private_folder(&folder)?;
        Ok(Self(folder))
    }

    fn canary_path(&self, kek: &KekId) -> PathBuf {
        self.0.join(format!("known-{kek}.sealed"))
    }

    /// The known record under a wrapping key.
    pub(crate) fn canary(&self, kek: &KekId) -> Result<Option<Vec<u8>>, HsmError> {
        files::read(&self.canary_path(kek), MAX_SEALED as u64)
    }

    /// Keeps it; another thread may have been first with `Replace::No`.
    pub(crate) fn keep_canary(&self, kek: &KekId, sealed: &[u8], replace: Replace) -> Result<(), HsmError> {
        match files::write(&self.canary_path(kek), sealed, replace) {
            Err(error) if error.kind() == Kind::Exists => Ok(()),
            other => other,
        }
    }

    /// Forgets it.
    pub(crate) fn forget_canary(&self, kek: &KekId) -> Result<(), HsmError> {
        match files::remove(&self.canary_path(kek)) {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            other => other,
        }
    }

    /// Wrapping keys that have one: a token that does not show these is not the token that it was.
    pub(crate) fn canaries(&self) -> Result<Vec<KekId>, HsmError> {
        self.names("known-", ".sealed", |kek| KekId::new(kek).ok())
    }

    fn names<T>(&self, start: &str, end: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, HsmError> {
        let failed = |cause| HsmError::file("list what is known of the token", &self.0, cause);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_prefix(start)?.strip_suffix(end));
            names.extend(name.and_then(&read));
        }
        Ok(names)
    }

    fn held_path(&self, name: &HeldId) -> PathBuf {
        self.0.join(format!("held-{name}.public"))
    }

    /// The public part of a held key, as the token showed it first.
    pub(crate) fn held(&self, name: &HeldId) -> Result<Option<HeldPublic>, HsmError> {
        let path = self.held_path(name);
        let Some(bytes) = files::read(&path, 256)? else { return Ok(None) };
        let read = |text: &str| {
            let (kind, point) = text.trim().split_once(':')?;
            HeldPublic::new(HeldKind::from_name(kind)?, &hex::decode(point).ok()?)
        };
        let key = std::str::from_utf8(&bytes).ok().and_then(read);
        let damaged = || HsmError::new(Kind::File, "read a held key", format!("{} is damaged", path.display()));
        key.map(Some).ok_or_else(damaged)
    }

    /// Keeps it; another thread may have been first with `Replace::No`.
    pub(crate) fn keep_held(&self, name: &HeldId, key: &HeldPublic, replace: Replace) -> Result<(), HsmError> {
        let text = format!("{}:{}", key.kind(), hex::encode(key.to_bytes()));
        match files::write(&self.held_path(name), text.as_bytes(), replace) {
            Err(error) if error.kind() == Kind::Exists => Ok(()),
            other => other,
        }
    }

    /// Forgets it.
    pub(crate) fn forget_held(&self, name: &HeldId) -> Result<(), HsmError> {
        match files::remove(&self.held_path(name)) {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            other => other,
        }
    }

    /// Held keys that were seen: a token that does not show these is not the token that it was.
    pub(crate) fn held_names(&self) -> Result<Vec<HeldId>, HsmError> {
        self.names("held-", ".public", |name| HeldId::new(name).ok())
    }

    /// The identity that a token showed once.
    pub(crate) fn identity(&self) -> Result<Option<PublicKey>, HsmError> {
        let path = self.0.join("identity");
        let Some(bytes) = files::read(&path, 256)? else { return Ok(None) };
        let key = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        let damaged = || HsmError::new(Kind::File, "read the identity", format!("{} is damaged", path.display()));
        key.map(Some).ok_or_else(damaged)
    }

    pub(crate) fn keep_identity(&self, key: &PublicKey) -> Result<(), HsmError> {
        files::write(&self.0.join("identity"), key.to_string().as_bytes(), Replace::Yes)
    }

    /// The mechanism that was found once.
    pub(crate) fn mechanism(&self) -> Result<Option<Mechanism>, HsmError> {
        let path = self.0.join("mechanism");
        let Some(bytes) = files::read(&path, 64)? else { return Ok(None) };
        let name = std::str::from_utf8(&bytes).ok().and_then(|name| Mechanism::from_name(name.trim()));
        let unknown = || {
            let detail = format!("{} names none; remove it, and it is found anew", path.display());
            HsmError::new(Kind::Unsupported, "read the mechanism that was found before", detail)
        };
        name.map(Some).ok_or_else(unknown)
    }

    pub(crate) fn keep_mechanism(&self, mechanism: Mechanism) -> Result<(), HsmError> {
        files::write(&self.0.join("mechanism"), mechanism.name().as_bytes(), Replace::Yes)
    }

    /// Where it is marked that a token refused its PIN: it outlives restarts, so that a supervisor cannot lock a token.
    pub(crate) fn refused_pin(&self, token: &str) -> PathBuf {
        self.0.join(format!("pin-refused-{}", hex::encode(token)))
    }
}
