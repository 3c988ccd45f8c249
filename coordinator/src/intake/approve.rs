//! Taking in what people say. The checks here are advice: people hear at once what the signers would say. What counts,
//! every signer finds out for itself.

use std::sync::Arc;

use limen_policy::approval::{ApprovalError, Facts, verify};
use limen_wire::approval::{Approval, SignedApproval, Verdict};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::FreezeEpoch;
use limen_wire::intent::Intent;
use limen_wire::pb;
use tokio::sync::oneshot;

use super::{judge, malformed, tell_ended};
use crate::context::{Command, Core, store_failed};
use crate::keys::ring::ActiveKey;
use crate::lifecycle::{Event, HeldApproval, Record};
use crate::store::Entry;

/// Takes an approval, a rejection or a withdrawal in; durable once answered. The same again changes nothing.
pub async fn approve(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    core.check_serving()?;
    let taken = take(core, envelope).await;
    if taken.is_err() {
        core.metrics.approvals_refused.inc();
    }
    taken
}

async fn take(core: &Arc<Core>, envelope: pb::Envelope) -> Result<Entry, ApiError> {
    let signed = SignedApproval::open(&envelope).map_err(malformed)?;
    let approval = &signed.approval;
    if approval.cluster != core.charter.cluster {
        let message = format!("it is for cluster {}, this is {}", approval.cluster, core.charter.cluster);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    let entry = stored(core, approval)?;
    let held = HeldApproval::of(&signed, envelope);
    if entry.record.holds(&held.id) {
        return Ok(entry);
    }
    let Some(driver) = core.drivers.find(&approval.intent_id) else {
        return tell_ended(core, entry, Event::Approved(held));
    };
    if !entry.record.state.is_end() {
        check(core, &entry.record, &signed)?;
    }
    let (person, verdict) = (held.person.clone(), held.verdict);
    let (reply, answer) = oneshot::channel();
    let sent = driver.send(Command::Approve(held.clone(), reply)).await;
    match (sent, answer.await) {
        (Ok(()), Ok(taken)) => taken?,
        // It ended while we asked.
        _ => return tell_ended(core, stored(core, approval)?, Event::Approved(held)),
    }
    core.metrics.approvals.inc();
    tracing::info!(intent = %approval.intent_id, %person, verdict = verdict.as_str(), "said");
    stored(core, approval)
}

fn stored(core: &Core, approval: &Approval) -> Result<Entry, ApiError> {
    let id = &approval.intent_id;
    let entry = core.store.request(id).map_err(store_failed)?;
    entry.ok_or_else(|| ApiError::new(Code::UnknownRequest, format!("there is no request {id}")))
}

/// What the signers would say of it, as far as can be told here.
fn check(core: &Core, record: &Record, signed: &SignedApproval) -> Result<(), ApiError> {
    let Some(key) = core.keys.find(&record.key_id) else { return Ok(()) };
    let facts = facts(core, &key, record, &signed.approval)?;
    verify(signed, &core.charter.roster, &facts, core.clock.now_secs()).map_err(|error| refusal(&error))?;
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
    let judged = judge::judge(&core.charter, &key.statement, intent)?;
    Ok(Facts {
        cluster: core.charter.cluster.clone(),
        intent_id: record.id,
        effects_digest: judged.effects.digest(),
        decoder_version: judged.effects.decoder_version,
        slice: judged.decision.slice,
        freeze_epoch: FreezeEpoch::new(*approval.freeze_epoch.as_bytes()),
    })
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
