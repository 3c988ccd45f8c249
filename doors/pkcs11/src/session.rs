//! Sessions: what each has found and what it is signing. All of them see the same objects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cryptoki_sys::*;

use crate::error::Fault;
use crate::mechanism::{Gathered, Mechanism};
use crate::objects::Key;
use crate::token::SLOT;

/// Most sessions at a time.
pub(crate) const MAX_SESSIONS: usize = 256;

/// What a session is signing.
#[derive(Debug)]
pub(crate) struct Signing {
    pub(crate) key: Arc<Key>,
    pub(crate) mechanism: Mechanism,
    pub(crate) gathered: Gathered,
    /// The program has begun to hand over parts.
    pub(crate) in_parts: bool,
}

/// One session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The program has asked to write, though there is nothing to be written.
    pub(crate) read_write: bool,
    /// What a search has found and not yet told; `None` without a search.
    pub(crate) found: Option<VecDeque<CK_OBJECT_HANDLE>>,
    /// `None` without `C_SignInit`.
    pub(crate) signing: Option<Signing>,
}

/// All sessions of the program.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    last: CK_SESSION_HANDLE,
    open: BTreeMap<CK_SESSION_HANDLE, Session>,
    logged_in: bool,
}

impl Sessions {
    /// How many are open, and how many of them for writing.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.open.len(), self.open.values().filter(|session| session.read_write).count())
    }

    /// A new session; its handle was never used before.
    pub(crate) fn open(&mut self, read_write: bool) -> Result<CK_SESSION_HANDLE, Fault> {
        if self.open.len() >= MAX_SESSIONS {
            return Err(Fault::Plain(CKR_SESSION_COUNT));
        }
        self.last = self.last.checked_add(1).ok_or(Fault::Plain(CKR_SESSION_COUNT))?;
        self.open.insert(self.last, Session { read_write, ..Session::default() });
        Ok(self.last)
    }

    /// Closes one. The login ends with the last.
    pub(crate) fn close(&mut self, handle: CK_SESSION_HANDLE) -> Result<(), Fault> {
        self.open.remove(&handle).ok_or(Fault::Plain(CKR_SESSION_HANDLE_INVALID))?;
        self.logged_in &= !self.open.is_empty();
        Ok(())
    }

    pub(crate) fn close_all(&mut self) {
        self.open.clear();
        self.logged_in = false;
    }

    pub(crate) fn get(&mut self, handle: CK_SESSION_HANDLE) -> Result<&mut Session, Fault> {
        self.open.get_mut(&handle).ok_or(Fault::Plain(CKR_SESSION_HANDLE_INVALID))
    }

    /// `CK_SESSION_INFO` of a session.
    pub(crate) fn info(&mut self, handle: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO, Fault> {
        let (read_write, logged_in) = (self.get(handle)?.read_write, self.logged_in);
        let state = match (read_write, logged_in) {
            (false, false) => CKS_RO_PUBLIC_SESSION,
            (false, true) => CKS_RO_USER_FUNCTIONS,
            (true, false) => CKS_RW_PUBLIC_SESSION,
            (true, true) => CKS_RW_USER_FUNCTIONS,
        };
        let flags = CKF_SERIAL_SESSION | if read_write { CKF_RW_SESSION } else { 0 };
        Ok(CK_SESSION_INFO { slotID: SLOT, state, flags, ulDeviceError: 0 })
    }

    /// Any PIN is the right one, and none is looked at: who may ask is decided by the requester's key.
    pub(crate) fn login(&mut self, user: CK_USER_TYPE) -> Result<(), Fault> {
        match user {
            CKU_USER if self.logged_in => Err(Fault::Plain(CKR_USER_ALREADY_LOGGED_IN)),
            CKU_USER => {
                self.logged_in = true;
                Ok(())
            }
            CKU_CONTEXT_SPECIFIC => Err(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED)),
            // A security officer would have nothing to do here.
            _ => Err(Fault::Plain(CKR_USER_TYPE_INVALID)),
        }
    }

    pub(crate) fn logout(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.logged_in) { Ok(()) } else { Err(Fault::Plain(CKR_USER_NOT_LOGGED_IN)) }
    }
}
