//! A limit is reached: the request waits for room, and its requester gives it up.

use anyhow::{Context, Result, bail};
use limen_client::RequestState;
use limen_wire::effects::Amount;
use limen_wire::error::Code;

use super::{LIMIT_A_PLACE, Stage};
use crate::dev::report::Act;
use crate::dev::story;
use crate::dev::withdrawals::{COIN_DECIMALS, Payment};

/// More than one request may have is denied by rules; this one alone would fit, but not beside the first.
const AMOUNT: &str = "4.8";

/// Asks for more than the limit has left once the customer was paid `paid` coins.
pub(crate) async fn limit(stage: &Stage<'_>, paid: &str) -> Result<Act> {
    let coins = |text: &str| Amount::from_units(text, COIN_DECIMALS).context("a built-in amount is malformed");
    let bound = stage.charter.limits.values().find(|limit| limit.id.as_str() == LIMIT_A_PLACE);
    let bound = bound.and_then(|limit| limit.max_amount);
    let bound = bound.with_context(|| format!("the charter bounds nothing by a limit {LIMIT_A_PLACE}"))?;
    let left = bound.checked_sub(coins(paid)?).unwrap_or(Amount::ZERO);
    if coins(AMOUNT)? <= left {
        bail!("limit {LIMIT_A_PLACE} has room for {AMOUNT} more: somebody has changed the charter");
    }
    let payment = Payment::coins(AMOUNT, stage.customer.clone());
    let sent = stage.hot.transfers.submit(&payment.transfer()?, "more than the limit has left").await?;
    let id = sent.intent.id();
    let waiting = stage
        .until(id, "waiting for room in the limit", |request| {
            let why = request.error.as_ref();
            request.state == RequestState::Reserved && why.is_some_and(|error| error.code == Code::LimitReached)
        })
        .await?;
    let said = waiting.error.map(|error| error.message).unwrap_or_default();
    if !said.contains(LIMIT_A_PLACE) {
        bail!("request {id} waits for another limit than {LIMIT_A_PLACE}: {said}");
    }
    stage.client.cancel(id, "it does not fit into the limit").await?;
    let ended = stage.until(id, "cancelled", |request| request.state == RequestState::Cancelled).await?;
    stage.hot.transfers.ended(&ended);
    let act = Act::LimitReached {
        intent_id: id.to_string(),
        limit: LIMIT_A_PLACE.to_owned(),
        bound: bound.to_units(COIN_DECIMALS),
        asked: AMOUNT.to_owned(),
        left: left.to_units(COIN_DECIMALS),
        said,
    };
    story::act(stage.output, &act);
    Ok(act)
}
