//! Taking over keys.

use std::sync::Arc;

use limen_policy::charter::Duty;
use limen_wire::error::ApiError;
use limen_wire::handover::KeyHandover;
use limen_wire::intent::KeyGeneration;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::context::Core;
use crate::keys::ring::ActiveKey;
use crate::keys::{KeyEvent, KeyPhase, KeyRecord, checked_order, drive, fits, step};
use crate::signers::Signer;
use crate::store::StoreError;

/// Takes over what a signer says of one key, or says why not.
pub(super) async fn take_over(
    core: &Arc<Core>,
    signer: &Signer,
    share: &pb::KeyShareRecord,
) -> Result<Result<(), ApiError>, StoreError> {
    if let Some(key) = handed_over(core, share) {
        return take_over_epoch(core, share, key).await.map(Ok);
    }
    let Some(envelope) = &share.order else { return Ok(Ok(())) };
    // A certificate of all members speaks for itself, whoever may order keys today.
    let certified = KeyGeneration::open(envelope).ok().and_then(|(order, _)| {
        let key = ActiveKey::from_certificate(share.certificate.as_ref()?, &core.charter()).ok()?;
        // One signer's word is all there is of a key in its token: the charter must know of it.
        let marked = core.charter().check_held(&order.key_id, order.protocol, order.scheme, &order.nodes).is_ok();
        (marked && fits(&key.statement, &order)).then_some((order, key))
    });
    let (order, key) = match certified {
        Some((order, key)) => (order, Some(key)),
        None => match checked_order(core, envelope) {
            Ok(order) => (order, None),
            Err(error) => return Ok(Err(error)),
        },
    };
    let mut record = match core.store.key(&order.key_id)? {
        Some(known) if known.phase != KeyPhase::Ordered && known.phase != KeyPhase::Failed => return Ok(Ok(())),
        Some(known) => known,
        None => KeyRecord::ordered(order.key_id.clone(), envelope.clone()),
    };
    // At least one attempt was made: the driver asks the members before it tries again.
    record.attempts = record.attempts.max(1);
    let required = usize::from(order.size.signers_required());
    let statement = share.statement.clone().map(|statement| drive::checked_statement(signer, &order, statement));
    if let Some(Ok(statement)) = statement {
        step(&mut record, KeyEvent::Statement(signer.node.clone(), statement), required);
    }
    if let (Some(certificate), Some(key)) = (&share.certificate, key) {
        step(&mut record, KeyEvent::Certified(certificate.clone()), required);
        // The members pass certificates on among themselves; those that lack it refuse until they have it.
        core.keys.insert(key);
    }
    if core.store.insert_key(record.clone()).await?.is_err() {
        // Its driver, if it runs, reads the members' shares itself.
        if !core.ready.is_cancelled() {
            core.store.update_key(record).await?;
        }
    } else if core.ready.is_cancelled() {
        drive::spawn(core, record, order);
    }
    Ok(Ok(()))
}

/// A key whose certificate is of a later epoch: of all its members, exactly as somebody has ordered it who may order keys.
fn handed_over(core: &Core, share: &pb::KeyShareRecord) -> Option<ActiveKey> {
    let key = ActiveKey::from_certificate(share.certificate.as_ref()?, &core.charter()).ok()?;
    let (order, opened) = KeyHandover::open(share.handover.as_ref()?).ok()?;
    let charter = core.charter();
    let requester = charter.requester(&order.requester, Duty::Keys)?;
    opened.verify(order.requester.as_str(), &requester.public_key).ok()?;
    let said = &key.statement;
    charter.check_held(&said.key_id, said.protocol, said.scheme, &said.nodes).ok()?;
    let fits = said.generation_id == order.id
        && said.key_id == order.key_id
        && said.nodes == order.nodes
        && said.size == order.size
        && said.protocol == order.protocol
        && order.allows(said.epoch);
    fits.then_some(key)
}

/// Takes a later epoch over, unless a still later one is known, and what a signer knows of those before it.
async fn take_over_epoch(core: &Arc<Core>, share: &pb::KeyShareRecord, key: ActiveKey) -> Result<(), StoreError> {
    let (id, order) = (key.statement.key_id.clone(), share.order.clone().unwrap_or_default());
    let known = core.store.key(&id)?;
    let before = known.as_ref().and_then(KeyRecord::statement);
    if before.as_ref().is_some_and(|before| !is_same_key(before, &key.statement)) {
        tracing::error!(key = %id, "ALARM: a signer shows another public key of this name");
        return Ok(());
    }
    let mut record = known.unwrap_or_else(|| KeyRecord::ordered(id, order));
    let was = record.clone();
    let past = share
        .past_certificates
        .iter()
        .filter_map(|certificate| Some((certificate, ActiveKey::from_certificate(certificate, &core.charter()).ok()?)));
    for (certificate, over) in past.filter(|(_, over)| is_same_key(&over.statement, &key.statement)) {
        if !record.past.contains(certificate) && record.certificate.as_ref() != Some(certificate) {
            record.past.push(certificate.clone());
            core.keys.insert(over);
        }
    }
    if before.is_none_or(|before| before.epoch < key.statement.epoch) {
        record.past.extend(record.certificate.replace(key.certificate.clone()));
        (record.phase, record.error, record.handover) = (KeyPhase::Active, None, None);
        record.activated = key.statement.nodes.iter().cloned().collect();
        core.keys.insert(key);
    }
    if record != was && core.store.insert_key(record.clone()).await?.is_err() {
        core.store.update_key(record).await?;
    }
    Ok(())
}

fn is_same_key(one: &KeyStatement, other: &KeyStatement) -> bool {
    let same = |one: &KeyStatement| (one.scheme, one.public_key.clone(), one.chain_code, one.was_whole);
    same(one) == same(other)
}
