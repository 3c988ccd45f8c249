//! Making a key: a session among all members, and a share for each.
//!
//! What becomes of the share is in [`crate::shares`], what becomes of the key in [`crate::epochs`]. A node states at most one
//! share per key name.

use std::sync::Arc;

use limen_mpc::{Output, Seed, Session};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, Protocol, SessionId};
use limen_wire::pb;
use tokio::time::Instant;

use crate::guard::{KeygenToken, KeygenVerdict, examine_order};
use crate::making::Making;
use crate::sessions::deadline_in;
use crate::shared::Shared;
use crate::shares::{self, Belongs};
use crate::signing::Refusal;
use crate::vault::{Group, SealedShare};
use crate::{admission, entropy};

/// Takes part in key generation; answers with this node's statement.
pub async fn generate(shared: Arc<Shared>, request: pb::GenerateKeyRequest) -> Result<pb::Envelope, Refusal> {
    shared.check_running()?;
    let envelope = request.order.unwrap_or_default();
    let examined = examine_order(&shared.charter(), &shared.me, &envelope)?;
    let session = SessionId::from_slice(&request.session_id)
        .map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let key = examined.order().key_id.clone();
    let (charter, now) = (shared.charter(), shared.now());
    let verdict =
        shared.store.write(move |txn| admission::keygen(txn, &charter, examined, &envelope, session, now)).await;
    let token = match verdict.map_err(|error| Shared::store_error(&error))? {
        KeygenVerdict::Allowed(token) => token,
        KeygenVerdict::Repeat => return Ok(shares::stated(&shared, &key, Epoch::FIRST).await?),
        KeygenVerdict::Refused(error) => return Err(error.into()),
    };
    let deadline = deadline_in(shared.limits.keygen_timeout(request.timeout_ms));
    let (task, answer) = (Arc::clone(&shared), tokio::sync::oneshot::channel());
    shared.tasks.spawn(async move {
        drop(answer.0.send(run(&task, token, deadline).await));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

impl KeygenToken {
    fn belongs(&self) -> Belongs {
        let order = self.order();
        let (key, nodes) = (order.key_id.clone(), order.nodes.clone());
        Belongs { key, epoch: Epoch::FIRST, nodes, order: order.id, handover: Vec::new() }
    }
}

/// Makes a key in the token, or takes up the one that an attempt of this order made before it was cut off.
async fn make_in_token(making: &Making<'_>, token: &KeygenToken) -> Result<pb::Envelope, ApiError> {
    let (vault, order) = (Arc::clone(&making.shared.vault), token.order().clone());
    let made = tokio::task::spawn_blocking(move || SealedShare::in_token(&vault.make_in_token(&order)?));
    let lost = |_| ApiError::new(Code::ShuttingDown, "this signer is stopping");
    let made = made.await.map_err(lost)?.map_err(|error| shares::vault_error(&error));
    making.count(if made.is_ok() { "done" } else { "aborted" });
    shares::keep_in_token(making.shared, made?, &token.belongs()).await
}

async fn run(shared: &Arc<Shared>, token: KeygenToken, deadline: Instant) -> Result<pb::Envelope, Refusal> {
    let order = token.order();
    let (key, protocol) = (&order.key_id, order.protocol);
    let making = Making { shared, key, parties: order.nodes.clone(), protocol, purpose: "keygen", deadline };
    if !protocol.is_threshold() {
        return Ok(make_in_token(&making, &token).await?);
    }
    let session = *token.session();
    let inbox = making.open(session)?;
    let (params, me, seed) = (token.params(), token.me(), Seed::new(*entropy::random()));
    let group = Group::of(&shared.charter(), &shared.me, key, Epoch::FIRST);
    shares::rehearse(shared, &group).await?;
    let output = match protocol {
        Protocol::Dkls23 | Protocol::Frost => {
            making.drive((session, inbox), move || Session::keygen(params, me, seed)).await?
        }
        Protocol::Cggmp24 => {
            let primes = making.primes().await?;
            making.drive((session, inbox), move || Session::keygen_with_primes(params, me, primes, seed)).await?
        }
        Protocol::Hsm => return Err(ApiError::new(Code::Internal, "a key in the token has no session").into()),
    };
    let Output::Key(share) = output else {
        return Err(ApiError::new(Code::Internal, "the session made no key").into());
    };
    Ok(shares::seal_and_keep(shared, share, (group, token.belongs()), deadline).await?)
}
