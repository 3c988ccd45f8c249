//! A withdrawal that a rule denies, at the coordinator and at every signer.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use limen_client::RequestState;
use limen_client::evm::Provider as _;
use limen_wire::error::Code;

use super::{NOWHERE_ELSE, Stage, told};
use crate::dev::chain::RECIPIENT;
use crate::dev::report::Act;
use crate::dev::story;
use crate::dev::withdrawals::{Payment, address};

const NOTE: &str = "to somebody whom the address book does not know";

pub(crate) async fn refused(stage: &Stage<'_>) -> Result<Act> {
    stage.rule(NOWHERE_ELSE)?;
    let payment = Payment::coins("20", address(RECIPIENT)?);
    let (transfer, cold) = (payment.transfer()?, &stage.cold.transfers);
    let denies = |reasons: &[String]| {
        let words = format!("rule {NOWHERE_ELSE:?} denies it");
        reasons.iter().find(|reason| reason.contains(&words)).cloned()
    };
    // The coordinator hands no signer what it would not allow itself: they are asked by a rehearsal.
    let nonce = cold.provider().next_nonce(cold.account()).await?;
    let rehearsal = stage.client.simulate(&cold.prepare(&transfer, nonce, NOTE).await?).await?;
    let mut said = BTreeMap::new();
    for signer in rehearsal.signer_decisions {
        let decision = signer.decision.unwrap_or_default();
        match denies(&decision.reasons).filter(|_| !decision.allowed) {
            Some(reason) => said.insert(signer.node, reason),
            None => bail!("{} does not deny by rule {NOWHERE_ELSE:?}: {:?}", signer.node, decision.reasons),
        };
    }
    if said.len() != stage.signers() {
        bail!("{} of {} signers have said what they would do", said.len(), stage.signers());
    }
    let sent = cold.submit(&transfer, NOTE).await?;
    let error = sent.request.error.as_ref().filter(|error| error.code == Code::PolicyDenied);
    let named = error.is_some_and(|error| denies(std::slice::from_ref(&error.message)).is_some());
    if sent.request.state != RequestState::Denied || !named {
        bail!("the request should be denied by rule {NOWHERE_ELSE:?}, but it is {}", told(&sent.request));
    }
    let act = Act::Refused {
        intent_id: sent.intent.id().to_string(),
        rule: NOWHERE_ELSE.to_owned(),
        asked: payment.words(),
        to: payment.to.to_string(),
        said,
    };
    story::act(stage.output, &act);
    Ok(act)
}
