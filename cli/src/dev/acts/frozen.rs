//! A guardian freezes the hot vault straight at the signers, what is asked of it waits, two people and time lift the freeze.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::{Request, RequestState};
use limen_wire::freeze::FreezeScope;
use limen_wire::ids::{IntentId, VaultId};
use limen_wire::{limits, pb};

use super::{Stage, WITHIN};
use crate::dev::keys::Vault;
use crate::dev::people::People;
use crate::dev::report::Act;
use crate::dev::story;
use crate::dev::withdrawals::Payment;
use crate::output::Output;

/// A guardian.
const GUARDIAN: &str = "carla";
/// One of each group that has to say so.
const LIFTERS: [&str; 2] = ["anna", "dora"];
const REASON: &str = "odd requests in the development story";
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn frozen(stage: &Stage<'_>) -> Result<Act> {
    let governance = stage.charter.governance.as_ref().context("the charter says nothing of freezes")?;
    let delay = Duration::from_secs(governance.unfreeze_delay_secs);
    let scope = FreezeScope::Vault(VaultId::new(Vault::Hot.as_str())?);
    let (freeze, in_force) = stage.people.freeze(GUARDIAN, scope.clone(), REASON).await?;
    if in_force != stage.signers() {
        bail!("{in_force} of {} signers have taken the freeze", stage.signers());
    }
    story::freezes(stage.output, GUARDIAN, &scope, in_force, REASON);

    let payment = Payment::coins("0.25", stage.customer.clone());
    let started = Instant::now();
    let sent = stage.hot.transfers.submit(&payment.transfer()?, "asked of a frozen vault").await?;
    let id = sent.intent.id();
    stage.until(id, "stopped by the freeze at every signer", |request| stopped_at(request) == stage.signers()).await?;
    story::stopped(stage.output, &payment, stage.signers());

    let (first, rest) = LIFTERS.split_at(1);
    stage.people.unfreeze(first, &[freeze], REASON).await?;
    let since = Instant::now();
    stage.people.unfreeze(rest, &[freeze], REASON).await?;
    let signed = stage.until(id, "signed", |request| request.state == RequestState::Signed).await?;
    let waited = since.elapsed();
    if waited < delay {
        bail!("it was signed {waited:?} after the last word, although lifting a freeze takes {delay:?}");
    }
    stage.hot.transfers.ended(&signed);
    let signed = stage.client.verify(&signed).await?;
    let act = Act::Frozen {
        freeze_id: freeze.to_string(),
        scope: scope.to_string(),
        by: GUARDIAN.to_owned(),
        in_force,
        lifted_by: LIFTERS.map(str::to_owned).to_vec(),
        delay_secs: delay.as_secs(),
        waited_seconds: waited.as_secs_f64(),
        withdrawal: stage.hot.settle(&payment, sent.nonce, &signed, started).await?,
    };
    story::act(stage.output, &act);
    Ok(act)
}

/// How many signers say that our freeze stops it.
fn stopped_at(request: &Request) -> usize {
    let says = |statuses: &[pb::RequirementStatus]| statuses.iter().any(|status| status.missing.contains(REASON));
    let waits = request.state == RequestState::AwaitingApproval;
    request.signer_decisions.iter().filter(|said| waits && says(&said.requirements)).count()
}

/// Lifts what an earlier run, or somebody since, has frozen: nothing else would go on.
pub(crate) async fn thaw(people: &People<'_>, output: Output) -> Result<()> {
    let left = people.freezes().await?;
    if left.is_empty() {
        return Ok(());
    }
    for (freeze, _) in &left {
        story::lifts(output, freeze, &LIFTERS);
    }
    let ids: Vec<IntentId> = left.iter().map(|(freeze, _)| freeze.id).collect();
    for ids in ids.chunks(limits::UNFREEZES) {
        people.unfreeze(&LIFTERS, ids, "left over from an earlier run").await?;
    }
    let started = Instant::now();
    while !people.freezes().await?.is_empty() {
        if started.elapsed() > WITHIN {
            bail!(
                "freezes of an earlier run were not lifted within {} s: `limen freezes` shows them",
                WITHIN.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
