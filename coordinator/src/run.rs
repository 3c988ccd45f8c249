//! Starting and stopping: what runs beside the requests.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::ids::Epoch;
use limen_wire::intent::KeyGeneration;

use crate::context::Core;
use crate::keys::ring::ActiveKey;
use crate::keys::{KeyPhase, KeyRecord, drive, handover};
use crate::ledger::Ledgers;
use crate::store::StoreError;
use crate::{charters, log, rebuild, signing};

/// Starts everything; the coordinator serves once the signers' memory has been read, where that is needed.
pub async fn start(core: &Arc<Core>) -> Result<(), StoreError> {
    for signer in core.signers.all() {
        let observer = Arc::clone(core);
        let watching = Arc::clone(signer).watch_health(core.timing, core.stop.clone(), move |signer, status| {
            observer.observe_nonces(&signer.node, &status.nonce_pools);
        });
        core.tasks.spawn(watching);
    }
    let keys = core.store.keys()?;
    for key in &keys {
        take_into_use(core, key);
    }
    // Nobody takes anything over between the look at what is open and the moment from which readers resume it themselves.
    let books = rebuild::first(core).await?;
    if core.stop.is_cancelled() {
        return Ok(());
    }
    for key in core.store.keys()? {
        resume_key(core, key);
    }
    let mut resumed = 0;
    for entry in core.store.open_requests()? {
        match core.keys.find(&entry.record.key_id) {
            Some(key) => {
                resumed += 1;
                signing::resume(core, key, entry);
            }
            None => tracing::error!(intent = %entry.record.id, key = %entry.record.key_id, "no certified key"),
        }
    }
    // Requests are judged beforehand by what is in force, not by the file: this is where it is usually found out.
    if let Err(reason) = charters::catch_up(core).await {
        tracing::warn!(reason, "requests are judged beforehand by the charter file");
    }
    core.tasks.spawn(charters::follow(Arc::clone(core)));
    Ledgers::open(core);
    log::open(core);
    core.tasks.spawn(signing::presign::refill(Arc::clone(core)));
    core.ready.cancel();
    drop(books);
    tracing::info!(requests = resumed, "ready");
    Ok(())
}

fn take_into_use(core: &Core, record: &KeyRecord) {
    for certificate in record.past.iter().chain(&record.certificate) {
        match ActiveKey::from_certificate(certificate, &core.charter()) {
            Ok(key) => core.keys.insert(key),
            Err(error) => tracing::error!(key = %record.key_id, %error, "a stored certificate does not verify"),
        }
    }
}

fn resume_key(core: &Arc<Core>, record: KeyRecord) {
    if record.statement().is_some_and(|statement| statement.epoch > Epoch::FIRST) || record.handover.is_some() {
        return handover::spawn(core, record);
    }
    let Ok((order, _)) = KeyGeneration::open(&record.order) else {
        return tracing::error!(key = %record.key_id, "a stored order cannot be read");
    };
    if record.phase != KeyPhase::Failed {
        drive::spawn(core, record, order);
    }
}

/// Stops: takes nothing new, lets running sessions end within the bound, keeps everything else for the next start.
pub async fn stop(core: &Arc<Core>, bound: Duration) {
    core.stop.cancel();
    core.tasks.close();
    if tokio::time::timeout(bound, core.tasks.wait()).await.is_err() {
        tracing::warn!("stopped while sessions were running; they are taken up at the next start");
    }
}
