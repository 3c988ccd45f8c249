//! Records of drills on their way to the signers, which judge each themselves, and tell each other and the witnesses.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_wire::envelope::PayloadType;
use limen_wire::error::{ApiError, Code};
use limen_wire::{limits, pb};
use tokio::task::JoinSet;

use crate::context::Core;
use crate::signers::CallError;

/// Hands a record to every signer, and says what became of it at each.
pub async fn file(core: &Core, request: pb::FileDrillRequest) -> Result<pb::FileDrillResponse, ApiError> {
    core.check_serving()?;
    if request.record.len() > limits::DRILL_RECORD_BYTES {
        let (found, limit) = (request.record.len(), limits::DRILL_RECORD_BYTES);
        return Err(ApiError::new(Code::Malformed, format!("the record has {found} bytes, at most {limit} are taken")));
    }
    let payload_type = PayloadType::DrillRecord.as_str().to_owned();
    let record = pb::Envelope { payload_type, payload: request.record, signatures: Vec::new() };
    let (mut calls, bound) = (JoinSet::new(), core.timing.call_timeout);
    for (place, signer) in core.signers.all().iter().enumerate() {
        let (signer, record) = (Arc::clone(signer), record.clone());
        calls.spawn(async move {
            let request = pb::StopRequest { record: Some(record), intent: None };
            let error = match signer.within(bound, signer.port().stop(request)).await {
                Ok(_) => None,
                Err(CallError::Refused(error)) => Some(error),
                Err(error) => Some(ApiError::new(Code::TooFewSigners, error.to_string())),
            };
            let node = signer.node.to_string();
            let error = error.map(|error| ApiError { node: node.clone(), ..error }.to_wire());
            (place, pb::DrillFiled { node, error })
        });
    }
    let answers: BTreeMap<usize, pb::DrillFiled> = calls.join_all().await.into_iter().collect();
    Ok(pb::FileDrillResponse { signers: answers.into_values().collect() })
}
