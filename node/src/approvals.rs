//! Approvals on their way into the journal: read and verified before the writer's turn, counted within it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use limen_policy::approval::{Verified, verify};
use limen_policy::charter::Charter;
use limen_wire::approval::SignedApproval;
use limen_wire::ids::ApprovalId;
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::clock::Now;
use crate::guard::{self, Examined, Progress};
use crate::store::journal::Event;
use crate::store::rows::{Delays, LiveIntent};
use crate::store::{StoreError, Txn};

/// One approval that holds, with the bytes to be kept.
#[derive(Debug, Clone)]
struct Held {
    bytes: Vec<u8>,
    verified: Verified,
}

/// Approvals that hold for one intent at one moment, each once. What does not hold is dropped: it may be forged, lapsed,
/// or for something else, and nobody can do harm by handing it in.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    held: Vec<Held>,
    /// Everything that was looked at, whether it holds or not.
    looked_at: BTreeSet<Vec<u8>>,
    /// How many were dropped.
    pub dropped: usize,
}

impl Shown {
    /// Reads approvals as they come from a coordinator.
    pub fn read(charter: &Charter, examined: &Examined, envelopes: &[pb::Envelope], now: Now) -> Self {
        let mut shown = Self::default();
        if examined.decision().requirements.is_empty() {
            shown.dropped = envelopes.len();
            return shown;
        }
        shown.dropped = envelopes.len().saturating_sub(limits::APPROVALS);
        for envelope in envelopes.iter().take(limits::APPROVALS) {
            shown.add(charter, examined, envelope, envelope.encode_to_vec(), now);
        }
        shown
    }

    /// Adds what this signer holds already.
    pub fn with_held(mut self, charter: &Charter, examined: &Examined, live: &LiveIntent, now: Now) -> Self {
        for bytes in &live.approvals {
            if !self.looked_at.contains(bytes)
                && let Ok(envelope) = pb::Envelope::decode(bytes.as_slice())
            {
                self.add(charter, examined, &envelope, bytes.clone(), now);
            }
        }
        self
    }

    /// How far they would meet the requirements of an intent that is seen for the first time now.
    pub fn progress(&self, charter: &Charter, examined: &Examined, now: Now) -> Progress {
        let verified: Vec<Verified> = self.held.iter().map(|held| held.verified.clone()).collect();
        guard::progress(charter, examined, &verified, &Delays::new(), now.uptime, now)
    }

    fn add(&mut self, charter: &Charter, examined: &Examined, envelope: &pb::Envelope, bytes: Vec<u8>, now: Now) {
        if !self.looked_at.insert(bytes.clone()) {
            return;
        }
        let facts = guard::facts(charter, examined);
        let verified = SignedApproval::open(envelope)
            .ok()
            .and_then(|signed| verify(&signed, &charter.roster, &facts, now.wall.as_secs()).ok());
        match verified {
            Some(verified) if self.ids().all(|id| id != verified.id()) => self.held.push(Held { bytes, verified }),
            Some(_) => {}
            None => self.dropped = self.dropped.saturating_add(1),
        }
    }

    fn ids(&self) -> impl Iterator<Item = ApprovalId> + '_ {
        self.held.iter().map(|held| held.verified.id())
    }
}

/// Keeps what is new, starts and stops delays, and says how far the requirements are met. The intent has been noted.
pub fn settle(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: &Examined,
    shown: Shown,
    now: Now,
) -> Result<Progress, StoreError> {
    if examined.decision().requirements.is_empty() {
        return Ok(Progress::default());
    }
    let id = examined.intent().id;
    let Some((sequence, mut row)) = Txn::intent(txn, &id)? else { return Ok(Progress::default()) };
    // A tombstone starts no session: nothing is left to approve.
    let Some(live) = &mut row.live else { return Ok(Progress::default()) };
    let shown = shown.with_held(charter, examined, live, now);
    let mut changed = false;
    for held in &shown.held {
        if live.approvals.len() < limits::APPROVALS && !live.approvals.contains(&held.bytes) {
            live.approvals.push(held.bytes.clone());
            let approval = *held.verified.id().as_bytes();
            txn.append(now.wall, Event::Approval { intent: row.id, approval })?;
            changed = true;
        }
    }
    // Only what is durable counts.
    let durable = shown.held.iter().filter(|held| live.approvals.contains(&held.bytes));
    let counted: Vec<Verified> = durable.map(|held| held.verified.clone()).collect();
    let first_seen = crate::clock::Uptime(live.first_seen_uptime);
    let progress = guard::progress(charter, examined, &counted, &live.delays, first_seen, now);
    if changed || progress.delays != live.delays {
        live.delays.clone_from(&progress.delays);
        txn.put_intent(sequence, &row)?;
        // What a delay counts from is never later than what a restart goes on from.
        txn.put_uptime(now.uptime)?;
    }
    Ok(progress)
}
