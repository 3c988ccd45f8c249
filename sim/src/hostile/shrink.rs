//! Makes a failing case small: ever smaller pieces are left out as long as it fails.

use super::Case;
use super::program::Step;

/// Plays that a search may take.
const MOST_PLAYS: usize = 3000;

/// The smallest case found for which `fails` holds. It must hold for the first.
pub(crate) fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut plays = 0;
    let mut still = |case: &Case| {
        plays += 1;
        plays <= MOST_PLAYS && fails(case)
    };
    let mut size = case.program.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < case.program.len() {
            let mut smaller = case.clone();
            smaller.program.drain(at..(at + size).min(case.program.len()));
            if still(&smaller) { case = smaller } else { at += size }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    for at in 0..case.program.len() {
        papers(&mut case, at, &mut still);
    }
    // Versions that follow one another say what they change: without a rule they would change something else.
    let alone = if case.plan.live.is_some() { 0 } else { case.plan.versions.len() };
    for version in 0..alone {
        let mut at = 0;
        while at < case.plan.versions[version].rules.len() {
            let mut smaller = case.clone();
            smaller.plan.versions[version].rules.remove(at);
            if still(&smaller) { case = smaller } else { at += 1 }
        }
    }
    let mut at = 0;
    while at < case.plan.limits.len() {
        let mut smaller = case.clone();
        smaller.plan.limits.remove(at);
        if still(&smaller) { case = smaller } else { at += 1 }
    }
    case
}

/// Leaves out verdicts of one step that are not needed.
fn papers(case: &mut Case, step: usize, still: &mut impl FnMut(&Case) -> bool) {
    let mut at = 0;
    loop {
        let mut smaller = case.clone();
        let papers = match &mut smaller.program[step] {
            Step::Announce { papers, .. } | Step::Sign { papers, .. } => papers,
            _ => return,
        };
        if at >= papers.len() {
            return;
        }
        papers.remove(at);
        if still(&smaller) { *case = smaller } else { at += 1 }
    }
}
