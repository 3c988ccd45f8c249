//! Making a key, or taking in one that was dealt outside ([`crate::import`]): a session among all members, and a share for each.
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
use crate::handover::{aux_session, complete};
use crate::import::{self, Dealt};
use crate::making::Making;
use crate::sessions::{Inbox, deadline_in};
use crate::shared::Shared;
use crate::shares::{self, Belongs};
use crate::signing::Refusal;
use crate::vault::{Group, SealedShare};
use crate::{admission, backups, entropy};

/// Takes part in key generation; answers with this node's statement.
pub async fn generate(shared: Arc<Shared>, request: pb::GenerateKeyRequest) -> Result<pb::Envelope, Refusal> {
    shared.check_running()?;
    let envelope = request.order.unwrap_or_default();
    let examined = examine_order(&shared.charter(), &shared.me, &envelope)?;
    let session = SessionId::from_slice(&request.session_id)
        .map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let key = examined.order().key_id.clone();
    backups::check(&shared, &key)?;
    let dealt = import::open(&shared, examined.order(), examined.me(), &request.piece).await?;
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
        drop(answer.0.send(run(&task, token, dealt, deadline).await));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

impl KeygenToken {
    fn belongs(&self) -> Belongs {
        let order = self.order();
        let (key, nodes) = (order.key_id.clone(), order.nodes.clone());
        let was_whole = order.imported.is_some();
        Belongs { key, epoch: Epoch::FIRST, nodes, order: order.id, handover: Vec::new(), was_whole }
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

/// Takes in a share that was dealt outside, and makes its set-up with the other members.
async fn take_in(
    making: &Making<'_>,
    token: &KeygenToken,
    dealt: &Dealt,
    (session, inbox): (SessionId, Inbox),
) -> Result<Output, Refusal> {
    let (me, order) = (token.me(), token.order().id);
    let aux = match making.protocol {
        Protocol::Cggmp24 => {
            let making = Making { parties: making.parties.clone(), purpose: "aux_info", ..*making };
            let inbox = making.open(aux_session(&session))?;
            Some((making, inbox))
        }
        _ => None,
    };
    let (dealing, share) = (dealt.dealing.clone(), dealt.share.clone());
    let start = move || Session::import(&dealing, (session, order), me, &share);
    match (making.drive((session, inbox), start).await?, aux) {
        (Output::Key(share), Some((making, inbox))) => {
            let params = dealt.dealing.params(aux_session(&session), order);
            Ok(Output::Key(complete(&making, (params, me), share, inbox).await?))
        }
        (output, _) => Ok(output),
    }
}

async fn run(
    shared: &Arc<Shared>,
    token: Box<KeygenToken>,
    dealt: Option<Dealt>,
    deadline: Instant,
) -> Result<pb::Envelope, Refusal> {
    let order = token.order();
    let (key, protocol) = (&order.key_id, order.protocol);
    let making = Making {
        shared,
        key,
        parties: order.nodes.clone(),
        protocol,
        purpose: if dealt.is_some() { "import" } else { "keygen" },
        deadline,
        lifted: token.lifted(),
    };
    if !protocol.is_threshold() {
        return Ok(make_in_token(&making, &token).await?);
    }
    let session = *token.session();
    let inbox = making.open(session)?;
    let (params, me, seed) = (token.params(), token.me(), Seed::new(*entropy::random()));
    let group = Group::of(&shared.charter(), &shared.me, key, Epoch::FIRST);
    shares::rehearse(shared, &group).await?;
    let output = match (protocol, &dealt) {
        (_, Some(dealt)) => take_in(&making, &token, dealt, (session, inbox)).await?,
        (Protocol::Dkls23 | Protocol::Frost, None) => {
            making.drive((session, inbox), move || Session::keygen(params, me, seed)).await?
        }
        (Protocol::Cggmp24, None) => {
            let primes = making.primes().await?;
            making.drive((session, inbox), move || Session::keygen_with_primes(params, me, primes, seed)).await?
        }
        (Protocol::Hsm, None) => {
            return Err(ApiError::new(Code::Internal, "a key in the token has no session").into());
        }
    };
    let Output::Key(share) = output else {
        return Err(ApiError::new(Code::Internal, "the session made no key").into());
    };
    Ok(shares::seal_and_keep(shared, share, (group, token.belongs()), deadline).await?)
}
