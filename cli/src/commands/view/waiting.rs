//! What a request waits for: people and delays, in words and as JSON. All of it is the coordinator's word.

use limen_client::{Progress, Request, Requirement, now_secs};
use limen_wire::approval::{SignedApproval, Verdict};
use serde_json::{Value, json};

use crate::commands::approval::span;

fn requirements(request: &Request) -> Vec<Requirement> {
    request.requirements(now_secs().saturating_mul(1000))
}

pub(super) fn requirements_json(request: &Request) -> Vec<Value> {
    let progress =
        |progress: &Progress| json!({ "met": progress.met, "missing": progress.missing, "wait_ms": millis(progress) });
    let requirement = |asked: &Requirement| {
        let signers: serde_json::Map<String, Value> =
            asked.signers.iter().map(|(node, said)| (node.clone(), progress(said))).collect();
        json!({
            "rule": asked.rule,
            "approvals": asked.approvals,
            "delay_secs": asked.delay.as_secs(),
            "delay_from_first_sight": asked.delay_from_first_sight,
            "not_by_requester": asked.not_by_requester,
            "credentials_for_secs": asked.credentials_for.as_secs(),
            "checks": asked.checks,
            "balance_of": asked.balance_of,
            "price_of": asked.price_of,
            "currency": asked.currency,
            "signers": signers,
        })
    };
    requirements(request).iter().map(requirement).collect()
}

fn millis(progress: &Progress) -> u64 {
    u64::try_from(progress.wait.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn approvals_json(request: &Request) -> Vec<Value> {
    let approval = |signed: &SignedApproval| {
        let said = &signed.approval;
        json!({
            "approval": said.digest().to_string(),
            "person": said.person.as_str(),
            "credential": said.credential.as_str(),
            "verdict": said.verdict.as_str(),
            "reason": said.reason,
            "expires_at_secs": said.expires_at_secs,
        })
    };
    request.approvals.iter().map(approval).collect()
}

/// What the rules ask for, who has said what, who is missing at which signer, how long it may take.
pub(super) fn lines(request: &Request) -> Vec<String> {
    let mut lines = Vec::new();
    for asked in requirements(request) {
        lines.push(format!("asks for     {} (rule {:?})", wish(&asked), asked.rule));
        lines.extend(asked.signers.iter().map(|(node, said)| format!("  {node:10} {}", standing(said))));
    }
    lines.extend(request.approvals.iter().map(said));
    if !request.state.is_end() {
        let left = request.intent.expires_at_secs.saturating_sub(now_secs());
        lines.push(format!("time left    {}", span(left)));
    }
    lines
}

fn wish(asked: &Requirement) -> String {
    let people = asked.approvals.escape_debug().to_string();
    let delay = match (asked.delay.as_secs(), asked.delay_from_first_sight) {
        (0, _) => String::new(),
        (secs, true) => format!("{} from first sight", span(secs)),
        (secs, false) => format!("{} after the last approval", span(secs)),
    };
    let mut parts: Vec<String> = [people, delay].into_iter().filter(|part| !part.is_empty()).collect();
    if asked.not_by_requester {
        parts.push("not by the requester's own people".to_owned());
    }
    if !asked.credentials_for.is_zero() {
        parts.push(format!("by credentials in force for {}", span(asked.credentials_for.as_secs())));
    }
    if !asked.checks.is_empty() {
        parts.push(format!("a pass of {}", asked.checks.join(", ").escape_debug()));
    }
    if !asked.balance_of.is_empty() {
        parts.push(format!("what vault {} holds, attested", asked.balance_of.escape_debug()));
    }
    if !asked.price_of.is_empty() {
        let (asset, currency) = (asked.price_of.escape_debug(), asked.currency.escape_debug());
        parts.push(format!("what {asset} is worth in {currency}, attested"));
    }
    parts.join(", ")
}

fn standing(said: &Progress) -> String {
    match (said.met, said.wait.as_millis()) {
        (false, _) => format!("lacks {}", said.missing.escape_debug()),
        (true, 0) => "met".to_owned(),
        (true, left) => format!("met, {} left", span(u64::try_from(left.div_ceil(1000)).unwrap_or(u64::MAX))),
    }
}

fn said(signed: &SignedApproval) -> String {
    let said = &signed.approval;
    let (does, why) = match said.verdict {
        Verdict::Approve => ("approves", String::new()),
        Verdict::Reject => ("rejects", format!(": {:?}", said.reason)),
        Verdict::Withdraw => ("withdraws", format!(": {:?}", said.reason)),
    };
    format!("said         {} {does} with {}{why}", said.person, said.credential)
}

/// The nearest thing that is missing, in a few words; empty if nothing is.
pub(crate) fn waits_for(request: &Request) -> String {
    let asked = requirements(request);
    let open = |done: bool| {
        let all = asked.iter().flat_map(|asked| asked.signers.values());
        all.filter(|said| said.met == done && !said.is_done()).min_by_key(|said| said.wait)
    };
    match (request.state.is_waiting(), open(false).or_else(|| open(true))) {
        (true, Some(said)) if said.met => standing(said).replacen("met, ", "", 1),
        (true, Some(said)) => said.missing.escape_debug().to_string(),
        _ => String::new(),
    }
}
