//! Taking orders for keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use limen_policy::charter::Duty;
use limen_policy::charter::key_state::{KeyState, KeyStateError};
use limen_policy::key_order::{self, KeyOrderError};
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::KeyHandover;
use limen_wire::ids::{KeyId, NodeId};
use limen_wire::intent::KeyGeneration;
use limen_wire::{limits, pb};
use tokio::task::JoinSet;

use super::{HandoverRecord, KeyPhase, KeyRecord, drive, handover};
use crate::backups::is_awaited;
use crate::context::{Core, store_failed};
use crate::intake::check_origin;

fn refused(error: &KeyOrderError) -> ApiError {
    let code = match error {
        KeyOrderError::WrongCluster { .. } => Code::WrongCluster,
        KeyOrderError::NotPermitted(_)
        | KeyOrderError::NotThisCommittee { .. }
        | KeyOrderError::ImportNotNamed { .. }
        | KeyOrderError::NameOfImport { .. }
        | KeyOrderError::TooFewForBackups { .. } => Code::NotPermitted,
        KeyOrderError::UnknownNode(_) | KeyOrderError::OtherKey { .. } | KeyOrderError::OtherPresent { .. } => {
            Code::Malformed
        }
        KeyOrderError::Held(_) => Code::HsmKeyRefused,
        KeyOrderError::State(KeyStateError::Suspended { .. }) => Code::KeySuspended,
        KeyOrderError::State(_) => Code::KeyRetired,
        KeyOrderError::Protocol { .. } => Code::WrongScheme,
    };
    ApiError::new(code, error.to_string())
}

/// How many nodes hold shares.
fn members(record: &KeyRecord) -> usize {
    let generated = || KeyGeneration::open(&record.order).map_or(0, |(order, _)| order.nodes.len());
    record.statement().map_or_else(generated, |statement| statement.nodes.len())
}

/// Checks everything about an order but its time.
pub(crate) fn checked(core: &Core, envelope: &pb::Envelope) -> Result<KeyGeneration, ApiError> {
    let malformed = |error: limen_wire::intent::IntentError| ApiError::new(Code::Malformed, error.to_string());
    let (order, opened) = KeyGeneration::open(envelope).map_err(malformed)?;
    key_order::check(&core.charter(), &order).map_err(|error| refused(&error))?;
    check_origin(core, &order.cluster, &order.requester, Duty::Keys, &opened)?;
    Ok(order)
}

/// Each member of an imported key has to get its piece, of which nothing can be read or checked here.
fn check_pieces(order: &KeyGeneration, pieces: &[Bytes]) -> Result<(), ApiError> {
    let (found, needed) = (pieces.len(), if order.imported.is_some() { order.nodes.len() } else { 0 });
    let most = limits::IMPORT_PIECE_BYTES;
    if found == needed && pieces.iter().all(|piece| (1..=most).contains(&piece.len())) {
        return Ok(());
    }
    let message =
        format!("{found} pieces came with the order, needed are {needed} of 1 to {most} bytes: one for each member");
    Err(ApiError::new(Code::Malformed, message))
}

/// Orders a key, with the members' pieces in their order if it is imported. The same order again gives the same key.
pub async fn create(core: &Arc<Core>, envelope: pb::Envelope, pieces: Vec<Bytes>) -> Result<pb::Key, ApiError> {
    core.check_serving()?;
    let order = checked(core, &envelope)?;
    if let Some(known) = core.store.key(&order.key_id).map_err(store_failed)? {
        return repeated(&order, &known);
    }
    check_pieces(&order, &pieces)?;
    check_times(core, order.expires_at_secs, &order.nodes)?;
    let record = KeyRecord { pieces, ..KeyRecord::ordered(order.key_id.clone(), envelope) };
    match core.store.insert_key(record.clone()).await.map_err(store_failed)? {
        Ok(()) => {
            tracing::info!(key = %order.key_id, scheme = %order.scheme, protocol = %order.protocol, size = %order.size, "key ordered");
            let members = order.nodes.len();
            let key = record.to_wire(members);
            drive::spawn(core, record, order);
            Ok(key)
        }
        Err(known) => repeated(&order, &known),
    }
}

/// What would make the signers refuse: better now than after a name or number is used.
fn check_times(core: &Core, expires_at_secs: u64, nodes: &[NodeId]) -> Result<(), ApiError> {
    let now = core.clock.now_secs();
    if expires_at_secs <= now {
        return Err(ApiError::new(Code::Expired, "the order has expired"));
    }
    let latest = now.saturating_add(core.charter().bounds.max_expiry_secs);
    if expires_at_secs > latest {
        let message = format!("the order expires at {expires_at_secs} s, the charter allows {latest} s");
        return Err(ApiError::new(Code::ExpiryTooFar, message));
    }
    let charter = core.charter();
    let mut places = charter.nodes.iter();
    if nodes.iter().all(|node| places.any(|known| known.id == *node)) {
        return Ok(());
    }
    Err(ApiError::new(Code::BadSignerSet, "the members are not in the charter's order"))
}

/// Orders new shares for a key. The same order again gives how far it is.
pub async fn hand_over(core: &Arc<Core>, envelope: pb::Envelope) -> Result<pb::Key, ApiError> {
    core.check_serving()?;
    // Two orders at one moment would each find that there is no other.
    let _ordering = core.ordering.lock().await;
    let malformed = |error: limen_wire::intent::IntentError| ApiError::new(Code::Malformed, error.to_string());
    let (order, opened) = KeyHandover::open(&envelope).map_err(malformed)?;
    let unknown = || ApiError::new(Code::UnknownKey, format!("there is no key {}", order.key_id));
    let mut record = core.store.key(&order.key_id).map_err(store_failed)?.ok_or_else(unknown)?;
    let known = record.handover.as_ref().and_then(|known| {
        // Custodians may never come: what waits for them can be replaced.
        let is_open = !known.phase.is_end() && !is_awaited(known.error.as_ref());
        Some((KeyHandover::open(&known.order).ok()?.0, is_open))
    });
    if known.as_ref().is_some_and(|(known, _)| known.id == order.id) {
        return Ok(record.to_wire(members(&record)));
    }
    let present = record.statement().filter(|_| record.phase == KeyPhase::Active);
    let inactive = || ApiError::new(Code::KeyNotActive, format!("key {} does not sign yet", order.key_id));
    let present = present.ok_or_else(inactive)?;
    key_order::check_handover(&core.charter(), &order, &present).map_err(|error| refused(&error))?;
    check_origin(core, &order.cluster, &order.requester, Duty::Keys, &opened)?;
    check_times(core, order.expires_at_secs, &order.nodes)?;
    if let Some((other, _)) = known.filter(|(_, is_open)| *is_open) {
        let message = format!("order {} hands key {} over already: wait for its end", other.id, order.key_id);
        return Err(ApiError::new(Code::WrongState, message));
    }
    if record.activated.len() < present.nodes.len() {
        let message = format!("some members of key {} lack its certificate still", order.key_id);
        return Err(ApiError::new(Code::KeyNotActive, message));
    }
    if order.first_epoch <= present.epoch {
        let message = format!("epoch {} of key {} is in force: order a later one", present.epoch, order.key_id);
        return Err(ApiError::new(Code::EpochTaken, message));
    }
    record.handover = Some(HandoverRecord::ordered(envelope));
    core.store.update_key(record.clone()).await.map_err(store_failed)?;
    tracing::info!(key = %order.key_id, size = %order.size, protocol = %order.protocol, "new shares ordered");
    let key = record.to_wire(members(&record));
    handover::spawn(core, record);
    Ok(key)
}

fn repeated(order: &KeyGeneration, known: &KeyRecord) -> Result<pb::Key, ApiError> {
    match KeyGeneration::open(&known.order) {
        Ok((stored, _)) if stored.id == order.id => Ok(known.to_wire(stored.nodes.len())),
        _ => Err(ApiError::new(Code::KeyExists, format!("the name {} is taken by another order", order.key_id))),
    }
}

/// The keys, by name, and who has destroyed which, as the signers say now: nothing of that is kept here.
pub async fn list_told(core: &Arc<Core>, request: &pb::ListKeysRequest) -> Result<pb::ListKeysResponse, ApiError> {
    let mut keys = list(core, request)?.keys;
    if !keys.iter().any(|key| key.state() == pb::KeyState::Destroyed) {
        return Ok(pb::ListKeysResponse { keys });
    }
    let mut calls = JoinSet::new();
    for signer in core.signers.all().iter().filter(|signer| signer.is_reachable()).cloned() {
        let bound = core.timing.call_timeout;
        calls.spawn(async move { (signer.node.clone(), signer.key_shares(bound).await) });
    }
    let mut words: BTreeMap<String, BTreeMap<String, pb::Envelope>> = BTreeMap::new();
    while let Some(Ok((teller, answer))) = calls.join_next().await {
        for share in answer.unwrap_or_default() {
            let of_key = words.entry(share.key_id).or_default();
            for word in share.destroyed.into_iter().take(limits::KEY_MEMBERS) {
                let Ok((said, _)) = KeyDestroyed::open(&word) else { continue };
                // What a signer says of itself is its newest word.
                if said.node == teller || !of_key.contains_key(said.node.as_str()) {
                    of_key.insert(said.node.to_string(), word);
                }
            }
        }
    }
    for key in keys.iter_mut().filter(|key| key.state() == pb::KeyState::Destroyed) {
        key.destroyed = words.remove(&key.key_id).unwrap_or_default().into_values().collect();
    }
    Ok(pb::ListKeysResponse { keys })
}

const fn to_wire(state: KeyState) -> pb::KeyState {
    match state {
        KeyState::Suspended => pb::KeyState::Suspended,
        KeyState::Deactivated => pb::KeyState::Deactivated,
        KeyState::Compromised => pb::KeyState::Compromised,
        KeyState::Destroyed => pb::KeyState::Destroyed,
    }
}

/// The keys, by name, and where the charter says that they stand.
pub fn list(core: &Core, request: &pb::ListKeysRequest) -> Result<pb::ListKeysResponse, ApiError> {
    core.check_serving()?;
    let records = match request.key_id.as_str() {
        "" => core.store.keys().map_err(store_failed)?,
        name => {
            let key = KeyId::new(name).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
            core.store.key(&key).map_err(store_failed)?.into_iter().collect()
        }
    };
    let charter = core.charter();
    let stand = |record: &KeyRecord| {
        let key = record.to_wire(members(record));
        // One that is not made yet is none that goes out of use.
        let state = charter.key_state(&record.key_id).filter(|_| record.phase != KeyPhase::Failed);
        pb::Key { state: state.map_or(key.state, |state| to_wire(state).into()), ..key }
    };
    Ok(pb::ListKeysResponse { keys: records.iter().map(stand).collect() })
}
