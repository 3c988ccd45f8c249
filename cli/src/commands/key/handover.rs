//! `limen key refresh` and `limen key reshare`

use anyhow::{Context as _, Result, bail};
use limen_client::NewShares;
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId, Protocol};

use super::{MADE_WITHIN, Session, key_json, key_text};

/// Orders new shares, for the committee that there is or for another one, and waits until all of it signs with them.
pub(super) async fn run(
    session: &Session,
    key: &KeyId,
    protocol: Option<Protocol>,
    to: Option<(&[NodeId], u16)>,
) -> Result<()> {
    let infos = session.client.list_keys(Some(key)).await?;
    let Some(info) = infos.first() else { bail!("there is no key {key}") };
    let present = session.client.admit(info).with_context(|| format!("what the signers attest of key {key}"))?;
    if !present.protocol.is_threshold() {
        bail!("key {key} lives in one token: there are no shares to make anew");
    }
    let protocol = protocol.unwrap_or(present.protocol);
    if !protocol.is_threshold() || !protocol.supports(present.scheme) {
        bail!("{protocol} has no shares that make {} signatures", present.scheme);
    }
    let (nodes, size) = match to {
        None => (present.nodes.clone(), present.size),
        Some((nodes, required)) => (nodes.to_vec(), CommitteeSize::new(required, u16::try_from(nodes.len())?)?),
    };
    let least = session.config.min_signers_required;
    if size.signers_required() < least {
        bail!("{size} needs fewer signers than this client's configuration accepts (min_signers_required = {least})");
    }
    let next = Epoch(present.epoch.0.saturating_add(1));
    let first_epoch = info.handover.as_ref().map_or(next, |handover| handover.next_epoch.max(next));
    let shares = NewShares { present, first_epoch, protocol, size, nodes, expires_in: MADE_WITHIN };
    let order = session.client.hand_over(&shares).await?;
    let statement = session.client.wait_for_handover((key, &order), MADE_WITHIN, |handover| {
        session.output.line(&handover.progress);
    });
    let statement = statement.await?;
    let infos = session.client.list_keys(Some(key)).await?;
    match infos.first() {
        Some(info) => session.output.result(&key_json(info, Ok(&statement)), || key_text(info, &statement)),
        None => bail!("key {key} has new shares but is not listed"),
    }
}
