//! The door: checks what comes in, stores it once, and hands it to its driver.

mod approve;
pub(crate) mod judge;
mod simulate;
pub(crate) mod words;

use std::sync::Arc;

use limen_policy::charter::Duty;
use limen_policy::charter::key_state::KeyStateError;
use limen_wire::envelope::Opened;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, IntentId, RequesterId};
use limen_wire::intent::{Cancellation, Intent};
use limen_wire::pb;
use tokio::sync::oneshot;

use crate::context::{Command, Core, store_failed};
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{self, Action, Event, Record};
use crate::shadow;
use crate::signing;
use crate::store::{Entry, Inserted};

pub use approve::approve;
pub use simulate::simulate;

fn malformed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

/// An intent for this cluster whose signature is its enrolled requester's.
pub(crate) fn checked_intent(core: &Core, envelope: &pb::Envelope) -> Result<Intent, ApiError> {
    let (intent, opened) = Intent::open(envelope).map_err(malformed)?;
    check_origin(core, &intent.cluster, &intent.requester, Duty::Request, &opened)?;
    Ok(intent)
}

/// What shows that a stored request is not what its requester has signed: somebody has written to this disk. Who has left the
/// charter is not asked for. [`Code::Malformed`] where the bytes are no intent or another one's, [`Code::BadSignature`] otherwise.
pub(crate) fn altered(core: &Core, record: &Record) -> Option<ApiError> {
    let (intent, opened) = match Intent::open(&record.envelope) {
        Ok(read) => read,
        Err(error) => return Some(malformed(format!("the stored bytes are no intent: {error}"))),
    };
    if intent.id != record.id {
        return Some(malformed(format!("the stored bytes are those of intent {}", intent.id)));
    }
    let charter = core.charter();
    let requester = charter.requesters.get(&intent.requester)?;
    let unsigned = opened.verify(intent.requester.as_str(), &requester.public_key).err()?;
    Some(ApiError::new(Code::BadSignature, unsigned.to_string()))
}

/// Refuses a signed record for another cluster, and one whose signature is not that of an enrolled requester with this duty.
pub(crate) fn check_origin(
    core: &Core,
    cluster: &ClusterId,
    requester: &RequesterId,
    duty: Duty,
    opened: &Opened<'_>,
) -> Result<(), ApiError> {
    if *cluster != core.charter().cluster {
        let message = format!("the record is for cluster {cluster}, this is {}", core.charter().cluster);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    let known = core.charter().requesters.contains_key(requester);
    let charter = core.charter();
    let enrolled = charter.requester(requester, duty).ok_or_else(|| match known {
        true => ApiError::new(Code::NotPermitted, format!("requester {requester} lacks the duty for this call")),
        false => ApiError::new(Code::NotEnrolled, format!("requester {requester} is not enrolled")),
    })?;
    opened
        .verify(requester.as_str(), &enrolled.public_key)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))
}

fn active_key(core: &Core, intent: &Intent) -> Result<Arc<ActiveKey>, ApiError> {
    if let Some(key) = core.keys.find(&intent.key_id) {
        return Ok(key);
    }
    match core.store.key(&intent.key_id).map_err(store_failed)? {
        Some(_) => Err(ApiError::new(Code::KeyNotActive, format!("key {} does not sign yet", intent.key_id))),
        None => Err(ApiError::new(Code::UnknownKey, format!("there is no key {}", intent.key_id))),
    }
}

fn check_expiry(core: &Core, intent: &Intent) -> Result<(), ApiError> {
    let now = core.clock.now_secs();
    let latest = now.saturating_add(core.charter().bounds.max_expiry_secs);
    if intent.expires_at_secs <= now {
        return Err(ApiError::new(Code::Expired, format!("it expired {} s ago", now - intent.expires_at_secs)));
    }
    if intent.expires_at_secs > latest {
        let message = format!("it expires at {} s, the charter allows {latest} s", intent.expires_at_secs);
        return Err(ApiError::new(Code::ExpiryTooFar, message));
    }
    Ok(())
}

/// What the charter has taken out of use for good is refused at once. One that is suspended waits: the signers tell of it.
fn check_state(core: &Core, judged: &judge::Judged) -> Result<(), ApiError> {
    match core.charter().check_key_state(&judged.intent.key_id, &judged.effects) {
        Ok(()) | Err(KeyStateError::Suspended { .. }) => Ok(()),
        Err(error) => Err(ApiError::new(Code::KeyRetired, error.to_string())),
    }
}

/// Takes an intent in. The second value says that the same bytes were here before.
pub async fn submit(core: &Arc<Core>, envelope: pb::Envelope) -> Result<(Entry, bool), ApiError> {
    core.check_serving()?;
    let intent = checked_intent(core, &envelope)?;
    let name = (&intent.requester, intent.idempotency_key.as_str());
    if let Some(known) = core.store.by_idempotency(name.0, name.1).map_err(store_failed)? {
        return repeated(&intent, known);
    }
    let key = active_key(core, &intent)?;
    check_expiry(core, &intent)?;
    if core.drivers.open() >= core.limits.max_open_requests {
        core.metrics.overloaded.inc();
        let message = format!("{} requests are open, no more are taken", core.limits.max_open_requests);
        return Err(ApiError::new(Code::Overloaded, message));
    }
    let judged = judge::judge(&core.charter(), &key.statement, intent, core.clock.now_secs())?;
    check_state(core, &judged)?;
    let record = Record::submitted(&judged.intent, envelope, core.clock.now_ms());
    let step = signing::first_step(core, &key, record, &judged);
    match core.store.insert(step.record).await.map_err(store_failed)? {
        Inserted::New(entry) => {
            core.metrics.submitted.inc();
            shadow::observe(core, &key.statement, &judged);
            tracing::info!(intent = %entry.record.id, requester = %entry.record.requester, key = %entry.record.key_id, state = entry.record.state.as_str(), "request");
            if entry.record.state.is_end() {
                core.metrics.entered(entry.record.state, 0);
                signing::announce::tell_denied(core, &key, &judged, &entry.record.envelope);
            } else {
                signing::spawn(core, key, Entry::clone(&entry), Some(Arc::new(judged)), step.actions);
            }
            Ok((*entry, false))
        }
        Inserted::Same(known) | Inserted::Taken(known) => repeated(&judged.intent, *known),
    }
}

/// The idempotency key is taken: by the same bytes, or by others.
fn repeated(intent: &Intent, known: Entry) -> Result<(Entry, bool), ApiError> {
    if known.record.id == intent.id {
        return Ok((known, true));
    }
    // Only the owner gets here: the envelope carries the signature of the requester whose key it is.
    let differs = match Intent::open(&known.record.envelope) {
        Ok((stored, _)) => differences(&stored, intent).join(", "),
        Err(_) => "the content".to_owned(),
    };
    let message = format!(
        "idempotency key {:?} belongs to request {}, which differs in: {differs}",
        intent.idempotency_key, known.record.id
    );
    Err(ApiError::new(Code::IdempotencyConflict, message))
}

fn differences(stored: &Intent, new: &Intent) -> Vec<&'static str> {
    let fields = [
        ("vault", stored.vault == new.vault),
        ("key_id", stored.key_id == new.key_id),
        ("path", stored.path == new.path),
        ("chain", stored.chain == new.chain),
        ("payload", stored.payload == new.payload),
        ("expires_at_secs", stored.expires_at_secs == new.expires_at_secs),
        ("replaces", stored.replaces == new.replaces),
        ("note", stored.note == new.note),
    ];
    fields.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// The request of this name.
pub fn find(core: &Core, request: pb::GetRequest) -> Result<Entry, ApiError> {
    core.check_serving()?;
    let unknown = |what: String| ApiError::new(Code::UnknownRequest, format!("there is no request {what}"));
    match request.name {
        Some(pb::get_request::Name::IntentId(id)) => {
            let id = IntentId::from_slice(&id).map_err(malformed)?;
            let entry = core.store.request(&id).map_err(store_failed)?;
            entry.ok_or_else(|| unknown(id.to_string()))
        }
        Some(pb::get_request::Name::Idempotency(name)) => {
            let requester = RequesterId::new(name.requester).map_err(malformed)?;
            let key = name.idempotency_key;
            if key.len() > limen_wire::limits::IDEMPOTENCY_KEY_BYTES {
                return Err(malformed("field idempotency_key is too long"));
            }
            let entry = core.store.by_idempotency(&requester, &key).map_err(store_failed)?;
            entry.ok_or_else(|| unknown(format!("of {requester} under that idempotency key")))
        }
        None => Err(malformed("field name: an intent id or an idempotency name is needed")),
    }
}

/// Ends a request for its requester, if it has not reached signing. One that has ended unsigned stays as it is, and gives back
/// what it has reserved.
pub async fn cancel(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    core.check_serving()?;
    let (wish, opened) = Cancellation::open(&envelope).map_err(malformed)?;
    check_origin(core, &wish.cluster, &wish.requester, Duty::Request, &opened)?;
    let entry = core.store.request(&wish.intent_id).map_err(store_failed)?;
    entry
        .filter(|entry| entry.record.requester == wish.requester)
        .ok_or_else(|| ApiError::new(Code::UnknownRequest, format!("{} has no such request", wish.requester)))?;
    let Some(driver) = core.drivers.find(&wish.intent_id) else {
        return cancel_ended(core, &wish.intent_id, envelope).await;
    };
    let (reply, answer) = oneshot::channel();
    let sent = driver.send(Command::Cancel(envelope.clone(), reply)).await;
    match (sent, answer.await) {
        (Ok(()), Ok(result)) => result,
        // It ended while we asked.
        _ => cancel_ended(core, &wish.intent_id, envelope).await,
    }
}

/// Cancels what has no driver any more.
async fn cancel_ended(core: &Arc<Core>, id: &IntentId, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    let _late = core.late.lock().await;
    let entry = core.store.request(id).map_err(store_failed)?;
    let entry = entry.ok_or_else(|| ApiError::new(Code::UnknownRequest, "the request is gone"))?;
    let step = tell_ended(core, &entry, Event::Cancel(envelope))?;
    let (Some(step), Some(key)) = (step, core.keys.find(&entry.record.key_id)) else { return Ok(entry) };
    if !step.actions.contains(&Action::SendStop) {
        return Ok(entry);
    }
    let entry = core.store.update(step.record).await.map_err(store_failed)?;
    signing::spawn(core, key, entry.clone(), None, step.actions);
    Ok(entry)
}

/// What comes of an event after the end; `None` if its key is not known here.
fn tell_ended(core: &Core, entry: &Entry, event: Event) -> Result<Option<lifecycle::Step>, ApiError> {
    if !entry.record.state.is_end() {
        return Err(ApiError::new(Code::ShuttingDown, "the request is not being worked on just now"));
    }
    let Some(key) = core.keys.find(&entry.record.key_id) else { return Ok(None) };
    let step = lifecycle::step(entry.record.clone(), event, &key.committee, core.clock.now_ms());
    match step.actions.iter().find_map(|action| if let Action::Refuse(error) = action { Some(error) } else { None }) {
        Some(error) => Err(error.clone()),
        None => Ok(Some(step)),
    }
}
