//! What the author writes about versions of the charter: who hands which to whom, signed by whom, and who says no.

use super::Author;
use crate::hostile::plan::pick;
use crate::hostile::program::{CharterStep, Quorum, Step, TalkStep};

impl Author<'_> {
    /// Hands versions in, between everything else.
    pub(super) fn govern(&mut self, program: &mut Vec<Step>) {
        if self.plan.live.is_none() {
            return;
        }
        let mut at = 0;
        for version in 1..self.plan.versions.len() {
            // One after the other in their order, mostly.
            at = if self.dice.chance(850) { at + self.below((program.len() - at) / 2 + 1) } else { 0 };
            let steps = self.hand_in(version);
            for step in steps {
                program.insert(at.min(program.len()), step);
                at = (at + 1 + self.below(3)).min(program.len());
            }
        }
    }

    fn hand_in(&mut self, version: usize) -> Vec<Step> {
        let everybody: Vec<u8> = (1..=self.plan.honest()).collect();
        let mut steps = Vec::new();
        let submit = |signer: u8, quorum| Step::Charter(CharterStep::Submit { version, signer, quorum });
        if self.dice.chance(300) {
            let other = self.below(self.plan.versions.len());
            let wrong = [Quorum::One, Quorum::Twice, Quorum::Others, Quorum::Forged, Quorum::OfAnother(other)];
            steps.push(submit(self.honest(), pick(self.dice, &wrong)));
        }
        let veto = self.dice.chance(250);
        if veto && self.dice.chance(300) {
            steps.push(self.veto(version));
        }
        let to = if self.dice.chance(600) { everybody } else { vec![self.honest()] };
        steps.extend(to.into_iter().map(|signer| submit(signer, Quorum::Whole)));
        for _ in 0..self.below(3) {
            steps.push(if self.dice.chance(700) { Step::Deliver } else { Step::Lose });
        }
        if self.dice.chance(300) {
            let signer = self.honest();
            steps.extend([Step::Kill(signer, self.dice.chance(500)), Step::Start(signer, 0)]);
        }
        let waits = self.plan.versions[version].place.waits_secs.unwrap_or(0) * 1000;
        if waits > 0 && self.dice.chance(800) {
            steps.push(Step::Wait(pick(self.dice, &[waits, waits, waits - 1, waits / 2])));
        }
        if veto {
            steps.push(self.veto(version));
        }
        if waits > 0 && self.dice.chance(400) {
            steps.push(Step::Wait(pick(self.dice, &[1, waits / 2, waits])));
        }
        if self.plan.standing {
            steps.push(Step::Talk(TalkStep::Round { cut: Vec::new(), pages: self.dice.chance(850) }));
        }
        steps
    }

    fn veto(&mut self, version: usize) -> Step {
        let (signer, person) = (self.honest(), pick(self.dice, &[0, 1, 2, 3, 4]));
        let forged = self.dice.chance(150);
        Step::Charter(CharterStep::Veto { version, signer, person, forged })
    }
}
