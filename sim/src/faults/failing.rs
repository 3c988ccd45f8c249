//! Every operation that changes the disk fails, in every way.
//!
//! A program of the hostile coordinator is played once for each operation on a signer's disk, which fails there. The signer's
//! process ends, tries to start while the disk still fails, starts once it has healed, and is asked again. The judge looks at all
//! of it, and what the signer had let go or told before must be there.

use super::{Found, caught};
use crate::Dice;
use crate::disk::{Fault, Kind};
use crate::hostile::{Case, Trouble};

/// Rounds of every change: one program each.
pub(super) const SHORT: u64 = 4;

/// Steps that a violation is told with.
const TOLD: usize = 12;

/// Programs of a round are drawn from the kinds in turn.
pub(super) fn round(number: u64) -> Found {
    let mut found = Found::default();
    let seed = number * 5;
    let case = Case::of(seed);
    let operations = case.operations();
    let mut dice = Dice::new(!number);
    let signer = dice.index(operations.len()).unwrap_or(0);
    let count = operations.get(signer).copied().unwrap_or(0);
    for at in 1..=count {
        // Each site fails in one way, and the next site in the next.
        let kind = Kind::ALL[usize::try_from((at + number) % Kind::ALL.len() as u64).unwrap_or(0)];
        let trouble = Trouble { signer: u8::try_from(signer + 1).unwrap_or(1), fault: Fault { at, kind } };
        found.tried += 1;
        let at = format!("seed {seed}, signer {}, {} at operation {at} of {count}", trouble.signer, kind.as_str());
        match caught(|| case.play_with(&trouble)) {
            Ok(report) => {
                let ended = report.counts.contains_key("disk failed, restarted");
                found.count(format!("{}: {}", kind.as_str(), if ended { "stopped and restarted" } else { "went on" }));
                if let Some(violation) = report.violation {
                    let last = report
                        .trace
                        .iter()
                        .rev()
                        .take(TOLD)
                        .rev()
                        .fold(String::new(), |all, line| all + "\n    " + line);
                    found.broken(format!("{at}: {violation}; the last steps:{last}"));
                }
            }
            Err(panic) => found.broken(format!("{at}: panicked: {panic}")),
        }
    }
    found
}
