//! Requests judged by two charters side by side: what a draft would decide otherwise, in sentences.
//!
//! Nothing is consumed and nothing is asked of anybody. Limits are counted here from nothing, over the requests that are
//! shown, in the order in which they are; everything is taken to have been in force for ever, vaults hold nothing, and nobody has approved.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use limen_wire::effects::{Amount, Effects};
use limen_wire::ids::LimitId;
use limen_wire::intent::Intent;

use crate::charter::Charter;
use crate::charter::vault::Limit;
use crate::decide::{Charge, Decision, Requirement, When, decide};

/// What one charter makes of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Why it is denied; empty if it is allowed.
    pub denied: Vec<String>,
    /// What is asked for, if it is allowed.
    pub asks: BTreeSet<String>,
    /// The limits in which there is no room for it now, if it is allowed.
    pub full: BTreeSet<String>,
}

impl Ruling {
    /// Of bytes that a charter cannot read, for this reason.
    pub fn unreadable(why: String) -> Self {
        Self { denied: vec![why], ..Self::default() }
    }
}

/// One charter, and what of its limits is used by the requests that it has judged so far.
#[derive(Debug)]
pub struct Run {
    charter: Charter,
    spent: BTreeMap<(LimitId, String), VecDeque<(u64, Amount)>>,
}

/// Most requests that one subject of a limit remembers: the oldest are forgotten, and the run says too little of that limit.
const MOST: usize = 100_000;

impl Run {
    /// Begins with nothing used.
    pub const fn new(charter: Charter) -> Self {
        Self { charter, spent: BTreeMap::new() }
    }

    /// The charter.
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Goes over to another charter; what was used of a limit stays used of the limit of the same name.
    pub fn follow(&mut self, charter: Charter) {
        self.charter = charter;
    }

    /// Judges a request that came at this moment, in seconds since 1970. `effects` are what its bytes do as this charter
    /// reads them, or why they cannot be read. A request that is allowed and fits is counted.
    pub fn judge(&mut self, intent: &Intent, effects: Result<&Effects, String>, at_secs: u64) -> Ruling {
        match effects {
            Ok(effects) => {
                let decision = decide(&self.charter, intent, effects, &When::advice(at_secs));
                self.rule(&decision, at_secs)
            }
            Err(why) => Ruling::unreadable(why),
        }
    }

    /// The same with the charter's decision at hand.
    pub fn rule(&mut self, decision: &Decision, at_secs: u64) -> Ruling {
        if !decision.allowed {
            return Ruling { denied: decision.reasons.clone(), ..Ruling::default() };
        }
        let full: BTreeSet<String> = decision.charges.iter().filter_map(|charge| self.lacks(charge, at_secs)).collect();
        if full.is_empty() {
            for charge in &decision.charges {
                let spent = self.spent.entry((charge.limit.clone(), charge.subject.clone())).or_default();
                spent.push_back((at_secs, charge.amount));
                if spent.len() > MOST {
                    spent.pop_front();
                }
            }
        }
        Ruling { denied: Vec::new(), asks: decision.requirements.iter().map(asks).collect(), full }
    }

    /// Why a charge does not fit, after forgetting what has left the window.
    fn lacks(&mut self, charge: &Charge, at_secs: u64) -> Option<String> {
        let limit = self.charter.limits.get(&charge.limit)?;
        let spent = self.spent.entry((charge.limit.clone(), charge.subject.clone())).or_default();
        if let Some(window) = limit.window_secs {
            while spent.front().is_some_and(|(then, _)| then.saturating_add(window) <= at_secs) {
                spent.pop_front();
            }
        }
        fits(limit, spent, charge).err()
    }
}

fn fits(limit: &Limit, spent: &VecDeque<(u64, Amount)>, charge: &Charge) -> Result<(), String> {
    let of = if charge.subject.is_empty() { String::new() } else { format!(" of {}", charge.subject) };
    if let Some(max) = limit.max_amount {
        let sum = spent.iter().try_fold(charge.amount, |sum, (_, amount)| sum.checked_add(*amount));
        if sum.is_none_or(|sum| sum > max) {
            return Err(format!("{}{of}, which has no room for {} more", limit.title(), charge.amount));
        }
    }
    match limit.max_count {
        Some(max) if u64::try_from(spent.len()).unwrap_or(u64::MAX) >= max => {
            Err(format!("{}{of}, which has no room for one request more", limit.title()))
        }
        _ => Ok(()),
    }
}

/// What a requirement asks for, in words.
fn asks(requirement: &Requirement) -> String {
    let needs = &requirement.needs;
    let mut parts = Vec::new();
    if let Some(formula) = &needs.approvals {
        let besides = if needs.not_by_requester { ", none of them behind the requester" } else { "" };
        let seasoned = match needs.credentials_for_secs {
            0 => String::new(),
            secs => format!(", with credentials in force for {secs} s"),
        };
        parts.push(format!("the approval of {formula}{besides}{seasoned}"));
    }
    if needs.delay_secs > 0 {
        parts.push(format!("a delay of {} s", needs.delay_secs));
    }
    if !needs.checks.is_empty() {
        let checks: Vec<_> = needs.checks.iter().map(ToString::to_string).collect();
        parts.push(format!("a pass of {}", checks.join(" and ")));
    }
    parts.extend(requirement.fact.as_ref().map(|fact| format!("to know {fact}, for {}", requirement.rule)));
    parts.join(", ")
}

/// What the second ruling does otherwise than the first, in sentences; none if they come to the same. Two denials do, for
/// whatever reasons.
pub fn differences(is: &Ruling, would_be: &Ruling) -> Vec<String> {
    let listed = |parts: &BTreeSet<String>| parts.iter().cloned().collect::<Vec<_>>().join(", ");
    match (is.denied.is_empty(), would_be.denied.is_empty()) {
        (false, false) => Vec::new(),
        (true, false) => vec![format!("it would be denied: {}", would_be.denied.join("; "))],
        (false, true) => {
            let asked = match would_be.asks.is_empty() {
                true => "asking for nothing".to_owned(),
                false => format!("asking for {}", listed(&would_be.asks)),
            };
            let mut found = vec![format!("it would be allowed, {asked}, and is denied: {}", is.denied.join("; "))];
            found.extend(would_be.full.iter().map(|limit| format!("it would wait for {limit}")));
            found
        }
        (true, true) => {
            let more = would_be.asks.difference(&is.asks).map(|one| format!("it would need {one}"));
            let less = is.asks.difference(&would_be.asks).map(|one| format!("it would no longer need {one}"));
            let fuller = would_be.full.difference(&is.full).map(|limit| format!("it would wait for {limit}"));
            let roomier =
                is.full.difference(&would_be.full).map(|limit| format!("it would no longer wait for {limit}"));
            more.chain(less).chain(fuller).chain(roomier).collect()
        }
    }
}
