//! Receipts: the evidence of a signature, put together from the log, and verified before it is handed out.

use limen_evidence::checkpoint::SignedCheckpoint;
use limen_evidence::leaf::Leaf;
use limen_evidence::receipt::{Finality, LoggedLeaf, Receipt, ReceiptError};
use limen_evidence::trust::{Trust, TrustError};
use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::IntentId;
use limen_wire::pb;

use crate::context::{Core, store_failed};
use crate::lifecycle::{Record, State};
use crate::store::NoteKind;

/// What a verifier of this cluster's receipts pins.
pub(super) fn trust(charter: &Charter) -> Result<Trust, TrustError> {
    let committee = charter.log_committee();
    let nodes = charter.machines().map(|machine| (machine.id.clone(), machine.public_key));
    Trust::new(charter.cluster.clone(), nodes, committee.members, committee.quorum, committee.max_corrupt)
}

fn not_ready(why: &str) -> ApiError {
    ApiError::new(Code::ReceiptNotReady, format!("there is no receipt yet: {why}"))
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Internal, error.to_string())
}

/// The evidence of a request's signature.
pub(crate) fn receipt(core: &Core, request: &pb::ReceiptRequest) -> Result<pb::ReceiptResponse, ApiError> {
    core.check_serving()?;
    let id = IntentId::from_slice(&request.intent_id);
    let id = id.map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let entry = core.store.request(&id).map_err(store_failed)?;
    let entry = entry.ok_or_else(|| ApiError::new(Code::UnknownRequest, format!("there is no request {id}")))?;
    let state = entry.record.state;
    if state != State::Signed {
        let message = format!("request {id} is {}: there is a receipt of a signature only", state.as_str());
        return Err(ApiError::new(Code::WrongState, message));
    }
    let trust = trust(&core.charter()).map_err(internal)?;
    // A final one where the newest is not.
    let mut first = None;
    for kind in [NoteKind::Newest, NoteKind::Final] {
        let made = made(core, &entry.record, &trust, kind);
        match made {
            Ok(response) if response.r#final => return Ok(response),
            other => drop(first.get_or_insert(other)),
        }
    }
    first.unwrap_or_else(|| Err(not_ready("the log has no checkpoint")))
}

fn made(core: &Core, record: &Record, trust: &Trust, kind: NoteKind) -> Result<pb::ReceiptResponse, ApiError> {
    let note = core.store.note(kind).map_err(store_failed)?.ok_or_else(|| not_ready("nobody has cosigned the log"))?;
    let receipt = gather(core, record, trust, note)?;
    let verified = receipt.verify(trust).map_err(|error| match error {
        ReceiptError::TooFewAuthorizations { .. } => not_ready(&error.to_string()),
        error => internal(format!("the evidence of request {} does not hold: {error}", record.id)),
    })?;
    let have = u32::try_from(verified.cosigned_by.len()).unwrap_or(u32::MAX);
    Ok(pb::ReceiptResponse {
        receipt: receipt.encode().into(),
        r#final: verified.finality == Finality::Final,
        cosignatures: have,
        quorum: u32::try_from(trust.committee().quorum()).unwrap_or(u32::MAX),
    })
}

fn gather(core: &Core, record: &Record, trust: &Trust, note: SignedCheckpoint) -> Result<Receipt, ApiError> {
    let result = record.result.as_ref().ok_or_else(|| not_ready("the signature is not in hand"))?;
    let key = core.keys.find(&record.key_id).ok_or_else(|| internal(format!("no certified key {}", record.key_id)))?;
    let size = note.checkpoint().size();
    let mut leaves = core.store.leaves_of(&record.id).map_err(store_failed)?;
    leaves.retain(|(index, _)| *index < size);
    let signed = leaves.iter().find_map(|(index, leaf)| match leaf {
        Leaf::Signature(leaf) if leaf.signature[..] == result.signature[..] => Some((*index, leaf.clone())),
        _ => None,
    });
    let (place, signature) =
        signed.ok_or_else(|| not_ready("the log lacks the signature's leaf, or nobody has cosigned it"))?;
    leaves.retain(|(index, leaf)| match leaf {
        Leaf::Authorization(leaf) => *index < place && leaf.unverified().session == signature.session,
        Leaf::Signature(_) => *index == place,
    });
    let indices: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    let proofs = core.store.inclusions(&indices, size).map_err(store_failed)?;
    let logged = leaves.iter().zip(proofs).map(|((index, leaf), proof)| {
        let leaf = leaf.encode();
        LoggedLeaf { index: *index, leaf, proof }
    });
    let mut authorizations: Vec<LoggedLeaf> = logged.collect();
    let signature = authorizations.pop().ok_or_else(|| not_ready("the log lacks the signature's leaf"))?;
    let cosignatures = trust.committee().select(note.signatures());
    let checkpoint = SignedCheckpoint::new(note.checkpoint().clone(), cosignatures);
    let checkpoint = checkpoint.map_err(|_| not_ready("no member of the committee has cosigned the log"))?;
    let mut intent = record.envelope.clone();
    intent.signatures.retain(|signature| signature.signer == record.requester.as_str());
    Ok(Receipt { intent, key: key.certificate.clone(), authorizations, signature, checkpoint })
}
