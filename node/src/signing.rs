//! From a sign request to a verified signature: examine, admit durably, run the session, keep the result.

use std::collections::HashMap;
use std::sync::Arc;

use limen_mpc::{Abort, Action, Blame, Output, Seed, Session, SignMode, Signature};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, NodeId, PartyIndex, Protocol, SessionId};
use limen_wire::intent::Payload;
use limen_wire::pb;
use prost::Message as _;
use tokio::time::Instant;

use crate::approvals::{Papers, Shown};
use crate::guard::{self, Examined, KeyFacts, Reservations, SignCall, SignToken, Verdict};
use crate::metrics::{Reason, SessionLabels};
use crate::nonces::Reference;
use crate::peers;
use crate::sessions::{Drive, Ended, Inbox, OpenError, SetUp, deadline_in, drive};
use crate::shared::Shared;
use crate::store::StoreError;
use crate::store::journal::Event;
use crate::store::rows::{BanRow, StoredSignature};
use crate::trace::TraceContext;
use crate::vault::{Opened, VaultError};
use crate::{admission, entropy, nonces, presigning, stops};

/// A refusal, and which signers were waited for in vain or are suspected.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub error: ApiError,
    /// Indices of the signers to avoid.
    pub suspects: Vec<PartyIndex>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, suspects: Vec::new() }
    }
}

/// What came with an intent, and what is held here of before; what does not count is counted.
pub(crate) fn show(shared: &Shared, examined: &Examined, papers: &Papers<'_>) -> Result<Shown, ApiError> {
    let shown = shared.decisions().show(examined, papers)?;
    if shown.dropped > 0 {
        shared.metrics.dropped_approvals.inc_by(shown.dropped as u64);
    }
    Ok(shown)
}

/// The key that a request names, as far as it can be read without checking anything.
pub(crate) fn key_of(request: &pb::SignRequest) -> Option<KeyId> {
    let envelope = request.authorization.as_ref()?.intent.as_ref()?;
    KeyId::new(pb::Intent::decode(envelope.payload.clone()).ok()?.key_id).ok()
}

/// Takes part in signing. The session goes on if the caller goes away: its result answers the repeat.
pub async fn sign(shared: Arc<Shared>, request: pb::SignRequest) -> Result<pb::SignatureResult, Refusal> {
    shared.check_running()?;
    let authorization = request.authorization.unwrap_or_default();
    let envelope = authorization.intent.unwrap_or_default();
    let examined = shared.decisions().examine(&envelope)?;
    let call = guard::sign_call(&request.session_id, &request.signers)?;
    if let Some(result) = repeat(&shared, &examined)? {
        return Ok(result);
    }
    guard::check_epoch_named(examined.key(), request.epoch)?;
    if !call.signers.contains(examined.key().me) {
        return Err(ApiError::new(Code::BadSignerSet, "this signer is none of the set").into());
    }
    check_links(&shared, &examined, &call)?;
    let nonces = nonces::references(&request.nonces, &call.signers)?;
    if !nonces.is_empty() {
        shared.nonces.check(examined.key(), examined.effects().is_bare(), &nonces)?;
    }
    let presignature = match request.presignature_id.as_ref() {
        [] => None,
        id => {
            let id = SessionId::from_slice(id).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
            presigning::check(&shared, &examined, &id)?;
            Some(id)
        }
    };
    let members = members(examined.key(), &call);
    let deadline = deadline_in(shared.limits.sign_timeout(request.timeout_ms));
    // The inbox opens first: frames of members that are quicker than our disk go straight to it.
    let inbox = open(&shared, &call, &members)?;
    // Before the decision, so that a token that is away costs the intent none of its sessions.
    let public = &examined.key().public;
    let share = shared.open_share(&public.key, public.epoch).await.map_err(|error| unusable(&error))?;
    share.check_input(examined.input()).map_err(|error| error.to_api())?;
    if share.is_in_token() && !(nonces.is_empty() && presignature.is_none()) {
        return Err(ApiError::new(Code::NonceUnavailable, "a key in the token uses nothing shared ahead").into());
    }
    let papers = Papers { approvals: &authorization.approvals, checks: &authorization.external_checks };
    let examined = shared.decisions().priced(examined, &papers);
    let mut shown = show(&shared, &examined, &papers)?;
    let longest_ms = shared.limits.sign_timeout(request.timeout_ms).as_millis();
    let session_ms = u64::try_from(longest_ms).unwrap_or(u64::MAX);
    shown.reservations = Reservations::read(&shared.charter(), &examined, &authorization.reservations, session_ms);
    let (no_standing, leaf_patience_ms) =
        (peers::stands_for(shared.as_ref(), examined.key()).err(), shared.leaf_patience_ms);
    let call = SignCall { no_standing, leaf_patience_ms, ..call };
    let kept = examined.clone();
    let decided = shared.decisions().sign(examined, call, envelope, shown).await?;
    stops::tell(shared.as_ref(), &decided.news);
    let token = match decided.verdict {
        Verdict::Allowed(token) => token,
        Verdict::Repeat(stored) => {
            count_decision(&shared, "repeat");
            return Ok(result_of(&kept, &stored)?);
        }
        Verdict::Refused(error) => {
            count_decision(&shared, "refused");
            return Err(error.into());
        }
    };
    count_decision(&shared, "allowed");
    let run = Run { share, inbox, members, deadline, nonces, presignature };
    let (task, answer) = (Arc::clone(&shared), tokio::sync::oneshot::channel());
    shared.tasks.spawn(async move {
        let result = run_session(&task, token, run).await;
        drop(answer.0.send(result));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

/// What a share that cannot be used now is to a caller; this signer's own people find it in its log.
pub(crate) fn unusable(error: &VaultError) -> ApiError {
    let answer = error.to_api();
    if let Some(count) = crate::ratelimit::WARNINGS.pass(answer.code.as_str()) {
        tracing::error!(%error, code = answer.code.as_str(), count, "a share cannot be used now");
    }
    answer
}

fn count_decision(shared: &Shared, reason: &'static str) {
    shared.metrics.decisions.get_or_create(&Reason { reason }).inc();
}

/// The stored answer, if there is one already: found without a write and without a session.
fn repeat(shared: &Shared, examined: &Examined) -> Result<Option<pb::SignatureResult>, ApiError> {
    match shared.decisions().stored(examined)? {
        Some(stored) => {
            count_decision(shared, "repeat");
            result_of(examined, &stored).map(Some)
        }
        None => Ok(None),
    }
}

/// A session with a member that cannot be reached would only burn time and one of the intent's sessions.
fn check_links(shared: &Shared, examined: &Examined, call: &SignCall) -> Result<(), Refusal> {
    let key = examined.key();
    let unreachable = |party: &PartyIndex| key.node_at(*party).is_some_and(|node| !shared.mesh.connected(node));
    let suspects: Vec<_> = call.signers.others(key.me).filter(unreachable).collect();
    if suspects.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = suspects.iter().filter_map(|party| key.node_at(*party)).map(ToString::to_string).collect();
    let message = format!("this signer has no link to {}", names.join(", "));
    Err(Refusal { error: ApiError::new(Code::TooFewSigners, message), suspects })
}

pub(crate) fn members(key: &KeyFacts, call: &SignCall) -> HashMap<NodeId, PartyIndex> {
    let others = call.signers.others(key.me);
    others.filter_map(|party| Some((key.node_at(party)?.clone(), party))).collect()
}

pub(crate) fn open(shared: &Shared, call: &SignCall, members: &HashMap<NodeId, PartyIndex>) -> Result<Inbox, ApiError> {
    shared.sessions.open(call.session, members.clone()).map_err(|error| match error {
        OpenError::TooMany => ApiError::new(Code::Overloaded, error.to_string()),
        OpenError::Running => ApiError::new(Code::SessionDead, error.to_string()),
    })
}

/// What a session task owns besides its permission.
struct Run {
    share: Opened,
    inbox: Inbox,
    members: HashMap<NodeId, PartyIndex>,
    deadline: Instant,
    nonces: Vec<Reference>,
    presignature: Option<SessionId>,
}

/// The only place where a share signs: it takes the permission and uses it up.
async fn run_session(shared: &Arc<Shared>, token: SignToken, run: Run) -> Result<pb::SignatureResult, Refusal> {
    if run.share.is_in_token() {
        return sign_in_token(shared, token, run).await;
    }
    let share = shared.vault.to_sign(&run.share, &token).map_err(|error| error.to_api())?;
    let (mode, input) = match (run.nonces.as_slice(), run.presignature) {
        (_, Some(id)) => presigning::take(shared, token.examined(), token.call(), &id)?,
        ([], None) => {
            // Bare digests never use nonces shared ahead: that says nothing of the pool.
            if !token.examined().effects().is_bare() {
                shared.nonces.pass_over(&token.key().public.key);
            }
            (SignMode::Full, token.input().clone())
        }
        (references, None) => (shared.nonces.take(token.key(), references)?, token.input().clone()),
    };
    let intent = token.examined().intent();
    let trace_context = TraceContext { key: intent.key_id.to_string(), intent: intent.id.to_string() };
    let context = Drive {
        inbox: run.inbox,
        members: run.members,
        deadline: run.deadline,
        mesh: Arc::clone(&shared.mesh),
        crypto: shared.crypto.clone(),
        quarantine: Arc::clone(&shared.quarantine),
        lifted: token.lifted().clone(),
        protocol: token.key().public.protocol,
        set_up: SetUp::InUse,
        trace: shared.trace.clone().map(|trace| (trace, trace_context)),
    };
    let (params, me) = (token.params(), token.key().me);
    let path = token.path().clone();
    let seed = Seed::new(*entropy::random());
    let ended = drive(context, move || Session::sign(params, me, share, &path, &input, mode, seed)).await;
    finish(shared, &token, ended).await
}

/// The other place: the token signs alone, once for this permission. Whatever it answers, only what verifies leaves here.
async fn sign_in_token(shared: &Arc<Shared>, token: SignToken, run: Run) -> Result<pb::SignatureResult, Refusal> {
    let count = |outcome| {
        let labels = SessionLabels { protocol: Protocol::Hsm.as_str(), purpose: "sign", outcome };
        shared.metrics.sessions.get_or_create(&labels).inc();
    };
    let (vault, opened, deadline) = (Arc::clone(&shared.vault), run.share, run.deadline);
    let is_late = move || Instant::now() >= deadline;
    let signing = tokio::task::spawn_blocking(move || {
        // What covers the signature holds until the session's end, and a token may have kept others waiting.
        let signed = (!is_late()).then(|| vault.sign_in_token(&opened, &token));
        (token, signed)
    });
    let lost = || ApiError::new(Code::SessionAborted, "the token's call ended without a result");
    let (token, signed) = signing.await.map_err(|_| lost())?;
    match signed.filter(|_| !is_late()) {
        None => {
            count("timeout");
            Err(ApiError::new(Code::SessionTimeout, "the token did not sign within the session's time").into())
        }
        Some(Ok(signature)) => {
            count("done");
            complete(shared, &token, &signature)
        }
        Some(Err(error)) => {
            count("aborted");
            tracing::error!(%error, session = %token.session(), "a token did not sign what was allowed");
            // The permission is durable, so nobody may take this for a refusal before it: the token may have signed.
            let code = match error.to_api().code {
                Code::HsmWrongAnswer => Code::HsmWrongAnswer,
                _ => Code::SessionAborted,
            };
            Err(ApiError::new(code, error.to_string()).into())
        }
    }
}

async fn finish(shared: &Arc<Shared>, token: &SignToken, ended: Ended) -> Result<pb::SignatureResult, Refusal> {
    let key = token.key();
    let labels = |outcome| SessionLabels { protocol: key.public.protocol.as_str(), purpose: "sign", outcome };
    let Ended::Done(Output::Signature(signature)) = ended else {
        let refusal = session_error(shared, &key.nodes, token.session().as_bytes(), ended).await;
        let outcome = if refusal.error.code == Code::SessionTimeout { "timeout" } else { "aborted" };
        shared.metrics.sessions.get_or_create(&labels(outcome)).inc();
        return Err(refusal);
    };
    let done = complete(shared, token, &signature);
    if done.is_ok() {
        shared.metrics.sessions.get_or_create(&labels("done")).inc();
    }
    done
}

/// Keeps a signature and makes the answer of it.
fn complete(shared: &Shared, token: &SignToken, signature: &Signature) -> Result<pb::SignatureResult, Refusal> {
    // Every signature is checked again under the derived key, whatever the protocol has checked.
    signature.verify(&token.examined().child_key(), token.input()).map_err(|error| {
        tracing::error!(%error, session = %token.session(), "a finished signature does not verify");
        ApiError::new(Code::SessionAborted, error.to_string())
    })?;
    let stored = stored(token, signature);
    let result = result_of(token.examined(), &stored)?;
    keep_result(shared, token, stored);
    Ok(result)
}

fn stored(token: &SignToken, signature: &Signature) -> StoredSignature {
    StoredSignature {
        signature: signature.to_bytes().to_vec(),
        recovery_id: signature.recovery_id(),
        session: token.session().as_bytes().to_vec(),
        signers: token.call().signers.parties().iter().map(|party| party.as_u8()).collect(),
    }
}

/// Nobody waits for this write: the decision is durable, and a lost result only means that the repeat signs anew.
fn keep_result(shared: &Shared, token: &SignToken, stored: StoredSignature) {
    let (id, time) = (token.examined().intent().id, shared.time());
    let leaf = admission::signature_leaf(&shared.charter(), token, &stored, time);
    let kept = shared.store.write_later(move |txn| admission::keep(txn, id, (stored, leaf), time.wall));
    if let Err(error) = kept {
        tracing::warn!(%error, intent = %id, "a signature was not kept; a repeat will sign again");
    }
}

/// The answer as the wire has it: signed transaction and public key are computed from the intent's bytes.
pub fn result_of(examined: &Examined, stored: &StoredSignature) -> Result<pb::SignatureResult, ApiError> {
    let mut result = pb::SignatureResult {
        signature: stored.signature.clone().into(),
        recovery_id: stored.recovery_id.into(),
        public_key: examined.public_key().into(),
        signed_transaction: bytes::Bytes::new(),
        transaction_hash: bytes::Bytes::new(),
        session_id: stored.session.clone().into(),
        signers: stored.signers.iter().copied().map(u32::from).collect(),
    };
    if let Payload::EvmTransaction(unsigned) = &examined.intent().payload {
        let failed = |what: String| ApiError::new(Code::Internal, format!("attaching the signature: {what}"));
        let (r, rest) = stored.signature.split_first_chunk::<32>().ok_or_else(|| failed("short".to_owned()))?;
        let s = rest.first_chunk::<32>().ok_or_else(|| failed("short".to_owned()))?;
        let signed = limen_chain::evm::attach_signature(unsigned, examined.account(), r, s, stored.recovery_id)
            .map_err(|error| failed(error.to_string()))?;
        result.signed_transaction = signed.raw.into();
        result.transaction_hash = signed.hash.to_vec().into();
    }
    Ok(result)
}

/// What a session without result means for the caller; bans are made durable on the way.
pub(crate) async fn session_error(shared: &Shared, nodes: &[NodeId], session: &[u8; 32], ended: Ended) -> Refusal {
    let name = hex::encode(session);
    let node_at = |party: PartyIndex| nodes.get(usize::from(party.as_u8()).checked_sub(1)?);
    match ended {
        Ended::TimedOut(suspects) => {
            let who: Vec<_> = suspects.iter().filter_map(|party| node_at(*party)).map(ToString::to_string).collect();
            let message = format!("session {name} timed out waiting for {}", who.join(", "));
            Refusal { error: ApiError::new(Code::SessionTimeout, message), suspects }
        }
        Ended::PeerLost(party) => {
            let who = node_at(party).map(ToString::to_string).unwrap_or_default();
            let message = format!("session {name} lost its link to {who}");
            Refusal { error: ApiError::new(Code::SessionAborted, message), suspects: vec![party] }
        }
        Ended::Aborted(abort) => {
            tracing::warn!(session = %name, %abort, blame = ?abort.blame, "session aborted");
            let suspects = match &abort.blame {
                Blame::Nobody => Vec::new(),
                Blame::Suspects(set) => set.iter().copied().collect(),
                Blame::Party { party, action } => {
                    if let (Action::Ban, Some(node)) = (action, node_at(*party)) {
                        ban(shared, node, *session, &abort).await;
                    }
                    vec![*party]
                }
            };
            Refusal { error: ApiError::new(Code::SessionAborted, abort.to_string()), suspects }
        }
        Ended::Quarantined(party) => {
            let who = node_at(party).map(ToString::to_string).unwrap_or_default();
            let message = format!("session {name} was given up: {who} failed a consistency check in another one");
            Refusal { error: ApiError::new(Code::PeerBanned, message), suspects: vec![party] }
        }
        Ended::NotStarted(error) => ApiError::new(Code::SessionAborted, error.to_string()).into(),
        Ended::Done(_) => ApiError::new(Code::Internal, format!("session {name} gave another kind of result")).into(),
        Ended::Lost => ApiError::new(Code::SessionAborted, format!("session {name} was lost here")).into(),
    }
}

/// Bans a peer: for all keys, durably, before the session's end is told to anybody.
async fn ban(shared: &Shared, node: &NodeId, session: [u8; 32], abort: &Abort) {
    tracing::error!(peer = %node, %abort, "peer banned: no protocol runs with it again until a reshare");
    shared.metrics.banned_peers.inc();
    loop {
        let (peer, now, reason) = (node.clone(), shared.now(), abort.to_string());
        let banned = shared.store.write(move |txn| {
            let tainted = txn.newest_epochs()?;
            txn.put_ban(&peer, &BanRow { at_ms: now.0, session, reason: reason.clone(), tainted })?;
            txn.append(now, Event::Banned { peer: peer.to_string(), session, reason })
        });
        match banned.await {
            Ok(()) => break,
            // A full queue must not cost the ban: the peer is quarantined already, so there is time to wait for a place.
            Err(StoreError::Busy) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            Err(error) => {
                tracing::error!(%error, "a ban could not be stored: the process stops");
                std::process::abort();
            }
        }
    }
    // Other sessions with this peer use the same set-up: they end too.
    shared.sessions.peer_lost(node);
}
