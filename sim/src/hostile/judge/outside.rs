//! What checkers have to have found for a request, and what a hot vault may come to hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Rank, Release, Violation, broken, number};
use crate::hostile::plan::{Ceiling, Coin, HOT, MAX_AGE_SECS, Plan, UNIT, WATCH};
use crate::hostile::program::{Draft, Kind, Label};

/// How far a checker's clock may be ahead, in seconds.
const AHEAD_SECS: u64 = 30;

/// What a checker has signed.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Who.
    pub checker: usize,
    /// About what.
    pub request: Label,
    /// Under which versions of the charter: more than one where signers cannot tell them apart.
    pub versions: BTreeSet<usize>,
    /// It does not pass.
    pub objects: bool,
    /// What it says that the hot vault holds, in the smallest unit.
    pub told: Option<u128>,
    /// It speaks of what its checker has no say in: then it counts for nothing.
    pub overreaches: bool,
    /// By its checker's clock, in seconds since 1970.
    pub checked_at_secs: u64,
    /// In seconds since 1970.
    pub expires_at_secs: u64,
}

/// The chain as it truly is, and what was ever found.
#[derive(Debug, Default)]
pub(super) struct OutsideWorld {
    findings: BTreeMap<Label, Finding>,
    holds: u128,
    next: u64,
}

/// What a draft lets flow into the hot vault, in the smallest unit.
pub(super) fn inflow(plan: &Plan, draft: &Draft) -> u128 {
    let coin = match draft.kind {
        Kind::Native => Some(Coin::Native),
        Kind::Token => Some(Coin::Token),
        _ => None,
    };
    match plan.ceiling() {
        Some(ceiling) if coin == Some(ceiling.coin) && draft.to == HOT => draft.units * UNIT,
        _ => 0,
    }
}

/// Whether it can never fit below the ceiling: too much at once, or leave to take, of which no number tells.
pub(super) fn never_fits(plan: &Plan, draft: &Draft) -> bool {
    let Some(Ceiling { coin, amount }) = plan.ceiling() else { return false };
    let leave = draft.kind == Kind::Allowance && coin == Coin::Token && draft.to == HOT;
    leave || inflow(plan, draft) > amount
}

impl Judge {
    /// A checker has signed this.
    pub(crate) fn found(&mut self, label: Label, finding: Finding) {
        self.outside.findings.insert(label, finding);
    }

    /// What the hot vault holds, and the next sequence number of the account that pays.
    pub(crate) const fn vault(&self) -> (u128, u64) {
        (self.outside.holds, self.outside.next)
    }

    /// Whether a request lets something flow into a vault with a ceiling.
    pub(crate) fn flows_in(&self, request: Label) -> bool {
        self.requests.get(&request).is_some_and(|request| inflow(&self.plan, &request.draft) > 0)
    }

    /// What was signed at a sequence number that has not passed, and lets so much flow in.
    fn signed_at(&self, at: impl Fn(u64) -> bool) -> impl Iterator<Item = (u64, u128)> {
        let signed = self.signed.iter().filter_map(|(label, _)| self.requests.get(label));
        let numbered = signed.filter_map(|request| Some((number(&request.draft)?, inflow(&self.plan, &request.draft))));
        numbered.filter(move |(number, _)| at(*number))
    }

    /// The next number passes, by one of the payments that were signed at it; whether something has arrived.
    pub(crate) fn passes(&mut self, turn: usize, fails: bool) -> bool {
        let next = self.outside.next;
        let signed: Vec<u128> = self.signed_at(|number| number == next).map(|(_, amount)| amount).collect();
        let amount = signed.get(turn % signed.len().max(1)).copied().filter(|_| !fails).unwrap_or(0);
        self.outside.next += 1;
        self.outside.holds += amount;
        amount > 0
    }

    /// The hot vault pays so much.
    pub(crate) fn pays(&mut self, units: u128) {
        self.outside.holds = self.outside.holds.saturating_sub(units * UNIT);
    }

    /// What the vault holds and all that can still arrive, each number once, stay below the ceiling.
    pub(super) fn judge_ceiling(&self) -> Result<(), Violation> {
        let Some(Ceiling { amount: most, .. }) = self.plan.ceiling() else { return Ok(()) };
        let mut waiting: BTreeMap<u64, u128> = BTreeMap::new();
        for (number, amount) in self.signed_at(|number| number >= self.outside.next) {
            let place = waiting.entry(number).or_default();
            *place = (*place).max(amount);
        }
        let (holds, waiting): (u128, u128) = (self.outside.holds, waiting.values().sum());
        if holds + waiting <= most {
            return Ok(());
        }
        broken(Rank::Ceiling, format!("the vault holds {holds}, {waiting} are on their way, and {most} are the most"))
    }

    /// Whether what went along is what rules and ceiling ask for.
    pub(super) fn judge_findings(&self, release: &Release, draft: &Draft) -> Result<(), Violation> {
        let shown = || release.findings.iter().filter_map(|label| self.outside.findings.get(label));
        let counts = |finding: &&Finding| self.counts(release, finding);
        let passed = |checker: usize| {
            let mut by = shown().filter(counts).filter(|finding| finding.checker == checker).peekable();
            by.peek().is_some() && by.all(|finding| !finding.objects)
        };
        for checker in self.asks(release.request, release.moment.version).iter().flat_map(|rule| &rule.checks) {
            if !passed(*checker) {
                let what = format!("c{checker} has not passed i{} for signer {}", release.request, release.signer);
                return broken(Rank::Check, what);
            }
        }
        let (flows, ceiling) = (inflow(&self.plan, draft), self.plan.ceiling());
        let Some(Ceiling { amount: most, .. }) = ceiling.filter(|_| flows > 0) else { return Ok(()) };
        let told = shown().filter(counts).filter_map(|finding| finding.told).max();
        match told.filter(|_| passed(WATCH)) {
            None => broken(Rank::Ceiling, format!("nobody has told signer {} what the vault holds", release.signer)),
            Some(told) if told + flows > most => {
                broken(Rank::Ceiling, format!("the vault is told to hold {told}, and {flows} flow in"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether a finding holds for this permission, by the signer's clock. What objects counts until it says so itself.
    fn counts(&self, release: &Release, finding: &Finding) -> bool {
        let now = release.moment.wall_secs;
        let oldest = if finding.objects { u64::MAX } else { finding.checked_at_secs + MAX_AGE_SECS };
        finding.request == release.request
            && finding.versions.contains(&release.moment.version)
            && !finding.overreaches
            && finding.checked_at_secs <= now + AHEAD_SECS
            && now < finding.expires_at_secs.min(oldest)
    }
}
