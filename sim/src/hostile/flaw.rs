//! Signers that are deliberately naive: what the harness has to find.

use super::plan::{Plan, Verb};

/// What is wrong with all honest signers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Each counts the whole limit by itself.
    CountsAlone,
    /// Limits do not exist.
    CountsNothing,
    /// Delays do not exist.
    NeverWaits,
    /// Nobody has to approve.
    AsksNobody,
    /// Rules that deny are not read.
    DeniesNothing,
    /// Bad news is not heard.
    Deaf,
    /// What was known is gone after a restart.
    ForgetsAtRestart,
    /// They freeze nobody by themselves.
    FreezesNobody,
    /// They want no checks.
    ChecksNothing,
    /// Ceilings do not exist.
    FillsUp,
    /// As members of a ledger they acknowledge a second value at a number.
    PromisesTwice,
    /// As members of a ledger they acknowledge what does not fit.
    AddsNothingUp,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CountsAlone,
        Self::CountsNothing,
        Self::NeverWaits,
        Self::AsksNobody,
        Self::DeniesNothing,
        Self::Deaf,
        Self::ForgetsAtRestart,
        Self::FreezesNobody,
        Self::ChecksNothing,
        Self::FillsUp,
        Self::PromisesTwice,
        Self::AddsNothingUp,
    ];

    /// The charter as such signers read it.
    pub(crate) fn charter(self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        let others = plan.signers - 1;
        match self {
            Self::CountsAlone => {
                for limit in &mut plan.limits {
                    limit.amount = limit.amount.map(|amount| amount * u128::from(others));
                    limit.count = limit.count.map(|count| count * u64::from(others));
                }
            }
            Self::CountsNothing => plan.limits.clear(),
            Self::FreezesNobody => plan.automatic = None,
            Self::FillsUp => {
                if let Some(outside) = &mut plan.outside {
                    outside.ceiling = None;
                }
            }
            Self::Deaf | Self::ForgetsAtRestart | Self::PromisesTwice | Self::AddsNothingUp => {}
            Self::NeverWaits | Self::AsksNobody | Self::DeniesNothing | Self::ChecksNothing => {
                for rule in plan.versions.iter_mut().flat_map(|version| &mut version.rules) {
                    match self {
                        Self::NeverWaits => rule.delay_secs = 0,
                        Self::ChecksNothing => rule.checks.clear(),
                        // Some classes cannot be allowed without people: they are left out.
                        Self::AsksNobody if rule.class != super::plan::Class::Unknown => rule.approvals = None,
                        _ => {}
                    }
                    rule.not_by_requester &= rule.approvals.is_some();
                    rule.from_first_sight &= rule.delay_secs > 0;
                }
                for version in &mut plan.versions {
                    let denies = self == Self::DeniesNothing;
                    version.rules.retain(|rule| {
                        let asks = rule.approvals.is_some() || rule.delay_secs > 0 || !rule.checks.is_empty();
                        let empty = rule.verb == Verb::Require && !asks;
                        !(empty || denies && rule.verb == Verb::Deny)
                    });
                }
            }
        }
        plan
    }
}
