//! A signer's own freezes: too many requests of one requester that its rules deny, and it takes nothing more of that
//! requester until people lift exactly that freeze.
//!
//! What counts is signed by the requester, so nobody else brings it about. It concerns this signer alone: it is no stop
//! record, nobody is told, and approvals are not bound to it.

#[cfg(test)]
mod tests;

use limen_policy::charter::Charter;
use limen_policy::charter::governance::AutomaticFreeze;
use limen_wire::ids::{CredentialId, IntentId, PersonId};

use super::{lifting, wait_ms};
use crate::clock::Now;
use crate::guard::Examined;
use crate::store::automatic::AutomaticRow;
use crate::store::journal::Event;
use crate::store::{StoreError, Txn};

/// Counts a request that is noted in this transaction, if it is denied for good and this node could sign for its key, and
/// freezes its requester if it is one too many.
pub fn count(txn: &mut Txn<'_>, charter: &Charter, examined: &Examined, now: Now) -> Result<(), StoreError> {
    let bound = charter.governance.as_ref().and_then(|governance| governance.automatic_freeze);
    let Some(AutomaticFreeze { refused, within_secs }) = bound else { return Ok(()) };
    let requester = &examined.intent().requester;
    // Witnesses only keep ledgers: nobody asks them for a signature, and no door of theirs shows or lifts a freeze.
    let counts = examined.decision().for_good && examined.key().is_member();
    if !counts || txn.is_frozen_here(requester)? {
        return Ok(());
    }
    // Where a version still waits here others may have it in force: what it would allow is nobody's fault.
    let outlook = txn.lineage()?.outlook(now.uptime.0);
    if !outlook.waiting.is_empty() || !outlook.stuck.is_empty() || outlook.adopt.is_some() {
        return Ok(());
    }
    let within_ms = within_secs.saturating_mul(1000);
    let mut times = txn.denials(requester)?;
    // After a crash the running time may be behind what was counted: that stays, the window only gets longer.
    times.retain(|at| now.uptime.0.saturating_sub(at.0) < within_ms);
    times.push(now.uptime);
    // What a time counts from is never later than what a restart goes on from.
    txn.put_uptime(now.uptime)?;
    let found = u32::try_from(times.len()).unwrap_or(u32::MAX);
    if found < refused {
        return txn.put_denials(requester, &times);
    }
    txn.put_denials(requester, &[])?;
    let id = txn.draw();
    let row = AutomaticRow {
        id,
        refused: found,
        within_secs,
        since_ms: now.wall.0,
        lifting: None,
        lifters: Default::default(),
    };
    txn.add_automatic(requester, &row)?;
    let freeze = IntentId::new(id);
    tracing::error!(
        %freeze, %requester, refused = found, within_secs,
        "ALARM: the rules deny one request of this requester after the other: this signer has frozen it by itself"
    );
    txn.append(now.wall, Event::FrozenByItself { freeze: id, requester: requester.to_string() })
}

/// Takes a person's word that freezes may be lifted; true if it names this signer's own.
pub(super) fn hear(
    txn: &mut Txn<'_>,
    freeze: &IntentId,
    (person, credential): (&PersonId, &CredentialId),
) -> Result<bool, StoreError> {
    let Some((requester, mut row)) = txn.automatic_rows()?.into_iter().find(|(_, row)| row.id == *freeze.as_bytes())
    else {
        return Ok(false);
    };
    row.lifters.entry(person.clone()).or_default().insert(credential.clone());
    txn.put_automatic(&requester, &row)?;
    Ok(true)
}

/// Begins and ends the delays of this signer's own freezes that enough people lift. Gives those that were lifted now; their
/// requesters are counted anew, from nothing.
pub(super) fn lift_due(txn: &mut Txn<'_>, charter: &Charter, now: Now) -> Result<Vec<IntentId>, StoreError> {
    let mut lifted = Vec::new();
    for (requester, mut row) in txn.automatic_rows()? {
        let before = row.lifting.take();
        row.lifting = lifting(charter, &row.lifters, before.as_ref(), now.uptime);
        if row.lifting.as_ref().is_some_and(|lifting| wait_ms(charter, lifting, now.uptime) == 0) {
            txn.remove_automatic(&requester)?;
            txn.append(now.wall, Event::Lifted { freeze: row.id })?;
            lifted.push(IntentId::new(row.id));
        } else if row.lifting != before {
            txn.put_automatic(&requester, &row)?;
            // What a delay counts from is never later than what a restart goes on from.
            txn.put_uptime(now.uptime)?;
        }
    }
    Ok(lifted)
}

/// Forgets requesters that this charter does not name: nothing that they sign is heard, and whoever gets their name again
/// gets it from the charter's quorum.
pub fn forget_strangers(txn: &mut Txn<'_>, charter: &Charter) -> Result<(), StoreError> {
    // Other rules: what was denied under those before says nothing.
    txn.forget_denials()?;
    txn.keep_requesters(|name| charter.requesters.keys().any(|requester| requester.as_str() == name))
}
