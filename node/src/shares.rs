//! A share's way from the session that made it to signing: sealed, durable, read back, stated.
//!
//! Each step can be repeated after a crash: a stored share is read back and stated at the next start. A node states at most one
//! share per key and epoch.

use std::sync::Arc;
use std::time::Duration;

use limen_mpc::{KeyPublic, KeyShare};
use limen_policy::charter::index_in;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::statement_hash;
use limen_wire::ids::{Epoch, IntentId, KeyId, NodeId};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, verify};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::backups::{self, withheld};
use crate::entropy;
use crate::guard::KeyFacts;
use crate::identity::IdentityError;
use crate::memory::leaving_no_trace;
use crate::sessions::deadline_in;
use crate::shared::Shared;
use crate::store::StoreError;
use crate::store::journal::Event;
use crate::store::rows::{KeyPhase, KeyRow, ShareRow};
use crate::vault::{Group, SealedShare, VaultError, decode_public};

/// Time between two tries to seal a new share.
const SEAL_AGAIN: Duration = Duration::from_secs(1);

/// What a new share belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Belongs {
    pub(crate) key: KeyId,
    pub(crate) epoch: Epoch,
    /// The members in index order.
    pub(crate) nodes: Vec<NodeId>,
    /// The order that the share was made under.
    pub(crate) order: IntentId,
    /// That order's envelope, if it handed the key over.
    pub(crate) handover: Vec<u8>,
    /// The key was imported, now or before it was handed over.
    pub(crate) was_whole: bool,
}

impl Belongs {
    fn row(&self, sealed: &SealedShare, generation: u64) -> ShareRow {
        ShareRow {
            epoch: self.epoch.0,
            nodes: self.nodes.clone(),
            order_id: *self.order.as_bytes(),
            handover: self.handover.clone(),
            generation,
            public: sealed.public.clone(),
            statement: Vec::new(),
            was_whole: self.was_whole,
        }
    }

    /// Puts the row where it belongs; `false` if another attempt was quicker, or the key is destroyed.
    fn place(&self, row: &mut KeyRow, share: ShareRow) -> bool {
        if row.phase == KeyPhase::Destroyed {
            return false;
        }
        if self.handover.is_empty() {
            let is_free = row.share.is_none();
            if is_free {
                (row.phase, row.share) = (KeyPhase::Pending, Some(share));
            }
            return is_free;
        }
        // An epoch is acknowledged before a later one is taken, or never.
        let is_free = row.epochs.burnt == self.epoch.0 && !row.epochs.pending.contains_key(&self.epoch.0);
        if is_free {
            row.epochs.pending.insert(self.epoch.0, share);
        }
        is_free
    }
}

fn stopping() -> ApiError {
    ApiError::new(Code::ShuttingDown, "this signer is stopping")
}

pub(crate) fn vault_error(error: &VaultError) -> ApiError {
    tracing::error!(%error, "a new share could not be kept");
    error.to_api()
}

/// Minutes of work of all members end in a share that a token must take: whether it does is looked at before.
pub(crate) async fn rehearse(shared: &Arc<Shared>, group: &Group) -> Result<(), ApiError> {
    let (vault, rehearsed) = (Arc::clone(&shared.vault), group.clone());
    let ready = tokio::task::spawn_blocking(move || vault.rehearse(&rehearsed)).await;
    ready.map_err(|_| stopping())?.map_err(|error| vault_error(&error))
}

/// Seals a new share, stores it, reads it back, states it. A token that is away for a moment is waited for: the other members may
/// have stored theirs already.
pub(crate) async fn seal_and_keep(
    shared: &Arc<Shared>,
    share: Box<KeyShare>,
    (group, belongs): (Group, Belongs),
    deadline: Instant,
) -> Result<pb::Envelope, ApiError> {
    let generation = u64::from_be_bytes(*entropy::random::<8>());
    let (share, group): (Arc<KeyShare>, _) = (Arc::from(share), Arc::new(group));
    loop {
        let (task, share, group) = (Arc::clone(shared), Arc::clone(&share), Arc::clone(&group));
        // The wrapping key must not be destroyed between sealing and storing, while nothing on disk names it.
        let sealing = shared.wrapping.read().await;
        let sealed = tokio::task::spawn_blocking(move || {
            leaving_no_trace(|| {
                let sealed = task.vault.seal(&share, &group, generation)?;
                Ok((sealed, backups::make(&task, &share)))
            })
        });
        let error = match sealed.await.map_err(|_| stopping())? {
            Ok((sealed, backup)) => {
                store(shared, &belongs, (sealed, generation), backup).await?;
                drop(sealing);
                return state(shared, &belongs).await;
            }
            Err(error) => error,
        };
        drop(sealing);
        let may_pass = matches!(&error, VaultError::Provider(error) if error.kind().may_pass());
        let again = deadline_in(SEAL_AGAIN);
        if !may_pass || again > deadline {
            return Err(vault_error(&error));
        }
        tracing::warn!(%error, "a new share waits for what seals it");
        tokio::select! {
            () = tokio::time::sleep_until(again) => {}
            () = shared.stopping.cancelled() => return Err(vault_error(&error)),
        }
    }
}

/// Keeps what there is of a new key in the token, and states it.
pub(crate) async fn keep_in_token(
    shared: &Arc<Shared>,
    sealed: SealedShare,
    belongs: &Belongs,
) -> Result<pb::Envelope, ApiError> {
    store(shared, belongs, (sealed, u64::from_be_bytes(*entropy::random::<8>())), None).await?;
    state(shared, belongs).await
}

async fn store(
    shared: &Arc<Shared>,
    belongs: &Belongs,
    (sealed, generation): (SealedShare, u64),
    backup: Option<backups::Made>,
) -> Result<(), ApiError> {
    let (kept, now) = (belongs.clone(), shared.now());
    let stored = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&kept.key)? else { return Ok(false) };
        if !kept.place(&mut row, kept.row(&sealed, generation)) {
            return Ok(false);
        }
        sealed.put(txn, &kept.key, kept.epoch)?;
        txn.put_key(&kept.key, &row)?;
        let (key, epoch, sealed_hash) = (kept.key.to_string(), kept.epoch.0, sealed.hash());
        txn.append(now, Event::ShareStored { key, epoch, generation, sealed_hash })?;
        if let Some(backup) = backup {
            backup.put(txn, &kept.key, kept.epoch, now)?;
        }
        Ok(true)
    });
    if stored.await.map_err(|error| Shared::store_error(&error))? {
        return Ok(());
    }
    let message =
        format!("another session has made a share of key {} meanwhile, or the key was destroyed", belongs.key);
    Err(ApiError::new(Code::KeyExists, message))
}

async fn state(shared: &Arc<Shared>, belongs: &Belongs) -> Result<pb::Envelope, ApiError> {
    confirm(shared, &belongs.key, belongs.epoch).await.map_err(|error| vault_error(&error))?;
    statement(shared, &belongs.key, belongs.epoch)
}

fn statement(shared: &Shared, key: &KeyId, epoch: Epoch) -> Result<pb::Envelope, ApiError> {
    let view = shared.store.view().map_err(|error| Shared::store_error(&error))?;
    let row = view.key(key).map_err(|error| Shared::store_error(&error))?;
    let share = row.as_ref().and_then(|row| row.share_at(epoch));
    let bytes = share.map(|share| share.statement.as_slice()).unwrap_or_default();
    if bytes.is_empty() {
        let why = share.map(|share| backups::withheld_now(shared, &view, key, share)).transpose();
        if let Some(why) = why.map_err(|error| Shared::store_error(&error))?.flatten() {
            return Err(why.to_api(key, epoch));
        }
        let message = format!("the share of key {key}, epoch {epoch}, is not yet read back here");
        return Err(ApiError::new(Code::KeyNotActive, message));
    }
    pb::Envelope::decode(bytes).map_err(|error| ApiError::new(Code::Internal, error.to_string()))
}

/// The statement of a share that is stored; reads the share back first if that was cut off.
pub(crate) async fn stated(shared: &Arc<Shared>, key: &KeyId, epoch: Epoch) -> Result<pb::Envelope, ApiError> {
    match statement(shared, key, epoch) {
        Err(error) if error.code == Code::KeyNotActive => {
            confirm(shared, key, epoch).await.map_err(|error| vault_error(&error))?;
            statement(shared, key, epoch)
        }
        answer => answer,
    }
}

/// The epochs of shares that are to be read back and stated still: none of an epoch after which another was taken.
pub(crate) fn unconfirmed(row: &KeyRow) -> Vec<Epoch> {
    let pending = row.epochs.pending.get(&row.epochs.burnt);
    let open = row.share.iter().chain(pending).filter(|share| share.statement.is_empty());
    open.map(|share| Epoch(share.epoch)).collect()
}

/// Reads a stored share back from disk, opens and checks it, and only then states it to the others, unless its custodians have to
/// prove its backup first. Also run for shares whose statement a crash or a token that went away has cut off.
pub(crate) async fn confirm(shared: &Arc<Shared>, key: &KeyId, epoch: Epoch) -> Result<(), VaultError> {
    let (task, name) = (Arc::clone(shared), key.clone());
    let read = tokio::task::spawn_blocking(move || leaving_no_trace(|| read_back(&task, &name, epoch))).await;
    let (mut facts, statement) = read.map_err(|_| VaultError::Store(StoreError::Stopped))??;
    let Some(statement) = statement else { return Ok(()) };
    let hash = Sha256::digest(&statement).into();
    let (name, now, charter, me) = (key.clone(), shared.now(), shared.charter(), shared.me.clone());
    let signs = shared
        .store
        .write(move |txn| {
            let Some(mut row) = txn.key(&name)? else { return Ok(None) };
            let backup = txn.backup(&name, epoch)?;
            let share = row.share_at(epoch).filter(|share| share.statement.is_empty());
            if share.is_some_and(|share| withheld(&charter, &me, (&name, share), backup.as_ref()).is_some()) {
                return Ok(None);
            }
            if unconfirmed(&row).contains(&epoch)
                && let Some(share) = row.share_at_mut(epoch)
            {
                share.statement = statement;
                txn.put_key(&name, &row)?;
                txn.append(now, Event::ShareConfirmed { key: name.to_string(), statement: hash })?;
            }
            let is_present = row.share.as_ref().is_some_and(|share| share.epoch == epoch.0);
            Ok(is_present.then_some(row.phase == KeyPhase::Active))
        })
        .await?;
    let Some(is_active) = signs else { return Ok(()) };
    // It may have become active while the share was read.
    let known = shared.key(key).filter(|known| known.public.epoch == epoch);
    facts.active = is_active || known.is_some_and(|known| known.active);
    shared.put_key(facts);
    Ok(())
}

/// The share as it is on disk, opened and checked: its facts, and this node's signed statement of it, unless that is withheld.
fn read_back(shared: &Shared, key: &KeyId, epoch: Epoch) -> Result<(KeyFacts, Option<Vec<u8>>), VaultError> {
    let view = shared.store.view()?;
    let row = view.key(key)?.ok_or_else(|| VaultError::NoShare(key.clone()))?;
    let share = row.share_at(epoch).ok_or_else(|| VaultError::NoShare(key.clone()))?;
    let public = if decode_public(key, &share.public)?.protocol.is_threshold() {
        shared.vault.read(&view, key, share)?.public().clone()
    } else {
        shared.vault.read_in_token(key, &row)?
    };
    let me = index_in(&share.nodes, &shared.me).ok_or_else(|| VaultError::Public(key.clone()))?;
    let statement = key_statement(&public, &share.nodes, (IntentId::new(share.order_id), share.was_whole));
    let is_withheld = share.statement.is_empty() && backups::withheld_now(shared, &view, key, share)?.is_some();
    let moved = has_moved(&row, share);
    let facts = KeyFacts { public, nodes: share.nodes.clone(), me, active: false, moved };
    if is_withheld {
        return Ok((facts, None));
    }
    // On a thread that may wait, as the share's opening is.
    let unsigned = statement.unsigned();
    let signature = shared.identity.sign(&unsigned.message()).map_err(IdentityError::into_hsm)?;
    Ok((facts, Some(unsigned.signed(shared.me.as_str(), &signature).encode_to_vec())))
}

/// The facts of a key whose share was read back before: by this node's own statement of them, without the share.
pub(crate) fn facts(
    shared: &Shared,
    key: &KeyId,
    (row, share): (&KeyRow, &ShareRow),
    active: bool,
) -> Result<KeyFacts, VaultError> {
    let damaged = || VaultError::Public(key.clone());
    let public = decode_public(key, &share.public)?;
    let statement = pb::Envelope::decode(share.statement.as_slice()).map_err(|_| damaged())?;
    let opened = envelope::open(&statement, PayloadType::KeyStatement).map_err(|_| damaged())?;
    let former = shared.charter().former_identities.keys(&shared.me, &statement_hash(&statement.payload));
    verify(&opened, &shared.me, (shared.identity.public_key(), &former)).map_err(|_| damaged())?;
    public.validate().map_err(|source| VaultError::Import { key: key.clone(), source })?;
    let stated = key_statement(&public, &share.nodes, (IntentId::new(share.order_id), share.was_whole));
    if public.key != *key || public.epoch.0 != share.epoch || opened.payload() != stated.to_payload() {
        return Err(damaged());
    }
    let me = index_in(&share.nodes, &shared.me).ok_or_else(damaged)?;
    Ok(KeyFacts { public, nodes: share.nodes.clone(), me, active, moved: has_moved(row, share) })
}

/// Whether others than these members have, or may have, signed by the key.
fn has_moved(row: &KeyRow, share: &ShareRow) -> bool {
    let past = row.epochs.past.iter().filter(|(epoch, _)| **epoch < share.epoch);
    let certificates = past.map(|(_, (certificate, _))| certificate).chain(Some(&row.certificate));
    let mut first_is_known = share.epoch == Epoch::FIRST.0;
    for certificate in certificates.filter(|bytes| !bytes.is_empty()) {
        let statement = pb::Envelope::decode(certificate.as_slice()).ok();
        let Some(statement) = statement.and_then(|envelope| KeyStatement::decode(&envelope).ok()) else { return true };
        first_is_known |= statement.epoch == Epoch::FIRST;
        if statement.epoch.0 < share.epoch && statement.nodes != share.nodes {
            return true;
        }
    }
    !first_is_known
}

/// What every member states alike: of shares made under this order, and of a key that was whole before or was not.
pub fn key_statement(public: &KeyPublic, nodes: &[NodeId], (order, was_whole): (IntentId, bool)) -> KeyStatement {
    let shares =
        public.verifying_shares.values().fold(Sha256::new(), |hash, share| hash.chain_update(share.as_bytes()));
    KeyStatement {
        cluster: public.cluster.clone(),
        key_id: public.key.clone(),
        scheme: public.scheme,
        protocol: public.protocol,
        epoch: public.epoch,
        size: public.size,
        nodes: nodes.to_vec(),
        public_key: public.public_key.to_key(public.scheme).to_vec(),
        chain_code: public.chain_code,
        verifying_shares_hash: shares.finalize().into(),
        generation_id: order,
        was_whole,
    }
}

/// What this node stated under an identity that it had, and what the charter does not list as going on, is stated anew under the one that it has:
/// the same words, after the share was read back once more.
async fn forget_stated_before(shared: &Arc<Shared>) -> Result<(), VaultError> {
    let (me, charter) = (shared.me.clone(), shared.charter());
    let ends = |share: &ShareRow| {
        let Ok(statement) = pb::Envelope::decode(share.statement.as_slice()) else { return false };
        let Ok(opened) = envelope::open(&statement, PayloadType::KeyStatement) else { return false };
        let hash = statement_hash(&statement.payload);
        let mut former =
            charter.former_identities.iter().filter(|one| one.node == me && !one.statements.contains(&hash));
        former.any(|one| opened.verify(me.as_str(), &one.public_key).is_ok())
    };
    for (key, row) in shared.store.view()?.keys()? {
        let shares = row.share.iter().chain(row.epochs.pending.values());
        let ended: Vec<Epoch> = shares.filter(|share| ends(share)).map(|share| Epoch(share.epoch)).collect();
        if ended.is_empty() {
            continue;
        }
        tracing::warn!(%key, ?ended, "this signer has another identity: what it stated is read back and stated anew");
        let forgetting = shared.store.write(move |txn| {
            let Some(mut row) = txn.key(&key)? else { return Ok(()) };
            for epoch in ended {
                row.share_at_mut(epoch).into_iter().for_each(|share| share.statement.clear());
            }
            txn.put_key(&key, &row)
        });
        forgetting.await?;
    }
    Ok(())
}

/// Takes up the facts of every key at start; shares are opened when they are wanted. A share that was never read back is,
/// and a key of which that fails now is looked at again with the token.
pub(crate) async fn load(shared: &Arc<Shared>) -> Result<(), VaultError> {
    forget_stated_before(shared).await?;
    for (key, row) in shared.store.view()?.keys()? {
        for epoch in unconfirmed(&row) {
            if let Err(error) = confirm(shared, &key, epoch).await {
                tracing::error!(%key, %epoch, %error, "a share could not be read back: it is not stated yet");
            }
        }
        let Some(share) = row.share.as_ref().filter(|share| !share.statement.is_empty()) else { continue };
        match facts(shared, &key, (&row, share), row.phase == KeyPhase::Active) {
            Ok(facts) => shared.put_key(facts),
            Err(error) => tracing::error!(%key, %error, "the key does not sign here"),
        }
    }
    Ok(())
}
