//! Older disks are put back, of up to one signer less than it takes to sign: see `hostile::rollback`.

use super::Found;
use crate::hostile::roll_back;

/// Rounds of every change.
pub(super) const SHORT: u64 = 50;

pub(super) fn round(number: u64) -> Found {
    let rolled = roll_back(number);
    let mut found = Found { tried: rolled.disks, ..Found::default() };
    *found.outcomes.entry("noticed within a round, and refuses".to_owned()).or_default() += rolled.noticed;
    for (what, count) in rolled.refusals {
        *found.outcomes.entry(format!("refusals: {what}")).or_default() += count;
    }
    found.violations = rolled.broken;
    found
}
