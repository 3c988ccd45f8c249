mod automatic;
mod charters;
mod freezes;
mod log;
mod losses;
mod naive;
mod outside;
mod reserving;
mod seeds;
mod sets;
mod spoilt;
mod talk;

use std::sync::Arc;

use limen_wire::error::Code;

use super::Flaw;
use super::judge::Violation;
use super::plan::{Class, Coin, Formula, Limit, Per, Place, Plan, Rule, Verb, Version, rule};
use super::program::{Draft, Kind, Label, Paper, Step, Verdict};
use super::shares::Shares;
use super::stage::Stage;

/// Two of three signers, one of them corrupt; anybody may send up to ten units of the coin, more than two with two people's
/// approval and after a minute.
pub(crate) fn plan() -> Plan {
    let mut gas = rule("gas", Verb::Allow, Class::Fee, Some(Coin::Native));
    gas.most = Some(1);
    let mut pay = rule("pay", Verb::Allow, Class::Transfer, Some(Coin::Native));
    pay.most = Some(10);
    let version = Version { groups: vec![vec![0, 1, 2]], rules: vec![gas, pay, much()], place: Place::default() };
    Plan {
        signers: 3,
        required: 2,
        corrupt: 1,
        behind: vec![vec![4], vec![], vec![]],
        limits: Vec::new(),
        max_sessions: 16,
        max_expiry_secs: 86_400,
        lift_delay_secs: 60,
        automatic: None,
        outside: None,
        keepers: None,
        standing: false,
        log: false,
        live: None,
        versions: vec![version],
    }
}

fn much() -> Rule {
    let mut much = rule("much", Verb::Require, Class::Transfer, Some(Coin::Native));
    much.more_than = Some(2);
    much.approvals = Some(Formula::Of(2, true, 0));
    much.delay_secs = 60;
    much
}

pub(crate) fn stage(plan: Plan, flaw: Option<Flaw>) -> Stage {
    Stage::new(plan, Arc::new(Shares::StandIn), flaw)
}

/// A request of requester 0 with its label as number and name.
pub(crate) fn draft(label: Label, units: u128, to: usize) -> Draft {
    let number = label as u64;
    Draft { requester: 0, kind: Kind::Native, units, to, nonce: number, name: label, life_secs: 3600, replaces: None }
}

/// A person's word by their terminal, under the first version.
pub(crate) fn says(label: Label, person: usize, request: Label, verdict: Verdict) -> Step {
    Step::Say { label, person, terminal: true, request, verdict, after: None, life_secs: 100_000, version: 0 }
}

pub(crate) fn papers(said: &[Label]) -> Vec<Paper> {
    said.iter().map(|said| Paper { said: *said, forge: None }).collect()
}

pub(crate) fn announce(signer: u8, request: Label, said: &[Label]) -> Step {
    Step::Announce { signer, request, papers: papers(said), spoil: None }
}

/// Asks the honest signers of a set.
pub(crate) fn sign(set: &[u8], session: usize, request: Label, said: &[Label]) -> Step {
    let asked = set.iter().copied().filter(|member| *member < 3).collect();
    Step::Sign {
        set: set.to_vec(),
        asked,
        session,
        request,
        papers: papers(said),
        certificates: Vec::new(),
        spoil: None,
        finish: false,
    }
}

impl Stage {
    /// Plays steps that must not break a promise.
    pub(crate) fn plays(&mut self, steps: impl IntoIterator<Item = Step>) -> &mut Self {
        for step in steps {
            self.play(&step).unwrap_or_else(|violation| panic!("{violation}\n{}", self.trace.join("\n")));
        }
        self
    }

    /// Plays steps until a promise is broken.
    pub(crate) fn breaks(&mut self, steps: impl IntoIterator<Item = Step>) -> Option<Violation> {
        steps.into_iter().find_map(|step| self.play(&step).err())
    }

    /// How often a signer refused for this reason.
    pub(crate) fn refusals(&self, code: Code) -> u64 {
        self.counts.get(code.as_str()).copied().unwrap_or(0)
    }
}

/// A limit on the coin, over everything.
pub(crate) fn limit(amount: Option<u128>, count: Option<u64>, window_secs: Option<u64>) -> Limit {
    Limit { coin: Coin::Native, per: Per::All, window_secs, amount, count }
}
