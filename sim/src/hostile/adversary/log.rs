//! What the author writes for the evidence log: an honest keeper's rounds, lost leaves, forks, and checkpoints that prove nothing.

use super::Author;
use crate::hostile::plan::pick;
use crate::hostile::program::{LogStep, Shown, Step};

impl Author<'_> {
    /// Keeps the log between what wants a signature, mostly as it should be.
    pub(super) fn keep_log(&mut self, program: &mut Vec<Step>) {
        if !self.plan.log {
            return;
        }
        // Keepers are mostly honest, or mostly not.
        let honest = if self.dice.chance(500) { 950 } else { 400 };
        let mut with = Vec::new();
        for step in program.drain(..) {
            let signs = matches!(step, Step::Sign { .. });
            if signs && self.dice.chance(350) {
                with.push(Step::Wait(pick(self.dice, &[59_999, 60_000, 60_000, 30_000, 1000])));
            }
            with.push(step);
            if signs {
                let steps = if self.dice.chance(honest) { vec![self.keeps()] } else { self.keeps_badly() };
                with.extend(steps);
            }
        }
        *program = with;
        self.outlast(program);
    }

    /// Small requests of one signer, one after the other, with almost a minute or more between them.
    fn outlast(&mut self, program: &mut Vec<Step>) {
        let signer = self.honest();
        for _ in 0..2 {
            program.extend(self.small(signer));
            let steps = if self.dice.chance(400) { vec![self.keeps()] } else { self.keeps_badly() };
            program.extend(steps);
            if self.dice.chance(300) {
                program.extend([Step::Kill(signer, self.dice.chance(700)), Step::Start(signer, 0)]);
            }
            program.push(Step::Wait(pick(self.dice, &[60_000, 60_000, 60_000, 59_999, 30_000])));
        }
        program.extend(self.small(signer));
    }

    fn everybody(&self) -> Vec<u8> {
        (1..=self.plan.honest()).collect()
    }

    fn keeps(&self) -> Step {
        let (log, to, without, shown) = (0, self.everybody(), None, Shown::Whole);
        Step::Log(LogStep::Round { log, to, without, corrupt: true, shown })
    }

    fn keeps_badly(&mut self) -> Vec<Step> {
        let (signer, log) = (self.honest(), self.below(2));
        let alone = vec![signer];
        let to = if self.dice.chance(600) { alone } else { self.everybody() };
        let round =
            |log, without, corrupt, shown| Step::Log(LogStep::Round { log, to: to.clone(), without, corrupt, shown });
        match self.below(7) {
            0 => Vec::new(),
            1 => vec![round(log, Some(signer), true, Shown::Whole)],
            2 => vec![Step::Log(LogStep::Fork(log)), round(log + 1, None, true, Shown::Whole)],
            3 => vec![round(0, None, false, Shown::Whole)],
            4 => {
                let wrong = pick(self.dice, &[Shown::Nothing, Shown::One, Shown::Forged, Shown::Old]);
                vec![round(0, None, true, wrong)]
            }
            5 => vec![round(log, None, true, Shown::Whole)],
            _ => vec![Step::Kill(signer, true), Step::Start(signer, 0), round(log, None, true, Shown::Whole)],
        }
    }
}
