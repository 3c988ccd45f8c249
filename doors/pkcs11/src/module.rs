//! The library between `C_Initialize` and `C_Finalize`: what each call does, without pointers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use limen_client::ClientConfig;

use crate::config::Config;
use crate::error::Fault;
use crate::log::Log;
use crate::mechanism::{Mechanism, SIGNATURE_BYTES};
use crate::objects::{Class, Key, Object};
use crate::session::{Session, Sessions, Signing};
use crate::signer::{Cluster, Signer};
use crate::token::Token;

/// An initialized library.
pub(crate) struct Module {
    log: Log,
    token: Token,
    cluster: Box<dyn Cluster>,
    sessions: Mutex<Sessions>,
}

impl Module {
    /// Prepares everything; nothing is sent yet.
    pub(crate) fn new(config: &Config, client: &ClientConfig) -> Result<Self, Fault> {
        let log = Log::open(config.log.as_deref())?;
        let cluster = Box::new(Signer::new(client, config.timing)?);
        Ok(Self::with(log, Token::new(config, client), cluster))
    }

    /// On a cluster that is given.
    pub(crate) fn with(log: Log, token: Token, cluster: Box<dyn Cluster>) -> Self {
        Self { log, token, cluster, sessions: Mutex::default() }
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a session. Nothing that waits may happen here: every other session waits too.
    fn in_session<T>(
        &self,
        handle: CK_SESSION_HANDLE,
        act: impl FnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        act(self.sessions().get(handle)?)
    }

    /// Fails unless the session is open.
    pub(crate) fn check_session(&self, handle: CK_SESSION_HANDLE) -> Result<(), Fault> {
        self.in_session(handle, |_| Ok(()))
    }

    pub(crate) fn token_info(&self) -> CK_TOKEN_INFO {
        self.token.info(self.sessions().count())
    }

    /// A session for writing is one like any other: there is nothing to be written, but much software asks for one.
    pub(crate) fn open_session(&self, flags: CK_FLAGS) -> Result<CK_SESSION_HANDLE, Fault> {
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Fault::Plain(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        self.token.learn(self.cluster.as_ref(), &self.log)?;
        self.sessions().open(flags & CKF_RW_SESSION != 0)
    }

    pub(crate) fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<(), Fault> {
        self.sessions().close(handle)
    }

    pub(crate) fn close_all_sessions(&self) {
        self.sessions().close_all();
    }

    pub(crate) fn session_info(&self, handle: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO, Fault> {
        self.sessions().info(handle)
    }

    pub(crate) fn login(&self, handle: CK_SESSION_HANDLE, user: CK_USER_TYPE) -> Result<(), Fault> {
        let mut sessions = self.sessions();
        sessions.get(handle)?;
        sessions.login(user)
    }

    pub(crate) fn logout(&self, handle: CK_SESSION_HANDLE) -> Result<(), Fault> {
        let mut sessions = self.sessions();
        sessions.get(handle)?;
        sessions.logout()
    }

    /// Begins a search for the objects that have all of these attributes.
    pub(crate) fn find(
        &self,
        handle: CK_SESSION_HANDLE,
        template: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)],
    ) -> Result<(), Fault> {
        let fits = |class: Class, key: &Key| {
            let object = Object { class, key };
            template.iter().all(|(kind, value)| object.has(*kind, value))
        };
        let objects = self.token.objects();
        let found =
            objects.into_iter().filter(|(_, class, key)| fits(*class, key)).map(|(handle, _, _)| handle).collect();
        self.in_session(handle, |session| match session.found {
            Some(_) => Err(Fault::Plain(CKR_OPERATION_ACTIVE)),
            None => {
                session.found = Some(found);
                Ok(())
            }
        })
    }

    /// The next handles of the search, at most so many.
    pub(crate) fn found(&self, handle: CK_SESSION_HANDLE, at_most: usize) -> Result<Vec<CK_OBJECT_HANDLE>, Fault> {
        self.in_session(handle, |session| {
            let found = session.found.as_mut().ok_or(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED))?;
            let count = at_most.min(found.len());
            Ok(found.drain(..count).collect())
        })
    }

    pub(crate) fn end_search(&self, handle: CK_SESSION_HANDLE) -> Result<(), Fault> {
        self.in_session(handle, |session| {
            session.found.take().map(drop).ok_or(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED))
        })
    }

    /// The object behind a handle.
    pub(crate) fn object(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) -> Result<(Class, Arc<Key>), Fault> {
        self.check_session(session)?;
        self.token.object(object).ok_or(Fault::Plain(CKR_OBJECT_HANDLE_INVALID))
    }

    /// `C_SignInit`
    pub(crate) fn begin_signing(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Fault> {
        self.in_session(session, |session| match session.signing {
            Some(_) => Err(Fault::Plain(CKR_OPERATION_ACTIVE)),
            None => Ok(()),
        })?;
        let (class, key) = self.token.object(key).ok_or(Fault::Plain(CKR_KEY_HANDLE_INVALID))?;
        if class != Class::Private {
            return Err(Fault::Plain(CKR_KEY_FUNCTION_NOT_PERMITTED));
        }
        if !mechanism.signs(key.scheme) {
            return Err(Fault::Plain(CKR_KEY_TYPE_INCONSISTENT));
        }
        let signing = Signing { key, mechanism, gathered: mechanism.begin(), in_parts: false };
        self.in_session(session, |session| {
            session.signing = Some(signing);
            Ok(())
        })
    }

    /// Fails unless a signature has been begun.
    pub(crate) fn check_signing(&self, session: CK_SESSION_HANDLE) -> Result<(), Fault> {
        self.in_session(session, |session| match session.signing {
            Some(_) => Ok(()),
            None => Err(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED)),
        })
    }

    /// `C_SignUpdate`; a part that is too much ends it.
    pub(crate) fn add(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Result<(), Fault> {
        self.in_session(session, |session| {
            let mut signing = session.signing.take().ok_or(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED))?;
            signing.gathered.add(part)?;
            signing.in_parts = true;
            session.signing = Some(signing);
            Ok(())
        })
    }

    /// `C_Sign`: all at once.
    pub(crate) fn sign(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        let mut signing = self.take_signing(session)?;
        if signing.in_parts {
            return Err(Fault::Plain(CKR_OPERATION_ACTIVE));
        }
        signing.gathered.add(data)?;
        self.finish(signing)
    }

    /// `C_SignFinal`
    pub(crate) fn sign_parts(&self, session: CK_SESSION_HANDLE) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        self.finish(self.take_signing(session)?)
    }

    /// Whatever comes of it, the operation ends here; other sessions do not wait for its outcome.
    fn take_signing(&self, session: CK_SESSION_HANDLE) -> Result<Signing, Fault> {
        self.in_session(session, |session| session.signing.take().ok_or(Fault::Plain(CKR_OPERATION_NOT_INITIALIZED)))
    }

    fn finish(&self, signing: Signing) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        let Signing { key, mechanism, gathered, .. } = signing;
        self.cluster.sign(&key, mechanism.payload(gathered)?)
    }
}

#[cfg(test)]
mod tests;
