//! What the author writes to have signers freeze a requester by themselves, or almost, and to go on in spite of it.

use super::Author;
use crate::hostile::plan::{Automatic, BOARD, pick};
use crate::hostile::program::{Draft, Kind, Label, LiftOwn, Spoil, Step};

/// To whom denied requests are shown.
#[derive(Clone, Copy)]
enum Audience {
    Everybody,
    One(u8),
    /// Each to another one, so that nobody counts them all.
    Turns,
}

impl Author<'_> {
    /// Puts provocations into a program, mostly in one go.
    pub(super) fn provoke(&mut self, program: &mut Vec<Step>) {
        let Some(automatic) = self.plan.automatic else { return };
        for _ in 0..1 + self.below(2) {
            let steps = self.provocation(automatic);
            if self.dice.chance(750) {
                let at = self.below(program.len() + 1);
                program.splice(at..at, steps);
            } else {
                self.insert(program, steps);
            }
        }
    }

    /// Denied requests, as many as it takes or not quite; a small one; often what lifts the freeze, or almost; and another one.
    fn provocation(&mut self, Automatic { refused, within_secs }: Automatic) -> Vec<Step> {
        let (requester, signer) = (self.below(2), self.honest());
        let audience =
            pick(self.dice, &[Audience::Everybody, Audience::Everybody, Audience::One(signer), Audience::Turns]);
        let wanted = pick(self.dice, &[refused, refused, refused, refused.saturating_sub(1), refused + 1, 2 * refused]);
        let (mut steps, mut denied) = (Vec::new(), Vec::new());
        for turn in 0..wanted {
            let request = self.label();
            steps.push(Step::Ask(request, self.denied(request, requester)));
            denied.push(request);
            steps.extend(self.shows(request, audience, turn));
            steps.extend(self.meanwhile(&denied, signer, within_secs * 1000));
        }
        steps.extend(self.small_of(requester, signer));
        if self.dice.chance(300) {
            return steps;
        }
        steps.extend(self.lifts(requester));
        if self.dice.chance(500) {
            // What was counted once is not counted again.
            denied.iter().for_each(|request| steps.extend(self.shows(*request, Audience::Everybody, 0)));
        }
        steps.extend(self.small_of(requester, signer));
        if self.dice.chance(300) {
            steps.extend(self.again(refused, requester, signer));
        }
        steps
    }

    /// The same requester is frozen anew, and somebody comes with what lifted the freeze before.
    fn again(&mut self, refused: u32, requester: usize, signer: u8) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..refused {
            let request = self.label();
            steps.push(Step::Ask(request, self.denied(request, requester)));
            steps.extend(self.shows(request, Audience::Everybody, 0));
        }
        let old = self.dice.chance(700);
        for person in BOARD {
            steps.push(Step::LiftOwn(LiftOwn { signer, requester, person, old, forged: false }));
        }
        steps.push(Step::Wait(self.plan.lift_delay_secs * 1000));
        steps.extend(self.small_of(requester, signer));
        steps
    }

    /// A request that hardly any rules let through.
    fn denied(&mut self, request: Label, requester: usize) -> Draft {
        let (kind, units) = pick(self.dice, &[(Kind::Native, 40), (Kind::Token, 40), (Kind::Delegatecall, 1)]);
        // Or one that only waits, or is not taken at all.
        let (kind, units) = if self.dice.chance(60) { (Kind::Token, 3) } else { (kind, units) };
        let life_secs = if self.dice.chance(40) { 90_000 } else { 3600 };
        let name = if self.dice.chance(40) { 0 } else { request };
        Draft { requester, kind, units, to: self.below(4), nonce: request as u64, name, life_secs, replaces: None }
    }

    fn shows(&mut self, request: Label, audience: Audience, turn: u32) -> Vec<Step> {
        let honest = self.plan.honest();
        let to: Vec<u8> = match audience {
            Audience::Everybody => (1..=honest).collect(),
            Audience::One(signer) => vec![signer],
            Audience::Turns => vec![1 + u8::try_from(turn).unwrap_or(0) % honest],
        };
        let spoil = self.dice.chance(50).then_some(Spoil::Key);
        let announce = |signer| Step::Announce { signer, request, papers: Vec::new(), spoil };
        let mut steps: Vec<Step> = to.into_iter().map(announce).collect();
        if self.dice.chance(100) {
            steps.push(self.signing(request, Vec::new()));
        }
        steps
    }

    /// Time, restarts, repetitions.
    fn meanwhile(&mut self, denied: &[Label], signer: u8, within_ms: u64) -> Vec<Step> {
        match self.below(10) {
            0 => vec![Step::Wait(pick(self.dice, &[within_ms, within_ms, within_ms - 1, within_ms / 2]))],
            1 => vec![Step::Kill(signer, self.dice.chance(700)), Step::Start(signer, 0)],
            2 => {
                let first = denied.first().copied().unwrap_or(0);
                vec![Step::Announce { signer, request: first, papers: Vec::new(), spoil: None }]
            }
            3 => vec![Step::Turn(signer, pick(self.dice, &[-5, 5, 4000, -4000]))],
            _ => Vec::new(),
        }
    }

    /// The board lifts what signers have frozen, or not quite.
    fn lifts(&mut self, requester: usize) -> Vec<Step> {
        let everybody: Vec<u8> = (1..=self.plan.honest()).collect();
        let to = if self.dice.chance(800) { everybody } else { vec![self.honest()] };
        let mut steps = Vec::new();
        for person in BOARD {
            let person = if self.dice.chance(80) { 4 } else { person };
            let forged = self.dice.chance(80);
            // What signers have frozen of somebody else is not meant.
            let requester = if self.dice.chance(80) { 1 - requester } else { requester };
            let lift = |signer: &u8| Step::LiftOwn(LiftOwn { signer: *signer, requester, person, old: false, forged });
            steps.extend(to.iter().map(lift));
        }
        let millis = self.plan.lift_delay_secs * 1000;
        steps.push(Step::Wait(pick(self.dice, &[millis, millis, millis, millis.saturating_sub(1)])));
        if self.dice.chance(150) {
            let signer = self.honest();
            steps.extend([Step::Kill(signer, true), Step::Start(signer, 0)]);
        }
        steps
    }
}
