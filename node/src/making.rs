//! Sessions that make shares: what key generation and handovers have in common.

use std::collections::HashMap;
use std::sync::Arc;

use limen_mpc::{Output, Primes, Session, StartError, Step};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, NodeId, PartyIndex, Protocol, SessionId};
use tokio::time::Instant;

use crate::guard::Lifted;
use crate::metrics::SessionLabels;
use crate::sessions::{Drive, Ended, Inbox, OpenError, SetUp, drive};
use crate::shared::Shared;
use crate::signing::{Refusal, session_error};

/// Sessions of one order among the same parties.
pub(crate) struct Making<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) key: &'a KeyId,
    /// Everybody in the order of their numbers, from 1.
    pub(crate) parties: Vec<NodeId>,
    pub(crate) protocol: Protocol,
    /// What for, in metrics.
    pub(crate) purpose: &'static str,
    pub(crate) deadline: Instant,
    /// Bans between them that the charter has lifted.
    pub(crate) lifted: &'a Lifted,
}

impl Making<'_> {
    fn others(&self) -> HashMap<NodeId, PartyIndex> {
        let numbered = (1u16..).zip(&self.parties).filter(|(_, node)| **node != self.shared.me);
        numbered.filter_map(|(number, node)| Some((node.clone(), PartyIndex::new(number).ok()?))).collect()
    }

    /// Opens the inbox of a session: the others may start minutes before this node does.
    pub(crate) fn open(&self, session: SessionId) -> Result<Inbox, ApiError> {
        self.shared.sessions.open(session, self.others()).map_err(|error| match error {
            OpenError::TooMany => ApiError::new(Code::Overloaded, error.to_string()),
            OpenError::Running => ApiError::new(Code::SessionDead, error.to_string()),
        })
    }

    /// Drives a session to its result.
    pub(crate) async fn drive(
        &self,
        (session, inbox): (SessionId, Inbox),
        start: impl FnOnce() -> Result<(Session, Step), StartError> + Send + 'static,
    ) -> Result<Output, Refusal> {
        let context = Drive {
            inbox,
            members: self.others(),
            deadline: self.deadline,
            mesh: Arc::clone(&self.shared.mesh),
            crypto: self.shared.crypto.behind(),
            quarantine: Arc::clone(&self.shared.quarantine),
            lifted: self.lifted.clone(),
            protocol: self.protocol,
            set_up: SetUp::New,
            trace: None,
        };
        match drive(context, start).await {
            Ended::Done(output) => {
                self.count("done");
                Ok(output)
            }
            ended => {
                self.count("aborted");
                Err(session_error(self.shared, &self.parties, session.as_bytes(), ended).await)
            }
        }
    }

    /// Counts a session's end.
    pub(crate) fn count(&self, outcome: &'static str) {
        let labels = SessionLabels { protocol: self.protocol.as_str(), purpose: self.purpose, outcome };
        self.shared.metrics.sessions.get_or_create(&labels).inc();
    }

    /// The safe primes of this node's own that a CGGMP24 key's Paillier set-up is made from.
    pub(crate) async fn primes(&self) -> Result<Primes, Refusal> {
        let key = self.key;
        tracing::info!(%key, "looking for safe primes; this takes minutes unless a set is ready");
        let found = tokio::time::timeout_at(self.deadline, self.shared.primes.take()).await;
        let primes = found
            .map_err(|_| ApiError::new(Code::SessionTimeout, format!("no safe primes for key {key} in time")))?
            .ok_or_else(|| ApiError::new(Code::ShuttingDown, "this signer is stopping"))?;
        tracing::info!(%key, "safe primes found; making the shares with the other signers");
        Ok(primes)
    }
}
