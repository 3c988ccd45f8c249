//! What changes about drills. One more, or one sooner, asks more of people; anything else leaves losses unplayed for longer.

use super::{Changes, Direction};
use crate::charter::Charter;

pub(super) fn drills(changes: &mut Changes, old: &Charter, new: &Charter) {
    let directions = (Direction::Tightens, Direction::Loosens);
    changes.named("drill", (&old.drills, &new.drills), directions, |changes, old, new| {
        let what = |which: &str| format!("{which} of drill {}", new.id);
        changes.same(&what("the scenario"), &old.scenario.as_str(), &new.scenario.as_str());
        changes.same(&what("the key"), &old.key, &new.key);
        changes.same(&what("the public key"), &hex::encode(&old.public_key), &hex::encode(&new.public_key));
        changes.least(&what("the number of days from one to the next"), &old.every_days, &new.every_days);
        changes.least(&what("the number of days of grace"), &old.grace_days, &new.grace_days);
        // Days are written so that later ones are greater.
        changes.least(&what("the first day"), &old.from, &new.from);
    });
}
