//! Somebody's no to a version of the charter: before it came, and after.

use limen_policy::charter::Charter;
use limen_policy::succession::{Lineage, Step, SuccessionError, check_veto, subject};
use limen_wire::approval::SignedApproval;
use limen_wire::error::ApiError;
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use prost::Message as _;

use super::{Follows, charter_of, failed, parents_of, read, refusal};
use crate::decisions::{Decisions, Heard};
use crate::store::journal::Event;
use crate::store::rows::CharterRow;
use crate::store::{StoreError, Txn, View};

pub(super) fn counts_as_veto(parents: &[Charter], version: &Charter, said: &[u8]) -> bool {
    let signed = pb::Envelope::decode(said).ok().and_then(|record| SignedApproval::open(&record).ok());
    let parents: Vec<&Charter> = parents.iter().collect();
    signed.is_some_and(|signed| check_veto(&parents, version, &signed).is_ok())
}

/// Whether a veto lies here that came in the moment in which the version came, and was kept as a word about something unknown.
pub(super) fn is_vetoed_ahead(txn: &Txn<'_>, lineage: &Lineage, version: CharterHash) -> Result<bool, StoreError> {
    let Some(entry) = lineage.entry(&version).filter(|entry| entry.step != Step::AtOnce) else { return Ok(false) };
    let charter = read(txn, version)?;
    let said = txn.said_ahead(&subject(&charter.cluster, version))?;
    if said.is_empty() {
        return Ok(false);
    }
    let parents = entry.parents.iter().map(|parent| read(txn, *parent)).collect::<Result<Vec<_>, _>>()?;
    Ok(said.iter().any(|said| counts_as_veto(&parents, &charter, said)))
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
    let parents = parents_of(view, &charter).map_err(failed)?;
    let parents = parents.map_err(|missing| refusal(&SuccessionError::UnknownParents(missing)))?;
    let parents: Vec<&Charter> = parents.iter().collect();
    let person = check_veto(&parents, &charter, signed).map_err(|error| refusal(&error))?;
    let (bytes, approval) = (record.encode_to_vec(), *signed.approval.digest().as_bytes());
    let Decisions { store, now: time, .. } = host.decisions();
    let writing = store.write(move |txn| {
        // Kept and passed on like every stop record, also where another veto came first.
        txn.log_stop(&approval, &bytes)?;
        let mut lineage = txn.lineage()?;
        match lineage.veto(hash) {
            Ok(true) => {}
            other => return Ok(other),
        }
        let row = txn.charter(hash)?.ok_or_else(|| StoreError::Damaged(format!("charter {hash} is not there")))?;
        txn.put_charter(hash, &CharterRow { veto: Some(bytes), ..row })?;
        txn.put_lineage(&lineage)?;
        txn.append(time.wall, Event::CharterVetoed { hash: *hash.as_bytes(), approval })?;
        Ok(Ok(true))
    });
    let new = match writing.await {
        Ok(taken) => taken.map_err(|error| refusal(&error))?,
        Err(error) => return Ok(Heard::later(&error)),
    };
    if new {
        tracing::warn!(charter = %hash, %person, "a version of the charter was vetoed");
    }
    Ok(Heard::kept(if new { vec![record.clone()] } else { Vec::new() }, false))
}
