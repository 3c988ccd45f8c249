//! Presignatures: made ahead without an intent, so they prove nothing and permit nothing.

use std::sync::Arc;

use limen_mpc::DerivationPath;
use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::Protocol;

use super::admit::check_epoch;
use super::bans::check_signers;
use super::examine::{check_set, sign_call};
use super::state::state_refused;
use super::{JournalView, KeyFacts, PresignToken, SignCall, Verdict, check_charter};

/// A checked call for a presignature.
#[derive(Debug, Clone)]
pub struct PresignCall {
    key: Arc<KeyFacts>,
    call: SignCall,
    path: DerivationPath,
}

/// Checks key, path and signer set.
pub fn presign_call(
    key: Arc<KeyFacts>,
    path: &[u32],
    session_id: &[u8],
    signers: &[u32],
) -> Result<PresignCall, ApiError> {
    let call = sign_call(session_id, signers)?;
    if key.public.protocol != Protocol::Cggmp24 {
        let message = format!("key {} uses {}, which has no presignatures", key.public.key, key.public.protocol);
        return Err(ApiError::new(Code::WrongScheme, message));
    }
    if !key.active {
        let message = format!("key {} is not certified by all its members yet", key.public.key);
        return Err(ApiError::new(Code::KeyNotActive, message));
    }
    check_set(&key, &call.signers)?;
    limen_wire::intent::check_path(path).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let path = DerivationPath::new(path.to_vec()).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    Ok(PresignCall { key, call, path })
}

/// Decides on presigning.
pub fn admit_presign<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: PresignCall,
) -> Result<Verdict<PresignToken>, V::Error> {
    let PresignCall { key, call, path } = examined;
    let in_use = || charter.check_key_in_use(&key.public.key).map_err(|error| state_refused(&error));
    if let Err(error) = check_charter(&view.in_force()?, charter, charter.hash()).and_then(|()| in_use()) {
        return Ok(Verdict::Refused(error));
    }
    if view.session_seen(&call.session)? {
        let message = format!("session {} was used before; a session is never computed twice", call.session);
        return Ok(Verdict::Refused(ApiError::new(Code::SessionDead, message)));
    }
    if let Some(error) = check_epoch(view, &key)? {
        return Ok(Verdict::Refused(error));
    }
    let lifted = match check_signers(view, charter, (&key, &call))? {
        Ok(lifted) => lifted,
        Err(error) => return Ok(Verdict::Refused(error)),
    };
    Ok(Verdict::Allowed(PresignToken { key, call, path, lifted }))
}
