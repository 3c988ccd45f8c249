//! One signing session as seen from outside: call every member at once, take the first signature that verifies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{NodeId, SessionId};
use limen_wire::pb;
use tokio::task::JoinSet;

use crate::context::Core;
use crate::intake::judge::Judged;
use crate::lifecycle::Outcome;
use crate::signers::{CallError, Signer};

/// How long the others may still answer once one member has failed: a repeated signature comes at once.
const GRACE: Duration = Duration::from_millis(150);
/// What a signer's own time-out gets to travel back before ours strikes.
const MARGIN: Duration = Duration::from_millis(500);

/// A session about to start.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) members: Vec<(u32, Arc<Signer>)>,
    pub(super) request: pb::SignRequest,
    pub(super) judged: Arc<Judged>,
    pub(super) timeout: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: SessionId,
    pub(super) outcome: Outcome,
    /// Refusals that will not change by themselves.
    pub(super) refusals: Vec<(NodeId, ApiError)>,
    /// Members that failed or were named by others.
    pub(super) suspects: Vec<NodeId>,
    /// A nonce or presignature was not to be had.
    pub(super) nonce_missed: bool,
}

type Answer = (u32, NodeId, Result<pb::SignResponse, CallError>);

struct Progress {
    /// Members that can have allowed the session as far as we know.
    exposed: usize,
    error: Option<ApiError>,
    refusals: Vec<(NodeId, ApiError)>,
    early: Vec<NodeId>,
    suspects: Vec<u32>,
    nonce_missed: bool,
    /// A member has other shares, or other nonces, than this session is about: whatever the others say, the next one can begin.
    moved: bool,
}

impl Session {
    pub(super) async fn run(self, core: Arc<Core>) -> Report {
        let mut calls = self.start(&core);
        let mut progress = Progress {
            exposed: self.members.len(),
            error: None,
            refusals: Vec::new(),
            early: Vec::new(),
            suspects: Vec::new(),
            nonce_missed: false,
            moved: false,
        };
        let mut changes = core.signers.changes();
        let mut deadline = tokio::time::Instant::now() + self.timeout + MARGIN;
        loop {
            let answer = tokio::select! {
                answer = calls.join_next() => answer,
                () = tokio::time::sleep_until(deadline) => None,
                // A member that stopped answering will not finish this session: do not wait for its time-out.
                Ok(()) = changes.changed() => {
                    if self.note_lost(&mut progress) {
                        deadline = deadline.min(tokio::time::Instant::now() + GRACE);
                    }
                    continue;
                }
            };
            let Some(Ok((index, node, answer))) = answer else { break };
            match self.take(&core, &mut progress, index, &node, answer) {
                Some(result) => {
                    self.drain(&core, calls, Some(result.signature.clone()));
                    return self.report(progress, Outcome::Signed(result));
                }
                None if progress.moved => break,
                None => deadline = deadline.min(tokio::time::Instant::now() + GRACE),
            }
        }
        self.drain(&core, calls, None);
        let late = || ApiError::new(Code::SessionTimeout, "the session did not end in time");
        let error = progress.error.clone().unwrap_or_else(late);
        let early = std::mem::take(&mut progress.early);
        let outcome = Outcome::Failed { error, exposed: progress.exposed > 0, early };
        self.report(progress, outcome)
    }

    fn start(&self, core: &Core) -> JoinSet<Answer> {
        let mut calls = JoinSet::new();
        for (index, signer) in &self.members {
            let (index, signer, request) = (*index, Arc::clone(signer), self.request.clone());
            let bound = self.timeout + MARGIN;
            calls.spawn(async move {
                let answer = signer.within(bound, signer.port().sign(request)).await;
                (index, signer.node.clone(), answer)
            });
        }
        core.metrics.sessions_started.inc();
        calls
    }

    fn note_lost(&self, progress: &mut Progress) -> bool {
        let lost: Vec<_> = self.members.iter().filter(|(_, signer)| !signer.is_reachable()).collect();
        for (index, signer) in &lost {
            progress.suspects.push(*index);
            let message = format!("{} was lost during the session", signer.node);
            progress.error.get_or_insert_with(|| ApiError::new(Code::SessionAborted, message));
        }
        !lost.is_empty()
    }

    fn take(
        &self,
        core: &Core,
        progress: &mut Progress,
        index: u32,
        node: &NodeId,
        answer: Result<pb::SignResponse, CallError>,
    ) -> Option<pb::SignatureResult> {
        let response = match answer {
            Ok(response) => response,
            Err(CallError::Refused(error)) => {
                self.refused(progress, index, node, error);
                return None;
            }
            Err(error) => {
                progress.suspects.push(index);
                let code = match error {
                    CallError::Timeout(_) => Code::SessionTimeout,
                    _ => Code::SessionAborted,
                };
                let error = ApiError { code, message: error.to_string(), node: node.to_string() };
                progress.error.get_or_insert(error);
                return None;
            }
        };
        core.observe_nonces(node, &response.nonce_pool);
        progress.suspects.extend(&response.suspects);
        match response.outcome {
            Some(pb::sign_response::Outcome::Signature(result)) => {
                match super::verified(core, &self.judged, node, &result) {
                    Ok(result) => return Some(result),
                    Err(error) => {
                        progress.suspects.push(index);
                        progress.error = Some(ApiError { node: node.to_string(), ..error });
                    }
                }
            }
            Some(pb::sign_response::Outcome::Refusal(error)) => {
                let error = ApiError { node: node.to_string(), ..ApiError::from_wire(&error) };
                self.refused(progress, index, node, error);
            }
            None => progress.suspects.push(index),
        }
        None
    }

    fn refused(&self, progress: &mut Progress, index: u32, node: &NodeId, error: ApiError) {
        let error = ApiError { node: node.to_string(), ..error };
        if was_refused_before_allowing(error.code) {
            progress.exposed = progress.exposed.saturating_sub(1);
        }
        match error.code {
            Code::NonceUnavailable if self.uses_what_was_shared_ahead() => {
                progress.suspects.push(index);
                progress.nonce_missed = true;
                progress.moved = true;
            }
            // It has other shares than we know of. Once we know them, strikes are forgotten.
            Code::EpochChanged => {
                progress.suspects.push(index);
                progress.moved = true;
            }
            Code::ApprovalsMissing
            | Code::TimeLocked
            | Code::Frozen
            | Code::KeySuspended
            | Code::NoStanding
            | Code::LeafMissing
            | Code::CharterChanged
            | Code::CharterFork => {
                progress.early.push(node.clone());
            }
            // Waiting for somebody else in vain is no fault of this member.
            // Nor is that a reservation has ended meanwhile.
            Code::SessionTimeout | Code::SessionAborted | Code::TooFewSigners | Code::ReservationMissing => {}
            code if speaks_for_itself(code) => progress.refusals.push((node.clone(), error.clone())),
            _ => progress.suspects.push(index),
        }
        progress.error.get_or_insert(error);
    }

    /// Whether a member can be without what this session is to use up: asked for nothing of the kind, it has no such excuse.
    fn uses_what_was_shared_ahead(&self) -> bool {
        !self.request.nonces.is_empty() || !self.request.presignature_id.is_empty()
    }

    /// Lets the remaining calls end by themselves: a signer may be about to note the result, or to hand it over late.
    /// Whatever differs from the signature in hand is looked at.
    fn drain(&self, core: &Arc<Core>, mut calls: JoinSet<Answer>, in_hand: Option<Bytes>) {
        if calls.is_empty() {
            return;
        }
        let (core, judged) = (Arc::clone(core), Arc::clone(&self.judged));
        core.clone().tasks.spawn(async move {
            while let Some(answer) = calls.join_next().await {
                let Ok((_, node, Ok(response))) = answer else { continue };
                core.observe_nonces(&node, &response.nonce_pool);
                let Some(pb::sign_response::Outcome::Signature(result)) = response.outcome else { continue };
                if in_hand.as_ref() == Some(&result.signature) {
                    continue;
                }
                if let Ok(result) = super::verified(&core, &judged, &node, &result)
                    && let Err(error) = super::found(&core, judged.intent.id, result).await
                {
                    tracing::error!(%error, "a late signature could not be stored");
                }
            }
        });
    }

    fn report(&self, progress: Progress, outcome: Outcome) -> Report {
        let named = |index: &u32| self.members.iter().find(|(member, _)| member == index);
        let suspects = progress.suspects.iter().filter_map(named).map(|(_, signer)| signer.node.clone()).collect();
        let Progress { refusals, nonce_missed, .. } = progress;
        Report { id: self.id, outcome, refusals, suspects, nonce_missed }
    }
}

/// Whether a signer that answers so cannot have allowed the session.
const fn was_refused_before_allowing(code: Code) -> bool {
    speaks_for_itself(code)
        || matches!(
            code,
            Code::ApprovalsMissing
                | Code::TimeLocked
                | Code::Frozen
                | Code::KeySuspended
                | Code::CharterChanged
                | Code::EpochChanged
                | Code::CharterFork
                | Code::NoStanding
                | Code::LeafMissing
                | Code::LimitReached
                | Code::ReservationMissing
                | Code::KeyNotActive
                | Code::BackupUnproven
                | Code::HsmUnavailable
                | Code::ShareDamaged
                | Code::BadSignerSet
                | Code::PeerBanned
                | Code::TooFewSigners
                | Code::Overloaded
                | Code::ShuttingDown
        )
}

/// Whether the refusal is the signer's judgement of the intent, rather than of this session or moment.
pub(super) const fn speaks_for_itself(code: Code) -> bool {
    matches!(
        code,
        Code::Malformed
            | Code::Undecodable
            | Code::NotEnrolled
            | Code::NotPermitted
            | Code::WrongCluster
            | Code::PolicyDenied
            | Code::Rejected
            | Code::Expired
            | Code::ExpiryTooFar
            | Code::Stopped
            | Code::IdempotencyConflict
            | Code::NonceConflict
            | Code::UnknownKey
            | Code::WrongScheme
            | Code::HsmKeyRefused
            | Code::KeyRetired
            | Code::NoChildKeys
    )
}
