//! What one rule asks for, and how far that is met.

use std::collections::BTreeSet;
use std::fmt;

use limen_wire::approval::Verdict;
use limen_wire::effects::Asset;
use limen_wire::ids::{CheckerId, CurrencyId, LimitId, PersonId, VaultId};
use limen_wire::intent::Intent;
use limen_wire::pb;

use super::{InForce, When};
use crate::approval::{Facts, Question, Tally, Verified};
use crate::charter::rule::{DelayFrom, Needs};
use crate::charter::vault::Limit;
use crate::charter::{Charter, Checker};
use crate::check::{Finding, attested};

/// What one rule asks for, or one ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The rule; for a ceiling its title.
    pub rule: String,
    /// What it asks for.
    pub needs: Needs,
    /// What somebody has to attest.
    pub fact: Option<Fact>,
}

/// What no signer can find out, and a checker has to attest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// What a vault holds, for its ceiling.
    Balance {
        /// The ceiling.
        ceiling: LimitId,
        /// The vault.
        vault: VaultId,
    },
    /// What an asset is worth, for rules that say so much money. It is asked for as long as it is not known: what the rules say
    /// without it is no decision.
    Price {
        /// The asset.
        asset: Asset,
        /// The currency.
        currency: CurrencyId,
    },
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
    /// What a ceiling asks for; `None` for other limits.
    pub(super) fn of_ceiling(limit: &Limit) -> Option<Self> {
        let fact = Fact::Balance { ceiling: limit.id.clone(), vault: limit.ceiling_of.clone()? };
        Some(Self { rule: limit.title(), needs: Needs::default(), fact: Some(fact) })
    }

    /// What rules ask for that say an amount in money.
    pub(super) fn of_price(asset: Asset, currency: CurrencyId) -> Self {
        let rule = format!("price of {asset} in {currency}");
        Self { rule, needs: Needs::default(), fact: Some(Fact::Price { asset, currency }) }
    }

    /// Whether it matters what this checker found.
    pub fn hears(&self, charter: &Charter, checker: &CheckerId) -> bool {
        let attests = |fact: &Fact| fact.attesters(charter).iter().any(|one| one.id == *checker);
        self.needs.checks.contains(checker) || self.fact.as_ref().is_some_and(attests)
    }

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

    /// What is missing of the external checks and attestations, in words; `None` if nothing is. One finding that objects
    /// outweighs all that pass.
    pub fn unchecked(&self, evidence: &Evidence<'_>) -> Option<String> {
        let findings = evidence.findings;
        let heard = findings.iter().filter(|finding| self.hears(evidence.charter, finding.checker()));
        let objections =
            heard.filter_map(|one| Some(format!("checker {} objects: {}", one.checker(), one.objection()?)));
        let silent = |checker: &&CheckerId| findings.iter().all(|finding| finding.checker() != *checker);
        let unheard = self.needs.checks.iter().filter(silent).map(|checker| format!("the check by {checker}"));
        let missing: BTreeSet<String> = objections.chain(unheard).chain(self.unattested(evidence)).collect();
        (!missing.is_empty()).then(|| missing.into_iter().collect::<Vec<_>>().join(" and "))
    }

    /// Whoever may attest what has to be attested, if nobody has.
    fn unattested(&self, evidence: &Evidence<'_>) -> Option<String> {
        let fact = self.fact.as_ref()?;
        if let Fact::Balance { ceiling, .. } = fact
            && attested(evidence.charter, evidence.findings).contains_key(ceiling)
        {
            return None;
        }
        let attesters: Vec<_> = fact.attesters(evidence.charter).iter().map(|one| one.id.to_string()).collect();
        Some(format!("{fact}, attested by {}", attesters.join(" or ")))
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
            ..self.fact.as_ref().map(Fact::to_wire).unwrap_or_default()
        }
    }
}

impl Fact {
    /// Who may attest it.
    fn attesters<'a>(&'a self, charter: &'a Charter) -> Vec<&'a Checker> {
        match self {
            Self::Balance { vault, .. } => charter.attesters(vault).collect(),
            Self::Price { currency, .. } => charter.pricers(currency).collect(),
        }
    }

    fn to_wire(&self) -> pb::Requirement {
        match self {
            Self::Balance { vault, .. } => pb::Requirement { balance_of: vault.to_string(), ..Default::default() },
            Self::Price { asset, currency } => {
                pb::Requirement { price_of: asset.to_string(), currency: currency.to_string(), ..Default::default() }
            }
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance { vault, .. } => write!(f, "what vault {vault} holds"),
            Self::Price { asset, currency } => write!(f, "what {asset} is worth in {currency}"),
        }
    }
}
