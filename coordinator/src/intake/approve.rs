//! Taking in what people say and what external checkers find. The checks here are advice: people hear at once what the signers would say. What counts,
//! every signer finds out for itself.

use std::sync::Arc;

use limen_policy::approval::{ApprovalError, Facts, verify};
use limen_policy::check::{self, CheckError};
use limen_wire::approval::{Approval, SignedApproval, Verdict};
use limen_wire::check::Check;
use limen_wire::envelope::PayloadType;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, FreezeEpoch, IntentId};
use limen_wire::intent::Intent;
use limen_wire::pb;
use tokio::sync::oneshot;

use super::{judge, malformed, tell_ended};
use crate::context::{Command, Core, store_failed};
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{Event, HeldApproval, HeldCheck, Record};
use crate::store::Entry;

/// Takes an approval, a rejection, a withdrawal or a finding in; durable once answered. The same again changes nothing.
pub async fn approve(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    core.check_serving()?;
    let taken = take(core, envelope).await;
    if taken.is_err() {
        core.metrics.approvals_refused.inc();
    }
    taken
}

async fn take(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    if envelope.payload_type == PayloadType::Check.as_str() {
        return take_check(core, envelope).await;
    }
    let signed = SignedApproval::open(&envelope).map_err(malformed)?;
    let approval = &signed.approval;
    check_cluster(core, &approval.cluster)?;
    let entry = stored(core, &approval.intent_id)?;
    let held = HeldApproval::of(&signed, envelope);
    if entry.record.holds(&held.id) {
        return Ok(entry);
    }
    let said = || tracing::info!(intent = %approval.intent_id, person = %approval.person, verdict = approval.verdict.as_str(), "said");
    hand_over(core, entry, Event::Approved(held.clone()), |record| check(core, record, &signed))
        .await
        .inspect(|_| said())
}

/// What a checker found.
async fn take_check(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    let (found, _) = Check::open(&envelope).map_err(malformed)?;
    check_cluster(core, &found.cluster)?;
    let entry = stored(core, &found.intent_id)?;
    let held = HeldCheck::of(&found, envelope);
    if entry.record.outdates(&held) {
        return Ok(entry);
    }
    let envelope = held.envelope.clone();
    let counts = |record: &Record| {
        let verified = check::verify(&envelope, &core.charter(), &record.id, core.clock.now_secs());
        verified.map(drop).map_err(|error| finding_refusal(&error))
    };
    let said = || tracing::info!(intent = %found.intent_id, checker = %found.checker, passed = found.objection.is_none(), "checked");
    hand_over(core, entry, Event::Checked(held), counts).await.inspect(|_| said())
}

fn check_cluster(core: &Core, found: &ClusterId) -> Result<(), ApiError> {
    if *found == core.charter().cluster {
        return Ok(());
    }
    let message = format!("it is for cluster {found}, this is {}", core.charter().cluster);
    Err(ApiError::new(Code::WrongCluster, message))
}

/// Gives it to the request's driver, if it counts as far as can be told here.
async fn hand_over(
    core: &Arc<Core>,
    entry: Entry,
    event: Event,
    counts: impl FnOnce(&Record) -> Result<(), ApiError>,
) -> Result<Entry, ApiError> {
    let id = entry.record.id;
    let Some(driver) = core.drivers.find(&id) else { return tell_ended(core, &entry, event).map(|_| entry) };
    if !entry.record.state.is_end() {
        counts(&entry.record)?;
    }
    let (reply, answer) = oneshot::channel();
    let sent = driver.send(Command::Said(Box::new(event.clone()), reply)).await;
    match (sent, answer.await) {
        (Ok(()), Ok(taken)) => taken?,
        // It ended while we asked.
        _ => {
            let entry = stored(core, &id)?;
            return tell_ended(core, &entry, event).map(|_| entry);
        }
    }
    core.metrics.approvals.inc();
    stored(core, &id)
}

fn stored(core: &Core, id: &IntentId) -> Result<Entry, ApiError> {
    let entry = core.store.request(id).map_err(store_failed)?;
    entry.ok_or_else(|| ApiError::new(Code::UnknownRequest, format!("there is no request {id}")))
}

/// What the signers would say of it, as far as can be told here.
fn check(core: &Core, record: &Record, signed: &SignedApproval) -> Result<(), ApiError> {
    let Some(key) = core.keys.find(&record.key_id) else { return Ok(()) };
    let facts = facts(core, &key, record, &signed.approval)?;
    verify(signed, &core.charter().roster, &facts, core.clock.now_secs()).map_err(|error| refusal(&error))?;
    let agreed = key.committee.agreed_freeze_epoch(record);
    let other = agreed.is_some_and(|agreed| agreed != *signed.approval.freeze_epoch.as_bytes());
    if signed.approval.verdict == Verdict::Approve && other {
        return Err(refusal(&ApprovalError::OtherFreezeEpoch));
    }
    Ok(())
}

/// The freezes are the signers' to know: here the approval's own word stands in.
fn facts(core: &Core, key: &ActiveKey, record: &Record, approval: &Approval) -> Result<Facts, ApiError> {
    let (intent, _) = Intent::open(&record.envelope).map_err(malformed)?;
    let judged = judge::judge(&core.charter(), &key.statement, intent, core.clock.now_secs())?;
    Ok(Facts {
        cluster: core.charter().cluster.clone(),
        intent_id: record.id,
        effects_digest: judged.effects.digest(),
        decoder_version: judged.effects.decoder_version,
        slice: judged.decision.slice,
        freeze_epoch: FreezeEpoch::new(*approval.freeze_epoch.as_bytes()),
    })
}

fn finding_refusal(error: &CheckError) -> ApiError {
    let code = match error {
        CheckError::Malformed(_) => Code::Malformed,
        CheckError::NotEnrolled { .. } => Code::NotEnrolled,
        CheckError::NotEntitled { .. } => Code::NotPermitted,
        CheckError::Signature { .. } => Code::BadSignature,
        CheckError::OtherCluster { .. } => Code::WrongCluster,
        CheckError::OtherIntent { .. } => Code::UnknownRequest,
        CheckError::OtherCharter { .. } | CheckError::FromTheFuture { .. } => Code::ApprovalLapsed,
        CheckError::Expired { .. } => Code::Expired,
    };
    ApiError::new(code, error.to_string())
}

fn refusal(error: &ApprovalError) -> ApiError {
    let code = match error {
        ApprovalError::NotEnrolled { .. } => Code::NotEnrolled,
        ApprovalError::NotTheirs { .. } => Code::NotPermitted,
        ApprovalError::OtherProof { .. } | ApprovalError::BadSignature { .. } | ApprovalError::Assertion { .. } => {
            Code::BadSignature
        }
        ApprovalError::OtherCluster { .. } => Code::WrongCluster,
        ApprovalError::OtherIntent { .. } => Code::UnknownRequest,
        ApprovalError::Expired { .. } => Code::Expired,
        ApprovalError::OtherEffects
        | ApprovalError::OtherDecoder { .. }
        | ApprovalError::OtherSlice
        | ApprovalError::OtherFreezeEpoch => Code::ApprovalLapsed,
    };
    ApiError::new(code, error.to_string())
}
