//! Signers whose disks fail while a program plays.

use super::Stage;
use crate::Dice;
use crate::disk::Fault;
use crate::hostile::judge::{Rank, Violation};
use crate::hostile::program::Step;

impl Stage {
    /// The disk of a signer fails at an operation, counted from now.
    pub(crate) fn plan_fault(&mut self, signer: u8, fault: Fault) {
        self.signer_mut(signer).into_iter().for_each(|one| one.plan(fault.clone()));
    }

    /// What power cuts leave is drawn anew.
    pub(crate) fn chance(&mut self, seed: u64) {
        self.dice = Dice::new(seed);
    }

    /// Operations on the disks of a signer so far.
    pub(crate) fn operations(&self, signer: u8) -> u64 {
        self.signer(signer).map_or(0, super::Signer::operations)
    }

    /// Restarts signers whose disk has failed, and has them answer again what they could not answer.
    pub(super) fn after_faults(&mut self, step: &Step, news: Option<super::News>) -> Result<(), Violation> {
        if !self.revive()? {
            return Ok(());
        }
        match step {
            Step::Deliver => news.into_iter().for_each(|news| self.news.push_front(news)),
            // Time does not pass twice, and who was stopped runs again already.
            Step::Wait(_) | Step::Kill(..) | Step::Start(..) => return Ok(()),
            _ => {}
        }
        self.act(step)?;
        match self.revive()? {
            false => Ok(()),
            true => Err(Violation { rank: Rank::Bytes, what: "a disk that has healed fails again".to_owned() }),
        }
    }

    fn revive(&mut self) -> Result<bool, Violation> {
        let mut any = false;
        for index in 1..=self.plan.members() {
            let mut dice = self.dice.clone();
            let Some(one) = self.signer_mut(index) else { continue };
            if !one.is_dead() {
                one.settle();
                continue;
            }
            any = true;
            let version = one.version().unwrap_or(0);
            let revived = one.revive(&mut dice, version);
            let uptime = one.true_uptime;
            self.dice = dice;
            revived.map_err(|what| Violation { rank: Rank::Bytes, what })?;
            self.judge.started(index);
            self.judge.boots(index, uptime);
            self.count("disk failed, restarted");
            self.note(format!("    the disk of signer {index} failed; it is restarted"));
        }
        Ok(any)
    }
}
