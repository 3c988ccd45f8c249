//! What is wrong with a plan: parts that do not fit each other, and ways to a cluster that nobody can use or one person can.

mod charter;
mod rotations;

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{CommitteeSize, NodeId, PersonId, RoleId};
use limen_wire::keys::PublicKey;

use super::{Attendance, CharterChange, Destruction, Drill, Kind, MachineKind, Participant, Plan, Recovery, Scenario};
use crate::charter::Charter;
use crate::lint::{Finding, Severity};

pub use rotations::replaces;

type Report<'a> = &'a mut dyn FnMut(String, String);

/// Everything that makes the plan unusable by itself.
pub(super) fn fits(plan: &Plan, report: Report<'_>) {
    people(plan, report);
    roles(plan, report);
    machines(plan, report);
    match &plan.kind {
        Kind::Genesis(_) => {}
        Kind::KeyGeneration(key) => {
            has_role(plan, "key_generation", &key.orders, report);
            committee(plan, "key_generation", (&key.nodes, key.size), report);
        }
        Kind::Refresh(handover) | Kind::Reshare(handover) => {
            let place = plan.kind.as_str();
            has_role(plan, place, &handover.orders, report);
            committee(plan, place, (&handover.nodes, handover.size), report);
        }
        Kind::CharterChange(change) => approvers(plan, change, report),
        Kind::IdentityRotation(rotation) => {
            approvers(plan, &rotation.change, report);
            rotations::identities(plan, rotation, report);
        }
        Kind::Backup(backup) => rotations::backup(plan, backup, report),
        Kind::KekRotation(rotation) => rotations::wrapping_keys(plan, rotation, report),
        Kind::Sweep(sweep) => rotations::sweep(plan, sweep, report),
        Kind::Destruction(destruction) => {
            distinct_roles(plan, "destruction", &destruction.custodians, report);
            lost(plan, destruction, report);
        }
        Kind::Recovery(recovery) => {
            has_role(plan, "recovery", &recovery.operator, report);
            distinct_roles(plan, "recovery", &recovery.custodians, report);
            several_people(plan, recovery, report);
        }
        Kind::Drill(one) => drill(plan, one, report),
    }
    if let Some(key) = plan.kind.known() {
        members(plan, "key", &key.nodes, report);
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

/// Whether somebody may come to have a role.
fn may(plan: &Plan, person: &Participant, role: &RoleId) -> bool {
    plan.role(role).is_some_and(|role| role.holder == person.id || role.stand_ins.contains(&person.id))
}

/// Nobody reaches two signers: not as an operator, and not by standing in.
fn one_hand(plan: &Plan, report: Report<'_>) {
    let signers: Vec<_> = plan.machines.iter().filter(|machine| machine.kind == MachineKind::Signer).collect();
    for person in &plan.people {
        let reached: Vec<_> = signers.iter().filter(|machine| may(plan, person, &machine.operator)).collect();
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

fn has_role(plan: &Plan, place: &str, role: &RoleId, report: Report<'_>) {
    if plan.role(role).is_none() {
        report(place.to_owned(), format!("there is no role {role}"));
    }
}

fn approvers(plan: &Plan, change: &CharterChange, report: Report<'_>) {
    has_role(plan, "charter_change", &change.brings, report);
    distinct_roles(plan, "charter_change", &change.approvers, report);
    if change.approvers.is_empty() {
        report("charter_change".to_owned(), "nobody would sign the version: name approvers".to_owned());
    }
}

fn distinct_roles(plan: &Plan, place: &str, roles: &[RoleId], report: Report<'_>) {
    let mut seen: BTreeSet<&RoleId> = BTreeSet::new();
    for role in roles {
        has_role(plan, place, role, report);
        if !seen.insert(role) {
            report(place.to_owned(), format!("role {role} stands there twice"));
        }
    }
}

/// Whether nobody can come to have both roles, as a holder or by standing in.
fn apart(plan: &Plan, one: &RoleId, other: &RoleId) -> bool {
    let excluded = plan.conflicts.iter().any(|set| set.contains(one) && set.contains(other));
    one != other && (excluded || !plan.people.iter().any(|person| may(plan, person, one) && may(plan, person, other)))
}

/// Nobody is to have a whole key by bringing all that it takes, whoever is absent.
fn several_people(plan: &Plan, recovery: &Recovery, report: Report<'_>) {
    let custodians = &recovery.custodians;
    let two = custodians.iter().any(|one| custodians.iter().any(|other| apart(plan, one, other)));
    if !two {
        let message = "the pieces could all be brought by one person: at least two are needed, whose roles nobody else holds or stands in \
                       for together, or are in [conflicts]";
        report("recovery".to_owned(), message.to_owned());
    }
    for role in custodians.iter().filter(|role| !apart(plan, role, &recovery.operator)) {
        let message = format!(
            "who works at the machine must bring no piece: nobody may come to hold {role} and {}; put them in [conflicts]",
            recovery.operator
        );
        report("recovery".to_owned(), message);
    }
}

fn drill(plan: &Plan, drill: &Drill, report: Report<'_>) {
    let place = || "drill".to_owned();
    has_role(plan, "drill", &drill.operator, report);
    let absent: BTreeSet<&NodeId> = drill.absent.iter().collect();
    if absent.len() != drill.absent.len() || absent.iter().any(|node| !drill.key.nodes.contains(node)) {
        report(place(), "absent are members of the key, each once".to_owned());
    }
    let (total, required) = (drill.key.nodes.len(), usize::from(drill.key.size.signers_required()));
    let left = total.saturating_sub(absent.len());
    match drill.scenario {
        Scenario::Restore if !absent.is_empty() => {
            report(place(), "a restore asks no signer: absent must be left out".to_owned());
        }
        Scenario::SiteLoss | Scenario::Compromise if absent.is_empty() => {
            report(place(), "name the members that are off under absent".to_owned());
        }
        Scenario::SiteLoss | Scenario::Compromise if left < required => {
            report(place(), format!("{left} members are left, {required} are required: that is a restore"));
        }
        _ => {}
    }
}

/// That members of a key are signers of the plan, whose identities it pins.
fn members(plan: &Plan, place: &str, nodes: &[NodeId], report: Report<'_>) {
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    for node in nodes {
        if !seen.insert(node) {
            report(place.to_owned(), format!("node {node} stands there twice"));
        }
        if plan.machine(node).is_none_or(|machine| machine.kind != MachineKind::Signer) {
            report(place.to_owned(), format!("node {node} is no signer among the plan's machines"));
        }
    }
}

/// What no member proves of a destruction is less than signs, and people say what became of the rest.
fn lost(plan: &Plan, destruction: &Destruction, report: Report<'_>) {
    let (lost, key) = (&destruction.lost, &destruction.key);
    members(plan, "destruction.lost", lost, report);
    for node in lost.iter().filter(|node| !key.nodes.contains(node)) {
        report("destruction.lost".to_owned(), format!("node {node} is no member of the key"));
    }
    if !lost.is_empty() && destruction.custodians.is_empty() {
        let message = "members are lost whose shares nobody shows to be erased: name under custodians who holds pieces of backups, or can say that \
                       nobody does";
        report("destruction.custodians".to_owned(), message.to_owned());
    }
    let required = usize::from(key.size.signers_required());
    if lost.len() >= required {
        let message = format!(
            "{} members are lost, {required} sign: nothing in the record would show that the key is gone. Sweep what lies under it",
            lost.len()
        );
        report("destruction.lost".to_owned(), message);
    }
}

/// A committee that is to have shares: no site is the key, and no lost share its end.
fn committee(plan: &Plan, place: &str, (nodes, size): (&[NodeId], CommitteeSize), report: Report<'_>) {
    members(plan, place, nodes, report);
    let mut sites: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in nodes.iter().filter_map(|node| plan.machine(node)) {
        let count = sites.entry(machine.site.as_str()).or_default();
        *count = count.saturating_add(1);
    }
    let (total, required) = (size.signers_total(), size.signers_required());
    for (site, count) in sites {
        if count >= usize::from(required) {
            let message = format!("site {site} holds {count} of the {required} signers required: it would be the key");
            report(place.to_owned(), message);
        }
    }
    if total == required {
        let message = format!("all {total} signers would be needed: one lost share would be the end of the key");
        report(place.to_owned(), message);
    }
}

/// What a whole plan is checked against: for a genesis the charter that it names.
///
/// Findings of severity error forbid the ceremony; warnings want a reason.
pub fn check(plan: &Plan, charter: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    alone(plan, &mut findings);
    match (&plan.kind, charter) {
        (Kind::Genesis(parameters), Some(text)) => charter::genesis(plan, parameters, text, &mut findings),
        (Kind::CharterChange(change), Some(text)) => charter::charter_change(plan, change, text, &mut findings),
        (Kind::IdentityRotation(rotation), Some(text)) => {
            charter::charter_change(plan, &rotation.change, text, &mut findings);
            rotations::pinned_by(plan, rotation, text, &mut findings);
        }
        (kind, None) => {
            if let Some(hash) = plan.charter() {
                let message = format!("the text of charter {hash} is needed: --charter FILE");
                findings.push(error(kind.as_str(), message));
            }
        }
        _ => {}
    }
    rotations::risks(plan, &mut findings);
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

/// Whether a genesis is of all of its charter: without it a record would hold in which some machines and people proved nothing.
///
/// Empty for other kinds; else findings of severity error say what does not fit. Judges no more than that: records are read by it years
/// later, when other findings of [`check`] may be stricter.
pub fn fits_charter(plan: &Plan, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Kind::Genesis(parameters) = &plan.kind {
        match Charter::from_toml(text) {
            Ok(charter) => charter::belongs(plan, parameters, &charter, &mut findings),
            Err(reason) => findings.push(error("the charter", reason.to_string())),
        }
    }
    findings.retain(|finding| finding.severity == Severity::Error);
    findings
}
