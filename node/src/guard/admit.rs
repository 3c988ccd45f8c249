//! What needs the journal: claims, sessions, stops, bans. Runs inside the transaction that records the answer.

use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::IntentId;

use super::bans::check_signers;
use super::examine::check_set;
use super::freeze::check_freezes;
use super::leaf::check_leaves;
use super::reserve::cover;
use super::state::state_refused;
use super::{
    Examined, JournalView, KeyFacts, KnownIntent, Progress, Reservations, SignCall, SignToken, Verdict, check_charter,
};
use crate::clock::{Millis, Now};
use crate::store::rows::{RequesterTag, Tally};

/// What becomes of an intent that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstSight {
    /// Note it now.
    New,
    /// It is noted already.
    Known,
    /// It cannot be noted.
    Refused(ApiError),
}

/// Judges the first sight of an intent: not expired, not for too far ahead, its idempotency key free, and, if it cannot be
/// signed as it stands, not one of too many such of its requester. Those that wait take no place of those that are denied for
/// good: these are counted until they freeze the requester.
pub fn first_sight<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: &Examined,
    now: Millis,
) -> Result<FirstSight, V::Error> {
    let intent = &examined.intent;
    if view.intent(&intent.id)?.is_some() {
        return Ok(FirstSight::Known);
    }
    if let Err(error) = check_expiry(charter, intent.expires_at_secs, now) {
        return Ok(FirstSight::Refused(error));
    }
    if let Some(holder) = view.holder(examined.idempotency_claim())? {
        return Ok(FirstSight::Refused(idempotency_conflict(&holder)));
    }
    let bound = charter.bounds.max_denied;
    if let Some(tally) = examined.counted_as()
        && view.counted(tally, &intent.requester)? >= bound
    {
        let what = if tally == Tally::Denied { "are denied" } else { "wait" };
        let message = format!(
            "requester {} has {bound} requests here that {what}; they are forgotten after the retention",
            intent.requester
        );
        return Ok(FirstSight::Refused(ApiError::new(Code::Overloaded, message)));
    }
    Ok(FirstSight::New)
}

fn idempotency_conflict(holder: &IntentId) -> ApiError {
    ApiError::new(
        Code::IdempotencyConflict,
        format!("this requester used the same idempotency key for intent {holder}, which has other bytes"),
    )
}

pub(super) fn check_expiry(charter: &Charter, expires_at_secs: u64, now: Millis) -> Result<(), ApiError> {
    check_expired(expires_at_secs, now)?;
    let ahead = expires_at_secs.saturating_sub(now.as_secs());
    let bound = charter.bounds.max_expiry_secs;
    if ahead > bound {
        let message = format!("it expires in {ahead} s, the charter allows at most {bound} s");
        return Err(ApiError::new(Code::ExpiryTooFar, message));
    }
    Ok(())
}

fn check_expired(expires_at_secs: u64, now: Millis) -> Result<(), ApiError> {
    if expires_at_secs > now.as_secs() {
        return Ok(());
    }
    let late = now.as_secs().saturating_sub(expires_at_secs);
    Err(ApiError::new(Code::Expired, format!("it expired {late} s ago by this signer's clock")))
}

/// Decides on signing. The intent has been noted (see [`first_sight`]) in the same transaction or before.
pub fn admit_sign<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: Examined,
    call: SignCall,
    (progress, reservations): (&Progress, &Reservations),
    time: Now,
) -> Result<Verdict<SignToken>, V::Error> {
    let now = time.wall;
    let id = examined.intent.id;
    let known = view.intent(&id)?;
    if let Some(result) = known.as_ref().and_then(|known| known.result.clone()) {
        return Ok(Verdict::Repeat(result));
    }
    if let Err(error) = check_charter(&view.in_force()?, charter, examined.charter) {
        return Ok(Verdict::Refused(error));
    }
    if let Err(error) = check_facts(charter, &examined, now).and_then(|()| check_set(&examined.key, &call.signers)) {
        return Ok(Verdict::Refused(error));
    }
    let Some(known) = known else {
        let message = format!("intent {id} was not noted before it was to be signed");
        return Ok(Verdict::Refused(ApiError::new(Code::Internal, message)));
    };
    // What is counted against limits is counted until then.
    if let Some(ends) = known.life_ends.filter(|ends| *ends <= time.uptime) {
        let late = time.uptime.0.saturating_sub(ends.0).div_ceil(1000);
        let message = format!("its life, counted from first sight, ended {late} s ago by this signer's running time");
        return Ok(Verdict::Refused(ApiError::new(Code::Expired, message)));
    }
    if view.session_seen(&call.session)? {
        let message = format!("session {} was used before; a session is never computed twice", call.session);
        return Ok(Verdict::Refused(ApiError::new(Code::SessionDead, message)));
    }
    if let Some(error) = check_epoch(view, &examined.key)? {
        return Ok(Verdict::Refused(error));
    }
    if let Some(error) = check_standing(view, charter, &examined, &known, progress)? {
        return Ok(Verdict::Refused(error));
    }
    let cover = match cover(view, charter, &examined, &known, (&progress.attested, reservations), time)? {
        Ok(cover) => cover,
        Err(error) => return Ok(Verdict::Refused(error)),
    };
    let lifted = match check_signers(view, charter, (&examined.key, &call))? {
        Ok(lifted) => lifted,
        Err(error) => return Ok(Verdict::Refused(error)),
    };
    if let Some(error) = check_leaves(view, &call, time.uptime)? {
        return Ok(Verdict::Refused(error));
    }
    if let Some(error) = call.no_standing {
        return Ok(Verdict::Refused(error));
    }
    let token = SignToken::new(examined, call, *charter.hash().as_bytes(), progress.counted.clone());
    Ok(Verdict::Allowed(token.covered(cover).meeting(lifted)))
}

/// Whether a ledger may reserve something for an intent: it would be allowed now but for reservation, session and signers.
pub fn admit_claim<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: &Examined,
    progress: &Progress,
    now: Millis,
) -> Result<Result<(), ApiError>, V::Error> {
    let id = examined.intent.id;
    let facts = check_charter(&view.in_force()?, charter, examined.charter);
    if let Err(error) = facts.and_then(|()| check_facts(charter, examined, now)) {
        return Ok(Err(error));
    }
    let Some(known) = view.intent(&id)? else {
        return Ok(Err(ApiError::new(Code::UnknownRequest, format!("intent {id} was not shown here"))));
    };
    if known.result.is_some() {
        return Ok(Err(ApiError::new(Code::WrongState, format!("intent {id} is signed already"))));
    }
    Ok(check_standing(view, charter, examined, &known, progress)?.map_or(Ok(()), Err))
}

/// What the journal and people say of the intent itself, whoever takes part.
fn check_standing<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: &Examined,
    known: &KnownIntent,
    progress: &Progress,
) -> Result<Option<ApiError>, V::Error> {
    let id = examined.intent.id;
    if view.stopped(&id, &examined.intent.requester)? {
        return Ok(Some(ApiError::new(Code::Stopped, format!("a stop record names intent {id}"))));
    }
    if let Err(error) = check_freezes(charter, examined, &view.freezes()?) {
        return Ok(Some(error));
    }
    let bound = charter.bounds.max_sessions;
    if known.ended || known.sessions >= bound {
        let message = format!("intent {id} has used up its {bound} sessions");
        return Ok(Some(ApiError::new(Code::TooManySessions, message)));
    }
    if let Err(error) = check_requirements(examined, progress) {
        return Ok(Some(error));
    }
    check_claims(view, examined)
}

/// What holds or not whatever the journal says.
fn check_facts(charter: &Charter, examined: &Examined, now: Millis) -> Result<(), ApiError> {
    check_expired(examined.intent.expires_at_secs, now)?;
    if !examined.key.active {
        let message = format!("key {} is not certified by all its members yet", examined.intent.key_id);
        return Err(ApiError::new(Code::KeyNotActive, message));
    }
    if examined.key.public.cluster != charter.cluster {
        let message = format!("key {} belongs to another cluster", examined.intent.key_id);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    let key = &examined.key.public;
    charter
        .check_held(&key.key, key.protocol, key.scheme, &examined.key.nodes)
        .map_err(|error| ApiError::new(Code::HsmKeyRefused, error.to_string()))?;
    charter.check_key_state(&key.key, &examined.decoded.effects).map_err(|error| state_refused(&error))?;
    if !examined.decision.allowed {
        return Err(ApiError::new(Code::PolicyDenied, examined.decision.reasons.join("; ")));
    }
    Ok(())
}

/// The key's shares were made anew after the intent was examined: those that it was examined for sign no more.
pub(super) fn check_epoch<V: JournalView>(view: &V, judged: &KeyFacts) -> Result<Option<ApiError>, V::Error> {
    let (key, found) = (&judged.public.key, judged.public.epoch);
    let known = view.key_epochs(key)?.and_then(|known| known.in_force);
    Ok(known.filter(|(epoch, _)| *epoch != found).map(|(epoch, _)| {
        ApiError::new(Code::EpochChanged, format!("epoch {epoch} of key {key} came into force, this was for {found}"))
    }))
}

/// Approvals and delays.
fn check_requirements(examined: &Examined, progress: &Progress) -> Result<(), ApiError> {
    if progress.statuses.len() != examined.decision.requirements.len() {
        let message = format!("the requirements of intent {} were not looked at", examined.intent.id);
        return Err(ApiError::new(Code::Internal, message));
    }
    progress.check()
}

/// The idempotency key and the account's sequence number must be this intent's, free, or handed over by name.
fn check_claims<V: JournalView>(view: &V, examined: &Examined) -> Result<Option<ApiError>, V::Error> {
    let intent = &examined.intent;
    if let Some(holder) = view.holder(examined.idempotency_claim())?
        && holder != intent.id
    {
        return Ok(Some(idempotency_conflict(&holder)));
    }
    let conflict = |message| Ok(Some(ApiError::new(Code::NonceConflict, message)));
    let Some(claim) = examined.nonce_claim() else {
        if let Some(replaced) = intent.replaces {
            return conflict(format!("it replaces {replaced}, but its bytes burn no sequence number"));
        }
        return Ok(None);
    };
    if let Some(replaced) = intent.replaces
        && let Some(known) = view.intent(&replaced)?
        && known.nonce_claim.is_some_and(|other| other != claim)
    {
        return conflict(format!("it replaces {replaced}, which burns another account's or another number"));
    }
    // One requester's number is not another's to take, however long ago it was given.
    if let Some(replaced) = intent.replaces
        && let Some(known) = view.intent(&replaced)?
        && known.requester != RequesterTag::of(intent.requester.as_str())
    {
        return conflict(format!("it replaces {replaced}, which is another requester's"));
    }
    match view.holder(claim)? {
        Some(holder) if holder != intent.id && intent.replaces != Some(holder) => {
            let nonce = examined.decoded.effects.nonce.unwrap_or_default();
            let account = &examined.account;
            conflict(format!("number {nonce} of account {account} is taken by intent {holder}"))
        }
        _ => Ok(None),
    }
}
