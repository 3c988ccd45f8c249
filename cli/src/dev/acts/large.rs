//! A large withdrawal: two people approve, then a time lock runs on every signer's own clock.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::{Request, RequestState};
use limen_wire::ids::IntentId;

use super::{EXCHANGE, Stage, TO_KNOWN_PLACES, lacking};
use crate::dev::report::{Act, Approval};
use crate::dev::story;
use crate::dev::withdrawals::{Payment, address};

const AMOUNT: &str = "20";
/// Of treasury, who approves first.
const FIRST: &str = "anna";
/// Of risk.
const SECOND: &str = "carla";

pub(crate) async fn large(stage: &Stage<'_>) -> Result<Act> {
    let needs = &stage.rule(TO_KNOWN_PLACES)?.needs;
    let formula = needs.approvals.as_ref().with_context(|| format!("rule {TO_KNOWN_PLACES:?} asks for nobody"))?;
    let (formula, delay) = (formula.to_string(), Duration::from_secs(needs.delay_secs));
    let payment = Payment::coins(AMOUNT, address(EXCHANGE)?);
    let started = Instant::now();
    let sent = stage.cold.transfers.submit(&payment.transfer()?, "a large withdrawal of the development story").await?;
    let id = sent.intent.id();
    story::asked(stage.output, &payment, stage.cold.address());

    // Every signer says of its own who is missing.
    let waits = |request: &Request, treasury: bool, risk: bool| {
        let lacking = lacking(request, TO_KNOWN_PLACES);
        let fits = |missing: &str| missing.contains("treasury") == treasury && missing.contains("risk") == risk;
        request.state == RequestState::AwaitingApproval
            && lacking.len() == stage.signers()
            && lacking.iter().all(|(_, missing)| fits(missing))
    };
    stage.until(id, "waiting for both people at every signer", |request| waits(request, true, true)).await?;
    story::waits(stage.output, TO_KNOWN_PLACES, &formula, delay, stage.signers());
    let first = approve(stage, FIRST, id).await?;
    stage.until(id, "waiting for risk at every signer", |request| waits(request, false, true)).await?;
    let since = Instant::now();
    let second = approve(stage, SECOND, id).await?;
    stage.until(id, "time-locked", |request| request.state == RequestState::TimeLocked).await?;
    let signed = stage.until(id, "signed", |request| request.state == RequestState::Signed).await?;
    let waited = since.elapsed();
    if waited < delay {
        bail!("it was signed {waited:?} after the last approval, although rule {TO_KNOWN_PLACES:?} asks for {delay:?}");
    }
    stage.cold.transfers.ended(&signed);
    let signed = stage.client.verify(&signed).await?;
    let act = Act::Approved {
        rule: TO_KNOWN_PLACES.to_owned(),
        approvals: vec![first, second],
        delay_secs: needs.delay_secs,
        waited_seconds: waited.as_secs_f64(),
        withdrawal: stage.cold.settle(&payment, sent.nonce, &signed, started).await?,
    };
    story::act(stage.output, &act);
    Ok(act)
}

async fn approve(stage: &Stage<'_>, person: &str, id: IntentId) -> Result<Approval> {
    let (_, said) = stage.people.approve(person, id).await?;
    let approval =
        Approval { person: person.to_owned(), approval_id: said.id.to_string(), words: said.words.join(" ") };
    story::approves(stage.output, &approval);
    Ok(approval)
}
