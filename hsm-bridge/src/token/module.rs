//! Vendors' libraries. `C_Initialize` counts for a whole process, so each is loaded once and not finalized while it is in
//! use: whoever finalizes takes everybody's sessions along.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use cryptoki::slot::{Slot, TokenInfo};
use limen_hsm::{HsmError, Kind};

static LOADED: Mutex<BTreeMap<PathBuf, Module>> = Mutex::new(BTreeMap::new());

/// A library that is loaded.
#[derive(Clone)]
pub(crate) struct Module {
    pub(crate) context: Pkcs11,
    /// How often it was initialized. After the second time numbers of sessions begin anew: whoever closed an old one by its
    /// number would close somebody's new one.
    incarnation: Arc<AtomicU64>,
}

/// The library at this path, loaded and initialized.
pub(crate) fn load(path: &Path) -> Result<Module, HsmError> {
    let tried = || format!("load the PKCS#11 library {}", path.display());
    let unusable = |cause: Error| HsmError::new(Kind::Device, tried(), cause.to_string()).because(cause);
    let file = path.canonicalize();
    let file = file.map_err(|cause| HsmError::new(Kind::File, tried(), cause.to_string()).because(cause))?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let module = match loaded.get(&file) {
        Some(module) => module.clone(),
        None => Module { context: Pkcs11::new(&file).map_err(unusable)?, incarnation: Arc::default() },
    };
    module.initialize().map_err(unusable)?;
    loaded.insert(file, module.clone());
    Ok(module)
}

/// Lets go of all libraries: for a command that ends, once no thread of ours is in one. SoftHSM 2.6.1 crashes at the end of a
/// process whose OpenSSL goes first, and takes the exit code along.
pub(crate) fn finalize_all() {
    let loaded = std::mem::take(&mut *LOADED.lock().unwrap_or_else(PoisonError::into_inner));
    for module in loaded.into_values() {
        // The process ends: a library that does not let go has nothing that we would miss.
        module.context.finalize().ok();
    }
}

impl Module {
    /// Initializes a library that may be initialized already.
    pub(crate) fn initialize(&self) -> Result<(), Error> {
        match self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            other => {
                other?;
                self.incarnation.fetch_add(1, Ordering::AcqRel);
                Ok(())
            }
        }
    }

    /// A session that is closed at its end, if its library is still the one that opened it.
    pub(crate) fn open(&self, slot: Slot) -> Result<Held, Error> {
        let incarnation = self.incarnation.load(Ordering::Acquire);
        let session = self.context.open_rw_session_no_drop(slot)?;
        Ok(Held { session: Some(session), incarnation, now: Arc::clone(&self.incarnation) })
    }
}

/// A session of ours.
pub(crate) struct Held {
    session: Option<Session>,
    incarnation: u64,
    now: Arc<AtomicU64>,
}

impl Held {
    /// The session; an error only for one that was closed, which nobody holds.
    pub(crate) fn session(&self) -> Result<&Session, Error> {
        self.session.as_ref().ok_or(Error::Pkcs11(RvError::SessionClosed, Function::GetSessionInfo))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && self.incarnation == self.now.load(Ordering::Acquire)
        {
            // A token that is gone has closed it already.
            session.close().ok();
        }
    }
}

/// Which token is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// By label or serial number.
    Named(String),
    /// By its slot's number: some tokens cannot be asked who they are.
    Slot(u64),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "token {name:?}"),
            Self::Slot(number) => write!(f, "the token in slot {number}"),
        }
    }
}

/// Finds the token. What it says of itself may be missing where it was named by its slot.
pub(crate) fn find(context: &Pkcs11, wanted: &Wanted) -> Result<(Slot, Option<TokenInfo>), HsmError> {
    let tried = || format!("find {wanted}");
    let failed = |cause: Error| HsmError::new(Kind::Gone, tried(), cause.to_string()).because(cause);
    let name = match wanted {
        Wanted::Slot(number) => {
            let slots = context.get_all_slots().map_err(failed)?;
            let slot = slots.into_iter().find(|slot| slot.id() == *number);
            let slot = slot.ok_or_else(|| HsmError::new(Kind::Gone, tried(), "there is no such slot"))?;
            return Ok((slot, context.get_token_info(slot).ok()));
        }
        Wanted::Named(name) => name,
    };
    let slots = context.get_slots_with_token().map_err(failed)?;
    // A token that cannot even say its name is none that was named.
    let tokens = slots.into_iter().filter_map(|slot| Some((slot, context.get_token_info(slot).ok()?)));
    let tokens: Vec<_> = tokens.filter(|(_, info)| info.token_initialized()).collect();
    let is_wanted = |info: &TokenInfo| info.label() == name || info.serial_number() == name;
    let mut found = tokens.iter().filter(|(_, info)| is_wanted(info));
    match (found.next(), found.next()) {
        (Some((slot, info)), None) => Ok((*slot, Some(info.clone()))),
        (Some(_), Some(_)) => {
            let detail = "there are several: name one by its serial number";
            Err(HsmError::new(Kind::Missing, tried(), detail))
        }
        (None, _) => {
            let named =
                |(_, info): &(Slot, TokenInfo)| format!("{:?} (serial {:?})", info.label(), info.serial_number());
            let there: Vec<_> = tokens.iter().map(named).collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            Err(HsmError::new(Kind::Gone, tried(), format!("it is not there; what is there: {there}")))
        }
    }
}
