//! What changes about backups: who has pieces of which shares, and how many of them are needed.

use std::collections::BTreeMap;

use limen_wire::ids::{NodeId, PersonId};

use super::{Changes, Direction};
use crate::charter::Charter;
use crate::charter::backups::Custodian;

/// New custodians are more who together have a key; fewer are fewer who can bring it back. So whoever comes or goes loosens, and so
/// does beginning and ending to back up.
pub(super) fn backups(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::Loosens;
    for (vault, backups) in new.backups.iter().filter(|(vault, _)| !old.backups.contains_key(*vault)) {
        for (node, list) in &backups.custodians {
            let what = format!("the shares of vault {vault} at {node}");
            custodians(changes, &what, &[], list);
        }
    }
    changes.named("backups of vault", (&old.backups, &new.backups), (Loosens, Loosens), |_, _, _| {});
    for (vault, new) in &new.backups {
        let Some(old) = old.backups.get(vault) else { continue };
        let what = |which: &str| format!("{which} of the backups of vault {vault}");
        changes.most(&what("the fewest signers"), &old.signers_required, &new.signers_required);
        changes.most(&what("the pieces required"), &old.pieces_required, &new.pieces_required);
        changes.most(&what("the people required"), &old.people_required, &new.people_required);
        let age = what("for how many seconds a proof counts,");
        changes.least(&age, &old.proof_max_age_secs, &new.proof_max_age_secs);
        let nodes: BTreeMap<&NodeId, ()> =
            old.custodians.keys().chain(new.custodians.keys()).map(|id| (id, ())).collect();
        for node in nodes.into_keys() {
            let list = |of: &'_ BTreeMap<NodeId, Vec<Custodian>>| of.get(node).cloned().unwrap_or_default();
            let what = format!("the shares of vault {vault} at {node}");
            custodians(changes, &what, &list(&old.custodians), &list(&new.custodians));
        }
    }
}

fn custodians(changes: &mut Changes, what: &str, old: &[Custodian], new: &[Custodian]) {
    let by_person = |list: &[Custodian]| -> BTreeMap<PersonId, String> {
        list.iter().map(|one| (one.person.clone(), one.recipient.to_string())).collect()
    };
    let (before, after) = (by_person(old), by_person(new));
    for (person, recipient) in &after {
        match before.get(person) {
            None => changes.add(Direction::Loosens, format!("{person} gets pieces of {what}, as {recipient}")),
            Some(known) => changes.same(&format!("the recipient of {person} for {what}"), known, recipient),
        }
    }
    for person in before.keys().filter(|person| !after.contains_key(*person)) {
        changes.add(Direction::Loosens, format!("{person} keeps no pieces of {what} any more"));
    }
    if before == after && old != new {
        changes.add(Direction::Neutral, format!("custodians of {what} stand in another order"));
    }
}
