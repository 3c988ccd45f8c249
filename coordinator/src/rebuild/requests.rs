//! Taking over requests, one record of one signer at a time.
//!
//! A request that is not known is taken in as if its requester had handed it in, signature and all. For one that is known,
//! a record can only add: a signature that verifies, that some signer has allowed it, that it was seen earlier.

use std::sync::Arc;

use bytes::Bytes;
use limen_policy::charter::Duty;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, KeyId, NodeId};
use limen_wire::intent::{Cancellation, Intent};
use limen_wire::{limits, pb};

use crate::context::Core;
use crate::intake::judge::{Judged, judge};
use crate::intake::words;
use crate::intake::{check_origin, checked_intent};
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{Event, Record, State};
use crate::signing;
use crate::store::{Entry, Inserted, StoreError};

/// What became of a record.
#[derive(Debug)]
pub(super) enum Taken {
    /// The books hold what it says.
    Over,
    /// The signer no longer holds the bytes: what it says is kept until somebody shows them.
    Tombstone,
    /// Its key is not certified.
    WaitsForKey(KeyId),
    /// The charter of today does not know its requester, or cannot read it.
    Outdated(ApiError),
    /// No honest signer shows it.
    Invalid(String),
}

/// What one signer says of a request, besides its bytes.
type Fact = (NodeId, pb::IntentRecord);

pub(super) async fn take_over(
    core: &Arc<Core>,
    node: &NodeId,
    mut record: pb::IntentRecord,
) -> Result<Taken, StoreError> {
    let Ok(id) = IntentId::from_slice(&record.intent_id) else {
        return Ok(Taken::Invalid(format!("an intent id of {} bytes", record.intent_id.len())));
    };
    let envelope = record.intent.take();
    if let Some(known) = core.store.request(&id)? {
        return merge(core, known, &(node.clone(), record)).await;
    }
    let Some(envelope) = envelope else {
        // One that was never allowed tells nothing.
        if record.allowed || record.result.is_some() {
            core.store.keep_tombstone(id, node.clone(), essence(record)).await?;
        }
        return Ok(Taken::Tombstone);
    };
    let intent = match checked_intent(core, &envelope) {
        Ok(intent) if intent.id == id => intent,
        Ok(intent) => return Ok(Taken::Invalid(format!("intent {} under the name {id}", intent.id))),
        Err(error) if matches!(error.code, Code::NotEnrolled | Code::NotPermitted) => {
            return Ok(Taken::Outdated(error));
        }
        Err(error) => return Ok(Taken::Invalid(format!("intent {id}: {error}"))),
    };
    let Some(key) = core.keys.find(&intent.key_id) else { return Ok(Taken::WaitsForKey(intent.key_id)) };
    let judged = match judge(&core.charter(), &key.statement, intent, core.clock.now_secs()) {
        Ok(judged) => judged,
        Err(error) => return Ok(Taken::Outdated(error)),
    };
    let mut facts = core.store.tombstones(&id)?;
    facts.push((node.clone(), record));
    insert(core, key, &judged, envelope, &facts).await
}

/// What a record without bytes can tell, and no more: a signer chooses how long the rest is.
fn essence(record: pb::IntentRecord) -> pb::IntentRecord {
    let result = record.result.map(|result| pb::SignatureResult {
        signature: Bytes::copy_from_slice(result.signature.get(..limits::SIGNATURE_BYTES).unwrap_or(&result.signature)),
        recovery_id: result.recovery_id,
        ..pb::SignatureResult::default()
    });
    let pb::IntentRecord { first_seen_ms, allowed, .. } = record;
    pb::IntentRecord { first_seen_ms, allowed, result, ..pb::IntentRecord::default() }
}

/// Stores a request with all that is known of it by now.
async fn insert(
    core: &Arc<Core>,
    key: Arc<ActiveKey>,
    judged: &Judged,
    envelope: pb::Envelope,
    facts: &[Fact],
) -> Result<Taken, StoreError> {
    let (mut signatures, mut taken) = (Vec::new(), Taken::Over);
    for (node, fact) in facts {
        // The last fact is that of the record at hand; the others' faults are not its own.
        taken = Taken::Over;
        match fact.result.as_ref().map(|result| signing::verified(core, judged, node, result)) {
            Some(Ok(result)) => signatures.push(result),
            Some(Err(error)) => taken = Taken::Invalid(format!("intent {}: {error}", judged.intent.id)),
            None => {}
        }
    }
    let record = taken_over(core, judged, envelope, facts, signatures.first());
    let (known, is_new) = match core.store.insert(record).await? {
        Inserted::New(entry) => (*entry, true),
        // A client was faster.
        Inserted::Same(known) => (*known, false),
        Inserted::Taken(other) => {
            let (intent, held, signed) = (&judged.intent, other.record.id, !signatures.is_empty());
            core.metrics.conflicts.inc();
            tracing::error!(intent = %intent.id, %held, requester = %intent.requester, signed, "ALARM: two signed intents under one idempotency key; the second is left out");
            return Ok(taken);
        }
    };
    for signature in signatures.into_iter().skip(usize::from(is_new)) {
        signing::found(core, judged.intent.id, signature).await?;
    }
    if !is_new {
        for (_, fact) in facts {
            remember(core, &known.record, fact).await?;
        }
    } else if core.ready.is_cancelled() && !known.record.state.is_end() {
        // Whether it was stopped, denied or expired, the driver learns from the signers' own answers.
        signing::resume(core, key, known);
    }
    Ok(taken)
}

fn taken_over(
    core: &Core,
    judged: &Judged,
    envelope: pb::Envelope,
    facts: &[Fact],
    signature: Option<&pb::SignatureResult>,
) -> Record {
    let (intent, now) = (&judged.intent, core.clock.now_ms());
    let seen = facts.iter().map(|(_, fact)| first_seen(core, intent.expires_at_secs, fact)).min();
    let mut record = Record::submitted(intent, envelope, seen.unwrap_or(now));
    record.updated_at_ms = now.max(record.created_at_ms);
    record.effects = words::views(&core.charter(), &judged.effects);
    record.decision = Some(judged.decision.to_wire());
    record.exposed = facts.iter().any(|(_, fact)| fact.allowed);
    record.state = if signature.is_some() { State::Signed } else { State::Evaluated };
    record.result = signature.cloned();
    // As when it is cancelled: once a signer has allowed it, only the signers' own answers tell.
    if !record.exposed && record.result.is_none() {
        record.stop = facts.iter().find_map(|(_, fact)| stop_of(core, intent, fact));
    }
    record
}

/// The stop record that a signer shows, if it is the requester's own for this request.
fn stop_of(core: &Core, intent: &Intent, fact: &pb::IntentRecord) -> Option<pb::Envelope> {
    let envelope = fact.stop.as_ref()?;
    let (wish, opened) = Cancellation::open(envelope).ok()?;
    let own = wish.intent_id == intent.id && wish.requester == intent.requester;
    let valid = own && check_origin(core, &wish.cluster, &wish.requester, Duty::Request, &opened).is_ok();
    valid.then(|| envelope.clone())
}

/// Adds what a record says to a known request.
async fn merge(core: &Arc<Core>, known: Entry, fact: &Fact) -> Result<Taken, StoreError> {
    let (record, (node, fact)) = (&known.record, fact);
    remember(core, record, fact).await?;
    if fact.stop.is_some()
        && record.stop.is_none()
        && !record.state.is_end()
        && let Ok((intent, _)) = Intent::open(&record.envelope)
        && let Some(stop) = stop_of(core, &intent, fact)
    {
        signing::learned(core, record.id, Event::Cancel(stop)).await?;
    }
    let held = record.result.as_ref().map(|result| &result.signature);
    if let Some(result) = fact.result.as_ref().filter(|result| Some(&result.signature) != held) {
        let Some(key) = core.keys.find(&record.key_id) else { return Ok(Taken::WaitsForKey(record.key_id.clone())) };
        let opened = Intent::open(&record.envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()));
        let judged = match opened
            .and_then(|(intent, _)| judge(&core.charter(), &key.statement, intent, core.clock.now_secs()))
        {
            Ok(judged) => judged,
            Err(error) => return Ok(Taken::Outdated(error)),
        };
        match signing::verified(core, &judged, node, result) {
            Ok(result) => signing::found(core, record.id, result).await?,
            Err(error) => return Ok(Taken::Invalid(format!("intent {}: {error}", record.id))),
        }
    }
    Ok(Taken::Over)
}

/// Notes that a signer has allowed the request, or has seen it earlier than we thought.
async fn remember(core: &Arc<Core>, known: &Record, fact: &pb::IntentRecord) -> Result<(), StoreError> {
    let first_seen_ms = first_seen(core, known.expires_at_secs, fact);
    let exposes = fact.allowed && !known.exposed && known.state != State::Signed;
    if exposes || first_seen_ms < known.created_at_ms {
        signing::learned(core, known.id, Event::Remembered { allowed: fact.allowed, first_seen_ms }).await?;
    }
    Ok(())
}

/// When the signer first saw it, within what the request's own expiry and our clock allow.
fn first_seen(core: &Core, expires_at_secs: u64, fact: &pb::IntentRecord) -> u64 {
    let earliest = expires_at_secs.saturating_sub(core.charter().bounds.max_expiry_secs).saturating_mul(1000);
    fact.first_seen_ms.min(core.clock.now_ms()).max(earliest)
}
