//! The hostile coordinator: the signers' own code under a program that a seed writes, and a judge of every signature.
//!
//! What runs is what the daemon runs: `limen_node`'s decisions, guard, store and journal. Time, disk, network and people are
//! ours. A coordinator in the adversary's hands calls every signer in any order with anything; `f` signers are its own.
//! Nothing is a loss before there is a signature; each one that comes into being is judged by [`judge`], which knows the
//! rules and shares no code with the signers. Start reading at [`stage`], then [`judge`], then [`adversary`].
#![expect(clippy::expect_used, clippy::panic, reason = "a stage that cannot be built ends the run")]

mod adversary;
mod bytes;
mod faults;
mod flaw;
mod judge;
mod people;
mod plan;
mod program;
mod rollback;
mod shares;
mod shrink;
mod signer;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use limen_policy::charter::Charter;

use crate::Dice;
use crate::solver::Seen;
pub use faults::Trouble;
pub use flaw::Flaw;
pub use judge::{Rank, Violation};
use plan::Plan;
use program::Step;
pub use rollback::{RolledBack, roll_back};
use shares::{REAL, Shares};
pub use stage::Counts;
use stage::Stage;

/// The one key.
const KEY: &str = "vault-key";
/// One of so many seeds runs the real protocol.
const REAL_EVERY: u64 = 256;
/// One of so many seeds plays a charter with a ledger, and which.
const LEDGER_EVERY: (u64, u64) = (16, 3);
/// In one of so many seeds signers have to know how their peers stand, and in which.
const STANDING_EVERY: (u64, u64) = (32, 7);
/// In one of so many seeds versions of the charter follow one another while signers run, and in which.
const LINE_EVERY: (u64, u64) = (16, 11);
/// In one of so many seeds the evidence log is played, and in which.
const LOG_EVERY: (u64, u64) = (16, 15);
/// In one of so many seeds signers freeze requesters by themselves, and in which; and in so many of a thousand seeds that have a
/// ledger, standing, or versions.
const AUTOMATIC_EVERY: (u64, u64, u16) = (16, 5, 150);
/// In one of so many seeds rules ask for checks from outside, and in which; and in so many of a thousand seeds that have a ledger
/// they do, and a vault has a ceiling.
const OUTSIDE_EVERY: (u64, u64, u16) = (16, 9, 400);

fn charter(plan: &Plan, version: usize) -> Charter {
    let text = plan.toml(version);
    Charter::from_toml(&text).unwrap_or_else(|error| panic!("a simulated charter is refused: {error}\n{text}"))
}

/// What one seed stands for.
#[derive(Debug, Clone)]
pub struct Case {
    plan: Plan,
    program: Vec<Step>,
    real: bool,
}

/// What became of a case.
#[derive(Debug)]
pub struct Report {
    /// The promise that was broken, if any.
    pub violation: Option<Violation>,
    /// What happened, and how often.
    pub counts: Counts,
    /// Step by step, in words.
    pub trace: Vec<String>,
    /// The signatures of a real key.
    pub signatures: Vec<Seen>,
}

impl Case {
    /// The case of a seed. One of sixteen has a ledger, another one versions of the charter, a third one the
    /// evidence log, in a fourth one signers freeze requesters by themselves, in a fifth one rules ask for checks from outside; one of
    /// thirty-two has standing. Some with a ledger have a ceiling.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut plan = plan::draw(&mut dice);
        let real = seed % REAL_EVERY == REAL_EVERY / 2;
        if real {
            (plan.required, plan.signers, plan.corrupt) = (REAL.0, REAL.1, plan.corrupt.min(REAL.0 - 1));
        }
        if seed % LEDGER_EVERY.0 == LEDGER_EVERY.1 {
            plan = plan.with_keepers(&mut dice);
        }
        if seed % STANDING_EVERY.0 == STANDING_EVERY.1 {
            plan = plan.with_standing(&mut dice);
        }
        plan.log = seed % LOG_EVERY.0 == LOG_EVERY.1;
        if seed % LINE_EVERY.0 == LINE_EVERY.1 {
            plan = plan.with_line(&mut dice);
            if dice.chance(250) {
                plan = plan.with_standing(&mut dice);
            }
        }
        // By dice of their own: in all other seeds everything stays as it is.
        let mut own = Dice::new(!seed);
        let besides = plan.keepers.is_some() || plan.standing || plan.live.is_some();
        if seed % AUTOMATIC_EVERY.0 == AUTOMATIC_EVERY.1 || besides && own.chance(AUTOMATIC_EVERY.2) {
            plan = plan.with_automatic(&mut own);
        }
        let ceiling = plan.keepers.is_some() && own.chance(OUTSIDE_EVERY.2);
        if seed % OUTSIDE_EVERY.0 == OUTSIDE_EVERY.1 || ceiling {
            plan = plan.with_outside(ceiling, &mut own);
        }
        let program = adversary::write(&plan, &mut dice);
        Self { plan, program, real }
    }

    /// Plays it, with signers as they are or with naive ones.
    pub fn play(&self, flaw: Option<Flaw>) -> Report {
        let shares = if self.real { Shares::real() } else { Arc::new(Shares::StandIn) };
        let mut stage = Stage::new(self.plan.clone(), shares, flaw);
        let violation = self.program.iter().find_map(|step| stage.play(step).err());
        let (mut counts, trace, signatures) = (stage.counts, stage.trace, stage.signatures);
        if self.real {
            *counts.entry("real protocol").or_default() += 1;
        }
        Report { violation, counts, trace, signatures }
    }

    /// The smallest case that breaks the same promise.
    pub fn shrunk(&self, rank: Rank, flaw: Option<Flaw>) -> Self {
        shrink::shrink(self.clone(), |case| case.play(flaw).violation.is_some_and(|found| found.rank == rank))
    }

    /// Charter and program in full.
    pub fn in_words(&self) -> String {
        let Plan { signers, required, corrupt, .. } = &self.plan;
        let mut text = format!("{required} of {signers} signers, {corrupt} of them corrupt\n");
        for version in 0..self.plan.versions.len() {
            let charter = self.plan.toml(version);
            let start = charter.find("[groups").unwrap_or(0);
            text += &format!("charter, version {version}:\n{}\n", &charter[start..]);
        }
        for step in &self.program {
            text += &format!("{step}\n");
        }
        text
    }
}
