//! Taking over keys.

use std::sync::Arc;

use limen_wire::error::ApiError;
use limen_wire::intent::KeyGeneration;
use limen_wire::pb;

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
