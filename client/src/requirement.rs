//! What a request waits for, as the coordinator tells of its signers' words.

use std::collections::BTreeMap;
use std::time::Duration;

use limen_wire::ids::FreezeEpoch;
use limen_wire::pb;

use crate::request::Request;

/// What one rule asks for, and how far each signer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirement {
    /// The rule.
    pub rule: String,
    /// Who has to approve, as a formula; empty if nobody has to.
    pub approvals: String,
    /// How long the request waits on every signer's own clock.
    pub delay: Duration,
    /// The wait begins when a signer first holds the intent, not when the approvals are met.
    pub delay_from_first_sight: bool,
    /// The people behind the requester do not count.
    pub not_by_requester: bool,
    /// For how long a credential must have been in force before what it approves counts.
    pub credentials_for: Duration,
    /// The external checkers that must have passed it.
    pub checks: Vec<String>,
    /// The vault of which a fresh balance has to be attested, for a ceiling; empty if none has to.
    pub balance_of: String,
    /// The asset, as CAIP-19, of which a fresh price has to be attested; empty if none has to.
    pub price_of: String,
    /// The currency of that price.
    pub currency: String,
    /// By signer.
    pub signers: BTreeMap<String, Progress>,
}

/// How far one signer sees a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The approvals that it holds meet the formula.
    pub met: bool,
    /// Who is missing, in words; empty once met.
    pub missing: String,
    /// What is left of the delay once the approvals are met.
    pub wait: Duration,
}

impl Progress {
    /// Whether this signer would sign as far as this requirement goes.
    pub const fn is_done(&self) -> bool {
        self.met && self.wait.is_zero()
    }
}

impl Request {
    /// What must be met before anything is signed, by rule, with what is left at `now_ms` (milliseconds since 1970).
    pub fn requirements(&self, now_ms: u64) -> Vec<Requirement> {
        let mut rules: BTreeMap<&str, Requirement> = BTreeMap::new();
        let decided = self.signer_decisions.iter().filter_map(|said| said.decision.as_ref()).chain(&self.decision);
        for asked in decided.flat_map(|decision| &decision.requirements) {
            rules.entry(&asked.rule).or_insert_with(|| asks(asked));
        }
        let passed = now_ms.saturating_sub(self.updated_at_ms);
        for said in &self.signer_decisions {
            for status in &said.requirements {
                let left = if status.met { status.wait_ms.saturating_sub(passed) } else { status.wait_ms };
                // A wait that has run out here has not run out there before the signer says so.
                let left = if status.wait_ms == 0 { 0 } else { left.max(1) };
                let progress =
                    Progress { met: status.met, missing: status.missing.clone(), wait: Duration::from_millis(left) };
                let rule = rules.entry(&status.rule).or_insert_with(|| named(&status.rule));
                rule.signers.insert(said.node.clone(), progress);
            }
        }
        rules.into_values().collect()
    }

    /// The live freezes, as so many signers name them: approvals are bound to it. It is the coordinator's word: under a
    /// wrong one an approval counts for nothing.
    pub fn freeze_epoch(&self, signers: usize) -> Option<FreezeEpoch> {
        let epoch = |said: &pb::SignerDecision| FreezeEpoch::from_slice(&said.freeze_epoch).ok();
        let by_signer: BTreeMap<&str, FreezeEpoch> =
            self.signer_decisions.iter().filter_map(|said| Some((said.node.as_str(), epoch(said)?))).collect();
        let count = |epoch: &FreezeEpoch| by_signer.values().filter(|other| *other == epoch).count();
        by_signer.values().find(|epoch| count(epoch) >= signers.max(1)).copied()
    }
}

fn named(rule: &str) -> Requirement {
    Requirement { rule: rule.to_owned(), ..Requirement::default() }
}

fn asks(asked: &pb::Requirement) -> Requirement {
    Requirement {
        approvals: asked.approvals.clone(),
        delay: Duration::from_secs(asked.delay_secs),
        delay_from_first_sight: asked.delay_from_first_sight,
        not_by_requester: asked.not_by_requester,
        credentials_for: Duration::from_secs(asked.credentials_for_secs),
        checks: asked.checks.clone(),
        balance_of: asked.balance_of.clone(),
        price_of: asked.price_of.clone(),
        currency: asked.currency.clone(),
        ..named(&asked.rule)
    }
}
