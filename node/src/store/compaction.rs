//! Keeping "for ever" affordable.
//!
//! The rule: an intent has *ended* when it has a signature here, is stopped, or has expired. Once it was seen longer ago
//! than the retention and has ended, its row shrinks to a tombstone: id, time, requester, what became of it, the
//! signature. The tombstone and the claims on idempotency key and account nonce stay for ever, so that neither can be
//! used again and a repeat still gets its answer; envelope, session names and the stop record's text go. A session name
//! can go because a tombstone starts no session, and another intent under the same name is bound to other frames.
//! Journal records older than the retention go behind the checkpoint, whose head keeps the rest verifiable.

use redb::ReadableTable as _;

use super::journal::{Head, Record};
use super::rows::{IntentRow, Sequence, decode, stop_name};
use super::schema::{META_CHECKPOINT, META_COMPACTED};
use super::{StoreError, Txn};
use crate::clock::Millis;

/// Intents and records looked at in one transaction, so that decisions wait for milliseconds at most.
pub const STEP: usize = 256;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Intents that became tombstones.
    pub intents: usize,
    /// Journal records that went behind the checkpoint.
    pub records: usize,
}

/// One step: everything first seen and written before `before`. `now` tells what has expired. Call again while it
/// does something.
pub fn step(txn: &mut Txn<'_>, before: Millis, now: Millis) -> Result<Compacted, StoreError> {
    Ok(Compacted { intents: shrink_intents(txn, before, now)?, records: cut_journal(txn, before)? })
}

fn shrink_intents(txn: &mut Txn<'_>, before: Millis, now: Millis) -> Result<usize, StoreError> {
    let start = txn.meta(META_COMPACTED)?;
    let start = start.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(1, Sequence::from_be_bytes);
    let mut rows: Vec<(Sequence, IntentRow)> = Vec::new();
    for entry in txn.intents.range(start..).map_err(StoreError::engine)?.take(STEP) {
        let (sequence, bytes) = entry.map_err(StoreError::engine)?;
        rows.push((sequence.value(), decode("intents", bytes.value())?));
    }
    let (mut next, mut shrunk) = (start, 0usize);
    // Stops at the first intent that may still be signed, so that the whole table is not walked again every time; a
    // long-lived intent delays those behind it by its expiry at most.
    for (sequence, row) in rows.into_iter().take_while(|(_, row)| has_ended(row, before, now)) {
        if let Some(live) = &row.live {
            txn.stops.remove(&stop_name(&row.intent_id(), &live.requester)).map_err(StoreError::engine)?;
            if let Some(tally) = live.counted {
                txn.count_down(tally, &live.requester)?;
            }
            forget_sessions(txn, &row)?;
            txn.put_intent(sequence, &tombstone(row))?;
            shrunk = shrunk.saturating_add(1);
        }
        next = sequence.saturating_add(1);
    }
    if next != start {
        txn.put_meta(META_COMPACTED, &next.to_be_bytes())?;
    }
    Ok(shrunk)
}

fn has_ended(row: &IntentRow, before: Millis, now: Millis) -> bool {
    let expired = row.live.as_ref().is_none_or(|live| live.expires_at_secs < now.as_secs());
    row.first_seen_ms < before.0 && (row.result.is_some() || row.stopped || expired)
}

fn tombstone(mut row: IntentRow) -> IntentRow {
    row.live = None;
    if let Some(result) = &mut row.result {
        result.session = Vec::new();
        result.signers = Vec::new();
    }
    row
}

/// Session names of an intent, as far as the journal still has them.
fn forget_sessions(txn: &mut Txn<'_>, row: &IntentRow) -> Result<(), StoreError> {
    if let Some(result) = &row.result
        && let Ok(session) = <[u8; 32]>::try_from(result.session.as_slice())
    {
        txn.sessions.remove(&super::rows::ClaimKey::session(&session)).map_err(StoreError::engine)?;
    }
    Ok(())
}

fn cut_journal(txn: &mut Txn<'_>, before: Millis) -> Result<usize, StoreError> {
    let checkpoint = txn.meta(META_CHECKPOINT)?.unwrap_or_default();
    let mut head = Head::from_bytes(&checkpoint)?;
    let mut cut = Vec::new();
    for entry in txn.journal.range(head.length..).map_err(StoreError::engine)?.take(STEP) {
        let (sequence, bytes) = entry.map_err(StoreError::engine)?;
        let record: Record = decode("journal", bytes.value())?;
        if record.at_ms >= before.0 {
            break;
        }
        head = head.after(bytes.value());
        cut.push((sequence.value(), record));
    }
    for (sequence, record) in &cut {
        txn.journal.remove(*sequence).map_err(StoreError::engine)?;
        forget_ended(txn, record)?;
    }
    if !cut.is_empty() {
        txn.put_meta(META_CHECKPOINT, &head.to_bytes())?;
    }
    Ok(cut.len())
}

/// A session whose decision goes behind the checkpoint: its name goes too if its intent is a tombstone.
fn forget_ended(txn: &mut Txn<'_>, record: &Record) -> Result<(), StoreError> {
    let super::journal::Event::Allowed(allowed) = &record.event else { return Ok(()) };
    let id = limen_wire::ids::IntentId::new(allowed.intent);
    if txn.intent(&id)?.is_some_and(|(_, row)| row.live.is_none()) {
        txn.sessions.remove(&super::rows::ClaimKey::session(&allowed.session)).map_err(StoreError::engine)?;
    }
    Ok(())
}
