//! What happens by itself: the boot record, sweeping early frames, compaction.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{NodeId, Protocol};
use limen_wire::pb;

use crate::clock::Millis;
use crate::guard::KeyFacts;
use crate::nonces::Fresh;
use crate::shared::Shared;
use crate::standing::talk;
use crate::stops::{self, exchange};
use crate::store::compaction::{self, Compacted};
use crate::store::journal::Event;
use crate::store::{StoreError, Txn};
use crate::{backups, charters, destruction, epochs, nonces, signing, token};

const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What a crash takes of the running time at most: delays only get longer by it.
const UPTIME_EVERY: Duration = Duration::from_secs(10);
/// How long a signer may lack a stop record that it could have heard.
const EXCHANGE_EVERY: Duration = Duration::from_secs(2);
/// Time between two questions how a peer stands.
const STANDING_EVERY: Duration = Duration::from_secs(3);
/// Time between two looks whether what seals the shares works.
const TOKEN_EVERY: Duration = Duration::from_secs(5);
const COMPACT_EVERY: Duration = Duration::from_secs(600);

/// Records the boot and starts the recurring work.
pub async fn begin(shared: &Arc<Shared>, retention: Duration) -> Result<(), StoreError> {
    let (boot, now) = (shared.boot, shared.now());
    shared.store.write(move |txn| boot_record(txn, boot, now)).await?;
    charters::consider(shared.as_ref()).await?;
    let bans = shared.store.view()?.bans()?.len();
    shared.metrics.banned_peers.set(i64::try_from(bans).unwrap_or(i64::MAX));
    every(shared, SWEEP_EVERY, |shared| async move {
        shared.sessions.sweep();
        shared.vault.sweep(shared.time().uptime);
    });
    every(shared, TOKEN_EVERY, |shared| async move { token::look(&shared).await });
    every(shared, TOKEN_EVERY, |shared| async move { epochs::finish_left(&shared).await });
    every(shared, TOKEN_EVERY, |shared| async move { backups::keep_up(&shared).await });
    every(shared, SWEEP_EVERY, |shared| async move {
        if let Err(error) = stops::lift_due(shared.as_ref()).await {
            tracing::debug!(%error, "freezes are lifted later");
        }
    });
    every(shared, EXCHANGE_EVERY, |shared| async move {
        if let Err(error) = exchange::ask(shared.as_ref()) {
            tracing::debug!(%error, "the peers are asked for stop records later");
        }
    });
    every(shared, SWEEP_EVERY, |shared| async move {
        if let Err(error) = charters::consider(shared.as_ref()).await {
            tracing::warn!(%error, "whether a version of the charter is due was not found out; it is tried again");
        }
        destruction::follow(&shared).await;
    });
    every(shared, STANDING_EVERY, |shared| async move { talk::ask(shared.as_ref()) });
    every(shared, UPTIME_EVERY, |shared| async move {
        let uptime = shared.time().uptime;
        if let Err(error) = shared.store.write_later(move |txn| txn.put_uptime(uptime)) {
            tracing::debug!(%error, "the running time becomes durable later");
        }
    });
    every(shared, COMPACT_EVERY, move |shared| async move {
        if let Err(error) = compact(&shared, retention).await {
            tracing::warn!(%error, "compaction did not finish; it goes on later");
        }
    });
    Ok(())
}

/// Records that the process has started.
pub fn boot_record(txn: &mut Txn<'_>, boot: [u8; 16], now: Millis) -> Result<(), StoreError> {
    txn.append(now, Event::Boot { boot, version: env!("CARGO_PKG_VERSION").to_owned() })
}

fn every<F, W>(shared: &Arc<Shared>, period: Duration, work: F)
where
    F: Fn(Arc<Shared>) -> W + Send + 'static,
    W: Future<Output = ()> + Send,
{
    let (task, stop) = (Arc::clone(shared), shared.mesh_stop.clone());
    shared.links.spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => work(Arc::clone(&task)).await,
            }
        }
    });
}

/// Checks and keeps a peer's nonce commitments.
pub(crate) fn keep_nonces(shared: &Shared, from: &NodeId, batch: &pb::Envelope) -> Result<(), ApiError> {
    let unknown = || ApiError::new(Code::NotEnrolled, format!("{from} is not in the charter"));
    let pinned = shared.charter().node_key(from).ok_or_else(unknown)?;
    let cluster = &shared.charter().cluster;
    shared.nonces.keep(nonces::check_batch(cluster, from, &pinned, |key| shared.key(key), batch)?);
    Ok(())
}

/// Fills the pools of active FROST keys up when they are low, and tells the peers.
pub fn keep_pools_full(shared: &Arc<Shared>) {
    let (task, stop) = (Arc::clone(shared), shared.mesh_stop.clone());
    shared.links.spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = task.nonces.low.notified() => {}
                _ = ticks.tick() => {}
            }
            for key in task.active_keys() {
                // Nothing is made ahead for a key that is out of use.
                let in_use = task.charter().check_key_in_use(&key.public.key).is_ok();
                if in_use && key.public.protocol == Protocol::Frost {
                    fill(&task, &key).await;
                }
            }
        }
    });
}

/// Pairs that are made in one step: after new shares all pools of a key are empty at once, at all members, and signatures go on between
/// the steps.
const AT_ONCE: usize = 64;

async fn fill(shared: &Arc<Shared>, key: &Arc<KeyFacts>) {
    let mut wanted = shared.nonces.wanted(&key.public.key, shared.limits.frost_nonces);
    if wanted == 0 {
        return;
    }
    let share = match shared.open_share(&key.public.key, key.public.epoch).await {
        Ok(share) => Arc::new(share),
        Err(error) => {
            signing::unusable(&error);
            return;
        }
    };
    while wanted > 0 {
        let (share, some) = (Arc::clone(&share), wanted.min(AT_ONCE));
        let pairs = match shared.crypto.run(move || share.make_nonces(some)).await {
            Ok(Ok(pairs)) => pairs,
            Ok(Err(error)) => return tracing::warn!(key = %key.public.key, %error, "no nonces were made"),
            Err(error) => return tracing::warn!(key = %key.public.key, %error, "no nonces were made"),
        };
        let (fresh, batch) = shared.nonces.number(key, pairs);
        match shared.identity.seal(batch, &shared.me).await {
            Ok(batch) if share_ahead(shared, key, fresh, &batch) => wanted = wanted.saturating_sub(some),
            Ok(_) => return,
            Err(error) => return tracing::warn!(key = %key.public.key, %error, "fresh nonces are given up"),
        }
    }
}

/// Whether they are of use.
fn share_ahead(shared: &Shared, key: &KeyFacts, fresh: Fresh, batch: &pb::Envelope) -> bool {
    if shared.charter().check_key_in_use(&key.public.key).is_err()
        || !shared.nonces.add(key, fresh, shared.limits.frost_nonces)
    {
        return false;
    }
    for node in key.nodes.iter().filter(|node| **node != shared.me) {
        shared.mesh.send(node, pb::peer_message::Kind::NonceBatch(batch.clone()));
    }
    true
}

/// Compacts everything older than the retention, in steps between which decisions go on. Gives what was done.
pub async fn compact(shared: &Shared, retention: Duration) -> Result<Compacted, StoreError> {
    let now = shared.now();
    let before = now.minus(retention);
    let mut total = Compacted::default();
    loop {
        let done = shared.store.write(move |txn| compaction::step(txn, before, now)).await?;
        total.intents = total.intents.saturating_add(done.intents);
        total.records = total.records.saturating_add(done.records);
        if done == Compacted::default() {
            break;
        }
    }
    if total != Compacted::default() {
        tracing::info!(intents = total.intents, records = total.records, "compacted");
    }
    Ok(total)
}
