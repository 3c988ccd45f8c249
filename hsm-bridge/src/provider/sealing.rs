//! How a token's keys are trusted: by what they are, by the record that they open, by a mechanism that was examined.

use cryptoki::object::ObjectHandle;
use limen_hsm::files::Replace;
use limen_hsm::sealed::{self, associated_data};
use limen_hsm::{HsmError, Kind, Mechanism};
use limen_wire::ids::KekId;
use zeroize::Zeroizing;

use crate::token::cipher::{self, Keys, Wrong};
use crate::token::failure::{may_be_stale, may_be_tamper};
use crate::token::{Fail, Open, objects};

/// What the known record under each wrapping key holds, and its context.
const KNOWN: &[u8; 32] = b"limen opens this to see it works";
const KNOWN_CONTEXT: &[u8] = b"limen/hsm-known-record/v1";
/// Handles of a wrapping key that could not leave the token and opens its known record.
pub(super) fn kek_keys(open: &mut Open<'_>, kek: &KekId) -> Result<Keys<ObjectHandle>, Fail> {
    open.kek(kek, |open| {
        let keys = objects::kek(open.session, kek)?;
        open.login.saw(&format!("{}{kek}", objects::KEK));
        prove(open, kek, keys)?;
        Ok(keys)
    })
}

pub(super) fn seal(
    open: &Open<'_>,
    kek: &KekId,
    keys: Keys<ObjectHandle>,
    context: &[u8],
    secret: &[u8],
) -> Result<Vec<u8>, Fail> {
    let mechanism = keys.mechanism();
    let aad = associated_data(mechanism, kek, context);
    let (iv, body) = cipher::seal(open.session, keys, &aad, secret).map_err(wrong)?;
    Ok(sealed::encode(mechanism, kek, &iv, &body))
}

fn wrong(wrong: Wrong) -> Fail {
    match wrong {
        Wrong::Token(error) => Fail::Token(error),
        Wrong::Shape(what) => HsmError::new(Kind::Unsupported, "seal", what).into(),
    }
}

pub(super) fn unseal(
    open: &Open<'_>,
    kek: &KekId,
    keys: Keys<ObjectHandle>,
    context: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fail> {
    let mechanism = keys.mechanism();
    let record = sealed::parse(mechanism, kek, bytes)?;
    let aad = associated_data(mechanism, kek, context);
    let opened = cipher::open(open.session, keys, &aad, record.iv, record.body)?;
    opened.ok_or_else(|| sealed::does_not_open(kek).into())
}

/// Seals the known record of a key that was just made.
pub(super) fn know(open: &Open<'_>, kek: &KekId, keys: Keys<ObjectHandle>) -> Result<(), Fail> {
    let known = seal(open, kek, keys, KNOWN_CONTEXT, KNOWN)?;
    Ok(open.login.state.keep_canary(kek, &known, Replace::Yes)?)
}

/// Opens the known record: the key works, and is the one that it was. Sealed now if there is none yet.
pub(super) fn prove(open: &Open<'_>, kek: &KekId, keys: Keys<ObjectHandle>) -> Result<(), Fail> {
    let state = &open.login.state;
    let known = match state.canary(kek)? {
        Some(known) => known,
        None => {
            let fresh = seal(open, kek, keys, KNOWN_CONTEXT, KNOWN)?;
            state.keep_canary(kek, &fresh, Replace::No)?;
            fresh
        }
    };
    let refused = match unseal(open, kek, keys, KNOWN_CONTEXT, &known) {
        Ok(opened) if *opened == *KNOWN => return Ok(()),
        Ok(_) => None,
        Err(Fail::Token(error)) if may_be_tamper(&error) => Some(error),
        Err(Fail::Said(error)) if error.kind() == Kind::DoesNotOpen => None,
        Err(other) => return Err(other),
    };
    // A key that opens what it seals now, and not what was sealed before, is another key. One that does neither is no verdict.
    let fresh = seal(open, kek, keys, KNOWN_CONTEXT, KNOWN);
    match fresh.and_then(|fresh| unseal(open, kek, keys, KNOWN_CONTEXT, &fresh)) {
        Ok(_) => {
            let detail = format!("the key {kek} that is here does not open what a key of this name sealed before");
            Err(HsmError::new(Kind::OtherKey, "use a wrapping key", detail).into())
        }
        Err(other) => Err(refused.map_or(other, Fail::Token)),
    }
}

/// The mechanism that this token is trusted with: found once, recorded, and never silently another.
pub(super) fn mechanism(open: &Open<'_>) -> Result<Mechanism, Fail> {
    if let Some(found) = open.login.found.get() {
        return Ok(*found);
    }
    let refused = |detail: String| HsmError::new(Kind::Unsupported, format!("seal at {}", open.login.wanted), detail);
    let candidates = match (open.login.state.mechanism()?, open.login.forced) {
        (Some(recorded), Some(forced)) if recorded != forced => {
            let (recorded, forced) = (recorded.name(), forced.name());
            return Err(refused(format!("the configuration says {forced}, and {recorded} was found before")).into());
        }
        (Some(one), _) | (None, Some(one)) => vec![one],
        (None, None) => Mechanism::ALL.to_vec(),
    };
    let mut reasons = Vec::new();
    for candidate in candidates {
        match examine(open, candidate) {
            Ok(()) => {
                open.login.state.keep_mechanism(candidate)?;
                tracing::info!(token = %open.login.wanted, mechanism = candidate.name(), "seals by this mechanism");
                return Ok(*open.login.found.get_or_init(|| candidate));
            }
            // A session that died says nothing about a mechanism.
            Err(Wrong::Token(error)) if may_be_stale(&error) && !open.again => return Err(Fail::Token(error)),
            Err(wrong) => reasons.push(format!("{}: {wrong}", candidate.name())),
        }
    }
    Err(refused(reasons.join("; ")).into())
}

/// Examines a mechanism with keys that end with the session.
pub(crate) fn examine(open: &Open<'_>, mechanism: Mechanism) -> Result<(), Wrong> {
    let keys = objects::make_keys_to_try(open.session, mechanism)?;
    let examined = cipher::examine(open.session, keys);
    objects::drop_keys(open.session, keys);
    examined
}
