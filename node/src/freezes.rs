//! Freezes in the journal: taken at once, or made by this signer itself, and lifted once enough people have said so and this
//! node has waited.

pub mod automatic;
#[cfg(test)]
mod tests;

use limen_policy::charter::Charter;
use limen_policy::freeze::{Lifters, enough_to_lift};
use limen_wire::error::{ApiError, Code};
use limen_wire::freeze::{Freeze, Unfreeze};
use limen_wire::ids::{IntentId, PersonId};

use crate::clock::{Now, Uptime};
use crate::store::journal::Event;
use crate::store::rows::Tally;
use crate::store::stops::{FreezeRow, Lifting};
use crate::store::{StoreError, Txn};

/// What one person may have said about freezes, and about intents that have not been seen here: the number of a lifetime,
/// because it is kept for ever.
pub const SAID_BY_ONE: u64 = 10_000;

/// Counts one more thing that a person said, if there is a place for it.
pub fn count_said(txn: &mut Txn<'_>, person: &PersonId) -> Result<Result<(), ApiError>, StoreError> {
    if txn.tally(Tally::Said, person.as_str())? >= SAID_BY_ONE {
        let message =
            format!("{person} has said {SAID_BY_ONE} things that this signer keeps for ever, and no more fit");
        return Ok(Err(ApiError::new(Code::Overloaded, message)));
    }
    txn.count_up(Tally::Said, person.as_str())?;
    Ok(Ok(()))
}

/// Takes a freeze whose proof holds; false if it is known, lifted or not.
pub fn take_freeze(
    txn: &mut Txn<'_>,
    charter: &Charter,
    freeze: &Freeze,
    record: &[u8],
    now: Now,
) -> Result<Result<bool, ApiError>, StoreError> {
    let id = freeze.id;
    if txn.stop_known(id.as_bytes())? {
        return Ok(Ok(false));
    }
    if let Err(error) = count_said(txn, &freeze.person)? {
        return Ok(Err(error));
    }
    txn.log_stop(id.as_bytes(), record)?;
    let lifters = txn.take_early_lifters(&id)?;
    let row = FreezeRow {
        scope: freeze.scope.clone(),
        person: freeze.person.clone(),
        reason: freeze.reason.clone(),
        envelope: record.to_vec(),
        held_since_ms: now.wall.0,
        lifting: None,
        lifters,
    };
    txn.put_freeze(&id, &row)?;
    txn.append(now.wall, Event::Frozen { freeze: *id.as_bytes() })?;
    lift_due(txn, charter, now)?;
    Ok(Ok(true))
}

/// Takes an unfreeze whose proof holds; false if it is known.
pub fn take_unfreeze(
    txn: &mut Txn<'_>,
    charter: &Charter,
    unfreeze: &Unfreeze,
    record: &[u8],
    now: Now,
) -> Result<Result<bool, ApiError>, StoreError> {
    if txn.stop_known(unfreeze.id.as_bytes())? {
        return Ok(Ok(false));
    }
    if let Err(error) = count_said(txn, &unfreeze.person)? {
        return Ok(Err(error));
    }
    txn.log_stop(unfreeze.id.as_bytes(), record)?;
    txn.append(now.wall, Event::Unfreeze { record: *unfreeze.id.as_bytes() })?;
    let live = txn.freeze_rows()?;
    for id in &unfreeze.freezes {
        if automatic::hear(txn, id, (&unfreeze.person, &unfreeze.credential))? {
            continue;
        }
        let who = (unfreeze.person.clone(), unfreeze.credential.clone());
        if let Some((_, row)) = live.iter().find(|(one, _)| one == id) {
            let mut row = row.clone();
            row.lifters.entry(who.0).or_default().insert(who.1);
            txn.put_freeze(id, &row)?;
        } else if !txn.stop_known(id.as_bytes())? {
            // The freeze itself is still on its way.
            txn.add_early_lifter(id, who)?;
        }
    }
    lift_due(txn, charter, now)?;
    Ok(Ok(true))
}

/// Begins and ends the delays of freezes that enough people lift. Gives those that were lifted now.
pub fn lift_due(txn: &mut Txn<'_>, charter: &Charter, now: Now) -> Result<Vec<IntentId>, StoreError> {
    let mut lifted = automatic::lift_due(txn, charter, now)?;
    for (id, mut row) in txn.freeze_rows()? {
        let before = row.lifting.take();
        row.lifting = lifting(charter, &row.lifters, before.as_ref(), now.uptime);
        if row.lifting.as_ref().is_some_and(|lifting| wait_ms(charter, lifting, now.uptime) == 0) {
            txn.lift(&id, &row.scope)?;
            txn.append(now.wall, Event::Lifted { freeze: *id.as_bytes() })?;
            lifted.push(id);
        } else if row.lifting != before {
            txn.put_freeze(&id, &row)?;
            // What a delay counts from is never later than what a restart goes on from.
            txn.put_uptime(now.uptime)?;
        }
    }
    Ok(lifted)
}

/// The delay as it runs now: from the first moment at which enough people say so, anew if they stopped being enough.
fn lifting(charter: &Charter, lifters: &Lifters, running: Option<&Lifting>, now: Uptime) -> Option<Lifting> {
    let delay_secs = charter.governance.as_ref()?.unfreeze_delay_secs;
    let begin = || Lifting { uptime: now.0, delay_secs };
    enough_to_lift(charter, lifters).then(|| running.cloned().unwrap_or_else(begin))
}

/// Milliseconds that are left: of the longer of the delays that the charter asked for when it began and asks for now.
pub fn wait_ms(charter: &Charter, lifting: &Lifting, now: Uptime) -> u64 {
    let current = charter.governance.as_ref().map_or(0, |governance| governance.unfreeze_delay_secs);
    let delay_ms = lifting.delay_secs.max(current).saturating_mul(1000);
    delay_ms.saturating_sub(now.0.saturating_sub(lifting.uptime))
}
