//! Taking custodians' proofs.

use std::sync::Arc;

use limen_policy::charter::Charter;
use limen_policy::charter::index_in;
use limen_recover::{Backup, Challenge, Nonce, SaidError};
use limen_wire::backup::BackupProof;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, KeyId, NodeId};
use limen_wire::pb;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{is_by, listing, over};
use crate::shared::Shared;
use crate::shares;
use crate::store::StoreError;
use crate::store::backups::{BackupRow, ProofRow};
use crate::store::journal::Event;
use crate::store::rows::KeyRow;
use crate::vault::decode_public;

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

fn refused(words: impl Into<String>) -> ApiError {
    ApiError::new(Code::BackupProofRefused, words)
}

/// Takes a custodian's signed proof; durable when this answers. The same one again changes nothing. The last one that was missing has the
/// share stated.
pub async fn take(shared: &Arc<Shared>, envelope: pb::Envelope) -> Result<pb::BackupRecord, ApiError> {
    shared.check_running()?;
    let (said, _) = BackupProof::open(&envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let (task, shown) = (Arc::clone(shared), envelope.clone());
    // Reading a backup checks all its points.
    let judged = shared.crypto.run(move || judge(&task, &shown)).await;
    let judged = judged.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
    let (key, epoch) = (said.key.clone(), said.epoch);
    match judged {
        Err(error) => {
            tracing::warn!(%key, %epoch, person = %said.person, %error, "a proof of a backup is refused");
            return Err(error);
        }
        Ok(Judged::Damaged) => return Err(forget(shared, &key, epoch).await?),
        Ok(Judged::Known) => {}
        Ok(Judged::Holds(row)) => keep(shared, said, &row, envelope.encode_to_vec()).await?,
    }
    let view = shared.store.view().map_err(failed)?;
    let known = view.key(&key).map_err(failed)?;
    let row = view.backup(&key, epoch).map_err(failed)?;
    let (Some(known), Some(row)) = (known, row) else { return Err(refused("the backup is gone meanwhile")) };
    if row.missing().is_empty() && shares::unconfirmed(&known).contains(&epoch) {
        // Whoever asks next finds it. What fails here is tried again every few seconds.
        if let Err(error) = shares::confirm(shared, &key, epoch).await {
            tracing::warn!(%key, %epoch, %error, "a proven share is stated later");
        }
    }
    Ok(listing::record(shared, (&key, &known), epoch, &row))
}

enum Judged {
    /// It was taken before.
    Known,
    /// The stored backup itself is damaged.
    Damaged,
    /// For this backup.
    Holds(Box<BackupRow>),
}

fn judge(shared: &Shared, envelope: &pb::Envelope) -> Result<Judged, ApiError> {
    let (said, _) = BackupProof::open(envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let (charter, key, epoch) = (shared.charter(), &said.key, said.epoch);
    if said.cluster != charter.cluster {
        let message = format!("the proof is for cluster {}, this is {}", said.cluster, charter.cluster);
        return Err(ApiError::new(Code::WrongCluster, message));
    }
    if said.asked_by != shared.me {
        let message = format!("the proof of {} answers {}: hand it in there", said.person, said.asked_by);
        return Err(refused(message));
    }
    let view = shared.store.view().map_err(failed)?;
    let unknown = || ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here"));
    let known = view.key(key).map_err(failed)?.ok_or_else(unknown)?;
    if let Some(why) = over(&known, epoch) {
        return Err(refused(format!("the proof of {} is for a backup of key {key} that is dead: {why}", said.person)));
    }
    let (row, file) = (view.backup(key, epoch).map_err(failed)?, view.backup_file(key, epoch).map_err(failed)?);
    let (Some(row), Some(file)) = (row, file) else { return Err(listing::none(shared, &view, (key, &known), epoch)?) };
    if charter.custodians_of(key, &shared.me).is_some_and(|order| !is_by(&row, &order)) {
        let message = format!(
            "the charter has other custodians for key {key} now: the backup that {} has is made anew, fetch that one",
            said.person
        );
        return Err(refused(message));
    }
    if row.proofs.get(said.person.as_str()).is_some_and(|proof| proof.envelope == envelope.encode_to_vec()) {
        return Ok(Judged::Known);
    }
    let Some(backup) = listing::read(&file, &row).filter(|backup| is_of(backup, &known, (key, epoch), &shared.me))
    else {
        return Ok(Judged::Damaged);
    };
    verify(&charter, &shared.me, (&backup, &row), envelope)?;
    Ok(Judged::Holds(Box::new(row)))
}

/// Whether a stored backup is of the very share that lies here.
fn is_of(backup: &Backup, known: &KeyRow, (key, epoch): (&KeyId, Epoch), me: &NodeId) -> bool {
    let Some(share) = known.share_at(epoch) else { return false };
    let (public, member) = (decode_public(key, &share.public).ok(), index_in(&share.nodes, me));
    public.as_ref() == Some(backup.head().public()) && member == Some(backup.head().member())
}

/// Under what was asked last, or before that: whoever was on the way when it changed need not come again.
fn verify(
    charter: &Charter,
    me: &NodeId,
    (backup, row): (&Backup, &BackupRow),
    envelope: &pb::Envelope,
) -> Result<(), ApiError> {
    let against = |nonce: [u8; 32]| {
        let challenge = Challenge { asked_by: me.clone(), nonce: Nonce(nonce) };
        backup.verify_said(&challenge, |person, credential| charter.custodian_key(person, credential), envelope)
    };
    let said = match (against(row.nonce), row.nonce_before) {
        (Err(SaidError::Other { what: "nonce", .. }), Some(before)) => against(before),
        (said, _) => said,
    };
    said.map(drop).map_err(|error| refused(error.to_string()))
}

async fn keep(shared: &Shared, said: BackupProof, judged: &BackupRow, envelope: Vec<u8>) -> Result<(), ApiError> {
    let (now, hash) = (shared.now(), judged.hash);
    let (key, epoch, person) = (said.key, said.epoch, said.person.to_string());
    let (name, who) = (key.clone(), person.clone());
    let kept = shared.store.write(move |txn| {
        let known = txn.key(&name)?;
        let is_dead = known.is_none_or(|known| over(&known, epoch).is_some());
        let row = txn.backup(&name, epoch)?.filter(|row| row.hash == hash);
        let Some(mut row) = row.filter(|_| !is_dead) else { return Ok(false) };
        if ![Some(row.nonce), row.nonce_before].contains(&Some(said.nonce)) {
            return Ok(false);
        }
        let proof = Sha256::digest(&envelope).into();
        row.proofs.insert(who.clone(), ProofRow { at_ms: now.0, envelope });
        txn.put_backup(&name, epoch, &row)?;
        let (key, backup) = (name.to_string(), row.hash);
        txn.append(now, Event::BackupProven { key, epoch: epoch.0, backup, person: who, proof })?;
        Ok(true)
    });
    if kept.await.map_err(failed)? {
        tracing::info!(%key, %epoch, person, "a backup is proven");
        return Ok(());
    }
    Err(refused(format!("the backup of key {key}, epoch {epoch}, was made anew or is over meanwhile: fetch it again")))
}

/// Drops a backup that is damaged, so that it is made anew.
async fn forget(shared: &Shared, key: &KeyId, epoch: Epoch) -> Result<ApiError, ApiError> {
    tracing::error!(%key, %epoch, "the stored backup of a share is damaged: it is made anew");
    let name = key.clone();
    shared.store.write(move |txn| txn.forget_backup(&name, epoch)).await.map_err(failed)?;
    Ok(refused(format!("the stored backup of key {key}, epoch {epoch}, is damaged and is made anew: fetch it again")))
}
