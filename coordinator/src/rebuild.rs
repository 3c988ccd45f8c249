//! Rebuilding the books from what the signers remember, after the coordinator's disk is lost.
//!
//! An empty store asks every signer for its keys and intents before it serves anyone. A request with a signature is
//! signed; one that some signer has allowed may have been signed and goes on asking; signers repeat their decision and
//! never make a second effect. Signers that were away are read when they come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_wire::ids::IntentId;
use limen_wire::intent::{Intent, KeyGeneration};
use limen_wire::{limits, pb};
use tokio::task::JoinSet;

use crate::context::Core;
use crate::intake::judge::judge;
use crate::intake::words;
use crate::keys::ring::ActiveKey;
use crate::keys::{KeyEvent, KeyPhase, KeyRecord, checked_order, drive, step};
use crate::lifecycle::{Record, State};
use crate::signers::{CallError, Signer};
use crate::signing;
use crate::store::{Inserted, StoreError};

/// What one signer remembers.
struct Memory {
    signer: Arc<Signer>,
    shares: Vec<pb::KeyShareRecord>,
    intents: Vec<pb::IntentRecord>,
}

/// Reads every signer that has not been read since the store was empty. Returns when all are read or patience is over
/// and one at least is; the others are read by [`follow`].
pub(crate) async fn first(core: &Arc<Core>) -> Result<(), StoreError> {
    let patience = tokio::time::Instant::now() + core.timing.rebuild_patience;
    loop {
        let unread = round(core).await?;
        let over = tokio::time::Instant::now() >= patience;
        if unread == 0 || (over && unread < core.signers.all().len()) {
            return Ok(());
        }
        wait(core).await;
        if core.stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Reads the signers that were away, as they come back.
pub(crate) async fn follow(core: Arc<Core>) {
    loop {
        match round(&core).await {
            Ok(0) => return,
            Ok(_) => wait(&core).await,
            Err(error) => return tracing::error!(%error, "rebuilding from the signers stopped"),
        }
        if core.stop.is_cancelled() {
            return;
        }
    }
}

async fn wait(core: &Core) {
    let mut changes = core.signers.changes();
    tokio::select! {
        () = core.stop.cancelled() => {}
        _ = changes.changed() => {}
        () = tokio::time::sleep(core.timing.status_interval) => {}
    }
}

/// Reads who is unread and answers; tells how many are left.
async fn round(core: &Arc<Core>) -> Result<usize, StoreError> {
    let read = core.store.signers_read()?;
    let unread: Vec<_> =
        core.signers.all().iter().filter(|signer| !read.contains(&signer.node.to_string())).cloned().collect();
    let mut calls = JoinSet::new();
    for signer in unread.iter().filter(|signer| signer.is_reachable()) {
        let (core, signer) = (Arc::clone(core), Arc::clone(signer));
        calls.spawn(async move { (signer.node.clone(), remember(&core, signer).await) });
    }
    let mut memories = Vec::new();
    while let Some(Ok((node, memory))) = calls.join_next().await {
        match memory {
            Ok(memory) => memories.push(memory),
            Err(error) => tracing::warn!(%node, %error, "its memory cannot be read yet"),
        }
    }
    let left = unread.len().saturating_sub(memories.len());
    if !memories.is_empty() {
        take_over(core, memories).await?;
    }
    Ok(left)
}

async fn remember(core: &Core, signer: Arc<Signer>) -> Result<Memory, CallError> {
    let bound = core.timing.call_timeout;
    let shares = signer.within(bound, signer.port().list_key_shares()).await?.shares;
    let mut intents: Vec<pb::IntentRecord> = Vec::new();
    loop {
        let after_sequence = intents.last().map_or(0, |record| record.sequence);
        let page_size = u32::try_from(limits::INTENT_PAGE).unwrap_or(100);
        let request = pb::ListIntentsRequest { after_sequence, page_size };
        let page = signer.within(bound, signer.port().list_intents(request)).await?;
        let goes_on = page.intents.last().is_some_and(|record| record.sequence > after_sequence);
        intents.extend(page.intents);
        if !(page.more && goes_on) {
            return Ok(Memory { signer, shares, intents });
        }
    }
}

async fn take_over(core: &Arc<Core>, memories: Vec<Memory>) -> Result<(), StoreError> {
    for memory in &memories {
        for share in &memory.shares {
            take_over_key(core, &memory.signer, share).await?;
        }
    }
    let mut known: BTreeMap<IntentId, Vec<&pb::IntentRecord>> = BTreeMap::new();
    for record in memories.iter().flat_map(|memory| &memory.intents) {
        if let Ok(id) = IntentId::from_slice(&record.intent_id) {
            known.entry(id).or_default().push(record);
        }
    }
    let mut found: Vec<_> = known.into_iter().collect();
    found.sort_by_key(|(_, records)| records.iter().map(|record| record.first_seen_ms).min());
    let count = found.len();
    for (id, records) in found {
        take_over_request(core, id, &records).await?;
    }
    for memory in memories {
        tracing::info!(node = %memory.signer.node, intents = memory.intents.len(), keys = memory.shares.len(), "memory read");
        core.store.signer_read(memory.signer.node.clone()).await?;
    }
    tracing::info!(requests = count, "taken over from the signers");
    Ok(())
}

async fn take_over_key(core: &Arc<Core>, signer: &Signer, share: &pb::KeyShareRecord) -> Result<(), StoreError> {
    let Some(envelope) = &share.order else { return Ok(()) };
    let Ok((order, _)) = KeyGeneration::open(envelope) else { return Ok(()) };
    if checked_order(core, envelope).is_err() {
        tracing::warn!(node = %signer.node, key = %order.key_id, "a key without a valid order is left out");
        return Ok(());
    }
    let mut record = match core.store.key(&order.key_id)? {
        Some(known) if known.phase != KeyPhase::Ordered && known.phase != KeyPhase::Failed => return Ok(()),
        Some(known) => known,
        None => KeyRecord::ordered(order.key_id.clone(), envelope.clone()),
    };
    // At least one attempt was made: the driver asks the members before it tries again.
    record.attempts = record.attempts.max(1);
    let required = usize::from(order.size.signers_required());
    let statement = share.statement.clone().map(|statement| drive::checked_statement(signer, &order, statement));
    if let Some(Ok(statement)) = statement {
        step(&mut record, KeyEvent::Statement(signer.node.clone(), statement), required);
    }
    if let Some(certificate) = &share.certificate {
        let key = ActiveKey::from_certificate(certificate, &core.charter);
        if let Some(key) = key.ok().filter(|key| crate::keys::fits(&key.statement, &order)) {
            step(&mut record, KeyEvent::Certified(certificate.clone()), required);
            // The members pass certificates on among themselves; those that lack it refuse until they have it.
            core.keys.insert(key);
        }
    }
    if core.store.insert_key(record.clone()).await?.is_err() {
        // Its driver, if it runs, reads the members' shares itself.
        if !core.ready.is_cancelled() {
            core.store.update_key(record).await?;
        }
    } else if core.ready.is_cancelled() {
        drive::spawn(core, record, order);
    }
    Ok(())
}

async fn take_over_request(core: &Arc<Core>, id: IntentId, records: &[&pb::IntentRecord]) -> Result<(), StoreError> {
    let Some((intent, envelope)) = records.iter().find_map(|record| opened(record, id)) else {
        tracing::warn!(intent = %id, "a compacted request is left out: its envelope is gone everywhere");
        return Ok(());
    };
    let Some(key) = core.keys.find(&intent.key_id) else {
        tracing::warn!(intent = %id, key = %intent.key_id, "a request for a key that is not certified is left out");
        return Ok(());
    };
    let Ok(judged) = judge(&core.charter, &key.statement, intent) else { return Ok(()) };
    let result = records.iter().filter_map(|record| record.result.as_ref()).find_map(|raw| judged.finish(raw).ok());
    let first_seen_ms = records.iter().map(|record| record.first_seen_ms).min().unwrap_or_default();
    let mut record = Record::submitted(&judged.intent, envelope, first_seen_ms);
    record.updated_at_ms = core.clock.now_ms().max(first_seen_ms);
    record.effects = words::views(&core.charter, &judged.effects);
    record.decision = Some(judged.decision.to_wire());
    record.exposed = records.iter().any(|record| record.allowed);
    record.state = State::Evaluated;
    if let Some(result) = result {
        record.state = State::Signed;
        record.result = Some(result.clone());
        if let Inserted::Same(_) = core.store.insert(record).await? {
            signing::found(core, id, result).await?;
        }
        return Ok(());
    }
    // Whether it was stopped, denied or expired, the driver learns from the signers' own answers.
    if let (Inserted::New(entry), true) = (core.store.insert(record).await?, core.ready.is_cancelled()) {
        signing::resume(core, key, *entry);
    }
    Ok(())
}

fn opened(record: &pb::IntentRecord, id: IntentId) -> Option<(Intent, pb::Envelope)> {
    let envelope = record.intent.as_ref()?;
    let (intent, _) = Intent::open(envelope).ok()?;
    (intent.id == id).then(|| (intent, envelope.clone()))
}
