//! What is wrong with a plan: parts that do not fit each other, and ways to a cluster that nobody can use or one person can.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{NodeId, PersonId, RoleId};
use limen_wire::keys::PublicKey;

use super::{Attendance, Genesis, KeyGeneration, Kind, MachineKind, Plan};
use crate::charter::Charter;
use crate::charter::people::{CredentialClass, CredentialKind};
use crate::lint::{Finding, Severity, lint};

type Report<'a> = &'a mut dyn FnMut(String, String);

/// Everything that makes the plan unusable by itself.
pub(super) fn fits(plan: &Plan, report: Report<'_>) {
    people(plan, report);
    roles(plan, report);
    machines(plan, report);
    if let Kind::KeyGeneration(key) = &plan.kind {
        key_generation(plan, key, report);
    }
    if let Err(error) = Attendance::full(plan) {
        report("roles".to_owned(), error.to_string());
    }
}

fn people(plan: &Plan, report: Report<'_>) {
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    let machines = plan.machines.iter().map(|machine| (format!("machine {}", machine.id), machine.public_key));
    let people = plan.people.iter().map(|person| (format!("person {}", person.id), person.credential));
    let conductor = [("conductor".to_owned(), plan.conductor.public_key)];
    for (place, key) in people.chain(machines).chain(conductor) {
        if let Some(other) = keys.insert(key.to_string(), place.clone()) {
            report(place, format!("the same public key as {other}: one would stand for two"));
        }
    }
    if plan.people.len() < 2 {
        report("people".to_owned(), "a ceremony needs at least two people".to_owned());
    }
    for person in &plan.people {
        let named = plan.roles.iter().any(|role| role.holder == person.id || role.stand_ins.contains(&person.id));
        if !named {
            report(
                format!("person {}", person.id),
                "holds no role and stands in for nobody: leave them out".to_owned(),
            );
        }
    }
}

fn roles(plan: &Plan, report: Report<'_>) {
    let mut seen: BTreeSet<&RoleId> = BTreeSet::new();
    for role in &plan.roles {
        let place = format!("role {}", role.id);
        if !seen.insert(&role.id) {
            report(place.clone(), "stands there twice".to_owned());
        }
        let mut people: BTreeSet<&PersonId> = BTreeSet::new();
        for person in [&role.holder].into_iter().chain(&role.stand_ins) {
            if plan.person(person).is_none() {
                report(place.clone(), format!("{person} is nobody in the plan"));
            }
            if !people.insert(person) {
                report(place.clone(), format!("{person} stands there twice"));
            }
        }
    }
    for set in &plan.conflicts {
        if set.len() < 2 {
            report("conflicts".to_owned(), "a conflict is between two roles or more".to_owned());
        }
        for role in set.iter().filter(|role| plan.role(role).is_none()) {
            report("conflicts".to_owned(), format!("there is no role {role}"));
        }
        for person in &plan.people {
            let held: Vec<_> =
                plan.roles.iter().filter(|role| role.holder == person.id && set.contains(&role.id)).collect();
            if let [one, other, ..] = held.as_slice() {
                report(
                    format!("person {}", person.id),
                    format!("holds roles {} and {}, which exclude each other", one.id, other.id),
                );
            }
        }
    }
    if plan.role(&plan.conductor.role).is_none() {
        report("conductor".to_owned(), format!("there is no role {}", plan.conductor.role));
    }
}

fn machines(plan: &Plan, report: Report<'_>) {
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    for machine in &plan.machines {
        let place = format!("machine {}", machine.id);
        if !seen.insert(&machine.id) {
            report(place.clone(), "stands there twice".to_owned());
        }
        if matches!(machine.public_key, PublicKey::Ed25519(_)) {
            report(place.clone(), "the identity of a machine is a P-256 key".to_owned());
        }
        if plan.role(&machine.operator).is_none() {
            report(place, format!("there is no role {} that could speak for it", machine.operator));
        }
    }
    one_hand(plan, report);
}

/// Nobody reaches two signers: not as an operator, and not by standing in.
fn one_hand(plan: &Plan, report: Report<'_>) {
    let signers: Vec<_> = plan.machines.iter().filter(|machine| machine.kind == MachineKind::Signer).collect();
    for person in &plan.people {
        let may = |role: &RoleId| {
            plan.role(role).is_some_and(|role| role.holder == person.id || role.stand_ins.contains(&person.id))
        };
        let reached: Vec<_> = signers.iter().filter(|machine| may(&machine.operator)).collect();
        for (place, one) in reached.iter().enumerate() {
            for other in reached.iter().skip(place.saturating_add(1)) {
                let apart = one.operator != other.operator
                    && plan.conflicts.iter().any(|set| set.contains(&one.operator) && set.contains(&other.operator));
                if !apart {
                    let message = format!(
                        "may come to speak for signers {} and {}: give them operators whose roles are in [conflicts]",
                        one.id, other.id
                    );
                    report(format!("person {}", person.id), message);
                }
            }
        }
    }
}

fn key_generation(plan: &Plan, key: &KeyGeneration, report: Report<'_>) {
    let place = || "key_generation".to_owned();
    if plan.role(&key.orders).is_none() {
        report(place(), format!("there is no role {}", key.orders));
    }
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    let mut sites: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &key.nodes {
        if !seen.insert(node) {
            report(place(), format!("node {node} stands there twice"));
        }
        match plan.machine(node).filter(|machine| machine.kind == MachineKind::Signer) {
            None => report(place(), format!("node {node} is no signer among the plan's machines")),
            Some(machine) => {
                let count = sites.entry(machine.site.as_str()).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
    let (total, required) = (key.size.signers_total(), key.size.signers_required());
    for (site, count) in sites {
        if count >= usize::from(required) {
            report(
                place(),
                format!("site {site} holds {count} of the {required} signers required: it would be the key"),
            );
        }
    }
    if total == required {
        report(place(), format!("all {total} signers would be needed: one lost share would be the end of the key"));
    }
}

/// What a whole plan is checked against: for a genesis the charter that it names.
///
/// Findings of severity error forbid the ceremony; warnings want a reason.
pub fn check(plan: &Plan, charter: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    alone(plan, &mut findings);
    match (&plan.kind, charter) {
        (Kind::Genesis(parameters), Some(text)) => genesis(plan, parameters, text, &mut findings),
        (Kind::Genesis(parameters), None) => {
            let message = format!("the text of charter {} is needed: --charter FILE", parameters.charter);
            findings.push(error("genesis", message));
        }
        (Kind::KeyGeneration(_), _) => {}
    }
    findings.sort();
    findings.dedup();
    findings
}

fn error(place: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, place: place.into(), message: message.into() }
}

fn warning(place: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, ..error(place, message) }
}

/// Whom the ceremony cannot do without.
fn alone(plan: &Plan, findings: &mut Vec<Finding>) {
    for role in plan.roles.iter().filter(|role| role.stand_ins.is_empty()) {
        let message = format!("nobody may stand in for {}: without them there is no ceremony", role.holder);
        findings.push(warning(format!("role {}", role.id), message));
    }
    let sites: BTreeSet<&str> = plan.people.iter().map(|person| person.site.as_str()).collect();
    if sites.len() < 2 {
        findings.push(warning("people", "everybody sits at one site: who holds it sees and hears all of them"));
    }
}

fn genesis(plan: &Plan, parameters: &Genesis, text: &str, findings: &mut Vec<Finding>) {
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
    if !text.ends_with('\n') || text.chars().any(|c| c.is_control() && c != '\n') {
        findings.push(error("the charter", "it must end with a new line and have no other control character in it"));
    }
    findings.extend(lint(&charter).into_iter().map(|one| Finding { place: format!("charter, {}", one.place), ..one }));
    if charter.is_development() {
        findings.push(error("the charter", "a development charter needs no genesis: take `danger_development` out"));
    }
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
    same_machines(plan, &charter, findings);
    same_people(plan, parameters, &charter, findings);
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
