//! Every operation that changes the disk fails, in every way.
//!
//! A program of the hostile coordinator is played once for each operation on a signer's disk, which fails there. The signer's
//! process ends, tries to start while the disk still fails, starts once it has healed, and is asked again. The judge looks at all
//! of it, and what the signer had let go or told before must be there.

use super::{Found, caught};
use crate::Dice;
use crate::disk::{Fault, Kind};
use crate::hostile::{Case, Trouble};
use crate::solver;

/// Rounds of every change: one program each, the last of them with a real key.
pub(super) const SHORT: u64 = 5;
/// Of programs that sign with a real key, so many operations fail at most, spread over all.
const REAL_SITES: u64 = 12;
/// The first seed with a real key, and how far it is to the next.
const REAL: (u64, u64) = (128, 256);

/// Steps that a violation is told with.
const TOLD: usize = 12;

/// Programs of a round are drawn from the kinds in turn.
pub(super) fn round(number: u64) -> Found {
    let mut found = Found::default();
    let real = number % SHORT == SHORT - 1;
    let seed = if real { REAL.0 + number / SHORT * REAL.1 } else { number * SHORT };
    let case = Case::of(seed);
    let operations = case.operations();
    let mut dice = Dice::new(!number);
    let signer = dice.index(operations.len()).unwrap_or(0);
    let count = operations.get(signer).copied().unwrap_or(0);
    let step = if case.is_real() { (count / REAL_SITES).max(1) } else { 1 };
    for at in (1..=count).step_by(usize::try_from(step).unwrap_or(1)) {
        // Each site fails in one way, and the next site in the next.
        let kind = Kind::ALL[usize::try_from((at + number) % Kind::ALL.len() as u64).unwrap_or(0)];
        let trouble = Trouble { signer: u8::try_from(signer + 1).unwrap_or(1), fault: Fault { at, kind } };
        found.tried += 1;
        let at = format!("seed {seed}, signer {}, {} at operation {at} of {count}", trouble.signer, kind.as_str());
        match caught(|| case.play_with(&trouble)) {
            Ok(report) => {
                let ended = report.counts.contains_key("disk failed, restarted");
                found.count(format!("{}: {}", kind.as_str(), if ended { "stopped and restarted" } else { "went on" }));
                if !report.signatures.is_empty() {
                    found.count("signatures of a real key: no nonce served twice");
                }
                for finding in solver::solve(&report.signatures) {
                    found.broken(format!("{at}: {finding:?}"));
                }
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
