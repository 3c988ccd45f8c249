//! Drills, in the text form.

use std::collections::BTreeMap;

use limen_chain::Point;
use limen_wire::ids::{DrillId, KeyId, Scheme};
use limen_wire::limits;
use serde::Deserialize;

use super::{invalid, name};
use crate::ceremony::Scenario;
use crate::charter::CharterError;
use crate::charter::drill::Drill;
use crate::date::{DAY_SECS, day};

/// Most days from one to the next.
const MAX_EVERY_DAYS: u16 = 1100;
/// Most days that nodes only warn.
const MAX_GRACE_DAYS: u16 = 366;

/// Whose keys a drill may be held with.
const SCHEMES: [Scheme; 4] = [Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519, Scheme::SchnorrBip340, Scheme::EcdsaP256];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDrill {
    id: String,
    scenario: Scenario,
    key: String,
    public_key: String,
    every_days: u16,
    grace_days: u16,
    from: String,
}

/// A public key of any scheme: its plan says which.
fn point(place: &str, text: &str) -> Result<Vec<u8>, CharterError> {
    let wanted =
        || invalid(place, "public_key: as `limen key show` prints it, 32 or 33 bytes in lower-case hexadecimal");
    let bytes = hex::decode(text).map_err(|_| wanted())?;
    let is_key = |scheme: &Scheme| bytes.len() == scheme.public_key_len() && Point::of_key(*scheme, &bytes).is_ok();
    if hex::encode(&bytes) != text || !SCHEMES.iter().any(is_key) {
        return Err(wanted());
    }
    Ok(bytes)
}

pub(super) fn read(raw: Vec<FileDrill>) -> Result<BTreeMap<DrillId, Drill>, CharterError> {
    if raw.len() > limits::DRILLS {
        return Err(invalid("drills", format!("{} drills, at most {} are possible", raw.len(), limits::DRILLS)));
    }
    let mut drills: BTreeMap<DrillId, Drill> = BTreeMap::new();
    for FileDrill { id, scenario, key, public_key, every_days, grace_days, from } in raw {
        let place = format!("drill {id:?}");
        let (id, key) = (name(&place, DrillId::new(id))?, name(&place, KeyId::new(key))?);
        let public_key = point(&place, &public_key)?;
        if !(1..=MAX_EVERY_DAYS).contains(&every_days) {
            return Err(invalid(place, format!("every_days: 1 to {MAX_EVERY_DAYS} are possible")));
        }
        if grace_days > MAX_GRACE_DAYS {
            return Err(invalid(place, format!("grace_days: 0 to {MAX_GRACE_DAYS} are possible")));
        }
        let Some(first) = day(&from) else {
            return Err(invalid(place, "from: a date of the calendar, 2000 to 2199, is written YYYY-MM-DD"));
        };
        // One record would be the result of both.
        if drills.values().any(|other| other.scenario == scenario && other.key == key) {
            let reason = format!("another drill plays {} with key {key}", scenario.as_str());
            return Err(invalid(place, reason));
        }
        let from_secs = first.saturating_mul(DAY_SECS);
        let drill = Drill { id: id.clone(), scenario, key, public_key, every_days, grace_days, from, from_secs };
        if drills.insert(id, drill).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(drills)
}
