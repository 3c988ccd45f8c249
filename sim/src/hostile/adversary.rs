//! Programs out of chance: what an honest coordinator would do, with everything that a hostile one can think of in between.

mod automatic;
mod charters;
mod log;
mod outside;
mod reserving;
mod talk;

use super::plan::{BOARD, Coin, DESTINATIONS, Formula, PEOPLE, Plan, REQUESTERS, pick};
use super::program::{Draft, Forge, Kind, Label, Paper, Spoil, Step, Stop, Verdict};
use crate::Dice;

/// Writes a program for a plan.
pub(crate) fn write(plan: &Plan, dice: &mut Dice) -> Vec<Step> {
    let mut author =
        Author { plan, dice, requests: 0, said: 0, sessions: 0, frozen: 0, entries: 0, found: 0, reserved: Vec::new() };
    let wanted = 2 + author.below(4);
    let spender = author.dice.chance(300);
    let mut flows: Vec<Vec<Step>> = Vec::new();
    for _ in 0..wanted {
        flows.push(if spender { author.spend() } else { author.flow() });
    }
    let mut program = author.merge(flows);
    for _ in 0..author.below(8) {
        if author.certifies() && author.dice.chance(500) {
            author.attack_the_ledger(&mut program);
        } else {
            let attack = author.attack();
            author.insert(&mut program, attack);
        }
    }
    author.govern(&mut program);
    author.talk(&mut program);
    author.keep_log(&mut program);
    author.provoke(&mut program);
    author.look_outside(&mut program);
    program
}

struct Author<'a> {
    plan: &'a Plan,
    dice: &'a mut Dice,
    requests: Label,
    said: Label,
    sessions: usize,
    frozen: Label,
    entries: Label,
    found: Label,
    /// Which entries were made for which requests.
    reserved: Vec<(Label, Label)>,
}

impl Author<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.dice.index(bound).unwrap_or(0)
    }

    fn honest(&mut self) -> u8 {
        1 + u8::try_from(self.below(self.plan.honest().into())).unwrap_or(0)
    }

    fn session(&mut self) -> usize {
        self.sessions += 1;
        if self.dice.chance(60) { self.below(self.sessions) } else { self.sessions }
    }

    /// A set that could sign; the adversary's signers are often in it.
    fn set(&mut self) -> Vec<u8> {
        let mut set: Vec<u8> = (1..=self.plan.signers).collect();
        while set.len() > usize::from(self.plan.required) {
            let at = self.below(set.len());
            let corrupt = set[at] > self.plan.honest();
            if !corrupt || self.dice.chance(300) {
                set.remove(at);
            }
        }
        set
    }

    fn draft(&mut self, label: Label) -> Draft {
        let kinds = [Kind::Native, Kind::Native, Kind::Token, Kind::Token, Kind::Token, Kind::Allowance, Kind::Unknown];
        let kind = if self.dice.chance(90) {
            pick(self.dice, &[Kind::Message, Kind::Message, Kind::Delegatecall])
        } else {
            pick(self.dice, &kinds)
        };
        let before = self.below(label.max(1));
        let again = label > 0 && self.dice.chance(200);
        Draft {
            requester: pick(self.dice, &[0, 0, 0, 0, 0, 0, 1, 1, 1, REQUESTERS - 1]),
            kind,
            units: 1 + self.below(5) as u128,
            to: pick(self.dice, &[0, 0, 0, 1, 1, 2, 3]) % DESTINATIONS.len(),
            nonce: if again { before as u64 } else { label as u64 },
            name: if self.dice.chance(100) { before } else { label },
            life_secs: pick(self.dice, &[90, 700, 3600, 3600, 7200, 86_400, 90_000]),
            replaces: (again && self.dice.chance(600)).then_some(before),
        }
    }

    fn label(&mut self) -> Label {
        self.requests += 1;
        self.requests - 1
    }

    /// Everything that an honest coordinator does for one request.
    fn flow(&mut self) -> Vec<Step> {
        let request = self.label();
        let mut steps = vec![Step::Ask(request, self.draft(request))];
        let version = if self.dice.chance(150) { 1 } else { 0 };
        let papers = self.opinions(request, version, &mut steps);
        for signer in 1..=self.plan.honest() {
            if self.dice.chance(850) {
                let papers = if self.dice.chance(800) { papers.clone() } else { self.some(&papers) };
                steps.push(Step::Announce { signer, request, papers, spoil: None });
            }
        }
        steps.extend(self.reserve(request));
        steps.extend(self.delay());
        for _ in 0..1 + self.below(3) {
            steps.extend(self.reserve(request));
            let papers = if self.dice.chance(500) { papers.clone() } else { self.some(&papers) };
            steps.push(self.signing(request, papers));
        }
        steps
    }

    /// Small requests, one set after the other: what limits are there for.
    fn spend(&mut self) -> Vec<Step> {
        let kind = pick(self.dice, &[Kind::Native, Kind::Token]);
        let (to, units) = (self.below(2), 1 + self.below(2) as u128);
        let mut steps = Vec::new();
        for _ in 0..2 + self.below(4) {
            let request = self.label();
            let number = request as u64;
            let (requester, life_secs) = (self.below(2), pick(self.dice, &[60, 600, 3600]));
            let draft = Draft { requester, kind, units, to, nonce: number, name: request, life_secs, replaces: None };
            steps.push(Step::Ask(request, draft));
            let papers = if self.dice.chance(500) { self.opinions(request, 0, &mut steps) } else { Vec::new() };
            for _ in 0..1 + self.below(2) {
                steps.extend(self.reserve(request));
                steps.push(self.signing(request, papers.clone()));
            }
            if self.dice.chance(200) {
                steps.extend(self.delay());
            }
        }
        steps
    }

    fn signing(&mut self, request: Label, papers: Vec<Paper>) -> Step {
        let set = self.set();
        let honest = set.iter().copied().filter(|member| *member <= self.plan.honest());
        let mut asked: Vec<u8> = honest.collect();
        if self.dice.chance(100) && asked.len() > 1 {
            asked.pop();
        }
        if self.dice.chance(300) {
            asked.reverse();
        }
        let (session, finish) = (self.session(), self.dice.chance(400));
        let certificates = self.certificates(request);
        Step::Sign { set, asked, session, request, papers, certificates, spoil: None, finish }
    }

    /// Yes by those whom the rules want, or by some of them.
    fn opinions(&mut self, request: Label, version: usize, steps: &mut Vec<Step>) -> Vec<Paper> {
        let rules = &self.plan.versions[version % self.plan.versions.len()];
        let formulas = rules.rules.iter().filter_map(|rule| rule.approvals.as_ref());
        let mut people: Vec<usize> =
            formulas.flat_map(Formula::groups).flat_map(|group| rules.groups[group].clone()).collect();
        people.sort_unstable();
        people.dedup();
        if self.dice.chance(250) {
            people.truncate(self.below(people.len() + 1));
        }
        if self.dice.chance(300) {
            people.reverse();
        }
        let mut papers: Vec<Paper> = Vec::new();
        for person in people {
            let after = papers.last().map(|paper| paper.said).filter(|_| self.dice.chance(900));
            let label = self.said;
            self.said += 1;
            let (terminal, life_secs) = (self.dice.chance(850), pick(self.dice, &[40, 700, 100_000, 100_000, 100_000]));
            let verdict = Verdict::Approve;
            steps.push(Step::Say { label, person, terminal, request, verdict, after, life_secs, version });
            papers.push(Paper { said: label, forge: None });
        }
        papers
    }

    fn some(&mut self, papers: &[Paper]) -> Vec<Paper> {
        papers.iter().copied().filter(|_| self.dice.chance(600)).collect()
    }

    /// As long as the longest delay, to the millisecond, or almost.
    fn delay(&mut self) -> Vec<Step> {
        let rules = self.plan.versions.iter().flat_map(|version| &version.rules);
        let delays: Vec<u64> = rules.map(|rule| rule.delay_secs).filter(|delay| *delay > 0).collect();
        let millis = pick(self.dice, &delays.iter().copied().chain([1]).collect::<Vec<_>>()) * 1000;
        match self.below(6) {
            0 => Vec::new(),
            1 => vec![Step::Wait(millis - 1)],
            2 => vec![Step::Wait(millis / 2)],
            3 => vec![Step::Wait(millis / 2), Step::Wait(millis - millis / 2)],
            _ => vec![Step::Wait(delays.iter().copied().max().unwrap_or(1) * 1000)],
        }
    }

    /// All flows at once, each in its own order.
    fn merge(&mut self, flows: Vec<Vec<Step>>) -> Vec<Step> {
        let mut left: Vec<std::collections::VecDeque<Step>> = flows.into_iter().map(Into::into).collect();
        let mut program = Vec::new();
        let mut at = 0;
        while left.iter().any(|flow| !flow.is_empty()) {
            if self.dice.chance(250) {
                at = self.below(left.len());
            }
            match left[at].pop_front() {
                Some(step) => program.push(step),
                None => at = (at + 1) % left.len(),
            }
        }
        program
    }

    /// Puts steps into a program, in their order, wherever.
    fn insert(&mut self, program: &mut Vec<Step>, steps: Vec<Step>) {
        let mut at = self.below(program.len() + 1);
        for step in steps {
            program.insert(at.min(program.len()), step);
            at += 1 + self.below(4);
        }
    }

    fn attack(&mut self) -> Vec<Step> {
        let (signer, request) = (self.honest(), self.below(self.requests.max(1)));
        let certifies = self.certifies();
        let machine = if certifies && self.dice.chance(250) { self.plan.members() } else { signer };
        match self.below(15) {
            0 | 1 => self.bad_news(request),
            2 => {
                let (requester, forged) = (self.below(REQUESTERS), self.dice.chance(300));
                let everybody = self.dice.chance(500);
                let signers = if everybody { (1..=self.plan.honest()).collect() } else { vec![signer] };
                signers.into_iter().map(|signer| Step::Cancel { signer, request, requester, forged }).collect()
            }
            3 => vec![Step::Turn(signer, pick(self.dice, &[-90_000, -4000, -100, -5, 5, 100, 4000, 90_000]))],
            4 | 5 => {
                let version = if self.dice.chance(400) { 1 } else { 0 };
                // With a file that it has not taken as a version a machine does not start.
                let version = if self.plan.live.is_some() && self.dice.chance(500) { 0 } else { version };
                let mut steps = vec![Step::Kill(machine, self.dice.chance(600)), Step::Start(machine, version)];
                if self.dice.chance(300) {
                    steps.insert(0, Step::Tick(machine));
                }
                steps
            }
            6 => vec![Step::Wait(pick(self.dice, &[1000, 59_999, 60_000, 600_000, 3_600_000, 90_000_000]))],
            7 => vec![Step::Compact(signer, pick(self.dice, &[0, 60, 3600]))],
            8 => self.odd_set(request),
            9 => self.spoilt(request),
            10 => self.replay(request),
            11 | 12 => self.freeze(request),
            13 => {
                let version = usize::from(self.plan.live.is_none());
                (1..=self.plan.honest()).map(|signer| Step::Start(signer, version)).chain([Step::Deliver]).collect()
            }
            _ => vec![if self.dice.chance(500) { Step::Deliver } else { Step::Lose }],
        }
    }

    fn bad_news(&mut self, request: Label) -> Vec<Step> {
        let (label, person) = (self.said, self.below(PEOPLE));
        self.said += 1;
        let verdict = if self.dice.chance(500) { Verdict::Reject } else { Verdict::Withdraw };
        let after = (label > 0 && self.dice.chance(200)).then(|| self.below(label));
        let (terminal, life_secs) = (self.dice.chance(500), 1000);
        let mut steps = vec![Step::Say { label, person, terminal, request, verdict, after, life_secs, version: 0 }];
        let paper = Paper { said: label, forge: self.dice.chance(150).then_some(Forge::Approve) };
        let signer = self.honest();
        if self.dice.chance(500) {
            steps.push(Step::Tell { signer, paper });
        } else {
            steps.push(Step::Announce { signer, request, papers: vec![paper], spoil: None });
        }
        for _ in 0..self.below(4) {
            steps.push(if self.dice.chance(700) { Step::Deliver } else { Step::Lose });
        }
        steps
    }

    /// A freeze, and often what lifts it, or almost.
    fn freeze(&mut self, request: Label) -> Vec<Step> {
        let label = self.frozen;
        self.frozen += 1;
        let everybody: Vec<u8> = (1..=self.plan.honest()).collect();
        let signers = if self.dice.chance(600) { everybody.clone() } else { vec![self.honest()] };
        let coin = pick(self.dice, &[Coin::Native, Coin::Token]);
        let (requester, place) = (self.below(2), self.below(2));
        let stop = pick(self.dice, &[Stop::All, Stop::Requester(requester), Stop::Coin(coin), Stop::Place(place)]);
        let (person, forged) = (pick(self.dice, &[0, 0, 1, 1, 4]), self.dice.chance(100));
        let freeze = |signer: &u8| Step::Freeze { label, signer: *signer, person, stop, forged };
        let mut steps: Vec<Step> = signers.iter().map(freeze).collect();
        if self.dice.chance(300) {
            steps.push(self.signing(request, Vec::new()));
        }
        if self.dice.chance(300) {
            return steps;
        }
        for person in BOARD {
            let person = if self.dice.chance(100) { 4 } else { person };
            // Of others that were named along, some do not exist.
            let freezes = if self.dice.chance(800) { vec![label] } else { (0..=label + 1).collect() };
            let forged = self.dice.chance(80);
            let lift = |signer: &u8| Step::Lift { signer: *signer, person, freezes: freezes.clone(), forged };
            steps.extend(everybody.iter().map(lift));
        }
        let millis = self.plan.lift_delay_secs * 1000;
        steps.push(Step::Wait(pick(self.dice, &[millis, millis, millis.saturating_sub(1), millis / 2])));
        if self.dice.chance(200) {
            // Handed in again: what was lifted stays lifted.
            steps.extend(signers.iter().map(freeze));
        }
        steps.push(self.signing(request, Vec::new()));
        steps
    }

    fn odd_set(&mut self, request: Label) -> Vec<Step> {
        let signer = self.honest();
        let set = match self.below(4) {
            0 => (1..=self.plan.signers).collect(),
            1 => vec![signer],
            2 => vec![signer; usize::from(self.plan.required)],
            _ => vec![signer, self.plan.signers + 1],
        };
        let session = self.session();
        let (asked, papers, certificates) = (vec![signer], Vec::new(), self.certificates(request));
        vec![Step::Sign { set, asked, session, request, papers, certificates, spoil: None, finish: false }]
    }

    fn forged(&mut self) -> Vec<Paper> {
        let forge = match self.below(5) {
            0 => Forge::Request,
            1 => Forge::Person(self.below(PEOPLE)),
            2 => Forge::Approve,
            3 => Forge::Expiry,
            _ => Forge::Key,
        };
        let all = self.said;
        (0..all.min(6)).map(|_| Paper { said: self.below(all), forge: Some(forge) }).collect()
    }

    fn spoilt(&mut self, request: Label) -> Vec<Step> {
        let spoil = match self.below(4) {
            0 => Spoil::Byte(self.below(400)),
            1 => Spoil::Signature(self.below(self.requests.max(1))),
            2 => Spoil::Key,
            _ => Spoil::Encoding,
        };
        let signer = self.honest();
        let announce = Step::Announce { signer, request, papers: self.forged(), spoil: Some(spoil) };
        let mut sign = self.signing(request, Vec::new());
        if let Step::Sign { spoil: how, .. } = &mut sign {
            *how = Some(spoil);
        }
        vec![announce, sign]
    }

    /// Everything that anybody ever said, about anything, and forgeries of it.
    fn replay(&mut self, request: Label) -> Vec<Step> {
        let mut papers = self.forged();
        papers.extend((0..self.said.min(12)).map(|said| Paper { said, forge: None }));
        vec![self.signing(request, papers)]
    }
}
