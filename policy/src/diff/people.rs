//! What changes about requesters, people and groups.

use std::collections::BTreeSet;

use limen_wire::ids::PersonId;

use super::{Changes, Direction};
use crate::charter::Charter;
use crate::charter::people::{CredentialClass, Group};

pub(super) fn requesters(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    changes.named("requester", (&old.requesters, &new.requesters), (Loosens, Tightens), |changes, old, new| {
        let what = format!("requester {}", new.id);
        changes.same(&format!("the key of {what}"), &old.public_key, &new.public_key);
        let duties = |list: &[crate::charter::Duty]| list.iter().map(|duty| format!("{duty:?}")).collect();
        let (before, after): (BTreeSet<String>, BTreeSet<String>) = (duties(&old.duties), duties(&new.duties));
        changes.members(&format!("duties of {what}"), (&before, &after), (Loosens, Tightens));
        // Fewer people behind a requester are fewer who do not count as approvers of what it asks for.
        changes.members(&format!("people behind {what}"), (&old.people, &new.people), (Tightens, Loosens));
    });
}

pub(super) fn people(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let (before, after) = (&old.roster.people, &new.roster.people);
    // Fewer guardians, or guardians with less to sign with, are fewer who can stop something.
    let guards = |person: &PersonId| guardians(old).contains(person);
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        let direction = if guards(id) { Loosens } else { Tightens };
        changes.add(direction, format!("person {id} is gone"));
    }
    for (id, new) in after {
        let Some(old) = before.get(id) else {
            changes.add(Loosens, format!("person {id} is new"));
            continue;
        };
        let less = if guards(id) { Loosens } else { Tightens };
        let what = format!("credential of {id}:");
        changes.named(&what, (&old.credentials, &new.credentials), (Loosens, less), |changes, old, new| {
            if old != new {
                let weaker = old.class == CredentialClass::Terminal && new.class == CredentialClass::Console;
                let same_but_class = old.public_key == new.public_key && old.kind == new.kind;
                let direction = if weaker && same_but_class { less } else { Loosens };
                changes.add(direction, format!("credential {} is another one", new.id));
            }
        });
    }
}

/// Who freezes alone.
fn guardians(charter: &Charter) -> BTreeSet<PersonId> {
    let group = charter.governance.as_ref().and_then(|one| charter.roster.groups.get(&one.guardians));
    group.map(|group| group.members.clone()).unwrap_or_default()
}

pub(super) fn groups(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let guards = |charter: &Charter, group: &Group| {
        charter.governance.as_ref().is_some_and(|governance| governance.guardians == group.id)
    };
    let (before, after) = (&old.roster.groups, &new.roster.groups);
    changes.named("group", (before, after), (Loosens, Loosens), |changes, before: &Group, after: &Group| {
        let what = format!("group {}", after.id);
        // Fewer guardians are fewer who can stop something.
        let removed = if guards(old, before) || guards(new, after) { Loosens } else { Tightens };
        changes.members(&what, (&before.members, &after.members), (Loosens, removed));
        match (before.synced_passkeys, after.synced_passkeys) {
            (false, true) => changes.add(Loosens, format!("{what} takes synced passkeys")),
            (true, false) => changes.add(Tightens, format!("{what} takes no synced passkeys any more")),
            _ => {}
        }
    });
}
