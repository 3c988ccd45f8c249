//! Being logged in, for the whole process: one pinned session, because the login ends with the last; a generation that counts how
//! often it was done anew; and a guard on the tries that a PIN has.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use limen_hsm::files::{self, Replace};
use limen_hsm::{HsmError, Kind, Mechanism};
use zeroize::Zeroizing;

use super::failure::verdict;
use super::module::{self, Held, Module, Wanted};
use super::state::StateDir;

/// A token, and our way in.
pub(crate) struct Login {
    pub(crate) module: Module,
    pub(crate) wanted: Wanted,
    pub(crate) state: Arc<StateDir>,
    /// The mechanism that must be used, and the one that was found.
    pub(crate) forced: Option<Mechanism>,
    pub(crate) found: OnceLock<Mechanism>,
    changing: Mutex<()>,
    pin: Zeroizing<String>,
    inside: Mutex<Inside>,
    generation: AtomicU64,
    objects: AtomicU64,
    known: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Inside {
    /// Keeps the login alive: it is never used for anything else.
    pinned: Option<(Slot, Held)>,
    /// Why the PIN is not tried again.
    refused: Option<(Kind, String)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Login {
    pub(crate) fn new(
        module: Module,
        wanted: Wanted,
        pin: Zeroizing<String>,
        state: Arc<StateDir>,
        forced: Option<Mechanism>,
    ) -> Self {
        Self {
            module,
            wanted,
            state,
            forced,
            found: OnceLock::new(),
            changing: Mutex::default(),
            pin,
            inside: Mutex::default(),
            generation: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// One change of the token's objects at a time, also after whoever asked for it has stopped waiting.
    pub(crate) fn change(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// How often we have logged in.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes with each object that is made or destroyed: handles from before are looked up anew.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Acquire)
    }

    pub(crate) fn objects_changed(&self) {
        self.objects.fetch_add(1, Ordering::AcqRel);
    }

    /// Remembers that an object was seen: if it is away later, the token is what is gone.
    pub(crate) fn saw(&self, label: &str) {
        lock(&self.known).insert(label.to_owned());
    }

    pub(crate) fn forget(&self, label: &str) {
        lock(&self.known).remove(label);
    }

    pub(crate) fn has_seen(&self, label: &str) -> bool {
        lock(&self.known).contains(label)
    }

    /// A session of the caller's own, logged in, and the generation that it is of. `stale` is the generation that did not work:
    /// unless another thread has done so already, everything is opened anew.
    pub(crate) fn enter(&self, stale: Option<u64>) -> Result<(u64, Held), HsmError> {
        let mut inside = lock(&self.inside);
        let fresh = inside.pinned.is_none() || stale == Some(self.generation());
        if fresh {
            self.log_in(&mut inside)?;
        }
        let held = match self.open(&inside) {
            // The library may have been finalized, or the token have gone, since somebody last looked.
            Err(_) if !fresh => {
                self.log_in(&mut inside)?;
                self.open(&inside)?
            }
            other => other?,
        };
        Ok((self.generation(), held))
    }

    fn open(&self, inside: &Inside) -> Result<Held, HsmError> {
        let Some((slot, _)) = &inside.pinned else { return Err(self.error(Kind::NotLoggedIn, "no session is open")) };
        self.module.open(*slot).map_err(|error| verdict("open a session", &self.wanted.to_string(), error))
    }

    fn error(&self, kind: Kind, detail: impl Into<String>) -> HsmError {
        HsmError::new(kind, format!("log in to {}", self.wanted), detail)
    }

    /// Logs in anew, with the old sessions open until the new one is: closing the last would log everybody out.
    fn log_in(&self, inside: &mut Inside) -> Result<(), HsmError> {
        if let Some((kind, detail)) = &inside.refused {
            return Err(self.error(*kind, detail));
        }
        let mark = self.state.refused_pin(&self.wanted.to_string());
        if mark.exists() {
            let detail = format!("the token refused its PIN before; the mark is {}", mark.display());
            return Err(self.error(Kind::PinWrong, detail));
        }
        let failed = |error| verdict("log in", &self.wanted.to_string(), error);
        // Does nothing unless somebody has finalized the library under us.
        self.module.initialize().map_err(failed)?;
        let (slot, info) = module::find(&self.module.context, &self.wanted)?;
        let held = self.module.open(slot).map_err(failed)?;
        let session = held.session().map_err(failed)?;
        if info.as_ref().is_none_or(TokenInfo::login_required) {
            if let Some(info) = &info {
                self.guard(info)?;
            }
            match session.login(UserType::User, Some(&AuthPin::new(Box::from(self.pin.as_str())))) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => {
                    let said = verdict("log in", &self.wanted.to_string(), error);
                    return Err(self.remember(inside, &mark, said));
                }
            }
        }
        inside.pinned = Some((slot, held));
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        tracing::info!(token = %self.wanted, generation, "logged in");
        Ok(())
    }

    /// Says no before a try is spent that cannot be afforded.
    fn guard(&self, info: &TokenInfo) -> Result<(), HsmError> {
        if info.user_pin_locked() {
            return Err(self.error(Kind::PinLocked, "the token says that its PIN is locked"));
        }
        if !info.user_pin_initialized() {
            return Err(self.error(Kind::PinUnset, "the token has no PIN yet"));
        }
        if info.user_pin_final_try() {
            return Err(
                self.error(Kind::PinLastTry, "ONE try is left before the token locks, and it is not spent here")
            );
        }
        if info.user_pin_count_low() {
            tracing::warn!(token = %self.wanted, "somebody has given this token a wrong PIN since it last took one");
        }
        Ok(())
    }

    /// A PIN that was refused once is not tried again, by this process or the next.
    fn remember(&self, inside: &mut Inside, mark: &std::path::Path, said: HsmError) -> HsmError {
        if !matches!(said.kind(), Kind::PinWrong | Kind::PinLocked | Kind::PinUnset) {
            return said;
        }
        let mut detail = said.detail().to_owned();
        if said.kind() == Kind::PinWrong {
            detail.push_str(&format!("; the mark is {}", mark.display()));
            if let Err(error) = files::write(mark, b"", Replace::Yes) {
                tracing::error!(%error, "the refused PIN could not be marked: do not restart before it is right");
            }
        }
        tracing::error!(token = %self.wanted, %detail, "ALARM: the token does not take its PIN; it is not tried again");
        inside.refused = Some((said.kind(), detail.clone()));
        self.error(said.kind(), detail)
    }
}
