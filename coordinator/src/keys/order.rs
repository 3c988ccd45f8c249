//! Taking orders for keys.

use std::sync::Arc;

use limen_policy::charter::Duty;
use limen_policy::key_order::{self, KeyOrderError};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::KeyId;
use limen_wire::intent::KeyGeneration;
use limen_wire::pb;

use super::{KeyRecord, drive};
use crate::context::{Core, store_failed};
use crate::intake::check_origin;

/// Checks everything about an order but its time.
pub(crate) fn checked(core: &Core, envelope: &pb::Envelope) -> Result<KeyGeneration, ApiError> {
    let malformed = |error: limen_wire::intent::IntentError| ApiError::new(Code::Malformed, error.to_string());
    let (order, opened) = KeyGeneration::open(envelope).map_err(malformed)?;
    key_order::check(&core.charter(), &order).map_err(|error| {
        let code = match error {
            KeyOrderError::WrongCluster { .. } => Code::WrongCluster,
            KeyOrderError::NotPermitted(_) => Code::NotPermitted,
            KeyOrderError::UnknownNode(_) => Code::Malformed,
            KeyOrderError::Held(_) => Code::HsmKeyRefused,
        };
        ApiError::new(code, error.to_string())
    })?;
    check_origin(core, &order.cluster, &order.requester, Duty::Keys, &opened)?;
    Ok(order)
}

/// Orders a key. The same order again gives the same key.
pub async fn create(core: &Arc<Core>, envelope: pb::Envelope) -> Result<pb::Key, ApiError> {
    core.check_serving()?;
    let order = checked(core, &envelope)?;
    if let Some(known) = core.store.key(&order.key_id).map_err(store_failed)? {
        return repeated(&order, &known);
    }
    check_new(core, &order)?;
    let record = KeyRecord::ordered(order.key_id.clone(), envelope);
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

/// What would make the signers refuse: better now than after the name is used.
fn check_new(core: &Core, order: &KeyGeneration) -> Result<(), ApiError> {
    let now = core.clock.now_secs();
    if order.expires_at_secs <= now {
        return Err(ApiError::new(Code::Expired, "the order has expired"));
    }
    let latest = now.saturating_add(core.charter().bounds.max_expiry_secs);
    if order.expires_at_secs > latest {
        let message = format!("the order expires at {} s, the charter allows {latest} s", order.expires_at_secs);
        return Err(ApiError::new(Code::ExpiryTooFar, message));
    }
    let charter = core.charter();
    let mut places = charter.nodes.iter();
    if order.nodes.iter().all(|node| places.any(|known| known.id == *node)) {
        return Ok(());
    }
    Err(ApiError::new(Code::BadSignerSet, "the members are not in the charter's order"))
}

fn repeated(order: &KeyGeneration, known: &KeyRecord) -> Result<pb::Key, ApiError> {
    match KeyGeneration::open(&known.order) {
        Ok((stored, _)) if stored.id == order.id => Ok(known.to_wire(stored.nodes.len())),
        _ => Err(ApiError::new(Code::KeyExists, format!("the name {} is taken by another order", order.key_id))),
    }
}

/// The keys, by name.
pub fn list(core: &Core, request: &pb::ListKeysRequest) -> Result<pb::ListKeysResponse, ApiError> {
    core.check_serving()?;
    let records = match request.key_id.as_str() {
        "" => core.store.keys().map_err(store_failed)?,
        name => {
            let key = KeyId::new(name).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
            core.store.key(&key).map_err(store_failed)?.into_iter().collect()
        }
    };
    let members = |record: &KeyRecord| KeyGeneration::open(&record.order).map_or(0, |(order, _)| order.nodes.len());
    Ok(pb::ListKeysResponse { keys: records.iter().map(|record| record.to_wire(members(record))).collect() })
}
