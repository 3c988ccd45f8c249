//! Requirements: who has said yes, and how long this signer has waited since, by its own running time.

use std::collections::BTreeSet;

use limen_policy::approval::{Facts, Tally, Verified};
use limen_policy::charter::Charter;
use limen_policy::charter::rule::DelayFrom;
use limen_policy::check::{self, Attested, Finding};
use limen_policy::decide::{Evidence, Requirement};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::ApprovalId;
use limen_wire::pb;

use super::Examined;
use super::examine::when;
use crate::clock::{Now, Uptime};
use crate::store::rows::{Delays, Started};

/// How far the requirements of one intent are met.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// One for each requirement of the decision.
    pub statuses: Vec<pb::RequirementStatus>,
    /// Somebody who has a say said no, and why.
    pub rejected: Option<(String, String)>,
    /// The approvals by which the formulas are met.
    pub counted: BTreeSet<ApprovalId>,
    /// What findings attest of the vaults that have ceilings.
    pub attested: Attested,
    /// The delays that run now.
    pub delays: Delays,
    /// Rejections and withdrawals that are held from now on: the peers are told.
    pub news: Vec<pb::Envelope>,
}

impl Progress {
    /// Whether anything keeps the intent from being signed.
    pub fn check(&self) -> Result<(), ApiError> {
        if let Some((person, reason)) = &self.rejected {
            return Err(ApiError::new(Code::Rejected, format!("{person} rejected it: {reason}")));
        }
        let missing: Vec<_> = self.statuses.iter().filter(|status| !status.met).collect();
        if !missing.is_empty() {
            let words: Vec<_> = missing.iter().map(|one| format!("rule {:?}: {}", one.rule, one.missing)).collect();
            return Err(ApiError::new(Code::ApprovalsMissing, words.join("; ")));
        }
        match self.statuses.iter().max_by_key(|status| status.wait_ms) {
            Some(status) if status.wait_ms > 0 => {
                let left = status.wait_ms.div_ceil(1000);
                let message = format!("rule {:?}: {left} s of its delay are left at this signer", status.rule);
                Err(ApiError::new(Code::TimeLocked, message))
            }
            _ => Ok(()),
        }
    }
}

/// What approvals of an intent must hold for.
pub fn facts(charter: &Charter, examined: &Examined) -> Facts {
    Facts {
        cluster: charter.cluster.clone(),
        intent_id: examined.intent.id,
        effects_digest: examined.effects_digest,
        decoder_version: examined.decoded.effects.decoder_version,
        slice: examined.decision.slice,
        freeze_epoch: examined.freeze_epoch,
    }
}

/// What others say of an intent, verified.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What people said.
    pub approvals: &'a [Verified],
    /// What external checkers found.
    pub findings: &'a [Finding],
}

/// Looks at every requirement. `delays` are those that ran so far, `first_seen` is when this signer first held the intent.
pub fn progress(
    charter: &Charter,
    examined: &Examined,
    said: &Said<'_>,
    delays: &Delays,
    first_seen: Uptime,
    now: Now,
) -> Progress {
    let (facts, intent) = (facts(charter, examined), &examined.intent);
    let Said { approvals, findings } = *said;
    let ages = examined.ages.at(now.uptime.0);
    let evidence = Evidence { charter, intent, facts: &facts, approvals, findings, when: when(now, &ages) };
    let requirements = &examined.decision.requirements;
    let tallies: Vec<Tally> = requirements.iter().map(|one| one.tally(&evidence)).collect();
    // A delay that counts from the approvals counts from all of them: nobody waits out one rule before another is met.
    let all_met = tallies.iter().all(|tally| matches!(tally, Tally::Met { .. }));
    let clock = DelayClock::of(examined, &evidence, now.uptime);
    let mut progress = Progress { attested: check::attested(charter, findings), ..Progress::default() };
    for (requirement, tally) in requirements.iter().zip(tallies) {
        let status = match tally {
            Tally::Met { by } => {
                progress.counted.extend(by.into_values());
                let started = delays.get(&requirement.rule).filter(|_| all_met);
                let (since, started) = clock.since(requirement, started, first_seen);
                let kept = started.filter(|_| all_met);
                progress.delays.extend(kept.map(|started| (requirement.rule.clone(), started)));
                let elapsed = now.uptime.0.saturating_sub(since.0);
                let wait_ms = requirement.needs.delay_secs.saturating_mul(1000).saturating_sub(elapsed);
                // A check may come as late as it likes: no delay waits for it.
                let missing = requirement.unchecked(&evidence).unwrap_or_default();
                pb::RequirementStatus { met: missing.is_empty(), missing, wait_ms, ..pb::RequirementStatus::default() }
            }
            Tally::Wanting { missing } => lacks(missing.to_string()),
            Tally::TooMany { found } => lacks(format!("{found} approvals are more than are counted")),
            Tally::Rejected { by, reason } => {
                progress.rejected.get_or_insert((by.to_string(), reason));
                lacks("rejected".to_owned())
            }
        };
        progress.statuses.push(pb::RequirementStatus { rule: requirement.rule.clone(), ..status });
    }
    // Whoever has a say at another moment or price is heard now: their no ends the request.
    for requirement in examined.decision.asking.iter().filter(|one| !requirements.contains(one)) {
        if let Tally::Rejected { by, reason } = requirement.tally(&evidence) {
            progress.rejected.get_or_insert((by.to_string(), reason));
        }
    }
    progress
}

/// What goes on of the delays that run, at a moment or a price at which nobody is asked or can be: those of rules that have had
/// their approvals all the time.
pub fn running(charter: &Charter, examined: &Examined, said: &Said<'_>, delays: &Delays, now: Now) -> Delays {
    let (facts, intent, Said { approvals, findings }) = (facts(charter, examined), &examined.intent, *said);
    let ages = examined.ages.at(now.uptime.0);
    let evidence = Evidence { charter, intent, facts: &facts, approvals, findings, when: when(now, &ages) };
    let clock = DelayClock::of(examined, &evidence, now.uptime);
    let goes_on = |(rule, started): (&String, &Started)| {
        let met: BTreeSet<String> = started.met.intersection(&clock.met).cloned().collect();
        let same = started.slice == clock.slice && met.contains(rule);
        same.then(|| (rule.clone(), Started { met, ..started.clone() }))
    };
    delays.iter().filter_map(goes_on).collect()
}

fn lacks(missing: String) -> pb::RequirementStatus {
    pb::RequirementStatus { missing, ..pb::RequirementStatus::default() }
}

/// What delays of one intent run by.
struct DelayClock<'a> {
    slice: [u8; 32],
    /// Rules that match now.
    matched: BTreeSet<&'a str>,
    /// Rules that have their approvals now, of all that match at any moment or price.
    met: BTreeSet<String>,
    now: Uptime,
}

impl<'a> DelayClock<'a> {
    fn of(examined: &'a Examined, evidence: &Evidence<'_>, now: Uptime) -> Self {
        let decision = &examined.decision;
        // What has to be attested is met whenever it is shown.
        let matched = decision.requirements.iter().filter(|one| one.fact.is_none());
        let is_met = |one: &&Requirement| one.fact.is_none() && matches!(one.tally(evidence), Tally::Met { .. });
        Self {
            slice: *decision.slice.as_bytes(),
            matched: matched.map(|one| one.rule.as_str()).collect(),
            met: decision.asking.iter().filter(is_met).map(|one| one.rule.clone()).collect(),
            now,
        }
    }

    /// From when a requirement's delay runs, and what of that must be remembered. A delay that counts from the approvals begins
    /// anew if they stopped being enough meanwhile, under another slice of the charter, and where a rule matches now that has
    /// not had its approvals all the time: whoever chooses the price that is shown does not choose when the delay begins.
    fn since(
        &self,
        requirement: &Requirement,
        started: Option<&Started>,
        first_seen: Uptime,
    ) -> (Uptime, Option<Started>) {
        if requirement.needs.delay_secs == 0 {
            return (self.now, None);
        }
        if requirement.needs.delay_from == DelayFrom::FirstSight {
            return (first_seen, None);
        }
        let slice = self.slice;
        let runs_on = |one: &&Started| one.slice == slice && self.matched.iter().all(|rule| one.met.contains(*rule));
        match started.filter(runs_on) {
            Some(started) => {
                let met = started.met.intersection(&self.met).cloned().collect();
                (Uptime(started.uptime), Some(Started { met, ..started.clone() }))
            }
            None => (self.now, Some(Started { slice, uptime: self.now.0, met: self.met.clone() })),
        }
    }
}
