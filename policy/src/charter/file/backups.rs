//! Who keeps backups, in the text form.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{NodeId, PersonId, VaultId};
use limen_wire::paths::Fewest;
use limen_wire::recipient::Recipient;
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::backups::{Backups, Custodian};
use crate::charter::people::{CredentialClass, Roster};
use crate::charter::vault::Vaults;
use crate::charter::{CharterError, Node};

/// Most custodians of one share: what a backup has room for.
const MAX_CUSTODIANS: usize = 16;
/// How long a proof may count, in seconds: a day to a leap year.
const PROOF_AGES: std::ops::RangeInclusive<u64> = 24 * 3600..=366 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileBackups {
    vaults: Vec<String>,
    #[serde(default = "two")]
    signers_required: u8,
    pieces_required: u8,
    people_required: usize,
    proof_max_age_secs: u64,
    custodians: BTreeMap<String, Vec<FileCustodian>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCustodian {
    person: String,
    recipient: String,
}

const fn two() -> u8 {
    2
}

pub(super) fn read(
    raw: Vec<FileBackups>,
    nodes: &[Node],
    vaults: &Vaults,
    roster: &Roster,
) -> Result<BTreeMap<VaultId, Backups>, CharterError> {
    let mut backups = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for raw in raw {
        let place = format!("backups of vaults {:?}", raw.vaults);
        if raw.vaults.is_empty() {
            return Err(invalid(place, "vaults: at least one is needed"));
        }
        let named = raw.vaults.iter().map(|vault| vault_of(&place, vault, vaults)).collect::<Result<Vec<_>, _>>()?;
        let read = section(&place, raw, nodes, roster, &mut owners)?;
        for vault in named {
            if backups.insert(vault.clone(), read.clone()).is_some() {
                return Err(invalid(place, format!("vault {vault} is named twice: its keys are backed up in one way")));
            }
        }
    }
    Ok(backups)
}

fn vault_of(place: &str, text: &str, vaults: &Vaults) -> Result<VaultId, CharterError> {
    let id = name(place, VaultId::new(text))?;
    if vaults.by_id.contains_key(&id) { Ok(id) } else { Err(invalid(place, format!("there is no vault {id}"))) }
}

/// What a section says of each of its vaults.
fn section(
    place: &str,
    raw: FileBackups,
    nodes: &[Node],
    roster: &Roster,
    owners: &mut BTreeMap<Recipient, PersonId>,
) -> Result<Backups, CharterError> {
    if !(2..=nodes.len()).contains(&raw.signers_required.into()) {
        let most = nodes.len();
        return Err(invalid(place, format!("signers_required: 2 to {most}, the number of signer nodes, are possible")));
    }
    if raw.people_required < 2 {
        return Err(invalid(place, "people_required: 2 or more: nobody alone may have a key"));
    }
    if !PROOF_AGES.contains(&raw.proof_max_age_secs) {
        let (least, most) = PROOF_AGES.into_inner();
        return Err(invalid(place, format!("proof_max_age_secs: {least} to {most} are possible")));
    }
    let mut custodians = BTreeMap::new();
    for (node, raw) in raw.custodians {
        let node = name(place, NodeId::new(node))?;
        if !nodes.iter().any(|known| known.id == node) {
            return Err(invalid(place, format!("there is no signer node {node}")));
        }
        let place = format!("{place}, node {node}");
        custodians.insert(node, read_custodians(&place, raw, roster, owners)?);
    }
    if let Some(node) = nodes.iter().find(|node| !custodians.contains_key(&node.id)) {
        let reason = format!("signer node {} has no custodians: any of them may get a share", node.id);
        return Err(invalid(place, reason));
    }
    for (node, list) in &custodians {
        if !(1..=list.len()).contains(&raw.pieces_required.into()) {
            let most = list.len();
            let reason = format!("pieces_required: 1 to {most} are possible, as many as node {node} has custodians");
            return Err(invalid(place, reason));
        }
    }
    let read = Backups {
        signers_required: raw.signers_required,
        pieces_required: raw.pieces_required,
        people_required: raw.people_required,
        proof_max_age_secs: raw.proof_max_age_secs,
        custodians,
    };
    enough_people(place, &read)?;
    Ok(read)
}

/// Nobody comes twice among a share's custodians, all are people who can sign proofs, and a recipient is one person's everywhere.
fn read_custodians(
    place: &str,
    raw: Vec<FileCustodian>,
    roster: &Roster,
    owners: &mut BTreeMap<Recipient, PersonId>,
) -> Result<Vec<Custodian>, CharterError> {
    if !(1..=MAX_CUSTODIANS).contains(&raw.len()) {
        return Err(invalid(place, format!("{} custodians; 1 to {MAX_CUSTODIANS} are possible", raw.len())));
    }
    let mut custodians: Vec<Custodian> = Vec::with_capacity(raw.len());
    let mut people = BTreeSet::new();
    for raw in raw {
        let person = name(place, PersonId::new(raw.person))?;
        let Some(known) = roster.people.get(&person) else {
            return Err(invalid(place, format!("there is no person {person}")));
        };
        let mut classes = known.credentials.values().map(|credential| credential.class);
        if !classes.any(|class| class == CredentialClass::Terminal) {
            let reason = format!("{person} has no credential of class \"terminal\", by which custodians sign proofs");
            return Err(invalid(place, reason));
        }
        let recipient = Recipient::new(&raw.recipient);
        let recipient = recipient.map_err(|error| invalid(place, format!("custodian {person}: {error}")))?;
        if !people.insert(person.clone()) {
            return Err(invalid(place, format!("{person} comes twice: two pieces in one hand are one")));
        }
        let owner = owners.entry(recipient.clone()).or_insert_with(|| person.clone());
        if *owner != person {
            let reason = format!("{person} and {owner} have one recipient: whoever has its identity has both pieces");
            return Err(invalid(place, reason));
        }
        custodians.push(Custodian { person, recipient });
    }
    Ok(custodians)
}

/// Whoever keeps pieces at several nodes is one path to all of their shares.
fn enough_people(place: &str, backups: &Backups) -> Result<(), CharterError> {
    let (fewest, required) = (backups.fewest_people(), backups.people_required);
    if fewest.is_at_least(required) {
        return Ok(());
    }
    let reason = match fewest {
        Fewest::Exactly(count) => format!(
            "{count} people together have a key that {} signers can use, fewer than people_required = {required}: let nodes have \
             different custodians, or ask for more pieces",
            backups.signers_required
        ),
        Fewest::AtLeast(count) => format!(
            "there are too many different custodians to see that fewer than people_required = {required} have no key; no fewer \
             than {count} have"
        ),
        Fewest::Nobody => "its custodians cannot recover any key".to_owned(),
    };
    Err(invalid(place, reason))
}
