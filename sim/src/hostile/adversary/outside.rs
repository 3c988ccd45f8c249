//! What the author has checkers find, what of it goes along, and refills of a hot vault.

use super::Author;
use crate::hostile::plan::{BOUGHT, Ceiling, Coin, HOT, WATCH, pick};
use crate::hostile::program::{Doctored, Draft, Found, Kind, Label, LedgerStep, OutsideStep, Step, Tells};

impl Author<'_> {
    /// Has findings made before most of what wants them, and vaults refilled.
    pub(super) fn look_outside(&mut self, program: &mut Vec<Step>) {
        if self.plan.outside.is_none() {
            return;
        }
        if let Some(ceiling) = self.plan.ceiling() {
            for _ in 0..1 + self.below(2) {
                let refills = self.refills(ceiling);
                let at = self.below(program.len() + 1);
                program.splice(at..at, refills);
            }
        }
        let mut with = Vec::new();
        for step in program.drain(..) {
            let about = match &step {
                Step::Announce { request, .. } if self.dice.chance(100) => Some(*request),
                Step::Sign { request, .. } if self.dice.chance(650) => Some(*request),
                Step::Ledger(LedgerStep::Reserve { requests, .. }) if self.dice.chance(850) => {
                    requests.first().copied()
                }
                _ => None,
            };
            if let Some(request) = about {
                let before = self.findings(request);
                with.extend(before);
            }
            with.push(step);
        }
        *program = with;
    }

    fn finding(&mut self, checker: usize, request: Label, objects: bool) -> Step {
        let label = self.found;
        self.found += 1;
        let version = usize::from(self.dice.chance(40));
        let tells = match checker {
            WATCH if self.dice.chance(120) => Tells::Balance,
            WATCH => Tells::Numbers,
            _ => Tells::Nothing,
        };
        let life_secs = pick(self.dice, &[20, 119, 3600, 3600, 3600, 3600]);
        let off_secs = pick(self.dice, &[0, 0, 0, 0, 10, -10]);
        Step::Outside(OutsideStep::Find { label, checker, request, version, objects, tells, life_secs, off_secs })
    }

    /// What everybody finds who may be asked, mostly; and what goes wrong.
    fn findings(&mut self, request: Label) -> Vec<Step> {
        let watch = self.plan.ceiling().map(|_| WATCH);
        let all: Vec<usize> = [0, 1].into_iter().chain(watch).collect();
        let mut steps: Vec<Step> = all.iter().map(|checker| self.finding(*checker, request, false)).collect();
        match self.below(14) {
            0 => {
                let checker = pick(self.dice, &all);
                steps.push(self.finding(checker, request, true));
            }
            1 => drop(steps.remove(self.below(all.len()))),
            2 => steps = vec![Step::Outside(OutsideStep::Show(request, self.others()))],
            3 => {
                steps.remove(0);
                let doctored = self.doctored();
                steps.push(Step::Outside(OutsideStep::Show(request, doctored)));
            }
            4 => steps = vec![Step::Outside(OutsideStep::Show(request, Vec::new()))],
            5 => steps.push(Step::Wait(pick(self.dice, &[119_000, 120_000, 130_000, 20_000]))),
            6 | 7 => {
                let (label, off_secs) = (self.found, pick(self.dice, &[31, 10_000, -10_000, 0]));
                self.found += 1;
                let (tells, life_secs) = (pick(self.dice, &[Tells::Lies, Tells::Nothing]), 1_000_000);
                let (checker, version, objects) = (BOUGHT, 0, false);
                let find = OutsideStep::Find { label, checker, request, version, objects, tells, life_secs, off_secs };
                // In the place of the watch, of the other one, or of what it found before.
                let place = if self.dice.chance(500) { all.len() - 1 } else { self.below(all.len()) };
                steps[place] = Step::Outside(find);
            }
            _ => {}
        }
        steps
    }

    /// What was found about anything.
    fn others(&mut self) -> Vec<Found> {
        (0..3).map(|_| Found { label: self.below(self.found.max(1)), doctored: None }).collect()
    }

    fn doctored(&mut self) -> Vec<Found> {
        let ways =
            [Doctored::Request, Doctored::Pass, Doctored::Balance, Doctored::Numbers, Doctored::Later, Doctored::Key];
        let doctored = Some(pick(self.dice, &ways));
        // The last ones are mostly about the same request.
        let last = self.found;
        (0..3).map(|back| Found { label: last.saturating_sub(1 + back), doctored }).collect()
    }

    /// Payments into the hot vault, more than it has room for; some arrive, some are held back, and some are signed again when
    /// much has changed.
    fn refills(&mut self, Ceiling { coin, .. }: Ceiling) -> Vec<Step> {
        let kind = if coin == Coin::Native { Kind::Native } else { Kind::Token };
        let (requester, mut steps, mut before) = (self.below(2), Vec::new(), Vec::new());
        if self.dice.chance(700) {
            // All numbers before are gone.
            let (numbers, turn, fail) = (self.requests as u64, 0, false);
            steps.push(Step::Outside(OutsideStep::Pass { numbers, turn, fail }));
        }
        // Nothing arrives, and time passes until no reservation stands.
        let patient = self.dice.chance(500);
        for turn in 0..3 + self.below(3) {
            if patient && turn == 2 {
                let lasts = self.plan.keepers.as_ref().map_or(0, |keepers| keepers.reservation_secs);
                steps.push(Step::Wait(lasts * 1000 + 200_000));
            }
            let request = self.label();
            let again = before.last().copied().filter(|_| self.dice.chance(150));
            let (nonce, units) = (again.unwrap_or(request) as u64, 1 + self.below(2) as u128);
            let draft = Draft {
                requester,
                kind,
                units,
                to: HOT,
                nonce,
                name: request,
                life_secs: 86_400,
                replaces: again.filter(|_| self.dice.chance(700)),
            };
            steps.push(Step::Ask(request, draft));
            let papers = self.opinions(request, 0, &mut steps);
            let announce = |signer| Step::Announce { signer, request, papers: papers.clone(), spoil: None };
            steps.extend((1..=self.plan.honest()).map(announce));
            steps.extend(self.delay());
            steps.extend(self.reserve(request));
            steps.push(self.signing(request, papers.clone()));
            steps.push(self.signing(request, papers));
            before.push(request);
            if !patient {
                steps.extend(self.goes_on());
            }
            if self.dice.chance(200) {
                // By what was found when there was more room.
                let early = pick(self.dice, &before);
                steps.extend(self.reserve(early));
                steps.push(self.signing(early, Vec::new()));
            }
        }
        steps
    }

    fn goes_on(&mut self) -> Vec<Step> {
        match self.below(6) {
            0 | 1 => {
                let (numbers, turn, fail) = (1 + self.below(3) as u64, self.below(3), self.dice.chance(200));
                vec![Step::Outside(OutsideStep::Pass { numbers, turn, fail })]
            }
            2 => vec![Step::Outside(OutsideStep::Pay(1 + self.below(3) as u128))],
            3 => vec![Step::Wait(pick(self.dice, &[1000, 60_000, 3_600_000, 90_000]))],
            _ => Vec::new(),
        }
    }
}
