//! What would happen, without a trace.

use std::sync::Arc;

use limen_wire::error::ApiError;
use limen_wire::pb;
use tokio::task::JoinSet;

use super::{active_key, checked_intent, judge, words};
use crate::context::Core;
use crate::signers::CallError;

/// The coordinator's view, and that of every member of the key that can be reached.
pub async fn simulate(core: &Arc<Core>, envelope: pb::Envelope) -> Result<pb::SimulateResponse, ApiError> {
    core.check_serving()?;
    let intent = checked_intent(core, &envelope)?;
    let id = intent.id;
    let key = active_key(core, &intent)?;
    let judged = judge::judge(&core.charter(), &key.statement, intent, core.clock.now_secs())?;
    let mut calls = JoinSet::new();
    for signer in core.signers.among(&key.committee.members).filter(|signer| signer.is_reachable()) {
        let (signer, bound, intent) = (Arc::clone(signer), core.timing.call_timeout, Some(envelope.clone()));
        calls.spawn(async move {
            let call = signer.port().simulate(pb::AnnounceRequest { intent, ..Default::default() });
            (signer.node.to_string(), signer.within(bound, call).await)
        });
    }
    let mut signer_decisions: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .filter_map(|(node, answer)| {
            let said = match answer {
                Ok(response) => response,
                Err(CallError::Refused(error)) => {
                    let decision = pb::Decision { reasons: vec![error.to_string()], ..pb::Decision::default() };
                    pb::AnnounceResponse { decision: Some(decision), ..pb::AnnounceResponse::default() }
                }
                Err(_) => return None,
            };
            let pb::AnnounceResponse { decision, requirements, freeze_epoch, .. } = said;
            Some(pb::SignerDecision { node, decision: Some(decision.unwrap_or_default()), requirements, freeze_epoch })
        })
        .collect();
    signer_decisions.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(pb::SimulateResponse {
        intent_id: id.as_bytes().to_vec().into(),
        effects: words::views(&core.charter(), &judged.effects),
        decision: Some(judged.decision.to_wire()),
        signer_decisions,
    })
}
