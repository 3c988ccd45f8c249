//! Drills: when each was held last, by the records that people file, and what follows where one is overdue.
//!
//! A record proves itself, so it goes the way of stop records: whoever brings it is heard alike, signers and witnesses tell each other,
//! and who was away reads it when it is back. What is overdue is said from its day on; after its days of grace no version of the
//! charter comes into force that [gives requests more leave](limen_policy::diff::raises). See docs/drills.md and ADR 22.

use std::time::Duration;

use limen_evidence::ceremony::{DrillError, DrillHeld, SKEW_SECS};
use limen_policy::charter::Charter;
use limen_policy::charter::drill::Drill;
use limen_policy::date::DAY_SECS;
use limen_policy::diff::raises;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{DrillId, KeyId};
use limen_wire::pb;
use prost::Message as _;

use crate::charters::Follows;
use crate::clock::Millis;
use crate::decisions::{Decisions, Heard};
use crate::store::drills::DrillRow;
use crate::store::journal::Event;
use crate::store::{StoreError, Txn, View};

/// Time between two lines in the log about what is overdue.
const SAY_EVERY: Duration = Duration::from_secs(3600);

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("no record of a drill: {0}")]
    Malformed(String),
    #[error("the record of a drill is refused: {0}")]
    Drill(#[from] DrillError),
    #[error(
        "the record of a drill is refused: key {0} has another public key here than in the record and in the charter"
    )]
    OtherKey(KeyId),
    #[error(
        "the record is of {at_secs}, and drill {drill} was held at {last_secs}, as another record says that is here: an older one changes \
         nothing"
    )]
    Older { drill: DrillId, at_secs: u64, last_secs: u64 },
    #[error(
        "the record is of {at_secs}, and drill {drill} was held at {last_secs}: the next counts from {next_secs} on, in seconds since 1970"
    )]
    Soon { drill: DrillId, at_secs: u64, last_secs: u64, next_secs: u64 },
    #[error("reading the record of a drill was cut off")]
    CutOff,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotTaken {
    const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Drill(DrillError::Record(_) | DrillError::Kind(_)) => Code::Malformed,
            Self::Drill(DrillError::Cluster { .. }) => Code::WrongCluster,
            Self::Drill(DrillError::Stranger(_) | DrillError::Machine(_)) => Code::NotEnrolled,
            Self::Drill(_) | Self::OtherKey(_) | Self::Older { .. } | Self::Soon { .. } => Code::WrongState,
            Self::CutOff | Self::Store(_) => Code::Internal,
        }
    }

    /// From when on the same record may count, in seconds since 1970, if time alone is what it lacks.
    const fn counts_from_secs(&self) -> Option<u64> {
        match self {
            Self::Drill(DrillError::Future { at_secs, .. }) => Some(at_secs.saturating_sub(SKEW_SECS)),
            Self::CutOff => Some(0),
            _ => None,
        }
    }
}

/// Hears the record of a drill, whoever brings it.
pub(crate) async fn hear(host: &impl Follows, record: pb::Envelope) -> Heard {
    match take(host, &record).await {
        Ok(new) => Heard::kept(if new { vec![record] } else { Vec::new() }, false),
        Err(NotTaken::Store(error)) => Heard::later(&error),
        Err(error) => {
            let counts_from_secs = error.counts_from_secs();
            Heard { counts_from_secs, ..Heard::refused(ApiError::new(error.code(), error.to_string())) }
        }
    }
}

/// Takes a record; `false` if it is known.
async fn take(host: &impl Follows, record: &pb::Envelope) -> Result<bool, NotTaken> {
    let opened = envelope::open(record, PayloadType::DrillRecord).map_err(|e| NotTaken::Malformed(e.to_string()))?;
    if opened.claimed_signers().next().is_some() {
        return Err(NotTaken::Malformed("the record carries its signatures inside".to_owned()));
    }
    let Decisions { charter, store, now, .. } = host.decisions();
    let (id, bytes, text) = (opened.id(), record.encode_to_vec(), opened.payload().to_vec());
    let reading = move || DrillHeld::read(&text, &charter, now.wall.as_secs());
    let held = host.crypto().run(reading).await.map_err(|_| NotTaken::CutOff)??;
    // The charter says what the key is; who holds a share knows it besides.
    if let Some(known) = host.decisions().key(&held.key)
        && known.public.public_key.to_key(known.public.scheme)[..] != held.public_key[..]
    {
        return Err(NotTaken::OtherKey(held.key));
    }
    let (drill, record) = (held.drill.clone(), held.record);
    let new = store.write(move |txn| keep(txn, &held, (id.as_bytes(), &bytes), now.wall)).await??;
    if new {
        tracing::info!(%drill, %record, "a drill was held: its record is kept");
    }
    Ok(new)
}

fn keep(
    txn: &mut Txn<'_>,
    held: &DrillHeld,
    (id, bytes): (&[u8; 32], &[u8]),
    now: Millis,
) -> Result<Result<bool, NotTaken>, StoreError> {
    let row = DrillRow {
        scenario: held.scenario.to_owned(),
        key: key_of(&held.key, &held.public_key),
        at_secs: held.at_secs,
        record: *held.record.as_bytes(),
    };
    // What was held before under the same name, with another key or of another scenario, is another drill.
    let last = txn.drill(&held.drill)?.filter(|last| (&last.scenario, &last.key) == (&row.scenario, &row.key));
    match last {
        Some(last) if last.record == row.record => return Ok(Ok(false)),
        Some(last) if last.at_secs >= row.at_secs => {
            let (drill, at_secs, last_secs) = (held.drill.clone(), row.at_secs, last.at_secs);
            return Ok(Err(NotTaken::Older { drill, at_secs, last_secs }));
        }
        // Nodes keep each for ever.
        Some(last) if last.at_secs.saturating_add(DAY_SECS) > row.at_secs => {
            let (drill, at_secs, last_secs) = (held.drill.clone(), row.at_secs, last.at_secs);
            let next_secs = last_secs.saturating_add(DAY_SECS);
            return Ok(Err(NotTaken::Soon { drill, at_secs, last_secs, next_secs }));
        }
        _ => {}
    }
    txn.put_drill(&held.drill, &row)?;
    txn.log_stop(id, bytes)?;
    txn.append(now, Event::DrillHeld { drill: held.drill.to_string(), record: row.record, at_secs: row.at_secs })?;
    Ok(Ok(true))
}

/// Which key a drill was held with: its name, and what it is.
fn key_of(key: &KeyId, public_key: &[u8]) -> String {
    format!("{key} {}", hex::encode(public_key))
}

/// The last result that counts for a drill as the charter has it.
fn last(drill: &Drill, row: Option<DrillRow>) -> Option<DrillRow> {
    row.filter(|row| row.scenario == drill.scenario.as_str() && row.key == key_of(&drill.key, &drill.public_key))
}

/// Where the drills of a charter stand here.
pub(crate) fn states(charter: &Charter, view: &View) -> Result<Vec<pb::DrillState>, StoreError> {
    let state = |drill: &Drill| {
        let last = last(drill, view.drill(&drill.id)?);
        let held_secs = last.as_ref().map(|row| row.at_secs);
        Ok(pb::DrillState {
            drill: drill.id.to_string(),
            scenario: drill.scenario.as_str().to_owned(),
            key_id: drill.key.to_string(),
            due_ms: drill.due_secs(held_secs).saturating_mul(1000),
            blocks_ms: drill.blocks_secs(held_secs).saturating_mul(1000),
            held_ms: held_secs.unwrap_or_default().saturating_mul(1000),
            record: last.map(|row| row.record.to_vec().into()).unwrap_or_default(),
        })
    };
    charter.drills.values().map(state).collect()
}

/// Why no version may come into force now that raises what requests may do, in words; nothing if one may.
fn overdue(
    charter: &Charter,
    held: impl Fn(&DrillId) -> Result<Option<DrillRow>, StoreError>,
    now: Millis,
) -> Result<Option<String>, StoreError> {
    for drill in charter.drills.values() {
        let held_secs = last(drill, held(&drill.id)?).map(|row| row.at_secs);
        if drill.blocks_secs(held_secs) <= now.as_secs() {
            let (id, scenario, key) = (&drill.id, drill.scenario.as_str(), &drill.key);
            let late = now.as_secs().saturating_sub(drill.due_secs(held_secs)) / DAY_SECS;
            return Ok(Some(format!("drill {id} ({scenario} with key {key}) is overdue since {late} days")));
        }
    }
    Ok(None)
}

/// What of a version an overdue drill stands in the way of, where it follows these charters.
pub(crate) fn first_raise(before: &[&Charter], version: &Charter) -> Option<String> {
    before.iter().flat_map(|before| raises(before, version)).next()
}

/// Refuses what raises something at the door, while a drill is overdue.
pub(crate) fn check_at_door(host: &impl Follows, raised: Option<&str>) -> Result<(), ApiError> {
    let Some(raised) = raised else { return Ok(()) };
    let Decisions { charter, store, now, .. } = host.decisions();
    let found = store.view().and_then(|view| overdue(&charter, |id| view.drill(id), now.wall));
    match found.map_err(|error| ApiError::new(Code::Internal, error.to_string()))? {
        None => Ok(()),
        Some(words) => {
            Err(ApiError::new(Code::DrillOverdue, format!("{words}, and the version gives more leave: {raised}")))
        }
    }
}

/// Why a version that is due does not come into force now: a drill is overdue by the charter that is, and it raises something.
pub(crate) fn holds_up(
    charter: &Charter,
    version: impl FnOnce() -> Result<Charter, StoreError>,
    held: impl Fn(&DrillId) -> Result<Option<DrillRow>, StoreError>,
    now: Millis,
) -> Result<Option<String>, StoreError> {
    let Some(words) = overdue(charter, held, now)? else { return Ok(None) };
    Ok(first_raise(&[charter], &version()?)
        .map(|raised| format!("{words}, and the version gives more leave: {raised}")))
}

/// Tells operators what is due, and when.
pub(crate) fn watch(host: &impl Follows, view: &View) -> Result<(), StoreError> {
    let Decisions { charter, now, .. } = host.decisions();
    let states = states(&charter, view)?;
    let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let left = |state: &pb::DrillState| seconds(state.due_ms).saturating_sub(seconds(now.wall.0));
    host.metrics().drill_due_seconds.put(states.iter().map(|state| (state.drill.clone(), left(state))).collect());
    let late = late(states, now.wall);
    if late.is_empty() || crate::ratelimit::WARNINGS.pass_every("drill_overdue", SAY_EVERY).is_none() {
        return Ok(());
    }
    for (pb::DrillState { drill, scenario, key_id: key, .. }, blocks) in late {
        let what = "a drill is overdue: hold it, and file its record by `limen drill file`";
        tracing::warn!(drill, scenario, key, blocks, "{what}");
    }
    Ok(())
}

/// Every drill that is overdue, and whether it stands in the way of what gives more leave.
fn late(states: Vec<pb::DrillState>, now: Millis) -> Vec<(pb::DrillState, bool)> {
    let late = states.into_iter().filter(|state| state.due_ms / 1000 <= now.as_secs());
    let told = |state: pb::DrillState| {
        let blocks = state.blocks_ms <= now.0;
        (state, blocks)
    };
    late.map(told).collect()
}

#[cfg(test)]
mod tests;
