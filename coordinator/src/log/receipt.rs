//! Receipts: the evidence of a signature, put together from the log, and verified before it is handed out.

use std::collections::BTreeSet;

use limen_evidence::checkpoint::SignedCheckpoint;
use limen_evidence::leaf::{Authorization, Leaf, Signature};
use limen_evidence::receipt::{Finality, LoggedLeaf, Receipt, ReceiptError};
use limen_evidence::trust::{Trust, TrustError};
use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId, PartyIndex, SignerSet};
use limen_wire::intent::Intent;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::context::{Core, store_failed};
use crate::lifecycle::{Record, State};
use crate::store::NoteKind;

/// What a verifier of this cluster's receipts pins.
pub(super) fn trust(charter: &Charter) -> Result<Trust, TrustError> {
    let committee = charter.log_committee();
    let nodes = charter.machines().map(|machine| (machine.id.clone(), machine.public_key));
    let hsm_keys = charter.hsm_keys.values().map(|key| (key.id.clone(), key.node.clone()));
    Trust::new(charter.cluster.clone(), nodes, committee.members, committee.quorum, committee.max_corrupt)
        .map(|trust| trust.with_hsm_keys(hsm_keys))
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

/// Of the signature's leaves the first that holds: whoever may hand leaves in can make copies that say something else.
fn made(core: &Core, record: &Record, trust: &Trust, kind: NoteKind) -> Result<pb::ReceiptResponse, ApiError> {
    let note = core.store.note(kind).map_err(store_failed)?.ok_or_else(|| not_ready("nobody has cosigned the log"))?;
    let result = record.result.as_ref().ok_or_else(|| not_ready("the signature is not in hand"))?;
    let mut leaves = core.store.leaves_of(&record.id).map_err(store_failed)?;
    leaves.retain(|(index, _)| *index < note.checkpoint().size());
    let signed = leaves.iter().filter_map(|(index, leaf)| match leaf {
        Leaf::Signature(leaf) if leaf.signature[..] == result.signature[..] => Some((*index, &**leaf)),
        _ => None,
    });
    let mut first = None;
    for one in signed {
        let receipt = gather(core, record, trust, &note, &leaves, one);
        match receipt.and_then(|receipt| verified(record, trust, &receipt)) {
            Ok(response) => return Ok(response),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| not_ready("the log lacks the signature's leaf, or nobody has cosigned it")))
}

fn verified(record: &Record, trust: &Trust, receipt: &Receipt) -> Result<pb::ReceiptResponse, ApiError> {
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

/// A receipt with this leaf of the signature.
fn gather(
    core: &Core,
    record: &Record,
    trust: &Trust,
    note: &SignedCheckpoint,
    leaves: &[(u64, Leaf)],
    signed: (u64, &Signature),
) -> Result<Receipt, ApiError> {
    let (id, epoch) = (&record.key_id, signed.1.epoch);
    let key =
        core.keys.find_at(id, epoch).ok_or_else(|| internal(format!("no certificate of key {id}, epoch {epoch}")))?;
    let mut intent = record.envelope.clone();
    intent.signatures.retain(|signature| signature.signer == record.requester.as_str());
    let mut parts = allowed(trust, &key.statement, &intent, leaves, signed)?;
    parts.push((signed.0, signed.1.encode()));
    let indices: Vec<u64> = parts.iter().map(|(index, _)| *index).collect();
    let proofs = core.store.inclusions(&indices, note.checkpoint().size()).map_err(store_failed)?;
    let logged = parts.into_iter().zip(proofs).map(|((index, leaf), proof)| LoggedLeaf { index, leaf, proof });
    let mut authorizations: Vec<LoggedLeaf> = logged.collect();
    let signature = authorizations.pop().ok_or_else(|| not_ready("the log lacks the signature's leaf"))?;
    let cosignatures = trust.committee().select(note.signatures());
    let checkpoint = SignedCheckpoint::new(note.checkpoint().clone(), cosignatures);
    let checkpoint = checkpoint.map_err(|_| not_ready("no member of the committee has cosigned the log"))?;
    Ok(Receipt { intent, key: key.certificate.clone(), authorizations, signature, checkpoint })
}

/// The authorizations before a signature that a verifier takes, one of each participant: a stray one would spoil the receipt.
fn allowed(
    trust: &Trust,
    key: &KeyStatement,
    intent: &pb::Envelope,
    leaves: &[(u64, Leaf)],
    (place, signature): (u64, &Signature),
) -> Result<Vec<(u64, Vec<u8>)>, ApiError> {
    let (asked, opened) = Intent::open(intent).map_err(internal)?;
    let (mut seen, mut taken) = (BTreeSet::<NodeId>::new(), Vec::new());
    for (index, leaf) in leaves.iter().filter(|(index, _)| *index < place) {
        let Leaf::Authorization(signed) = leaf else { continue };
        let said = signed.unverified();
        let fits = belongs(&asked, signature, said)
            && is_participant(key, &signature.signers, &said.node)
            && said.max_corrupt < key.size.signers_required()
            && !seen.contains(&said.node);
        if fits
            && opened.verify(asked.requester.as_str(), &said.requester_key).is_ok()
            && trust.node_key(&said.node).is_some_and(|key| signed.verify(&key).is_some())
        {
            seen.insert(said.node.clone());
            taken.push((*index, signed.encode()));
        }
    }
    Ok(taken)
}

/// Whether an authorization is of this request and of the session that signed it, in time.
fn belongs(asked: &Intent, signature: &Signature, leaf: &Authorization) -> bool {
    leaf.cluster == asked.cluster
        && leaf.intent == asked.id
        && leaf.key == asked.key_id
        && leaf.path.steps() == asked.path
        && leaf.session == signature.session
        && leaf.signers == signature.signers
        && leaf.epoch == signature.epoch
        && leaf.allowed_at_ms / 1000 < asked.expires_at_secs
}

/// Whether a node is one of these signers of a key.
pub(super) fn is_participant(key: &KeyStatement, signers: &SignerSet, node: &NodeId) -> bool {
    let index = key.nodes.iter().zip(1..).find(|(member, _)| *member == node).map(|(_, index)| index);
    index.and_then(|index| PartyIndex::new(index).ok()).is_some_and(|index| signers.contains(index))
}
