//! What one rule asks for, and how far that is met.

use std::collections::BTreeSet;

use limen_wire::approval::Verdict;
use limen_wire::ids::PersonId;
use limen_wire::intent::Intent;
use limen_wire::pb;

use super::{InForce, When};
use crate::approval::{Facts, Question, Tally, Verified};
use crate::charter::Charter;
use crate::charter::rule::{DelayFrom, Needs};
use crate::check::Finding;

/// What one rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The rule.
    pub rule: String,
    /// What it asks for.
    pub needs: Needs,
}

/// What a requirement is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The charter in force.
    pub charter: &'a Charter,
    /// The intent.
    pub intent: &'a Intent,
    /// What approvals must hold for.
    pub facts: &'a Facts,
    /// What people said, verified.
    pub approvals: &'a [Verified],
    /// What checkers found, verified.
    pub findings: &'a [Finding],
    /// The moment.
    pub when: When<'a>,
}

impl Requirement {
    /// Counts the approvals. Without a formula nobody has to approve.
    pub fn tally(&self, evidence: &Evidence<'_>) -> Tally {
        let Some(formula) = &self.needs.approvals else { return Tally::Met { by: Default::default() } };
        let nobody = BTreeSet::new();
        let requester = evidence.charter.requesters.get(&evidence.intent.requester);
        let excluded: &BTreeSet<PersonId> =
            requester.filter(|_| self.needs.not_by_requester).map_or(&nobody, |requester| &requester.people);
        let roster = &evidence.charter.roster;
        let question = Question { formula, roster, excluded, facts: evidence.facts, now_secs: evidence.when.now_secs };
        if self.needs.credentials_for_secs == 0 {
            return question.tally(evidence.approvals);
        }
        let seasoned = |one: &&Verified| self.is_seasoned(one, evidence.when.in_force);
        question.tally(&evidence.approvals.iter().filter(seasoned).cloned().collect::<Vec<_>>())
    }

    /// A no counts from whatever credential; a yes only from one that has been there long enough.
    fn is_seasoned(&self, said: &Verified, in_force: &dyn InForce) -> bool {
        let secs = || in_force.credential_secs(&said.approval().credential).unwrap_or(0);
        said.approval().verdict != Verdict::Approve || secs() >= self.needs.credentials_for_secs
    }

    /// What is missing of the external checks, in words; `None` if every one has passed. One finding that objects outweighs
    /// all that pass.
    pub fn unchecked(&self, findings: &[Finding]) -> Option<String> {
        let missing: Vec<String> = self
            .needs
            .checks
            .iter()
            .filter_map(|checker| {
                let theirs = || findings.iter().filter(|finding| finding.checker() == checker);
                match theirs().find_map(Finding::objection) {
                    Some(objection) => Some(format!("checker {checker} objects: {objection}")),
                    None if theirs().next().is_none() => Some(format!("the check by {checker}")),
                    None => None,
                }
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join(" and "))
    }

    pub(super) fn to_wire(&self) -> pb::Requirement {
        pb::Requirement {
            rule: self.rule.clone(),
            approvals: self.needs.approvals.as_ref().map(ToString::to_string).unwrap_or_default(),
            delay_secs: self.needs.delay_secs,
            delay_from_first_sight: self.needs.delay_from == DelayFrom::FirstSight,
            not_by_requester: self.needs.not_by_requester,
            credentials_for_secs: self.needs.credentials_for_secs,
            checks: self.needs.checks.iter().map(ToString::to_string).collect(),
        }
    }
}
