//! Whether a plan and the charter that it names belong to each other.

use limen_wire::ids::PersonId;

use super::{error, warning};
use crate::ceremony::{CharterChange, Genesis, MachineKind, Plan, hides};
use crate::charter::Charter;
use crate::charter::people::{CredentialClass, CredentialKind};
use crate::lint::{Finding, lint};

pub(super) fn genesis(plan: &Plan, parameters: &Genesis, text: &str, findings: &mut Vec<Finding>) {
    let found = Charter::hash_of(text);
    if found != parameters.charter {
        let message = format!("the charter given is {found}, the plan names {}", parameters.charter);
        findings.push(error("genesis.charter_sha256", message));
        return;
    }
    let charter = match Charter::from_toml(text) {
        Ok(charter) => charter,
        Err(reason) => return findings.push(error("the charter", reason.to_string())),
    };
    if !text.ends_with('\n') || text.chars().any(|c| hides(c) && c != '\n') {
        findings.push(error("the charter", "it must end with a new line and have no other control character in it"));
    }
    findings.extend(lint(&charter).into_iter().map(|one| Finding { place: format!("charter, {}", one.place), ..one }));
    if charter.is_development() {
        findings.push(error("the charter", "a development charter needs no genesis: take `danger_development` out"));
    }
    belongs(plan, parameters, &charter, findings);
}

pub(super) fn belongs(plan: &Plan, parameters: &Genesis, charter: &Charter, findings: &mut Vec<Finding>) {
    if charter.cluster != plan.cluster {
        findings
            .push(error("the charter", format!("it is of cluster {}, the plan of {}", charter.cluster, plan.cluster)));
    }
    match &charter.governance {
        None => findings
            .push(error("the charter", "without [governance] nothing could ever follow it: it is for development")),
        Some(governance) if governance.number != 1 || !governance.parents.is_empty() => {
            findings.push(error("the charter", "a genesis makes number 1, which has no parents"));
        }
        Some(_) => {}
    }
    same_machines(plan, charter, findings);
    same_people(plan, parameters, charter, findings);
}

/// The version by itself; whether it follows its parent the ceremony finds out, when the parent's text is there.
pub(super) fn charter_change(plan: &Plan, change: &CharterChange, text: &str, findings: &mut Vec<Finding>) {
    let found = Charter::hash_of(text);
    if found != change.charter {
        let message = format!("the charter given is {found}, the plan names {}", change.charter);
        return findings.push(error("charter_change.charter_sha256", message));
    }
    let charter = match Charter::from_toml(text) {
        Ok(charter) => charter,
        Err(reason) => return findings.push(error("the charter", reason.to_string())),
    };
    if !text.ends_with('\n') || text.chars().any(|c| hides(c) && c != '\n') {
        findings.push(error("the charter", "it must end with a new line and have no other control character in it"));
    }
    findings.extend(lint(&charter).into_iter().map(|one| Finding { place: format!("charter, {}", one.place), ..one }));
    if charter.cluster != plan.cluster {
        let message = format!("it is of cluster {}, the plan of {}", charter.cluster, plan.cluster);
        findings.push(error("the charter", message));
    }
    let parents = charter.governance.as_ref().map(|governance| governance.parents.as_slice());
    if parents != Some(&[change.parent]) {
        findings.push(error("the charter", format!("it does not follow {} and no other", change.parent)));
    }
}

fn same_machines(plan: &Plan, charter: &Charter, findings: &mut Vec<Finding>) {
    let nodes = charter.nodes.iter().map(|node| (node, MachineKind::Signer));
    let witnesses = charter.witnesses.iter().map(|node| (node, MachineKind::Witness));
    let nodes = nodes.chain(witnesses).map(|(node, kind)| (&node.id, kind, node.public_key, node.site.as_ref()));
    let coordinators = charter.coordinators.iter().map(|one| (&one.id, MachineKind::Coordinator, one.public_key, None));
    let wanted: Vec<_> = nodes.chain(coordinators).collect();
    for (id, kind, key, site) in &wanted {
        let place = format!("machine {id}");
        match plan.machine(id) {
            None => {
                findings.push(error(place, "the charter has it, the plan does not: nobody would prove its identity"));
            }
            Some(machine) if machine.kind != *kind || machine.public_key != *key => {
                let message = format!("the charter has a {} with key {key}", kind.as_str());
                findings.push(error(place, message));
            }
            Some(machine) if site.is_some_and(|site| *site != machine.site) => {
                findings.push(error(
                    place,
                    format!("the charter says that it stands at {}", site.map_or("", String::as_str)),
                ));
            }
            Some(_) => {}
        }
    }
    for machine in plan.machines.iter().filter(|machine| wanted.iter().all(|(id, ..)| **id != machine.id)) {
        findings.push(error(format!("machine {}", machine.id), "the charter does not have it"));
    }
}

/// Who signs the genesis is who the charter says, by the credential that it says.
fn same_people(plan: &Plan, parameters: &Genesis, charter: &Charter, findings: &mut Vec<Finding>) {
    for person in &plan.people {
        let place = format!("person {}", person.id);
        let Some(known) = charter.roster.people.get(&person.id) else {
            findings.push(error(place, "the charter does not have them"));
            continue;
        };
        let is = known.credentials.values().any(|one| {
            one.public_key == person.credential
                && one.class == CredentialClass::Terminal
                && matches!(one.kind, CredentialKind::Key)
        });
        if !is {
            findings.push(error(place, "the credential is no terminal key of theirs in the charter"));
        }
    }
    let holds = |person: &PersonId| plan.roles.iter().any(|role| role.holder == *person);
    for id in charter.roster.people.keys() {
        let place = format!("person {id}");
        match (holds(id), parameters.unproven.contains(id)) {
            (false, false) => {
                let message =
                    "the charter has them, but they hold no role here: give them one, or list them in genesis.unproven";
                findings.push(error(place, message));
            }
            (true, true) => findings.push(error(place, "they hold a role, so they are not unproven")),
            (false, true) => findings.push(warning(place, "nothing proves that they hold their credentials")),
            (true, false) => {}
        }
    }
    for id in parameters.unproven.iter().filter(|id| !charter.roster.people.contains_key(*id)) {
        findings.push(error("genesis.unproven", format!("{id} is nobody in the charter")));
    }
}
