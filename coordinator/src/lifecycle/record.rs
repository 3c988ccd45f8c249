//! What the coordinator remembers of one request.

use std::collections::BTreeMap;

use bytes::Bytes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, KeyId, NodeId, RequesterId, SessionId};
use limen_wire::intent::Intent;
use limen_wire::pb;
use limen_wire::request::RequestState as State;

use super::approvals::HeldApproval;
use super::checks::HeldCheck;

/// A signing session whose end is not yet known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Its name.
    pub id: SessionId,
    /// Indices of the members that take part, increasing.
    pub signers: Vec<u32>,
}

/// What one signer says about a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Its decision.
    pub decision: pb::Decision,
    /// The code of its refusal; `None` when it allows.
    pub refusal: Option<Code>,
    /// How far it sees each requirement of its decision.
    pub requirements: Vec<pb::RequirementStatus>,
    /// The live freezes, as it hashes them: 32 bytes, or empty.
    pub freeze_epoch: Bytes,
    /// How much of what people said and checkers found it had been shown: see [`Record::said`].
    pub seen: usize,
    /// Milliseconds since 1970, on the coordinator's clock, at which it said so.
    pub said_at_ms: u64,
}

impl Opinion {
    /// From the answer to an announcement that showed so much.
    pub fn from_response(response: pb::AnnounceResponse, seen: usize, now_ms: u64) -> Self {
        let decision = response.decision.unwrap_or_default();
        let refusal = (!decision.allowed).then_some(Code::PolicyDenied);
        let pb::AnnounceResponse { requirements, freeze_epoch, .. } = response;
        Self { decision, refusal, requirements, freeze_epoch, seen, said_at_ms: now_ms }
    }
    /// From a refusal that will not change by itself.
    pub fn from_refusal(error: &ApiError) -> Self {
        let decision = pb::Decision { reasons: vec![error.to_string()], ..pb::Decision::default() };
        let (requirements, freeze_epoch) = (Vec::new(), Bytes::new());
        Self { decision, refusal: Some(error.code), requirements, freeze_epoch, seen: 0, said_at_ms: 0 }
    }
}

/// One request, whole. Only [`super::step`] changes it; the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub id: IntentId,
    /// Who asked.
    pub requester: RequesterId,
    /// The requester's own name for it.
    pub idempotency_key: String,
    /// The key that signs.
    pub key_id: KeyId,
    /// The envelope as handed in.
    pub envelope: pb::Envelope,
    /// Seconds since 1970 after which no signer signs.
    pub expires_at_secs: u64,
    /// Where it stands.
    pub state: State,
    /// What the bytes do, in words.
    pub effects: Vec<pb::EffectView>,
    /// The coordinator's own decision, once made.
    pub decision: Option<pb::Decision>,
    /// What the signers said.
    pub opinions: BTreeMap<NodeId, Opinion>,
    /// What people said, in the order in which it came; each once.
    pub approvals: Vec<HeldApproval>,
    /// The newest finding of each external checker.
    pub checks: Vec<HeldCheck>,
    /// How many findings were taken in so far.
    pub checks_taken: usize,
    /// Milliseconds since 1970 at which it was stored.
    pub created_at_ms: u64,
    /// Milliseconds since 1970 at which it last changed.
    pub updated_at_ms: u64,
    /// Counts changes.
    pub version: u64,
    /// Signing sessions started.
    pub sessions: u32,
    /// The session whose end is not known.
    pub session: Option<OpenSession>,
    /// Some signer may have allowed a session that ended without a signature in hand.
    pub exposed: bool,
    /// The last session, which only asks for a signature made earlier, has been started.
    pub salvaged: bool,
    /// The requester's stop record.
    pub stop: Option<pb::Envelope>,
    /// The signature.
    pub result: Option<pb::SignatureResult>,
    /// Why it ended without one, or what the last session ran into.
    pub error: Option<ApiError>,
}

impl Record {
    /// A request that has just come in.
    pub fn submitted(intent: &Intent, envelope: pb::Envelope, now_ms: u64) -> Self {
        Self {
            id: intent.id,
            requester: intent.requester.clone(),
            idempotency_key: intent.idempotency_key.clone(),
            key_id: intent.key_id.clone(),
            envelope,
            expires_at_secs: intent.expires_at_secs,
            state: State::Submitted,
            effects: Vec::new(),
            decision: None,
            opinions: BTreeMap::new(),
            approvals: Vec::new(),
            checks: Vec::new(),
            checks_taken: 0,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            version: 1,
            sessions: 0,
            session: None,
            exposed: false,
            salvaged: false,
            stop: None,
            result: None,
            error: None,
        }
    }

    /// Whether no signer signs any more.
    pub const fn is_expired(&self, now_ms: u64) -> bool {
        now_ms / 1000 >= self.expires_at_secs
    }

    /// Whether this signer has said all that it can say for now: it refuses, or it has been shown all that was said.
    pub fn has_heard(&self, node: &NodeId) -> bool {
        let current = |opinion: &Opinion| opinion.refusal.is_some() || opinion.seen >= self.said();
        self.opinions.get(node).is_some_and(current)
    }

    /// How much has been said about it so far, by people and by checkers.
    pub const fn said(&self) -> usize {
        self.approvals.len().saturating_add(self.checks_taken)
    }

    /// The bytes of all that people said.
    pub fn approval_envelopes(&self) -> Vec<pb::Envelope> {
        self.approvals.iter().map(|held| held.envelope.clone()).collect()
    }

    /// As clients see it. Waits are those that were left when the record last changed.
    pub fn to_wire(&self) -> pb::Request {
        let signer_decisions = self
            .opinions
            .iter()
            .map(|(node, opinion)| pb::SignerDecision {
                node: node.to_string(),
                decision: Some(opinion.decision.clone()),
                requirements: opinion.requirements_at(self.updated_at_ms),
                freeze_epoch: opinion.freeze_epoch.clone(),
            })
            .collect();
        pb::Request {
            intent_id: self.id.as_bytes().to_vec().into(),
            state: self.state.to_wire().into(),
            envelope: Some(self.envelope.clone()),
            effects: self.effects.clone(),
            decision: self.decision.clone(),
            signer_decisions,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            version: self.version,
            sessions: self.sessions,
            result: self.result.clone(),
            error: self.error.as_ref().map(ApiError::to_wire),
            approvals: self.approval_envelopes(),
            external_checks: self.check_envelopes(),
        }
    }
}
