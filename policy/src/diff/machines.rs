//! What changes about machines, the ledgers that they keep and the coordinators.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, Direction};
use crate::charter::Charter;

pub(super) fn machines(changes: &mut Changes, old: &Charter, new: &Charter) {
    let names = |charter: &Charter| charter.nodes.iter().map(|node| node.id.to_string()).collect::<Vec<_>>().join(", ");
    changes.same("the list of signer nodes", &names(old), &names(new));
    for node in &new.nodes {
        let Some(before) = old.node(&node.id) else { continue };
        changes.same(&format!("the key of node {}", node.id), &before.public_key, &node.public_key);
        let text = |site: &Option<String>| site.clone().unwrap_or_else(|| "nowhere".to_owned());
        changes.same(&format!("the site of node {}", node.id), &text(&before.site), &text(&node.site));
        changes.same(&format!("the account of node {}", node.id), &text(&before.account), &text(&node.account));
        if before.address != node.address {
            let (id, from, to) = (&node.id, &before.address, &node.address);
            changes.add(Direction::Neutral, format!("node {id} is reached at {to} instead of {from}"));
        }
    }
    ledgers(changes, old, new);
    let coordinators = |charter: &Charter| -> BTreeSet<String> {
        charter.coordinators.iter().map(|one| format!("{} ({})", one.id, one.public_key)).collect()
    };
    // They are believed nothing, whoever they are.
    let neutral = (Direction::Neutral, Direction::Neutral);
    changes.members("coordinators", (&coordinators(old), &coordinators(new)), neutral);
}

/// What a former identity has stated counts where nothing of it did before, or no longer.
pub(super) fn former_identities(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Tightens};
    let statements = |charter: &Charter| -> BTreeSet<String> {
        let all = charter.former_identities.iter().flat_map(|former| {
            let who = format!("{}, of {}", former.public_key, former.node);
            former.statements.iter().map(move |hash| format!("{who}, under statement {}", hex::encode(hash)))
        });
        all.collect()
    };
    changes.members("a former identity counts", (&statements(old), &statements(new)), (Loosens, Tightens));
    let names = |charter: &Charter| -> BTreeSet<String> {
        charter.former_identities.iter().map(|one| format!("{}, of {}", one.public_key, one.node)).collect()
    };
    // By itself it says nothing, and keeps the key from coming back.
    changes.members("former identities", (&names(old), &names(new)), (Direction::Neutral, Loosens));
}

/// Another committee starts from nothing unless the one before hands over, and other members are others to believe.
fn ledgers(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::Loosens;
    let machines: BTreeSet<_> = new.machines().map(|machine| machine.id.clone()).collect();
    changes.named("ledger", (&old.ledgers, &new.ledgers), (Loosens, Loosens), |changes, old, new| {
        let (id, before) = (new.ledger(), old.hash());
        changes.same(&format!("the committee of ledger {id}"), &before, &new.hash());
        if before != new.hash() && new.predecessor() != Some(before) {
            let advice = format!("no signer takes this version until ledger {id} says follows = \"{before}\"");
            changes.add(Loosens, advice);
        }
        let stay = old.members().iter().filter(|member| machines.contains(&member.id)).count();
        if before != new.hash() && stay < old.quorum() {
            let (need, of) = (old.quorum(), old.members().len());
            let advice = format!(
                "only {stay} of the {of} members that keep ledger {id} stay in the charter, {need} of them have to seal it: \
                 take the others out by a later version"
            );
            changes.add(Loosens, advice);
        }
    });
    match (&old.claims_ledger, &new.claims_ledger) {
        (None, Some(ledger)) => {
            changes.add(Direction::Tightens, format!("every request claims in ledger {ledger} what counts once"));
        }
        (Some(before), None) => {
            changes.add(Loosens, format!("what counts once is no longer claimed in ledger {before}"));
        }
        // Another ledger knows nothing of what was claimed before.
        (Some(before), Some(after)) => changes.same("where every request claims what counts once", before, after),
        (None, None) => {}
    }
    let reached = |charter: &Charter| -> BTreeMap<_, _> {
        charter.witnesses.iter().map(|witness| (witness.id.clone(), witness.clone())).collect()
    };
    let (before, after) = (reached(old), reached(new));
    // What a witness may do is said by the ledgers that it keeps.
    let neutral = (Direction::Neutral, Direction::Neutral);
    changes.named("witness", (&before, &after), neutral, |changes, old, new| {
        if old != new {
            changes.add(Direction::Neutral, format!("witness {} is another machine or reached elsewhere", new.id));
        }
    });
}
