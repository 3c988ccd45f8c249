//! What a signer tells of its backups, and the files themselves: nothing of it is secret but the pieces, which are encrypted.

use limen_policy::charter::Charter;
use limen_recover::Backup;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, KeyId, NodeId};
use limen_wire::{limits, pb};
use prost::Message as _;

use super::{Withheld, living, over, withheld_now};
use crate::clock::Millis;
use crate::shared::Shared;
use crate::shares;
use crate::store::backups::BackupRow;
use crate::store::rows::KeyRow;
use crate::store::{StoreError, View};

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

/// How old a proof may be, in milliseconds; nothing if the charter asks for none.
fn max_age_ms(charter: &Charter, me: &NodeId, key: &KeyId) -> Option<u64> {
    Some(charter.custodians_of(key, me)?.proof_max_age_secs.saturating_mul(1000))
}

fn is_overdue(row: &BackupRow, person: &str, max_age_ms: u64, now: Millis) -> bool {
    row.proofs.get(person).is_none_or(|proof| now.0.saturating_sub(proof.at_ms) > max_age_ms)
}

/// How many custodians of a living backup owe a proof.
pub(super) fn overdue(charter: &Charter, me: &NodeId, key: &KeyId, row: &BackupRow, now: Millis) -> i64 {
    let Some(max_age_ms) = max_age_ms(charter, me, key) else { return 0 };
    let late = row.custodians.iter().filter(|(person, _)| is_overdue(row, person, max_age_ms, now));
    i64::try_from(late.count()).unwrap_or(i64::MAX)
}

/// A backup as others see it.
pub(super) fn record(
    shared: &Shared,
    (key, known): (&KeyId, &KeyRow),
    epoch: Epoch,
    row: &BackupRow,
) -> pb::BackupRecord {
    let (charter, now) = (shared.charter(), shared.now());
    let over = over(known, epoch);
    let max_age = max_age_ms(&charter, &shared.me, key).filter(|_| over.is_none());
    let custodian = |(person, recipient): &(String, String)| pb::BackupCustodian {
        person: person.clone(),
        recipient: recipient.clone(),
        proven_at_ms: row.proofs.get(person).map_or(0, |proof| proof.at_ms),
        overdue: max_age.is_some_and(|max_age| is_overdue(row, person, max_age, now)),
    };
    let state = match &over {
        Some(_) => pb::BackupState::Dead,
        None if row.missing().is_empty() => pb::BackupState::Proven,
        None => pb::BackupState::Unproven,
    };
    pb::BackupRecord {
        node: shared.me.to_string(),
        key_id: key.to_string(),
        epoch: epoch.0,
        state: state.into(),
        backup: row.hash.to_vec().into(),
        made_at_ms: row.made_ms,
        custodians: row.custodians.iter().map(custodian).collect(),
        pieces_required: row.pieces_required.into(),
        nonce: if over.is_none() { row.nonce.to_vec().into() } else { bytes::Bytes::new() },
        trouble: over.unwrap_or_default(),
        proof_max_age_secs: max_age.unwrap_or_default() / 1000,
    }
}

fn key_named(name: &str) -> Result<KeyId, ApiError> {
    KeyId::new(name).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))
}

/// The backups here, those that have to be made among them.
pub fn list(shared: &Shared, request: &pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, ApiError> {
    let wanted = if request.key_id.is_empty() { None } else { Some(key_named(&request.key_id)?) };
    let view = shared.store.view().map_err(failed)?;
    let is_wanted = |key: &KeyId| wanted.as_ref().is_none_or(|wanted| wanted == key);
    let mut backups = Vec::new();
    for (key, epoch, row) in view.backups().map_err(failed)?.into_iter().filter(|(key, ..)| is_wanted(key)) {
        let Some(known) = view.key(&key).map_err(failed)? else { continue };
        backups.push(record(shared, (&key, &known), epoch, &row));
    }
    for (key, row) in view.keys().map_err(failed)?.into_iter().filter(|(key, _)| is_wanted(key)) {
        backups.extend(unmade(shared, &view, &key, &row)?);
    }
    backups.sort_by(|one, other| (&one.key_id, one.epoch, one.state).cmp(&(&other.key_id, other.epoch, other.state)));
    let bytes: usize = backups.iter().map(pb::BackupRecord::encoded_len).sum();
    if bytes > limits::GRPC_MESSAGE_BYTES / 2 {
        let message = format!("{} backups are here, too many for one answer: ask for one key", backups.len());
        return Err(ApiError::new(Code::Overloaded, message));
    }
    Ok(pb::ListBackupsResponse { backups, missing: Vec::new() })
}

/// Backups that the charter wants of shares here, and that are not there or not as it wants them.
fn unmade(shared: &Shared, view: &View, key: &KeyId, row: &KeyRow) -> Result<Vec<pb::BackupRecord>, ApiError> {
    let mut records = Vec::new();
    for share in living(row) {
        if let Some(Withheld::Unmade(trouble)) = withheld_now(shared, view, key, share).map_err(failed)? {
            records.push(pb::BackupRecord {
                node: shared.me.to_string(),
                key_id: key.to_string(),
                epoch: share.epoch,
                state: pb::BackupState::Missing.into(),
                trouble,
                ..pb::BackupRecord::default()
            });
        }
    }
    Ok(records)
}

/// One backup with its file.
pub fn fetch(shared: &Shared, request: &pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, ApiError> {
    let key = key_named(&request.key_id)?;
    let view = shared.store.view().map_err(failed)?;
    let unknown = || ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here"));
    let known = view.key(&key).map_err(failed)?.ok_or_else(unknown)?;
    let newest = || living(&known).map(|share| share.epoch).max();
    let epoch = Epoch(if request.epoch == 0 { newest().ok_or_else(unknown)? } else { request.epoch });
    let (row, file) = (view.backup(&key, epoch).map_err(failed)?, view.backup_file(&key, epoch).map_err(failed)?);
    match (row, file) {
        (Some(row), Some(file)) => {
            let backup = Some(record(shared, (&key, &known), epoch, &row));
            Ok(pb::FetchBackupResponse { backup, file: file.into() })
        }
        _ => Err(none(shared, &view, (&key, &known), epoch)?),
    }
}

/// Why there is no backup.
pub(super) fn none(
    shared: &Shared,
    view: &View,
    (key, known): (&KeyId, &KeyRow),
    epoch: Epoch,
) -> Result<ApiError, ApiError> {
    if let Some(why) = over(known, epoch) {
        let message = format!("there is no backup of key {key}, epoch {epoch}, any more: {why}");
        return Ok(ApiError::new(Code::BackupProofRefused, message));
    }
    let share = living(known).find(|share| share.epoch == epoch.0);
    let why = share.map(|share| withheld_now(shared, view, key, share)).transpose().map_err(failed)?.flatten();
    Ok(why.map_or_else(
        || ApiError::new(Code::WrongState, format!("the charter asks for no backup of key {key}, epoch {epoch}, here")),
        |why| why.to_api(key, epoch),
    ))
}

/// The share that waits for its backup, for whoever asks what this signer holds of a key.
pub(crate) fn withheld_share(
    shared: &Shared,
    view: &View,
    (key, row): (&KeyId, &KeyRow),
) -> Result<Option<pb::WithheldShare>, ApiError> {
    let Some(epoch) = shares::unconfirmed(row).into_iter().max() else { return Ok(None) };
    let Some(share) = row.share_at(epoch) else { return Ok(None) };
    let why = withheld_now(shared, view, key, share).map_err(failed)?;
    Ok(why.map(|why| {
        let (custodians, trouble) = match why {
            Withheld::Unproven(people) => (people, String::new()),
            Withheld::Unmade(why) => (Vec::new(), why),
        };
        pb::WithheldShare { epoch: epoch.0, order_id: share.order_id.to_vec().into(), custodians, trouble }
    }))
}

/// A backup's file as it was made, or nothing if it is damaged.
pub(super) fn read(file: &[u8], row: &BackupRow) -> Option<Backup> {
    Backup::decode(file).ok().filter(|backup| backup.hash().0 == row.hash)
}
