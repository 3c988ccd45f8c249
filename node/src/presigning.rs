//! Presignatures (CGGMP24): made ahead in sessions of their own, kept in memory, used once.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::KeyId;
use limen_wire::pb;

use crate::guard;
use crate::shared::Shared;
use crate::signing::Refusal;

/// Takes part in presigning; answers with the number of presignatures now in memory for the key.
pub async fn presign(shared: Arc<Shared>, request: pb::PresignRequest) -> Result<u32, Refusal> {
    shared.check_running()?;
    let key = KeyId::new(request.key_id).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let facts = shared.key(&key);
    let facts = facts.ok_or_else(|| ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here")))?;
    guard::presign_call(facts, &request.path, &request.session_id, &request.signers)?;
    Err(ApiError::new(Code::WrongScheme, "this version makes no presignatures").into())
}
