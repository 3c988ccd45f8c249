//! How the charter changes, in the text form.

use limen_wire::ids::{CharterHash, GroupId};
use serde::Deserialize;

use super::rules::formula;
use super::{Bounds, invalid, name};
use crate::charter::CharterError;
use crate::charter::governance::{AutomaticFreeze, Governance};
use crate::charter::people::Roster;

/// Most versions that one version joins or voids.
const MAX_VERSIONS: usize = 64;
/// Most denied requests that are counted before a requester is frozen: a signer keeps a time for each.
const MAX_REFUSED: u32 = 1000;
/// The longest time over which they are counted, in seconds.
const MAX_WITHIN_SECS: u64 = 30 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGovernance {
    number: u64,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    voids: Vec<String>,
    quorum: String,
    loosening_delay_secs: u64,
    guardians: String,
    unfreeze: String,
    unfreeze_delay_secs: u64,
    #[serde(default)]
    automatic_freeze: Option<FileAutomaticFreeze>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAutomaticFreeze {
    refused: u32,
    within_secs: u64,
}

pub(super) fn read(raw: FileGovernance, roster: &Roster, bounds: &Bounds) -> Result<Governance, CharterError> {
    const PLACE: &str = "governance";
    let hashes = |what: &str, list: Vec<String>| {
        if list.len() > MAX_VERSIONS {
            return Err(invalid(format!("{PLACE}.{what}"), format!("at most {MAX_VERSIONS} are possible")));
        }
        let parse = |text: String| name(&format!("{PLACE}.{what}"), text.parse::<CharterHash>());
        list.into_iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let (parents, voids) = (hashes("parents", raw.parents)?, hashes("voids", raw.voids)?);
    match (raw.number, parents.is_empty()) {
        (0, _) => return Err(invalid(PLACE, "versions are counted from 1")),
        (1, false) => return Err(invalid(PLACE, "the first version has no parents")),
        (2.., true) => return Err(invalid(PLACE, "parents is needed: every version but the first follows one")),
        _ => {}
    }
    let guardians = name(PLACE, GroupId::new(raw.guardians))?;
    if !roster.groups.contains_key(&guardians) {
        return Err(invalid(PLACE, format!("there is no group {guardians}")));
    }
    let unfreeze = formula("governance.unfreeze", &raw.unfreeze, roster)?;
    // Whoever lifts a freeze does not sign what others said before: nobody could tell the order.
    if unfreeze.is_ordered() {
        return Err(invalid("governance.unfreeze", "lifting a freeze has no order: write `and` instead of `then`"));
    }
    Ok(Governance {
        number: raw.number,
        parents,
        voids,
        quorum: formula("governance.quorum", &raw.quorum, roster)?,
        loosening_delay_secs: raw.loosening_delay_secs,
        guardians,
        unfreeze,
        unfreeze_delay_secs: raw.unfreeze_delay_secs,
        automatic_freeze: raw.automatic_freeze.map(|raw| automatic_freeze(&raw, bounds)).transpose()?,
    })
}

fn automatic_freeze(raw: &FileAutomaticFreeze, bounds: &Bounds) -> Result<AutomaticFreeze, CharterError> {
    let FileAutomaticFreeze { refused, within_secs } = *raw;
    let refuse = |key: &str, reason: String| Err(invalid(format!("governance.automatic_freeze.{key}"), reason));
    if !(1..=MAX_REFUSED).contains(&refused) {
        return refuse("refused", format!("{refused} requests; 1 to {MAX_REFUSED} are possible"));
    }
    if u64::from(refused) > bounds.max_denied {
        let most = bounds.max_denied;
        let reason = format!(
            "bounds.max_denied lets a signer take {most} denied requests of one requester: {refused} never come"
        );
        return refuse("refused", reason);
    }
    if !(1..=MAX_WITHIN_SECS).contains(&within_secs) {
        return refuse("within_secs", format!("{within_secs} seconds; 1 to {MAX_WITHIN_SECS} are possible"));
    }
    Ok(AutomaticFreeze { refused, within_secs })
}
