//! `limen key refresh` and `limen key reshare`

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use limen_client::{KeyInfo, NewShares};
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId, Protocol};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use super::{MADE_WITHIN, Session, key_json, key_text};

/// Orders new shares, for the committee that there is or for another one, and waits until it signs with them.
pub(super) async fn run(
    session: &Session,
    key: &KeyId,
    protocol: Option<Protocol>,
    to: Option<(&[NodeId], u16)>,
) -> Result<()> {
    let (info, statement) = hand_over(session, key, protocol, to).await?;
    session.output.result(&key_json(&info, Ok(&statement)), || key_text(&info, &statement))
}

/// Has all keys in use refreshed, one after the other. What fails is told, and keeps no other key waiting.
pub(super) async fn all(session: &Session, pause: Duration) -> Result<()> {
    let infos = session.client.list_keys(None).await?;
    let is_threshold = |info: &&KeyInfo| session.client.admit(info).is_ok_and(|key| key.protocol.is_threshold());
    let in_use = infos.iter().filter(|info| info.state == pb::KeyState::Active);
    let keys: Vec<&KeyId> = in_use.filter(is_threshold).map(|info| &info.key_id).collect();
    let mut refreshed = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        if place > 0 {
            tokio::time::sleep(pause).await;
        }
        match hand_over(session, key, None, None).await {
            Ok((info, statement)) => refreshed.push((info, statement)),
            Err(error) => session.output.warning(&format!("key {key} was not refreshed: {error:#}")),
        }
    }
    let json: Vec<_> = refreshed.iter().map(|(info, statement)| key_json(info, Ok(statement))).collect();
    session.output.result(&json, || {
        let line = |(info, statement): &(KeyInfo, KeyStatement)| format!("{}: epoch {}", info.key_id, statement.epoch);
        refreshed.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    match keys.len().checked_sub(refreshed.len()) {
        Some(failed @ 1..) => bail!("{failed} of {} keys were not refreshed", keys.len()),
        _ => Ok(()),
    }
}

async fn hand_over(
    session: &Session,
    key: &KeyId,
    protocol: Option<Protocol>,
    to: Option<(&[NodeId], u16)>,
) -> Result<(KeyInfo, KeyStatement)> {
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
    let info = infos.into_iter().next().with_context(|| format!("key {key} has new shares but is not listed"))?;
    Ok((info, statement))
}
