//! Handing a key over to new shares: a session from those who hold the present ones to those who get new ones.
//!
//! The share lies pending until an epoch's certificate makes this node switch ([`crate::epochs`]); the present one signs meanwhile.

use std::sync::Arc;

use limen_mpc::{KeyShare, Output, Seed, Session, SessionParams};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{PartyIndex, Protocol, SessionId, tagged_hash};
use limen_wire::pb;
use prost::Message as _;
use tokio::time::Instant;

use crate::guard::{HandoverToken, HandoverVerdict, examine_handover};
use crate::making::Making;
use crate::sessions::{Inbox, deadline_in};
use crate::shared::Shared;
use crate::shares::{self, Belongs};
use crate::signing::{Refusal, unusable};
use crate::vault::Group;
use crate::{admission, backups, entropy, peers};

/// Takes part in an attempt; answers with this node's statement of its new share, `None` if it gets none.
pub async fn hand_over(shared: Arc<Shared>, request: pb::HandOverKeyRequest) -> Result<Option<pb::Envelope>, Refusal> {
    shared.check_running()?;
    let (task, examining) = (Arc::clone(&shared), request.clone());
    // Reading and checking points takes milliseconds.
    let examined = shared.crypto.run(move || examine_handover(&task.charter(), &task.me, &examining)).await;
    let examined = examined.map_err(|error| ApiError::new(Code::Internal, error.to_string()))??;
    let session = SessionId::from_slice(&request.session_id)
        .map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let (key, epoch) = (examined.order().key_id.clone(), examined.epoch());
    if examined.order().nodes.contains(&shared.me) {
        backups::check(&shared, &key)?;
    }
    let no_standing = peers::stands(shared.as_ref(), examined.others_needed()).err();
    let (charter, now) = (shared.charter(), shared.now());
    let verdict =
        shared.store.write(move |txn| admission::handover(txn, &charter, examined, (session, no_standing), now));
    let token = match verdict.await.map_err(|error| Shared::store_error(&error))? {
        HandoverVerdict::Allowed(token) => token,
        HandoverVerdict::Repeat => return Ok(Some(shares::stated(&shared, &key, epoch).await?)),
        HandoverVerdict::Refused(error) => return Err(error.into()),
    };
    let deadline = deadline_in(shared.limits.keygen_timeout(request.timeout_ms));
    let order = request.order.unwrap_or_default().encode_to_vec();
    let (task, answer) = (Arc::clone(&shared), tokio::sync::oneshot::channel());
    shared.tasks.spawn(async move {
        drop(answer.0.send(run(&task, token, order, deadline).await));
    });
    let lost = || ApiError::new(Code::SessionAborted, "the session's task ended without a result");
    answer.1.await.map_err(|_| lost())?
}

/// The session in which CGGMP24's auxiliary information is made follows the one that deals, under a name that all can compute.
pub(crate) fn aux_session(session: &SessionId) -> SessionId {
    SessionId::new(tagged_hash("limen node handover auxiliary session v1", [&session.as_bytes()[..]]))
}

async fn run(
    shared: &Arc<Shared>,
    token: Box<HandoverToken>,
    order: Vec<u8>,
    deadline: Instant,
) -> Result<Option<pb::Envelope>, Refusal> {
    let (key, protocol) = (token.key().clone(), token.order().protocol);
    let parties = token.parties().to_vec();
    let making = Making { shared, key: &key, parties, protocol, purpose: "reshare", deadline, lifted: token.lifted() };
    let inbox = making.open(*token.session())?;
    let group = Group::of(&shared.charter(), &shared.me, &key, token.epoch());
    let follows = match (token.is_member(), protocol) {
        (true, Protocol::Cggmp24) => Some(open_aux(shared, &token, &key, deadline)?),
        _ => None,
    };
    if token.is_member() {
        shares::rehearse(shared, &group).await?;
    }
    let dealt = deal(&making, &token, inbox).await?;
    let share = match (dealt, follows) {
        (Output::HandedOver(_), _) => return Ok(None),
        (Output::Key(share), None) => share,
        (Output::Key(share), Some((making, inbox))) => {
            let params = token.aux_params(aux_session(token.session()));
            complete(&making, (params, token.me()), share, inbox).await?
        }
        _ => return Err(ApiError::new(Code::Internal, "the session handed nothing over").into()),
    };
    let belongs = Belongs {
        key: key.clone(),
        epoch: token.epoch(),
        nodes: token.order().nodes.clone(),
        order: token.order().id,
        handover: order,
        was_whole: token.was_whole(),
    };
    Ok(Some(shares::seal_and_keep(shared, share, (group, belongs), deadline).await?))
}

/// The session of the auxiliary information is among the new members alone.
fn open_aux<'a>(
    shared: &'a Arc<Shared>,
    token: &'a HandoverToken,
    key: &'a limen_wire::ids::KeyId,
    deadline: Instant,
) -> Result<(Making<'a>, Inbox), ApiError> {
    let (parties, protocol) = (token.order().nodes.clone(), token.order().protocol);
    let making = Making { shared, key, parties, protocol, purpose: "aux_info", deadline, lifted: token.lifted() };
    let inbox = making.open(aux_session(token.session()))?;
    Ok((making, inbox))
}

async fn deal(making: &Making<'_>, token: &HandoverToken, inbox: Inbox) -> Result<Output, Refusal> {
    let shared = making.shared;
    let share: Option<Arc<KeyShare>> = if token.deals() {
        let present = token.present();
        let opened = shared.open_share(&present.key, present.epoch).await.map_err(|error| unusable(&error))?;
        Some(shared.vault.to_hand_over(&opened, token).map_err(|error| error.to_api())?)
    } else {
        None
    };
    let (handover, me) = (token.handover().clone(), token.me());
    let (session, order) = (*token.session(), token.order().id);
    let seed = Seed::new(*entropy::random());
    let start = move || Session::reshare(&handover, (session, order), me, share.as_deref(), seed);
    making.drive((session, inbox), start).await
}

/// Makes a CGGMP24 share able to sign.
pub(crate) async fn complete(
    making: &Making<'_>,
    (params, me): (SessionParams, PartyIndex),
    share: Box<KeyShare>,
    inbox: Inbox,
) -> Result<Box<KeyShare>, Refusal> {
    let primes = making.primes().await?;
    let (session, seed) = (params.session, Seed::new(*entropy::random()));
    let share: Arc<KeyShare> = Arc::from(share);
    let start = move || Session::aux_info(params, me, share, primes, seed);
    match making.drive((session, inbox), start).await? {
        Output::Key(share) => Ok(share),
        _ => Err(ApiError::new(Code::Internal, "the session made no auxiliary information").into()),
    }
}
