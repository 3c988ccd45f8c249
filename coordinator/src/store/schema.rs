//! How records lie in the store: protocol-buffer messages of our own behind a checksum.
//!
//! The engine does not check what it reads back, so every value starts with eight bytes of its SHA-256: a damaged disk
//! is noticed instead of believed. Field numbers are never used twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use limen_wire::error::ApiError;
use limen_wire::ids::{IntentId, KeyId, NodeId, RequesterId, SessionId};
use limen_wire::pb;
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::keys::{HandoverPhase, HandoverRecord, KeyPhase, KeyRecord};
use crate::lifecycle::{HeldApproval, HeldCheck, OpenSession, Opinion, Record, State};

/// Version of everything in this file. Raise it with every change that an older binary would misread; see the README.
pub(super) const SCHEMA_VERSION: u64 = 2;

const CHECKSUM: usize = 8;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRequest {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(string, tag = "2")]
    requester: String,
    #[prost(string, tag = "3")]
    idempotency_key: String,
    #[prost(string, tag = "4")]
    key_id: String,
    #[prost(message, optional, tag = "5")]
    envelope: Option<pb::Envelope>,
    #[prost(uint64, tag = "6")]
    expires_at_secs: u64,
    #[prost(int32, tag = "7")]
    state: i32,
    #[prost(message, repeated, tag = "8")]
    effects: Vec<pb::EffectView>,
    #[prost(message, optional, tag = "9")]
    decision: Option<pb::Decision>,
    #[prost(message, repeated, tag = "10")]
    opinions: Vec<StoredOpinion>,
    #[prost(uint64, tag = "11")]
    created_at_ms: u64,
    #[prost(uint64, tag = "12")]
    updated_at_ms: u64,
    #[prost(uint64, tag = "13")]
    version: u64,
    #[prost(uint32, tag = "14")]
    sessions: u32,
    #[prost(bytes = "bytes", tag = "15")]
    session_id: Bytes,
    #[prost(uint32, repeated, tag = "16")]
    session_signers: Vec<u32>,
    #[prost(bool, tag = "17")]
    exposed: bool,
    #[prost(bool, tag = "18")]
    salvaged: bool,
    #[prost(message, optional, tag = "19")]
    stop: Option<pb::Envelope>,
    #[prost(message, optional, tag = "20")]
    result: Option<pb::SignatureResult>,
    #[prost(message, optional, tag = "21")]
    error: Option<pb::Error>,
    /// Place in the list of all requests, from 1.
    #[prost(uint64, tag = "22")]
    number: u64,
    /// Sequence number of the last change.
    #[prost(uint64, tag = "23")]
    sequence: u64,
    /// Since version 2.
    #[prost(message, repeated, tag = "24")]
    approvals: Vec<pb::Envelope>,
    /// This and the following are absent in older records of version 2.
    #[prost(message, repeated, tag = "25")]
    checks: Vec<pb::Envelope>,
    #[prost(uint32, tag = "26")]
    checks_taken: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredOpinion {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(message, optional, tag = "2")]
    decision: Option<pb::Decision>,
    #[prost(string, tag = "3")]
    refusal: String,
    /// This and the following since version 2.
    #[prost(message, repeated, tag = "4")]
    requirements: Vec<pb::RequirementStatus>,
    #[prost(bytes = "bytes", tag = "5")]
    freeze_epoch: Bytes,
    #[prost(uint32, tag = "6")]
    seen: u32,
    #[prost(uint64, tag = "7")]
    said_at_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredKey {
    #[prost(string, tag = "1")]
    key_id: String,
    #[prost(message, optional, tag = "2")]
    order: Option<pb::Envelope>,
    #[prost(uint32, tag = "3")]
    phase: u32,
    #[prost(message, repeated, tag = "4")]
    statements: Vec<NodeStatement>,
    #[prost(message, optional, tag = "5")]
    certificate: Option<pb::Envelope>,
    #[prost(string, repeated, tag = "6")]
    activated: Vec<String>,
    #[prost(uint32, tag = "7")]
    attempts: u32,
    #[prost(message, optional, tag = "8")]
    error: Option<pb::Error>,
    /// This and the following are absent in older records of version 2.
    #[prost(message, repeated, tag = "9")]
    past: Vec<pb::Envelope>,
    #[prost(message, optional, tag = "10")]
    handover: Option<StoredHandover>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pieces: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredHandover {
    #[prost(message, optional, tag = "1")]
    order: Option<pb::Envelope>,
    #[prost(uint32, tag = "2")]
    phase: u32,
    #[prost(uint32, tag = "3")]
    attempts: u32,
    #[prost(message, optional, tag = "4")]
    certificate: Option<pb::Envelope>,
    #[prost(string, repeated, tag = "5")]
    switched: Vec<String>,
    #[prost(message, optional, tag = "6")]
    error: Option<pb::Error>,
    #[prost(uint64, tag = "7")]
    next_epoch: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeStatement {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(message, optional, tag = "2")]
    statement: Option<pb::Envelope>,
}

/// A request with its places in the store's lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The request.
    pub record: Record,
    /// Place in the list of all requests, from 1.
    pub number: u64,
    /// Sequence number of its last change, from 1.
    pub sequence: u64,
}

pub(super) fn seal(message: &impl prost::Message) -> Vec<u8> {
    let mut out = vec![0; CHECKSUM];
    out.reserve(message.encoded_len());
    // A Vec grows as needed: encoding into it cannot fail.
    message.encode(&mut out).unwrap_or_default();
    let (sum, body) = out.split_at_mut(CHECKSUM);
    sum.iter_mut().zip(Sha256::digest(&*body)).for_each(|(to, from)| *to = from);
    out
}

pub(super) fn unseal<M: prost::Message + Default>(bytes: &[u8], what: &str) -> Result<M, StoreError> {
    let damaged = || StoreError::Damaged { what: what.to_owned() };
    let (sum, body) = bytes.split_at_checked(CHECKSUM).ok_or_else(damaged)?;
    if !Sha256::digest(body).starts_with(sum) {
        return Err(damaged());
    }
    M::decode(body).map_err(|_| damaged())
}

pub(super) fn encode_request(entry: &Entry) -> Vec<u8> {
    let record = &entry.record;
    let opinions = record.opinions.iter().map(|(node, opinion)| StoredOpinion {
        node: node.to_string(),
        decision: Some(opinion.decision.clone()),
        refusal: opinion.refusal.map_or_else(String::new, |code| code.as_str().to_owned()),
        requirements: opinion.requirements.clone(),
        freeze_epoch: opinion.freeze_epoch.clone(),
        seen: u32::try_from(opinion.seen).unwrap_or(u32::MAX),
        said_at_ms: opinion.said_at_ms,
    });
    let session = record.session.as_ref();
    seal(&StoredRequest {
        id: Bytes::copy_from_slice(record.id.as_bytes()),
        requester: record.requester.to_string(),
        idempotency_key: record.idempotency_key.clone(),
        key_id: record.key_id.to_string(),
        envelope: Some(record.envelope.clone()),
        expires_at_secs: record.expires_at_secs,
        state: record.state.to_wire().into(),
        effects: record.effects.clone(),
        decision: record.decision.clone(),
        opinions: opinions.collect(),
        created_at_ms: record.created_at_ms,
        updated_at_ms: record.updated_at_ms,
        version: record.version,
        sessions: record.sessions,
        session_id: session.map_or_else(Bytes::new, |session| Bytes::copy_from_slice(session.id.as_bytes())),
        session_signers: session.map_or_else(Vec::new, |session| session.signers.clone()),
        exposed: record.exposed,
        salvaged: record.salvaged,
        stop: record.stop.clone(),
        result: record.result.clone(),
        error: record.error.as_ref().map(ApiError::to_wire),
        number: entry.number,
        sequence: entry.sequence,
        approvals: record.approval_envelopes(),
        checks: record.check_envelopes(),
        checks_taken: u32::try_from(record.checks_taken).unwrap_or(u32::MAX),
    })
}

pub(super) fn decode_request(bytes: &[u8]) -> Result<Entry, StoreError> {
    let stored: StoredRequest = unseal(bytes, "a request")?;
    let damaged = |field: &str| StoreError::Damaged { what: format!("field {field} of a request") };
    let session = match stored.session_id.len() {
        0 => None,
        _ => Some(OpenSession {
            id: SessionId::from_slice(&stored.session_id).map_err(|_| damaged("session_id"))?,
            signers: stored.session_signers,
        }),
    };
    let mut opinions = BTreeMap::new();
    for opinion in stored.opinions {
        let node = NodeId::new(opinion.node).map_err(|_| damaged("opinions"))?;
        let read = Opinion {
            decision: opinion.decision.unwrap_or_default(),
            refusal: limen_wire::error::Code::from_code(&opinion.refusal),
            requirements: opinion.requirements,
            freeze_epoch: opinion.freeze_epoch,
            seen: usize::try_from(opinion.seen).unwrap_or_default(),
            said_at_ms: opinion.said_at_ms,
        };
        opinions.insert(node, read);
    }
    let approvals = stored.approvals.iter().map(HeldApproval::open).collect::<Result<_, _>>();
    let checks = stored.checks.iter().map(HeldCheck::open).collect::<Result<_, _>>();
    let record = Record {
        id: IntentId::from_slice(&stored.id).map_err(|_| damaged("id"))?,
        requester: RequesterId::new(stored.requester).map_err(|_| damaged("requester"))?,
        idempotency_key: stored.idempotency_key,
        key_id: KeyId::new(stored.key_id).map_err(|_| damaged("key_id"))?,
        envelope: stored.envelope.ok_or_else(|| damaged("envelope"))?,
        expires_at_secs: stored.expires_at_secs,
        state: State::from_number(stored.state).ok_or_else(|| damaged("state"))?,
        effects: stored.effects,
        decision: stored.decision,
        opinions,
        approvals: approvals.map_err(|_| damaged("approvals"))?,
        checks: checks.map_err(|_| damaged("checks"))?,
        checks_taken: usize::try_from(stored.checks_taken).unwrap_or_default(),
        created_at_ms: stored.created_at_ms,
        updated_at_ms: stored.updated_at_ms,
        version: stored.version,
        sessions: stored.sessions,
        session,
        exposed: stored.exposed,
        salvaged: stored.salvaged,
        stop: stored.stop,
        result: stored.result,
        error: stored.error.as_ref().map(ApiError::from_wire),
    };
    Ok(Entry { record, number: stored.number, sequence: stored.sequence })
}

pub(super) fn encode_key(key: &KeyRecord) -> Vec<u8> {
    let statements = key
        .statements
        .iter()
        .map(|(node, statement)| NodeStatement { node: node.to_string(), statement: Some(statement.clone()) });
    seal(&StoredKey {
        key_id: key.key_id.to_string(),
        order: Some(key.order.clone()),
        phase: key.phase.number(),
        statements: statements.collect(),
        certificate: key.certificate.clone(),
        activated: key.activated.iter().map(ToString::to_string).collect(),
        attempts: key.attempts,
        error: key.error.as_ref().map(ApiError::to_wire),
        past: key.past.clone(),
        handover: key.handover.as_ref().map(encode_handover),
        pieces: key.pieces.clone(),
    })
}

fn encode_handover(handover: &HandoverRecord) -> StoredHandover {
    StoredHandover {
        order: Some(handover.order.clone()),
        phase: handover.phase.number(),
        attempts: handover.attempts,
        certificate: handover.certificate.clone(),
        switched: handover.switched.iter().map(ToString::to_string).collect(),
        error: handover.error.as_ref().map(ApiError::to_wire),
        next_epoch: handover.next_epoch,
    }
}

fn decode_handover(stored: StoredHandover) -> Result<HandoverRecord, StoreError> {
    let damaged = |field: &str| StoreError::Damaged { what: format!("field {field} of a handover") };
    let switched = stored.switched.into_iter().map(NodeId::new).collect::<Result<_, _>>();
    Ok(HandoverRecord {
        order: stored.order.ok_or_else(|| damaged("order"))?,
        phase: HandoverPhase::from_number(stored.phase).ok_or_else(|| damaged("phase"))?,
        attempts: stored.attempts,
        certificate: stored.certificate,
        switched: switched.map_err(|_| damaged("switched"))?,
        next_epoch: stored.next_epoch,
        error: stored.error.as_ref().map(ApiError::from_wire),
    })
}

pub(super) fn decode_key(bytes: &[u8]) -> Result<KeyRecord, StoreError> {
    let stored: StoredKey = unseal(bytes, "a key")?;
    let damaged = |field: &str| StoreError::Damaged { what: format!("field {field} of a key") };
    let mut statements = BTreeMap::new();
    for entry in stored.statements {
        let node = NodeId::new(entry.node).map_err(|_| damaged("statements"))?;
        statements.insert(node, entry.statement.ok_or_else(|| damaged("statements"))?);
    }
    let activated = stored.activated.into_iter().map(NodeId::new).collect::<Result<_, _>>();
    Ok(KeyRecord {
        key_id: KeyId::new(stored.key_id).map_err(|_| damaged("key_id"))?,
        order: stored.order.ok_or_else(|| damaged("order"))?,
        phase: KeyPhase::from_number(stored.phase).ok_or_else(|| damaged("phase"))?,
        statements,
        certificate: stored.certificate,
        activated: activated.map_err(|_| damaged("activated"))?,
        attempts: stored.attempts,
        error: stored.error.as_ref().map(ApiError::from_wire),
        past: stored.past,
        handover: stored.handover.map(decode_handover).transpose()?,
        pieces: stored.pieces,
    })
}
