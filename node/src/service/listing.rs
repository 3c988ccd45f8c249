//! What the signer says of itself, its intents and its keys.

use limen_policy::charter::key_state::KeyState;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, NodeId, SessionId};
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::backups;
use crate::peers::Talks as _;
use crate::shared::Shared;
use crate::signing;
use crate::store::rows::{IntentRow, KeyPhase, KeyRow, Sequence};
use crate::store::{StoreError, View};
use crate::vault::decode_public;

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

/// The signer's health.
pub(super) fn status(shared: &Shared) -> Result<pb::StatusResponse, ApiError> {
    let view = shared.store.view().map_err(failed)?;
    let head = view.head().map_err(failed)?;
    let standing = shared.standings.shown(shared.peers().iter(), shared.time().uptime);
    let trouble = |node: &NodeId| standing.iter().find(|one| one.node == *node).and_then(|one| one.trouble.clone());
    let peers = shared.mesh.health().into_iter().map(|health| pb::PeerHealth {
        standing: trouble(&health.node).is_none(),
        trouble: trouble(&health.node).unwrap_or_default(),
        node: health.node.to_string(),
        connected: health.connected,
        round_trip_us: health.round_trip_us,
    });
    let own = view.automatic_rows().map_err(failed)?;
    let bans = bans(shared, &view)?;
    Ok(pb::StatusResponse {
        node: shared.me.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: shared.boot.to_vec().into(),
        charter_hash: shared.charter().hash().as_bytes().to_vec().into(),
        journal_length: head.length,
        journal_head: head.hash.to_vec().into(),
        clock_ms: shared.now().0,
        peers: peers.collect(),
        sessions: u32::try_from(shared.sessions.running()).unwrap_or(u32::MAX),
        nonce_pools: shared.nonces.all(),
        presignatures: u32::try_from(shared.presignatures.len()).unwrap_or(u32::MAX),
        prime_sets: u32::try_from(shared.primes.ready()).unwrap_or(u32::MAX),
        rolled_back: shared.standings.rolled_back().unwrap_or_default(),
        token_trouble: shared.token.trouble().unwrap_or_default(),
        log_size: view.log_size().map_err(failed)?,
        pending_leaves: view.pending_leaf_count().map_err(failed)?,
        log_alarm: shared.log_alarm.words(),
        automatic_freezes: own.into_iter().map(|(requester, _)| requester.to_string()).collect(),
        drills: crate::drills::states(&shared.charter(), &view).map_err(failed)?,
        ledgers_ending: crate::ledger::ending(&shared.charter(), &view).map_err(failed)?,
        freezes: u32::try_from(view.freeze_rows().map_err(failed)?.len()).unwrap_or(u32::MAX),
        banned_peers: bans.iter().filter(|ban| keeps_apart(ban)).map(|ban| ban.node.clone()).collect(),
        bans,
    })
}

/// Whether there is a key for which the two do not meet.
const fn keeps_apart(ban: &pb::Ban) -> bool {
    !ban.lifted || !ban.keys_from_before.is_empty()
}

fn bans(shared: &Shared, view: &View) -> Result<Vec<pb::Ban>, ApiError> {
    let (charter, keys) = (shared.charter(), view.keys().map_err(failed)?);
    let told = view.bans().map_err(failed)?.into_iter().map(|(node, row)| {
        let peer = NodeId::new(&*node).ok();
        let session = SessionId::new(row.session);
        let lifted = peer.is_some_and(|peer| charter.readmits([&shared.me, &peer], &session));
        let before = |key: &str, row_of: &KeyRow| {
            let present = row_of.share.as_ref().map(|share| share.epoch);
            present.zip(row.tainted.get(key)).is_some_and(|(present, tainted)| present <= *tainted)
        };
        let from_before = keys.iter().filter(|(key, row_of)| before(key.as_str(), row_of));
        let keys_from_before = from_before.map(|(key, _)| key.to_string()).collect();
        let (session, at_ms, reason) = (row.session.to_vec().into(), row.at_ms, row.reason.clone());
        pb::Ban { node, session, at_ms, reason, lifted, keys_from_before }
    });
    Ok(told.collect())
}

/// A page of intents, for rebuilding a coordinator.
pub(super) fn intents(shared: &Shared, request: &pb::ListIntentsRequest) -> Result<pb::ListIntentsResponse, ApiError> {
    let size = match request.page_size as usize {
        0 => 100,
        size if size <= limits::INTENT_PAGE => size,
        size => {
            let message = format!("page_size is {size}, at most {} is allowed", limits::INTENT_PAGE);
            return Err(ApiError::new(Code::Malformed, message));
        }
    };
    let view = shared.store.view().map_err(failed)?;
    let (rows, mut more) = view.intents_after(request.after_sequence, size).map_err(failed)?;
    let (mut intents, mut bytes) = (Vec::new(), 0usize);
    for (sequence, row) in rows {
        let record = intent(shared, &view, sequence, row)?;
        bytes = bytes.saturating_add(record.encoded_len());
        // one page must fit one message
        if bytes > limits::GRPC_MESSAGE_BYTES / 2 && !intents.is_empty() {
            more = true;
            break;
        }
        intents.push(record);
    }
    Ok(pb::ListIntentsResponse { intents, more })
}

fn intent(shared: &Shared, view: &View, sequence: Sequence, row: IntentRow) -> Result<pb::IntentRecord, ApiError> {
    let intent = match &row.live {
        Some(live) => Some(decode(&live.envelope)?),
        None => None,
    };
    let stop = match row.live.as_ref().filter(|_| row.stopped) {
        Some(live) => view.stop(&row.intent_id(), &live.requester).map_err(failed)?,
        None => None,
    };
    // With the bytes at hand the answer is whole; a tombstone still gives the signature.
    let result = row.result.as_ref().map(|stored| {
        let examined = intent.as_ref().and_then(|envelope| shared.decisions().examine(envelope).ok());
        let whole = examined.and_then(|examined| signing::result_of(&examined, stored).ok());
        whole.unwrap_or_else(|| pb::SignatureResult {
            signature: stored.signature.clone().into(),
            recovery_id: stored.recovery_id.into(),
            ..pb::SignatureResult::default()
        })
    });
    Ok(pb::IntentRecord {
        sequence,
        intent,
        intent_id: row.id.to_vec().into(),
        first_seen_ms: row.first_seen_ms,
        allowed: row.allowed,
        stopped: row.stopped,
        result,
        stop: stop.map(|record| decode(&record)).transpose()?,
    })
}

fn decode(bytes: &[u8]) -> Result<pb::Envelope, ApiError> {
    pb::Envelope::decode(bytes).map_err(|error| ApiError::new(Code::Internal, format!("a stored envelope: {error}")))
}

/// The keys with a share here.
pub(super) fn key_shares(shared: &Shared) -> Result<pb::ListKeySharesResponse, ApiError> {
    let view = shared.store.view().map_err(failed)?;
    let (keys, charter) = (view.keys().map_err(failed)?, shared.charter());
    let share = |(key, row): (KeyId, KeyRow)| {
        let (withheld, destroyed) =
            (backups::listing::withheld_share(shared, &view, (&key, &row))?, words(shared, &row)?);
        let state = charter.key_state(&key);
        Ok::<_, ApiError>(pb::KeyShareRecord { withheld, destroyed, ..key_share(&key, row, state)? })
    };
    let shares: Result<_, _> = keys.into_iter().map(share).collect();
    Ok(pb::ListKeySharesResponse { shares: shares? })
}

/// What signers have said of the key's end, this one's own word first.
fn words(shared: &Shared, row: &KeyRow) -> Result<Vec<pb::Envelope>, ApiError> {
    let (own, others): (Vec<_>, Vec<_>) = row.destroyed.words.iter().partition(|(node, _)| *node == shared.me.as_str());
    own.into_iter().chain(others).map(|(_, word)| decode(word)).collect()
}

const fn state_to_wire(state: KeyState) -> pb::KeyState {
    match state {
        KeyState::Suspended => pb::KeyState::Suspended,
        KeyState::Deactivated => pb::KeyState::Deactivated,
        KeyState::Compromised => pb::KeyState::Compromised,
        KeyState::Destroyed => pb::KeyState::Destroyed,
    }
}

fn key_share(key: &KeyId, row: KeyRow, charter: Option<KeyState>) -> Result<pb::KeyShareRecord, ApiError> {
    let some = |bytes: &[u8]| if bytes.is_empty() { Ok(None) } else { decode(bytes).map(Some) };
    let state = match row.phase {
        KeyPhase::Generating | KeyPhase::Pending => pb::KeyState::PreActive,
        KeyPhase::Active => charter.map_or(pb::KeyState::Active, state_to_wire),
        KeyPhase::Failed => pb::KeyState::Failed,
        KeyPhase::Away => pb::KeyState::Elsewhere,
        KeyPhase::Destroyed => pb::KeyState::Destroyed,
    };
    let share = row.share.as_ref();
    let public = share.map(|share| decode_public(key, &share.public)).transpose();
    let public = public.map_err(|error| ApiError::new(Code::ShareDamaged, error.to_string()))?;
    let points = public.iter().flat_map(|public| public.verifying_shares.values());
    let pending = row.epochs.pending.get(&row.epochs.burnt);
    // All answers have to fit one message.
    let first = row.epochs.past.len().saturating_sub(limits::PAST_EPOCHS);
    let past = row.epochs.past.values().skip(first).map(|(certificate, _)| decode(certificate));
    Ok(pb::KeyShareRecord {
        statement: some(share.map(|share| share.statement.as_slice()).unwrap_or_default())?,
        state: state as i32,
        certificate: some(&row.certificate)?,
        order: some(&row.order)?,
        verifying_shares: points.map(|point| point.as_bytes().to_vec().into()).collect(),
        handover: some(&row.epochs.order)?,
        burnt_epoch: row.epochs.burnt,
        pending: some(pending.map(|share| share.statement.as_slice()).unwrap_or_default())?,
        destroyed: Vec::new(),
        keeps_old: !row.epochs.old.is_empty(),
        key_id: key.to_string(),
        past_certificates: past.collect::<Result<_, _>>()?,
        withheld: None,
    })
}
