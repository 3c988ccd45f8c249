//! What changes about bounds, and about how the charter itself changes.

use std::collections::BTreeSet;

use super::{Changes, Direction};
use crate::charter::Charter;
use crate::charter::governance::{AutomaticFreeze, Governance};

pub(super) fn bounds(changes: &mut Changes, old: &Charter, new: &Charter) {
    let (old, new) = (&old.bounds, &new.bounds);
    changes.least("the number of sessions of one request", &old.max_sessions, &new.max_sessions);
    changes.least("the furthest expiry of a request in seconds", &old.max_expiry_secs, &new.max_expiry_secs);
    changes.least("the number of denied requests that are remembered", &old.max_denied, &new.max_denied);
}

pub(super) fn governance(changes: &mut Changes, old: Option<&Governance>, new: Option<&Governance>) {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, None) => return,
        (None, Some(_)) => return changes.add(Direction::Tightens, "the charter says how it changes"),
        (Some(_), None) => return changes.add(Direction::Loosens, "the charter no longer says how it changes"),
    };
    changes.same("the quorum of the next version", &old.quorum, &new.quorum);
    changes.most("the delay of loosening in seconds", &old.loosening_delay_secs, &new.loosening_delay_secs);
    changes.same("the group of guardians", &old.guardians, &new.guardians);
    changes.same("who lifts a freeze", &old.unfreeze, &new.unfreeze);
    changes.most("the delay of lifting a freeze in seconds", &old.unfreeze_delay_secs, &new.unfreeze_delay_secs);
    automatic_freeze(changes, old.automatic_freeze, new.automatic_freeze);
    let voids = |governance: &Governance| governance.voids.iter().copied().collect::<BTreeSet<_>>();
    // What was voided stays voided: it is enough that one version in force said so.
    let neutral = (Direction::Neutral, Direction::Neutral);
    changes.members("voided versions", (&voids(old), &voids(new)), neutral);
}

/// More requests than before, or a shorter time to count them in, let a requester be denied more often.
fn automatic_freeze(changes: &mut Changes, old: Option<AutomaticFreeze>, new: Option<AutomaticFreeze>) {
    let words = |one: AutomaticFreeze| format!("{} requests within {} s", one.refused, one.within_secs);
    match (old, new) {
        (Some(old), Some(new)) => {
            changes.least("the number of denied requests that freeze their requester", &old.refused, &new.refused);
            let what = "the time within which denied requests freeze their requester, in seconds,";
            changes.most(what, &old.within_secs, &new.within_secs);
        }
        (None, Some(new)) => {
            let what = format!("each signer freezes by itself a requester of whom it denies {}", words(new));
            changes.add(Direction::Tightens, what);
        }
        (Some(old), None) => {
            let what =
                format!("no signer freezes a requester by itself any more, as it did after {} were denied", words(old));
            changes.add(Direction::Loosens, what);
        }
        (None, None) => {}
    }
}
