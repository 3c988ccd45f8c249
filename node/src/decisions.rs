//! What a signer decides, from the bytes of a call to what is durable: examine, look at what people said, decide, record.
//!
//! The one way for everybody: the daemon's doors come through here, and so do simulations, which bring a clock, a disk and a
//! network of their own. What is not here is no decision: who called, links to peers, sessions, metrics.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_wire::approval::{SignedApproval, Verdict as Said};
use limen_wire::envelope::PayloadType;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, KeyId};
use limen_wire::intent::Cancellation;
use limen_wire::pb;
use prost::Message as _;

use crate::admission::{self, Decided};
use crate::approvals::{self, Papers, Shown};
use crate::clock::Now;
use crate::guard::{self, Examined, KeyFacts, Progress, SignCall};
use crate::recent::Recent;
use crate::shared::Shared;
use crate::store::Store;
use crate::store::rows::{IntentRow, StoredSignature};

/// Public facts of every key with a share here.
pub type Keys = RwLock<HashMap<KeyId, Arc<KeyFacts>>>;

/// The parts of a signer that a decision needs, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Decisions<'a> {
    /// The charter in force.
    pub charter: &'a Arc<Charter>,
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
}

impl Decisions<'_> {
    /// A key's facts.
    pub fn key(&self, key: &KeyId) -> Option<Arc<KeyFacts>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Everything about an intent that needs no journal.
    pub fn examine(&self, envelope: &pb::Envelope) -> Result<Examined, ApiError> {
        let name = Recent::name(envelope);
        if let Some(examined) = name.as_ref().and_then(|name| self.recent.get(name, |key| self.key(key))) {
            return Ok(examined.at(self.charter, self.now));
        }
        let examined = guard::examine(self.charter, |key| self.key(key), envelope, self.now)?;
        if let Some(name) = name {
            self.recent.put(name, examined.clone());
        }
        Ok(examined)
    }

    /// What came with an intent and what is held here of before, verified outside the writer's turn.
    pub fn show(&self, examined: &Examined, papers: &Papers<'_>) -> Result<Shown, ApiError> {
        let live = if examined.decision().asking.is_empty() {
            None
        } else {
            self.row(&examined.intent().id)?.and_then(|row| row.live)
        };
        Ok(Shown::read(self.charter, examined, live.as_ref(), papers, self.now))
    }

    /// The signature that this signer holds already: found without a write and without a session.
    pub fn stored(&self, examined: &Examined) -> Result<Option<StoredSignature>, ApiError> {
        Ok(self.row(&examined.intent().id)?.and_then(|row| row.result))
    }

    fn row(&self, id: &IntentId) -> Result<Option<IntentRow>, ApiError> {
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
        let (charter, now) = (Arc::clone(self.charter), self.now);
        let noting = self.store.write(move |txn| {
            let first_seen_ms = match admission::note(txn, &charter, &examined, &envelope, now)? {
                Ok(first_seen_ms) => first_seen_ms,
                Err(error) => return Ok(Err(error)),
            };
            let progress = approvals::settle(txn, &charter, &examined, shown, now)?;
            Ok(Ok(Announced { examined, first_seen_ms, progress }))
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
        let (charter, now) = (Arc::clone(self.charter), self.now);
        let deciding =
            self.store.write(move |txn| admission::sign(txn, &charter, examined, call, (&envelope, shown), now));
        deciding.await.map_err(|error| Shared::store_error(&error))
    }

    /// Takes a stop record: signed by the intent's own requester, or by a person who has a say.
    pub async fn stop(&self, record: pb::Envelope) -> Heard {
        if record.payload_type == PayloadType::Approval.as_str() {
            return self.hear(record).await.unwrap_or_else(Heard::refused);
        }
        self.cancel(record).await.unwrap_or_else(Heard::refused)
    }

    /// A rejection or a withdrawal of an intent that is known here.
    async fn hear(&self, record: pb::Envelope) -> Result<Heard, ApiError> {
        let signed =
            SignedApproval::open(&record).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
        if signed.approval.verdict == Said::Approve {
            return Err(ApiError::new(Code::Malformed, "an approval stops nothing: it comes with its intent"));
        }
        let id = signed.approval.intent_id;
        let unknown = || ApiError::new(Code::UnknownRequest, format!("intent {id} is not waiting here"));
        let (allowed, live) = self.row(&id)?.and_then(|row| Some((row.allowed, row.live?))).ok_or_else(unknown)?;
        let envelope = pb::Envelope::decode(live.envelope.as_slice()).unwrap_or_default();
        let examined = self.examine(&envelope)?;
        let shown = self.show(&examined, &Papers { approvals: &[record], checks: &[] })?;
        let dropped = shown.dropped;
        let (charter, now) = (Arc::clone(self.charter), self.now);
        let settling = self.store.write(move |txn| approvals::settle(txn, &charter, &examined, shown, now));
        let progress = settling.await.map_err(|error| Shared::store_error(&error))?;
        Ok(Heard { pass_on: progress.news, answer: Ok(allowed), dropped })
    }

    /// A cancellation.
    async fn cancel(&self, record: pb::Envelope) -> Result<Heard, ApiError> {
        let malformed = |error: String| ApiError::new(Code::Malformed, error);
        let (cancellation, opened) = Cancellation::open(&record).map_err(|error| malformed(error.to_string()))?;
        if cancellation.cluster != self.charter.cluster {
            return Err(ApiError::new(Code::WrongCluster, format!("the stop record is for {}", cancellation.cluster)));
        }
        let requester = self.charter.requesters.get(&cancellation.requester).ok_or_else(|| {
            ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", cancellation.requester))
        })?;
        opened
            .verify(cancellation.requester.as_str(), &requester.public_key)
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        let (bytes, now) = (record.encode_to_vec(), self.now.wall);
        let writing = self.store.write(move |txn| admission::stop(txn, &cancellation, &bytes, now));
        let answer = writing.await.map_err(|error| Shared::store_error(&error)).flatten();
        Ok(Heard { pass_on: vec![record], answer, dropped: 0 })
    }
}

impl Heard {
    fn refused(error: ApiError) -> Self {
        Self { pass_on: Vec::new(), answer: Err(error), dropped: 0 }
    }
}
