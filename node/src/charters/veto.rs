//! Somebody's no to a version of the charter: before it came, and after.

use limen_policy::charter::Charter;
use limen_policy::succession::{Lineage, Step, SuccessionError, check_veto, subject};
use limen_wire::approval::SignedApproval;
use limen_wire::error::ApiError;
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use prost::Message as _;

use super::{Follows, charter_of, failed, read, refusal};
use crate::decisions::{Decisions, Heard};
use crate::freezes::count_said;
use crate::store::journal::Event;
use crate::store::rows::CharterRow;
use crate::store::{StoreError, Txn, View};

fn counts_as_veto(heard: &[Charter], version: &Charter, said: &[u8]) -> bool {
    let signed = pb::Envelope::decode(said).ok().and_then(|record| SignedApproval::open(&record).ok());
    signed.is_some_and(|signed| check_veto(&heard.iter().collect::<Vec<_>>(), version, &signed).is_ok())
}

/// The charters whose people may veto a version at a running time.
fn heard(
    lineage: &Lineage,
    (version, uptime_ms): (CharterHash, u64),
    read: impl Fn(CharterHash) -> Result<Charter, StoreError>,
) -> Result<Vec<Charter>, StoreError> {
    let delay =
        |hash| Ok::<_, StoreError>(read(hash)?.governance.map_or(0, |governance| governance.loosening_delay_secs));
    lineage.heard(&version, uptime_ms, delay)?.into_iter().map(&read).collect()
}

/// A veto that came before the version, or in the very moment in which it came, and was kept as a word about something unknown.
pub(super) fn said_ahead(
    txn: &Txn<'_>,
    lineage: &Lineage,
    (hash, version): (CharterHash, &Charter),
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(entry) = lineage.entry(&hash).filter(|entry| entry.step != Step::AtOnce) else { return Ok(None) };
    let said = txn.said_ahead(&subject(&version.cluster, hash))?;
    if said.is_empty() {
        return Ok(None);
    }
    let heard = heard(lineage, (hash, entry.since_ms), |hash| read(txn, hash))?;
    Ok(said.into_iter().find(|said| counts_as_veto(&heard, version, said)))
}

/// Hears a veto. `None` if the record is about no version that is known here.
pub(crate) async fn veto(host: &impl Follows, record: &pb::Envelope) -> Option<Result<Heard, ApiError>> {
    let signed = SignedApproval::open(record).ok()?;
    let about = |lineage: &Lineage| {
        let cluster = host.charter().cluster.clone();
        let named = |hash: &CharterHash| subject(&cluster, *hash) == signed.approval.intent_id;
        lineage.entries().map(|(hash, _)| *hash).find(named)
    };
    let view = match host.decisions().store.view() {
        Ok(view) => view,
        Err(error) => return Some(Ok(Heard::later(&error))),
    };
    match view.lineage().map(|lineage| lineage.as_ref().and_then(about)) {
        Ok(Some(hash)) => Some(hear_veto(host, &view, hash, &signed, record).await),
        Ok(None) => None,
        Err(error) => Some(Ok(Heard::later(&error))),
    }
}

async fn hear_veto(
    host: &impl Follows,
    view: &View,
    hash: CharterHash,
    signed: &SignedApproval,
    record: &pb::Envelope,
) -> Result<Heard, ApiError> {
    let charter = charter_of(view, hash).map_err(failed)?;
    let Decisions { store, now: time, .. } = host.decisions();
    let lineage =
        view.lineage().map_err(failed)?.ok_or_else(|| refusal(&SuccessionError::UnknownParents(vec![hash])))?;
    let heard = heard(&lineage, (hash, time.uptime.0), |hash| charter_of(view, hash)).map_err(failed)?;
    let person = check_veto(&heard.iter().collect::<Vec<_>>(), &charter, signed).map_err(|error| refusal(&error))?;
    let (bytes, approval, by) = (record.encode_to_vec(), *signed.approval.digest().as_bytes(), person.clone());
    let writing = store.write(move |txn| {
        let mut lineage = txn.lineage()?;
        let first = match lineage.veto(hash) {
            Ok(first) => first,
            Err(error) => return Ok(Err(refusal(&error))),
        };
        if txn.stop_known(&approval)? {
            return Ok(Ok(false));
        }
        if let Err(error) = count_said(txn, &by)? {
            return Ok(Err(error));
        }
        // Kept and passed on like every stop record, also where another veto came first.
        txn.log_stop(&approval, &bytes)?;
        if first {
            let row = txn.charter(hash)?.ok_or_else(|| StoreError::Damaged(format!("charter {hash} is not there")))?;
            txn.put_charter(hash, &CharterRow { veto: Some(bytes), ..row })?;
            txn.put_lineage(&lineage)?;
            txn.append(time.wall, Event::CharterVetoed { hash: *hash.as_bytes(), approval })?;
        }
        Ok(Ok(first))
    });
    let new = match writing.await {
        Ok(taken) => taken?,
        Err(error) => return Ok(Heard::later(&error)),
    };
    if new {
        tracing::warn!(charter = %hash, %person, "a version of the charter was vetoed");
    }
    Ok(Heard::kept(if new { vec![record.clone()] } else { Vec::new() }, false))
}
