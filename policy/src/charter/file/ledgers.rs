//! Witnesses and ledgers in the text form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::ids::{ClusterId, LedgerId, NodeId};
use limen_wire::limits;
use serde::Deserialize;

use super::{FileNode, invalid, name, node};
use crate::charter::{CharterError, Node};
use crate::ledger::{Committee, CommitteeMember};

/// Most ledgers of a charter.
const MAX_LEDGERS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileLedger {
    id: String,
    members: Vec<String>,
    quorum: usize,
    corrupt: usize,
    /// How long a reservation may be used.
    #[serde(default = "five_minutes")]
    reservation_secs: u64,
    /// The committee that kept the ledger before, by its hash.
    follows: Option<String>,
}

const fn five_minutes() -> u64 {
    300
}

pub(super) fn witnesses(raw: Vec<FileNode>) -> Result<Vec<Node>, CharterError> {
    if raw.len() > limits::LEDGER_MEMBERS {
        return Err(invalid("witnesses", format!("at most {} are possible", limits::LEDGER_MEMBERS)));
    }
    raw.into_iter().map(node).collect()
}

pub(super) fn ledgers(
    raw: Vec<FileLedger>,
    cluster: &ClusterId,
    machines: &[&Node],
) -> Result<BTreeMap<LedgerId, Arc<Committee>>, CharterError> {
    if raw.len() > MAX_LEDGERS {
        return Err(invalid("ledgers", format!("{} ledgers, at most {MAX_LEDGERS} are possible", raw.len())));
    }
    let mut ledgers = BTreeMap::new();
    for raw in raw {
        let place = format!("ledger {:?}", raw.id);
        let id = name(&place, LedgerId::new(raw.id.clone()))?;
        let committee = committee(&place, raw, (cluster.clone(), id.clone()), machines)?;
        if ledgers.insert(id, Arc::new(committee)).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(ledgers)
}

fn committee(
    place: &str,
    raw: FileLedger,
    whose: (ClusterId, LedgerId),
    machines: &[&Node],
) -> Result<Committee, CharterError> {
    let member = |id: String| {
        let id = name(place, NodeId::new(id))?;
        let found = machines.iter().find(|machine| machine.id == id);
        let found = found.ok_or_else(|| invalid(place, format!("there is no signer node or witness {id}")))?;
        Ok(CommitteeMember { id, public_key: found.public_key })
    };
    let members = raw.members.into_iter().map(member).collect::<Result<Vec<_>, CharterError>>()?;
    if !(60..=24 * 3600).contains(&raw.reservation_secs) {
        return Err(invalid(
            place,
            "reservation_secs must be 60 to 86400: longer than any session, and never for ever",
        ));
    }
    let lifetime_ms = raw.reservation_secs.saturating_mul(1000);
    let hash = |hash: String| {
        hash.parse().map_err(|_| {
            let message = "follows is the hash of a committee, 64 hexadecimal digits: limen charter diff says which";
            invalid(place, message)
        })
    };
    let follows = raw.follows.map(hash).transpose()?;
    Committee::new(whose, members, (raw.corrupt, raw.quorum), lifetime_ms, follows)
        .map_err(|error| invalid(place, error.to_string()))
}

/// The ledger that `claims` names.
pub(super) fn claims(id: String, ledgers: &BTreeMap<LedgerId, Arc<Committee>>) -> Result<LedgerId, CharterError> {
    let id = name("claims", LedgerId::new(id))?;
    match ledgers.contains_key(&id) {
        true => Ok(id),
        false => Err(invalid("claims", format!("there is no ledger {id}"))),
    }
}

/// A witness that keeps no ledger has nothing to do.
pub(super) fn all_used(witnesses: &[Node], ledgers: &BTreeMap<LedgerId, Arc<Committee>>) -> Result<(), CharterError> {
    let used: BTreeSet<&NodeId> =
        ledgers.values().flat_map(|committee| committee.members()).map(|member| &member.id).collect();
    match witnesses.iter().find(|witness| !used.contains(&witness.id)) {
        Some(idle) => Err(invalid(format!("witness \"{}\"", idle.id), "it keeps no ledger: leave it out")),
        None => Ok(()),
    }
}
