//! Cases on disks that fail, and what recordings of their disks are for.

use std::sync::Arc;

use limen_wire::ids::NodeId;

use super::shares::Shares;
use super::signer::Recording;
use super::stage::Stage;
use super::{Case, Report};
use crate::disk::{Fault, Tape};

/// What goes wrong with whose disk.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The signer, by index from 1.
    pub signer: u8,
    /// What, counted from when all signers run.
    pub fault: Fault,
}

impl Case {
    /// How many signers of it are honest.
    pub fn honest(&self) -> u8 {
        self.plan.honest()
    }

    /// Plays it and records every disk of every honest machine.
    pub fn record(&self) -> (Report, Vec<(NodeId, Tape)>) {
        let recording = Recording::default();
        let stage = Stage::recorded(self.plan.clone(), Arc::new(Shares::StandIn), None, Some(&recording));
        let (report, stage) = self.play_on(stage);
        drop(stage);
        (report, recording.tapes())
    }

    /// How often each honest signer changes its disk from when all signers run.
    pub fn operations(&self) -> Vec<u64> {
        let stage = self.stage();
        let before: Vec<u64> = (1..=self.honest()).map(|signer| stage.operations(signer)).collect();
        let (_, stage) = self.play_on(stage);
        (1..=self.honest()).zip(before).map(|(signer, before)| stage.operations(signer) - before).collect()
    }

    /// Plays it on a disk that fails. The signer that it belongs to ends, is restarted once the disk has healed, and is asked
    /// again what it could not answer; everything is judged as ever. Panics where something of ours does.
    pub fn play_with(&self, trouble: &Trouble) -> Report {
        let mut stage = self.stage();
        stage.plan_fault(trouble.signer, trouble.fault.clone());
        stage.chance(trouble.fault.at);
        self.play_on(stage).0
    }

    /// Whether it signs with a real key.
    pub const fn is_real(&self) -> bool {
        self.real
    }

    fn stage(&self) -> Stage {
        let shares = if self.real { Shares::real() } else { Arc::new(Shares::StandIn) };
        Stage::new(self.plan.clone(), shares, None)
    }

    fn play_on(&self, mut stage: Stage) -> (Report, Stage) {
        let violation = self.program.iter().find_map(|step| stage.play(step).err());
        let (counts, trace) = (std::mem::take(&mut stage.counts), std::mem::take(&mut stage.trace));
        let signatures = std::mem::take(&mut stage.signatures);
        (Report { violation, counts, trace, signatures }, stage)
    }
}
