//! What the author writes between signers: what a network does, what corrupt signers say, and disks that are put back.

use super::Author;
use crate::hostile::plan::pick;
use crate::hostile::program::{Draft, Kind, Lie, Step, Stop, TalkStep};

fn round() -> Step {
    Step::Talk(TalkStep::Round { cut: Vec::new(), pages: true })
}

impl Author<'_> {
    /// Lets signers talk before most of what wants a signature, and does what is wrong in between.
    pub(super) fn talk(&mut self, program: &mut Vec<Step>) {
        if !self.plan.standing {
            return;
        }
        let mut with = vec![round()];
        for step in program.drain(..) {
            if matches!(step, Step::Sign { .. }) {
                let before = self.before_signing();
                with.extend(before);
            }
            with.push(step);
        }
        *program = with;
        if self.plan.may_roll_back() && self.dice.chance(700) {
            self.roll_back(program);
        }
        for _ in 0..self.below(4) {
            let between = self.between();
            self.insert(program, between);
        }
    }

    fn before_signing(&mut self) -> Vec<Step> {
        let signer = self.honest();
        match self.below(16) {
            0 => Vec::new(),
            1 => vec![round(), Step::Wait(pick(self.dice, &[29_000, 30_000, 30_001, 40_000]))],
            2 => vec![round(), Step::Kill(signer, self.dice.chance(500)), Step::Start(signer, 0)],
            3 => vec![Step::Talk(TalkStep::Round { cut: vec![signer], pages: true })],
            4 => self.kept_back(signer),
            5 => vec![round(), Step::Turn(signer, pick(self.dice, &[-40, -31, -30, 30, 31, 40])), round()],
            _ => vec![round()],
        }
    }

    /// One hears bad news, the others only that there is some.
    fn kept_back(&mut self, signer: u8) -> Vec<Step> {
        let label = self.frozen;
        self.frozen += 1;
        let stop = pick(self.dice, &[Stop::All, Stop::Requester(2), Stop::Requester(2), Stop::Requester(2)]);
        let (person, forged) = (self.below(2), false);
        let mut steps = vec![round(), Step::Freeze { label, signer, person, stop, forged }];
        steps.extend((1..self.plan.honest()).map(|_| Step::Lose));
        steps.push(Step::Talk(TalkStep::Round { cut: Vec::new(), pages: self.dice.chance(300) }));
        if self.dice.chance(300) {
            steps.push(Step::Wait(pick(self.dice, &[1000, 30_000, 30_001])));
        }
        steps
    }

    fn between(&mut self) -> Vec<Step> {
        let signer = self.honest();
        let mut steps = vec![Step::Talk(TalkStep::Ask(signer))];
        for _ in 0..3 + self.below(8) {
            let place = self.below(6);
            steps.push(match self.below(8) {
                0 => Step::Talk(TalkStep::Drop(place)),
                1 => Step::Talk(TalkStep::Again(self.below(20))),
                2 => Step::Wait(pick(self.dice, &[1000, 15_000, 30_001])),
                3 | 4 => self.answer(signer),
                _ => Step::Talk(TalkStep::Carry(place)),
            });
        }
        steps
    }

    /// What a corrupt signer says.
    fn answer(&mut self, to: u8) -> Step {
        let Some(last) = self.plan.corrupt.checked_sub(1) else { return round() };
        let from = self.plan.honest() + 1 + u8::try_from(self.below(usize::from(last) + 1)).unwrap_or(0);
        let (more, clock) = (1 + self.below(3) as u64, pick(self.dice, &[-40, 40]));
        let lies = [Lie::Forgets, Lie::Old, Lie::More(more), Lie::Clock(clock), Lie::Key, Lie::Nonce, Lie::Log];
        let lie = self.dice.chance(700).then(|| pick(self.dice, &lies));
        Step::Talk(TalkStep::Answer { from, to, lie })
    }

    /// A disk is copied early and put back late.
    fn roll_back(&mut self, program: &mut Vec<Step>) {
        let signer = self.honest();
        let early = 1 + self.below(program.len() / 2);
        program.insert(early, Step::Talk(TalkStep::KeepDisk(signer)));
        let signing: Vec<usize> =
            (early..program.len()).filter(|at| matches!(program[*at], Step::Sign { .. })).collect();
        if signing.is_empty() {
            return;
        }
        let at = signing[self.below(signing.len())];
        let mut steps = vec![round(), round(), Step::Talk(TalkStep::PutBack(signer)), Step::Start(signer, 0)];
        steps.push(match self.below(4) {
            0 => Step::Talk(TalkStep::Ask(signer)),
            _ => round(),
        });
        if self.dice.chance(500) {
            steps.extend([Step::Kill(signer, true), Step::Start(signer, 0), round()]);
        }
        steps.extend(self.small(signer));
        program.splice(at..at, steps);
    }

    /// A small request, all the way, by a set with this signer.
    pub(super) fn small(&mut self, signer: u8) -> Vec<Step> {
        self.small_of(0, signer)
    }

    /// A small request of this requester's.
    pub(super) fn small_of(&mut self, requester: usize, signer: u8) -> Vec<Step> {
        let request = self.label();
        let (nonce, name, kind) = (request as u64, request, pick(self.dice, &[Kind::Native, Kind::Token]));
        let draft = Draft { requester, kind, units: 1, to: 0, nonce, name, life_secs: 3600, replaces: None };
        let mut steps = vec![Step::Ask(request, draft)];
        let papers = self.opinions(request, 0, &mut steps);
        let everybody = 1..=self.plan.honest();
        steps.extend(everybody.map(|signer| Step::Announce { signer, request, papers: papers.clone(), spoil: None }));
        steps.extend(self.delay());
        steps.extend(self.reserve(request));
        steps.push(round());
        let others = (1..=self.plan.signers).rev().filter(|other| *other != signer);
        let set: Vec<u8> = [signer].into_iter().chain(others).take(self.plan.required.into()).collect();
        let asked = set.iter().copied().filter(|member| *member <= self.plan.honest()).collect();
        let (session, certificates, spoil, finish) = (self.session(), self.certificates(request), None, false);
        steps.push(Step::Sign { set, asked, session, request, papers, certificates, spoil, finish });
        steps
    }
}
