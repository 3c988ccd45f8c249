//! Whether plans of proofs, rotations and sweeps hold together.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{NodeId, PersonId};
use limen_wire::keys::PublicKey;

use super::{Report, committee, distinct_roles, error, has_role, warning};
use crate::ceremony::{Backup, IdentityRotation, KekRotation, Kind, MachineKind, Plan, Sweep};
use crate::charter::Charter;
use crate::lint::Finding;

/// One backup of each member, each with custodians who are themselves: nobody else can open their piece.
pub(super) fn backup(plan: &Plan, backup: &Backup, report: Report<'_>) {
    const PLACE: &str = "backup.members";
    let nodes: Vec<&NodeId> = backup.members.iter().map(|one| &one.node).collect();
    let members: BTreeSet<&NodeId> = backup.key.nodes.iter().collect();
    if nodes.len() != members.len() || nodes.iter().copied().collect::<BTreeSet<_>>() != members {
        report(PLACE.to_owned(), "one backup of each member of the key is needed, and of no other".to_owned());
    }
    let hashes: BTreeSet<&[u8; 32]> = backup.members.iter().map(|one| &one.backup).collect();
    if hashes.len() != backup.members.len() {
        report(PLACE.to_owned(), "two members have the same backup".to_owned());
    }
    for member in &backup.members {
        let place = format!("{PLACE}, {}", member.node);
        distinct_roles(plan, &place, &member.custodians, report);
        if member.custodians.is_empty() {
            report(place.clone(), "nobody would prove it: name its custodians".to_owned());
        }
        let mut holders: BTreeSet<&PersonId> = BTreeSet::new();
        for role in member.custodians.iter().filter_map(|id| plan.role(id)) {
            if !role.stand_ins.is_empty() {
                let message = format!("{} has stand-ins, and nobody but a custodian opens their piece", role.id);
                report(place.clone(), message);
            }
            if !holders.insert(&role.holder) {
                report(place.clone(), format!("{} stands there twice: a piece each", role.holder));
            }
        }
    }
}

pub(super) fn wrapping_keys(plan: &Plan, rotation: &KekRotation, report: Report<'_>) {
    const PLACE: &str = "kek_rotation";
    has_role(plan, PLACE, &rotation.orders, report);
    let nodes: BTreeSet<&NodeId> = rotation.nodes.iter().collect();
    if nodes.is_empty()
        || nodes.len() != rotation.nodes.len()
        || nodes.iter().any(|node| !rotation.key.nodes.contains(node))
    {
        report(PLACE.to_owned(), "nodes are members of the key, one at least, each once".to_owned());
    }
    // Where a rotation fails at all of them, backups are all that is left of the key.
    let (total, required) = (rotation.key.nodes.len(), usize::from(rotation.key.size.signers_required()));
    if total.saturating_sub(nodes.len()) < required {
        let message = format!(
            "{} of {total} members in one ceremony leave fewer than the {required} required if all of them fail: rotate fewer at a time",
            nodes.len()
        );
        report(PLACE.to_owned(), message);
    }
}

pub(super) fn identities(plan: &Plan, rotation: &IdentityRotation, report: Report<'_>) {
    const PLACE: &str = "identity_rotation";
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    if rotation.replaced.is_empty() {
        report(PLACE.to_owned(), "no machine gets another identity: that is a charter-change".to_owned());
    }
    for (node, before) in &rotation.replaced {
        if !seen.insert(node) {
            report(PLACE.to_owned(), format!("machine {node} stands there twice"));
        }
        match plan.machine(node) {
            None => report(PLACE.to_owned(), format!("there is no machine {node}")),
            Some(machine) if machine.public_key == *before => {
                report(PLACE.to_owned(), format!("{node} has the same identity before and after"));
            }
            Some(_) => {}
        }
        if plan.machines.iter().any(|machine| machine.id != *node && machine.public_key == *before) {
            report(PLACE.to_owned(), format!("what {node} was is what another machine is"));
        }
    }
    let keys: BTreeSet<_> = rotation.reshare.iter().collect();
    if keys.len() != rotation.reshare.len() {
        report(PLACE.to_owned(), "a key to be reshared stands there twice".to_owned());
    }
}

pub(super) fn sweep(plan: &Plan, sweep: &Sweep, report: Report<'_>) {
    has_role(plan, "sweep", &sweep.sweeper, report);
    committee(plan, "to", (&sweep.to.nodes, sweep.to.size), report);
    let (from, to) = (&sweep.key, &sweep.to);
    if from.id == to.id || from.public_key == to.public_key || from.shares == to.shares {
        report("to".to_owned(), "it is the key that things are moved from".to_owned());
    }
}

/// Whether the version pins what the plan pins, and can be taken by anybody.
pub(super) fn pinned_by(plan: &Plan, rotation: &IdentityRotation, text: &str, findings: &mut Vec<Finding>) {
    let Ok(charter) = Charter::from_toml(text) else { return };
    let keys = keys(&charter);
    for (node, before) in &rotation.replaced {
        let Some(machine) = plan.machine(node) else { continue };
        if keys.get(node) != Some(&machine.public_key) {
            let message = format!("the version does not pin {} for {node}, as the plan does", machine.public_key);
            findings.push(error("the charter", message));
        }
        let is_named = charter.former_identities.iter().any(|one| one.node == *node && one.public_key == *before);
        if machine.kind == MachineKind::Signer && !is_named {
            let message = format!(
                "{node} is a signer, and the version does not name {before} under [[former_identities]]: nobody would take it"
            );
            findings.push(error("identity_rotation", message));
        }
    }
}

/// What may be meant so, and wants a reason.
pub(super) fn risks(plan: &Plan, findings: &mut Vec<Finding>) {
    match &plan.kind {
        Kind::Backup(backup) => {
            for member in backup.members.iter().filter(|member| member.custodians.len() == 1) {
                let message = "it has one custodian: without them, and without the member, the share is lost";
                findings.push(warning(format!("backup.members, {}", member.node), message));
            }
        }
        Kind::Sweep(sweep) if sweep.to.nodes.iter().any(|node| sweep.key.nodes.contains(node)) => {
            let message = "things go to a key that lies in part with the same machines: after a compromise of these it is the same again";
            findings.push(warning("to", message));
        }
        _ => {}
    }
}

/// The identities of all machines of a charter.
fn keys(charter: &Charter) -> BTreeMap<&NodeId, PublicKey> {
    let nodes = charter.nodes.iter().chain(&charter.witnesses).map(|node| (&node.id, node.public_key));
    nodes.chain(charter.coordinators.iter().map(|one| (&one.id, one.public_key))).collect()
}

/// Whether a version gives exactly the machines of the plan other identities, from those that the plan says to those that it pins, and
/// leaves those of all others as they were. The reason if not; nothing is asked of plans of other kinds.
pub fn replaces(plan: &Plan, parent: &Charter, version: &Charter) -> Result<(), String> {
    let Kind::IdentityRotation(rotation) = &plan.kind else { return Ok(()) };
    let (before, after) = (keys(parent), keys(version));
    for (node, was) in &rotation.replaced {
        let is = plan.machine(node).map(|machine| machine.public_key);
        if before.get(node) != Some(was) || after.get(node).copied() != is {
            return Err(format!(
                "the identity of {node} does not go from the one before to the one that the plan pins"
            ));
        }
    }
    let named = |node: &&NodeId| rotation.replaced.iter().any(|(one, _)| one == *node);
    let nodes: BTreeSet<&NodeId> = before.keys().chain(after.keys()).copied().collect();
    match nodes.into_iter().filter(|node| !named(node)).find(|node| before.get(*node) != after.get(*node)) {
        Some(other) => Err(format!("the version changes the identity of {other}, which the plan does not name")),
        None => Ok(()),
    }
}
