//! What changes about keys that are out of use.

use std::collections::BTreeSet;

use limen_wire::ids::KeyId;

use super::{Changes, Direction};
use crate::charter::Charter;
use crate::charter::key_state::KeyState;

/// A key that goes out of use is less that can happen, and one that comes back is more. The end of one is what nobody can undo:
/// it has to wait as what loosens does, so that somebody can say no.
pub(super) fn key_states(changes: &mut Changes, old: &Charter, new: &Charter) {
    use Direction::{Loosens, Neutral, Tightens};
    let keys: BTreeSet<&KeyId> = old.key_marks.keys().chain(new.key_marks.keys()).collect();
    for key in keys {
        let (before, after) = (old.key_marks.get(key), new.key_marks.get(key));
        let state = |mark: Option<&crate::charter::key_state::KeyMark>| mark.map(|mark| mark.state);
        match (state(before), state(after)) {
            (None, None) => {}
            (before, after) if before == after => {}
            (_, Some(KeyState::Destroyed)) => {
                changes.add(Loosens, format!("key {key} is destroyed: every signer erases its shares, for good"));
            }
            (None, Some(after)) => changes.add(Tightens, format!("key {key} is {after}")),
            (Some(before), None) => changes.add(Loosens, format!("key {key} is no longer {before}: it signs again")),
            (Some(before), Some(after)) => {
                // A key that has signed nothing is not less for it, and may do more.
                let sweeps = new.key_marks.get(key).is_some_and(|mark| !mark.sweep_to.is_empty());
                let direction = match before < after {
                    true if sweeps => Neutral,
                    true => Tightens,
                    false => Loosens,
                };
                changes.add(direction, format!("key {key} is {after}; it was {before}"));
            }
        }
        let places = |charter: &Charter| charter.key_marks.get(key).map(|mark| mark.sweep_to.clone());
        let (from, to) = (places(old).unwrap_or_default(), places(new).unwrap_or_default());
        // From a key in use value goes wherever rules let it.
        let added = if before.is_some() { Loosens } else { Tightens };
        for entry in to.difference(&from) {
            changes.add(added, format!("value on compromised key {key} may be moved to {entry}"));
        }
        // Nothing goes anywhere from a key that is in use again or destroyed by this.
        let removed = if state(after) == Some(KeyState::Compromised) { Tightens } else { Neutral };
        for entry in from.difference(&to) {
            changes.add(
                removed,
                format!("value on key {key} may no longer be moved to {entry} as from a compromised key"),
            );
        }
        if let (Some(before), Some(after)) = (before, after)
            && before.state == after.state
            && before.reason != after.reason
        {
            changes.add(Neutral, format!("the words why key {key} is {} change", after.state));
        }
    }
}
