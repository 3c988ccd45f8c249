//! What the author writes for a ledger: what an honest coordinator does, and what one does who wants more than there is.

use super::Author;
use crate::hostile::plan::pick;
use crate::hostile::program::{Bend, Counterfeit, Draft, EntryDraft, Handed, Kind, Label, LedgerStep, Step};

impl Author<'_> {
    pub(super) const fn certifies(&self) -> bool {
        self.plan.keepers.is_some()
    }

    fn entry(&mut self) -> Label {
        self.entries += 1;
        self.entries - 1
    }

    fn version(&mut self) -> usize {
        usize::from(self.dice.chance(100))
    }

    /// The honest way, by itself or together with another request. Nothing where there is no ledger.
    pub(super) fn reserve(&mut self, request: Label) -> Vec<Step> {
        if !self.certifies() || self.dice.chance(60) {
            return Vec::new();
        }
        let mut requests = vec![request];
        if self.dice.chance(150) {
            requests.push(self.below(self.requests.max(1)));
        }
        let (entry, version) = (self.entry(), self.version());
        self.reserved.extend(requests.iter().map(|request| (*request, entry)));
        vec![Step::Ledger(LedgerStep::Reserve { entry, requests, version })]
    }

    /// Certificates as they go with a request: the last ones that were made for it, and seldom others.
    pub(super) fn certificates(&mut self, request: Label) -> Vec<Handed> {
        if !self.certifies() {
            return Vec::new();
        }
        let own = self.reserved.iter().rev().filter(|(of, _)| *of == request).map(|(_, entry)| *entry);
        let mut entries: Vec<Label> = own.take(3).collect();
        if self.dice.chance(100) {
            entries = vec![self.below(self.entries + 1)];
        }
        let mut handed: Vec<Handed> = entries.into_iter().map(|entry| Handed { entry, forge: None }).collect();
        if self.dice.chance(80) {
            let other = self.below(self.entries + 1);
            let forge = pick(self.dice, &[Counterfeit::Short, Counterfeit::Key, Counterfeit::Other(other)]);
            handed.iter_mut().for_each(|one| one.forge = Some(forge));
        }
        handed
    }

    fn members(&mut self) -> Vec<u8> {
        let all: Vec<u8> = (1..=self.plan.members()).collect();
        if self.dice.chance(600) { all } else { all.into_iter().filter(|_| self.dice.chance(600)).collect() }
    }

    /// An attack on the ledger, mostly in one go.
    pub(super) fn attack_the_ledger(&mut self, program: &mut Vec<Step>) {
        let request = self.below(self.requests.max(1));
        let steps = match self.below(6) {
            0 | 1 => self.contradict(request),
            2 => self.give_up(),
            3 => self.give_back(request),
            _ => self.bent(request),
        };
        if self.dice.chance(700) {
            let at = self.below(program.len() + 1);
            program.splice(at..at, steps);
        } else {
            self.insert(program, steps);
        }
    }

    /// Two entries for one number, each for another request, shown one after the other; then both are signed. Often the two
    /// requests contradict each other too.
    fn contradict(&mut self, request: Label) -> Vec<Step> {
        let (mut steps, mut pair) = (Vec::new(), [request, self.below(self.requests.max(1))]);
        if self.dice.chance(600) {
            pair = [self.label(), self.label()];
            let (requester, kind) = (self.below(2), pick(self.dice, &[Kind::Native, Kind::Token, Kind::Message]));
            let (nonce, same_name) = (pair[0] as u64, self.dice.chance(300));
            for request in pair {
                let (units, to) = (1 + self.below(2) as u128, self.below(2));
                let name = if same_name { pair[0] } else { request };
                let draft = Draft { requester, kind, units, to, nonce, name, life_secs: 3600, replaces: None };
                steps.push(Step::Ask(request, draft));
            }
        }
        let version = self.version();
        let entries = pair.map(|request| (self.entry(), request));
        for (entry, request) in entries {
            let draft = EntryDraft { requests: vec![request], version, ..EntryDraft::default() };
            steps.push(Step::Ledger(LedgerStep::Make(entry, draft)));
        }
        for (entry, request) in entries {
            let (members, quiet) = (self.members(), self.dice.chance(300));
            steps.push(Step::Ledger(LedgerStep::Show { entry, members, quiet }));
            self.reserved.push((request, entry));
        }
        for request in [pair[0], pair[1], pair[1]] {
            steps.push(self.signing(request, Vec::new()));
        }
        steps
    }

    /// Numbers are given up although nothing is wrong, or are settled with inventions and omissions.
    fn give_up(&mut self) -> Vec<Step> {
        let (members, ahead) = (self.members(), pick(self.dice, &[1, 1, 2, 1024]));
        let invents = self.dice.chance(500).then(|| self.below(self.entries + 1));
        let mut steps = vec![Step::Ledger(LedgerStep::Close { members, ahead, invents })];
        if self.dice.chance(600) {
            let other = self.below(self.entries + 1);
            let bend = pick(self.dice, &[None, None, Some(Bend::Forgets), Some(Bend::Carries(other))]);
            let settles = Some(self.below(4));
            let (entry, members) = (self.entry(), self.members());
            let draft = EntryDraft { settles, version: self.version(), bend, ..EntryDraft::default() };
            steps.push(Step::Ledger(LedgerStep::Make(entry, draft)));
            steps.push(Step::Ledger(LedgerStep::Show { entry, members, quiet: false }));
        }
        steps
    }

    /// What is cancelled is given back, or what is not, or what is signed already; then the room is used by another request,
    /// often for the same number.
    fn give_back(&mut self, request: Label) -> Vec<Step> {
        let (mut steps, mut pair, requester) = (Vec::new(), [request; 2], self.below(2));
        if self.dice.chance(700) {
            pair = [self.label(), self.label()];
            let (kind, units, to) = (pick(self.dice, &[Kind::Native, Kind::Token]), 1, self.below(2));
            let ask = |request| {
                let (nonce, name) = (pair[0] as u64, request);
                Step::Ask(request, Draft { requester, kind, units, to, nonce, name, life_secs: 3600, replaces: None })
            };
            steps.extend(pair.map(ask));
        }
        steps.extend(self.reserve(pair[0]));
        if self.dice.chance(500) {
            steps.push(self.signing(pair[0], Vec::new()));
        }
        if self.dice.chance(800) {
            let cancel = |signer| Step::Cancel { signer, request: pair[0], requester, forged: false };
            steps.extend((1..=self.plan.honest()).map(cancel));
        }
        steps.push(Step::Ledger(LedgerStep::Void(pair[0])));
        let (entry, members) = (self.entry(), self.members());
        let draft = EntryDraft { releases: vec![pair[0]], ..EntryDraft::default() };
        steps.push(Step::Ledger(LedgerStep::Make(entry, draft)));
        steps.push(Step::Ledger(LedgerStep::Show { entry, members, quiet: false }));
        steps.extend(self.reserve(pair[1]));
        for request in [pair[1], pair[1], pair[0]] {
            steps.push(self.signing(request, Vec::new()));
        }
        steps
    }

    /// An entry that says something wrong.
    fn bent(&mut self, request: Label) -> Vec<Step> {
        let (other, base) = (self.below(self.requests.max(1)), self.below(self.entries + 1));
        let millis = pick(self.dice, &[-3_600_000, -29_000, 29_000, 3_600_000]);
        let bends = [
            Bend::Committee,
            Bend::Ahead(1),
            Bend::Time(millis),
            Bend::Life(3_600_000),
            Bend::Less,
            Bend::Dropped,
            Bend::Replaces(other),
        ];
        let bend = Some(pick(self.dice, &bends));
        let on = self.dice.chance(200).then_some(base);
        let (entry, members, quiet) = (self.entry(), self.members(), self.dice.chance(500));
        let draft = EntryDraft { requests: vec![request], on, version: self.version(), bend, ..EntryDraft::default() };
        self.reserved.push((request, entry));
        let make = Step::Ledger(LedgerStep::Make(entry, draft));
        let show = Step::Ledger(LedgerStep::Show { entry, members, quiet });
        vec![make, show, self.signing(request, Vec::new())]
    }
}
