//! What a signer decides, from the bytes of a call to what is durable: examine, look at what people said, decide, record.
//!
//! The one way for everybody: the daemon's doors come through here, and so do simulations, which bring a clock, a disk and a
//! network of their own. What is not here is no decision: who called, links to peers, sessions, metrics.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_policy::freeze::Freezes;
use limen_policy::succession::Ages;
use limen_wire::error::ApiError;
use limen_wire::ids::{IntentId, KeyId};
use limen_wire::pb;

use crate::admission::{self, Decided};
use crate::approvals::{self, Papers, Shown};
use crate::charters::Orphan;
use crate::clock::Now;
use crate::guard::{self, Examined, KeyFacts, Progress, SignCall};
use crate::recent::Recent;
use crate::shared::Shared;
use crate::store::rows::{IntentRow, StoredSignature};
use crate::store::{Store, StoreError, Txn};

/// Public facts of every key with a share here.
pub type Keys = RwLock<HashMap<KeyId, Arc<KeyFacts>>>;

/// The parts of a signer that a decision needs, at one moment.
#[derive(Debug, Clone)]
pub struct Decisions<'a> {
    /// The charter in force.
    pub charter: Arc<Charter>,
    /// Durable memory.
    pub store: &'a Store,
    /// The keys.
    pub keys: &'a Keys,
    /// Intents examined a moment ago.
    pub recent: &'a Recent,
    /// The time.
    pub now: Now,
}

/// What came of showing an intent.
#[derive(Debug)]
pub struct Announced {
    /// The intent, checked.
    pub examined: Examined,
    /// When it was seen first, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// How far its requirements are met.
    pub progress: Progress,
    /// The freezes that stop it.
    pub frozen: Vec<pb::RequirementStatus>,
}

/// What came of a stop record.
#[derive(Debug)]
pub struct Heard {
    /// Records that the peers are to hear of, whatever becomes of them here.
    pub pass_on: Vec<pb::Envelope>,
    /// True if a last-round message may have left before.
    pub answer: Result<bool, ApiError>,
    /// Verdicts that do not count.
    pub dropped: usize,
    /// It was not kept only because nothing can be written now.
    pub again: bool,
    /// It was kept just now.
    pub new: bool,
    /// A version of the charter that follows what is not known here.
    pub(crate) orphan: Option<Orphan>,
    /// From when on it may count, in seconds since 1970, although it does not now: whoever reads a peer's records goes on, and reads
    /// them anew then.
    pub(crate) counts_from_secs: Option<u64>,
}

impl Decisions<'_> {
    /// A key's facts.
    pub fn key(&self, key: &KeyId) -> Option<Arc<KeyFacts>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Since when what the charter names is in force here.
    pub(crate) fn ages(&self) -> Result<Arc<Ages>, ApiError> {
        let read = || self.store.view()?.ages();
        self.recent.ages(self.charter.hash(), read).map_err(|error: StoreError| Shared::store_error(&error))
    }

    /// Everything about an intent that needs no journal.
    pub fn examine(&self, envelope: &pb::Envelope) -> Result<Examined, ApiError> {
        let name = Recent::name(self.charter.hash(), envelope);
        if let Some(examined) = name.as_ref().and_then(|name| self.recent.get(name, |key| self.key(key))) {
            return Ok(examined.at(&self.charter, self.now));
        }
        let examined = guard::examine(&self.charter, &self.ages()?, |key| self.key(key), envelope, self.now)?;
        if let Some(name) = name {
            self.recent.put(name, examined.clone());
        }
        Ok(examined)
    }

    /// The intent as it is decided by the prices that came with it.
    pub fn priced(&self, examined: Examined, papers: &Papers<'_>) -> Examined {
        approvals::priced(&self.charter, examined, papers, self.now)
    }

    /// What came with an intent and what is held here of before, verified outside the writer's turn.
    pub fn show(&self, examined: &Examined, papers: &Papers<'_>) -> Result<Shown, ApiError> {
        if examined.decision().asking.is_empty() {
            return Ok(Shown::read(&self.charter, examined, None, papers, self.now));
        }
        let live = self.row(&examined.intent().id)?.and_then(|row| row.live);
        let examined = examined.clone().under(&self.charter, &self.freezes()?);
        Ok(Shown::read(&self.charter, &examined, live.as_ref(), papers, self.now))
    }

    /// The signature that this signer holds already: found without a write and without a session.
    pub fn stored(&self, examined: &Examined) -> Result<Option<StoredSignature>, ApiError> {
        Ok(self.row(&examined.intent().id)?.and_then(|row| row.result))
    }

    fn freezes(&self) -> Result<Freezes, ApiError> {
        self.store.view().and_then(|view| view.freezes()).map_err(|error| Shared::store_error(&error))
    }

    /// What would come of showing an intent that has not been seen; leaves no trace.
    pub fn imagine(&self, examined: Examined, papers: &Papers<'_>) -> Result<Announced, ApiError> {
        let freezes = self.freezes()?;
        let examined = self.priced(examined, papers).under(&self.charter, &freezes);
        let shown = Shown::read(&self.charter, &examined, None, papers, self.now);
        let progress = shown.progress(&self.charter, &examined, self.now);
        let frozen = guard::frozen(&self.charter, &examined, &freezes);
        Ok(Announced { examined, first_seen_ms: 0, progress, frozen })
    }

    pub(crate) fn row(&self, id: &IntentId) -> Result<Option<IntentRow>, ApiError> {
        let view = self.store.view().map_err(|error| Shared::store_error(&error))?;
        Ok(view.intent(id).map_err(|error| Shared::store_error(&error))?.map(|(_, row)| row))
    }

    /// Notes an intent and what people said about it.
    pub async fn announce(
        &self,
        examined: Examined,
        envelope: pb::Envelope,
        shown: Shown,
    ) -> Result<Announced, ApiError> {
        let (charter, now) = (Arc::clone(&self.charter), self.now);
        let noting = self.store.write(move |txn| {
            let first_seen_ms = match admission::note(txn, &charter, &examined, &envelope, now)? {
                Ok(first_seen_ms) => first_seen_ms,
                Err(error) => return Ok(Err(error)),
            };
            let freezes = Txn::freezes(txn)?;
            let examined = examined.under(&charter, &freezes);
            let progress = approvals::settle(txn, &charter, &examined, shown, now)?;
            let frozen = guard::frozen(&charter, &examined, &freezes);
            Ok(Ok(Announced { examined, first_seen_ms, progress, frozen }))
        });
        noting.await.map_err(|error| Shared::store_error(&error))?
    }

    /// Decides on signing; a permission is durable when it is handed out.
    pub async fn sign(
        &self,
        examined: Examined,
        call: SignCall,
        envelope: pb::Envelope,
        shown: Shown,
    ) -> Result<Decided, ApiError> {
        let (charter, now) = (Arc::clone(&self.charter), self.now);
        let deciding =
            self.store.write(move |txn| admission::sign(txn, &charter, examined, call, (&envelope, shown), now));
        deciding.await.map_err(|error| Shared::store_error(&error))
    }
}

impl Heard {
    pub(crate) fn refused(error: ApiError) -> Self {
        let (answer, pass_on) = (Err(error), Vec::new());
        Self { pass_on, answer, dropped: 0, again: false, new: false, orphan: None, counts_from_secs: None }
    }

    pub(crate) fn later(error: &StoreError) -> Self {
        Self { again: true, ..Self::refused(Shared::store_error(error)) }
    }

    pub(crate) const fn kept(pass_on: Vec<pb::Envelope>, possibly_signed: bool) -> Self {
        let new = !pass_on.is_empty();
        let answer = Ok(possibly_signed);
        Self { pass_on, answer, dropped: 0, again: false, new, orphan: None, counts_from_secs: None }
    }
}
