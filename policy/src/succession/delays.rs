//! The waits that a version gives up: it waits them out itself before it binds, so that nobody shortens one by the charter.

use crate::charter::Charter;
use crate::charter::governance::Governance;
use crate::charter::rule::{EntryAge, Rule};

/// The longest of them, in seconds: those of every rule that is not there as it was, and that of lifting a freeze if that
/// becomes shorter. What a rule that stays asks for is asked under the version as well.
pub(super) fn given_up(parent: &Charter, version: &Charter) -> u64 {
    let changed = parent.rules.iter().filter(|rule| !version.rules.contains(rule));
    let unfreeze = |charter: &Charter| {
        charter.governance.as_ref().map_or(0, |Governance { unfreeze_delay_secs, .. }| *unfreeze_delay_secs)
    };
    let (before, after) = (unfreeze(parent), unfreeze(version));
    let lifting = if after < before { before } else { 0 };
    changed.map(longest).fold(lifting, u64::max)
}

/// The longest wait that a rule asks for, in seconds: before signing, of an entry, of a credential.
pub(crate) fn longest(rule: &Rule) -> u64 {
    let entry = match rule.entry_age {
        EntryAge::Any => 0,
        EntryAge::AtLeast(secs) | EntryAge::LessThan(secs) => secs,
    };
    rule.needs.delay_secs.max(rule.needs.credentials_for_secs).max(entry)
}
