//! Requests and keys as the coordinator tells of them, in checked form.

use limen_wire::approval::SignedApproval;
use limen_wire::error::ApiError;
use limen_wire::handover::KeyHandover;
use limen_wire::ids::{Epoch, IntentId, KeyId};
use limen_wire::intent::Intent;
use limen_wire::pb;
use limen_wire::request::RequestState;

use crate::error::{Error, Untrue};

/// A request as the coordinator tells of it. The intent is read from the exact bytes; everything else is its word.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What was asked; its id is recomputed from the bytes.
    pub intent: Intent,
    /// Its exact envelope, whose id the intent has.
    pub envelope: pb::Envelope,
    /// Where it stands.
    pub state: RequestState,
    /// Increases with every change.
    pub version: u64,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// Milliseconds since 1970.
    pub updated_at_ms: u64,
    /// Signing sessions so far.
    pub sessions: u32,
    /// What the coordinator says the bytes do.
    pub effects: Vec<pb::EffectView>,
    /// The coordinator's decision.
    pub decision: Option<pb::Decision>,
    /// What each signer said.
    pub signer_decisions: Vec<pb::SignerDecision>,
    /// What people said, in the order in which it came. Well formed, but proved by nothing here.
    pub approvals: Vec<SignedApproval>,
    /// The signature, in state signed. Unchecked: see [`crate::Client::verify`].
    pub result: Option<pb::SignatureResult>,
    /// Why it ended, or what the last session ran into.
    pub error: Option<ApiError>,
}

impl Request {
    pub(crate) fn from_wire(raw: Option<pb::Request>) -> Result<Self, Error> {
        let raw = raw.ok_or_else(|| Untrue::missing("request"))?;
        let envelope = raw.envelope.as_ref().ok_or_else(|| Untrue::missing("request.envelope"))?;
        let (intent, _) = Intent::open(envelope).map_err(|error| Untrue::malformed("request.envelope", error))?;
        if raw.intent_id.as_ref() != intent.id.as_bytes() {
            return Err(Untrue::OtherIntent.into());
        }
        let approvals = raw.approvals.iter().map(|said| approval(said, intent.id)).collect::<Result<_, _>>()?;
        Ok(Self {
            approvals,
            state: RequestState::from_number(raw.state)
                .ok_or_else(|| Untrue::malformed("state", format_args!("{} is not a known state", raw.state)))?,
            intent,
            envelope: envelope.clone(),
            version: raw.version,
            created_at_ms: raw.created_at_ms,
            updated_at_ms: raw.updated_at_ms,
            sessions: raw.sessions,
            effects: raw.effects,
            decision: raw.decision,
            signer_decisions: raw.signer_decisions,
            result: raw.result,
            error: raw.error.as_ref().map(ApiError::from_wire),
        })
    }
    /// Its name in the cluster.
    pub const fn id(&self) -> IntentId {
        self.intent.id
    }
}

fn approval(said: &pb::Envelope, id: IntentId) -> Result<SignedApproval, Untrue> {
    let signed = SignedApproval::open(said).map_err(|error| Untrue::malformed("request.approvals", error))?;
    if signed.approval.intent_id == id { Ok(signed) } else { Err(Untrue::OtherIntent) }
}

/// The answer to a submit.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The request.
    pub request: Request,
    /// The same bytes were there before.
    pub repeated: bool,
}

/// Which requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; empty means all.
    pub states: Vec<RequestState>,
    /// Only requests for this key.
    pub key_id: Option<KeyId>,
    /// How many on a page, 1 to 200; 0 means 50.
    pub page_size: u32,
}

/// A page of requests, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The requests.
    pub requests: Vec<Request>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// What would happen to an intent.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// The id that it would have.
    pub intent_id: IntentId,
    /// What the coordinator says the bytes do.
    pub effects: Vec<pb::EffectView>,
    /// The coordinator's view.
    pub decision: pb::Decision,
    /// What each reachable signer says.
    pub signer_decisions: Vec<pb::SignerDecision>,
}

/// A key as the coordinator tells of it: unverified. [`crate::KeyDirectory`] gives the verified statement.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyInfo {
    /// Its name.
    pub key_id: KeyId,
    /// Where it stands.
    pub state: pb::KeyState,
    /// The certificate to be verified.
    pub certificate: Option<pb::Envelope>,
    /// Why key generation failed, or what it last ran into.
    pub error: Option<ApiError>,
    /// What key generation is doing.
    pub progress: String,
    /// How far its newest handover is.
    pub handover: Option<HandoverInfo>,
    /// Signers' words that they have destroyed it: `limen_evidence::destroyed` verifies them.
    pub destroyed: Vec<pb::Envelope>,
}

/// A handover of a key to new shares, as the coordinator tells of it: unverified. That it is done, the key's certificate shows.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoverInfo {
    /// Id of its order.
    pub order: IntentId,
    /// Where it stands.
    pub state: pb::HandoverState,
    /// What it is doing.
    pub progress: String,
    /// Why it failed, or what its last attempt ran into.
    pub error: Option<ApiError>,
    /// The lowest epoch that no attempt has taken, as far as the coordinator knows.
    pub next_epoch: Epoch,
}

impl HandoverInfo {
    fn from_wire(raw: pb::Handover) -> Result<Self, Error> {
        let order = raw.order.unwrap_or_default();
        let (order, _) = KeyHandover::open(&order).map_err(|error| Untrue::malformed("handover", error))?;
        Ok(Self {
            order: order.id,
            state: pb::HandoverState::try_from(raw.state).unwrap_or(pb::HandoverState::Unspecified),
            progress: raw.progress,
            error: raw.error.as_ref().map(ApiError::from_wire),
            next_epoch: Epoch(raw.next_epoch),
        })
    }
    /// The state as a fixed word.
    pub const fn state_word(&self) -> &'static str {
        match self.state {
            pb::HandoverState::Unspecified => "unknown",
            pb::HandoverState::Ordered => "ordered",
            pb::HandoverState::Certified => "certified",
            pb::HandoverState::Done => "done",
            pb::HandoverState::Failed => "failed",
        }
    }
}

impl KeyInfo {
    pub(crate) fn from_wire(raw: pb::Key) -> Result<Self, Error> {
        let state = pb::KeyState::try_from(raw.state).unwrap_or(pb::KeyState::Unspecified);
        Ok(Self {
            key_id: KeyId::new(raw.key_id).map_err(|error| Untrue::malformed("key_id", error))?,
            state,
            certificate: raw.certificate,
            error: raw.error.as_ref().map(ApiError::from_wire),
            progress: raw.progress,
            handover: raw.handover.map(HandoverInfo::from_wire).transpose()?,
            destroyed: raw.destroyed,
        })
    }
    /// The state as a fixed word.
    pub const fn state_word(&self) -> &'static str {
        match self.state {
            pb::KeyState::Unspecified => "unknown",
            pb::KeyState::PreActive => "pre_active",
            pb::KeyState::Active => "active",
            pb::KeyState::Failed => "failed",
            pb::KeyState::Elsewhere => "elsewhere",
            pb::KeyState::Suspended => "suspended",
            pb::KeyState::Deactivated => "deactivated",
            pb::KeyState::Compromised => "compromised",
            pb::KeyState::Destroyed => "destroyed",
        }
    }
}
