//! Which generation of a key's shares signs: certificates, switching, and the end of shares that are over.
//!
//! A certificate is the statements of all members of one epoch: each has its share durable and read back. It proves itself,
//! whoever brings it, and the highest certified epoch wins. Until a node sees it, it stays with the shares that it has; from then on it
//! signs with no others. What is over is erased when so many members have switched that no set of too few is left with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::EpochSwitched;
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId};
use limen_wire::statement::KeyStatement;
use limen_wire::{limits, pb};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::guard::{KeyFacts, check_handover_order};
use crate::shared::Shared;
use crate::shares;
use crate::store::journal::Event;
use crate::store::rows::{KeyPhase, KeyRow, ShareRow};
use crate::store::{StoreError, Txn};
use crate::vault::VaultError;

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

fn malformed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

/// What is known of a key's newest epoch, for a peer or a caller; `None` before it is certified.
pub fn news(row: &KeyRow) -> Option<pb::KeyEpoch> {
    let certificate = pb::Envelope::decode(row.certificate.as_slice()).ok().filter(|_| !row.certificate.is_empty())?;
    let order = pb::Envelope::decode(row.epochs.order.as_slice()).ok().filter(|_| !row.epochs.order.is_empty());
    let words = row.epochs.switched.values().filter_map(|word| pb::Envelope::decode(word.as_slice()).ok());
    Some(pb::KeyEpoch { certificate: Some(certificate), order, switched: words.collect() })
}

/// How many members have to say that they signed with the new shares before older ones go: so many that enough honest ones are
/// among them for a signature, or all where there are fewer.
pub const fn switched_needed(size: CommitteeSize) -> usize {
    let (required, total) = (size.signers_required() as usize, size.signers_total() as usize);
    let needed = required + required - 1;
    if needed < total { needed } else { total }
}

/// What a certificate is to this node.
enum Means {
    /// It is known, or of an epoch that is over.
    Nothing,
    /// The key's first one.
    First,
    /// Of a later epoch than the one that this node knows.
    Later,
}

fn means(row: &KeyRow, statement: &KeyStatement, certificate: &pb::Envelope) -> Result<Means, ApiError> {
    let first = row.share.as_ref().is_some_and(|share| share.epoch == statement.epoch.0);
    match row.in_force() {
        None if first => Ok(Means::First),
        None => Ok(Means::Later),
        Some(known) if known < statement.epoch => Ok(Means::Later),
        Some(known) if known > statement.epoch => Ok(Means::Nothing),
        Some(known) => {
            let held = pb::Envelope::decode(row.certificate.as_slice()).map_err(malformed)?;
            if held.payload == certificate.payload {
                return Ok(Means::Nothing);
            }
            let message = format!("another certificate of key {}, epoch {known}, is in force here", statement.key_id);
            tracing::error!(key = %statement.key_id, epoch = %known, "ALARM: two certificates of one epoch");
            Err(ApiError::new(Code::WrongState, message))
        }
    }
}

/// Takes what proves that an epoch is in force, and who signs with it.
pub async fn take(shared: &Arc<Shared>, news: pb::KeyEpoch) -> Result<(), ApiError> {
    let pb::KeyEpoch { certificate, order, switched } = news;
    let certificate = certificate.unwrap_or_default();
    let statement = KeyStatement::decode(&certificate).map_err(malformed)?;
    let key = &statement.key_id;
    let row = shared.store.view().and_then(|view| view.key(key)).map_err(failed)?;
    let row = row.ok_or_else(|| ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here")))?;
    // Signatures are looked at only where they matter: certificates come again with every new link.
    match means(&row, &statement, &certificate)? {
        Means::Nothing => {}
        Means::First => activate(shared, &statement, certificate).await?,
        Means::Later => switch(shared, &row, &statement, (certificate, order)).await?,
    }
    hear(shared, key, &switched).await
}

fn verify(shared: &Shared, certificate: &pb::Envelope) -> Result<(), ApiError> {
    KeyStatement::from_certificate(certificate, &|node: &NodeId| shared.charter().node_key(node))
        .map(drop)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))
}

/// Takes a key's first certificate: over the very statement that this node has made.
async fn activate(shared: &Arc<Shared>, statement: &KeyStatement, certificate: pb::Envelope) -> Result<(), ApiError> {
    let key = &statement.key_id;
    let facts = shared.key(key);
    let facts =
        facts.ok_or_else(|| ApiError::new(Code::UnknownKey, format!("no share of key {key} is usable here")))?;
    verify(shared, &certificate)?;
    let (name, now, payload) = (key.clone(), shared.now(), certificate.payload.clone());
    let (bytes, hash) = (certificate.encode_to_vec(), Sha256::digest(&certificate.payload).into());
    let activated = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)? else { return Ok(false) };
        let own = row.share.as_ref().and_then(stated);
        if own.is_none_or(|own| own.payload != payload) {
            return Ok(false);
        }
        row.phase = KeyPhase::Active;
        row.certificate = bytes;
        txn.put_key(&name, &row)?;
        txn.append(now, Event::KeyActive { key: name.to_string(), certificate: hash })?;
        Ok(true)
    });
    if !activated.await.map_err(failed)? {
        let message = format!("the certificate of key {key} is not over the statement that this signer made");
        return Err(ApiError::new(Code::WrongState, message));
    }
    shared.put_key(KeyFacts { active: true, ..KeyFacts::clone(&facts) });
    tracing::info!(%key, "key active");
    shared.nonces.low.notify_one();
    tell(shared, key)
}

/// What this node has stated of a share.
fn stated(share: &ShareRow) -> Option<pb::Envelope> {
    (!share.statement.is_empty()).then(|| pb::Envelope::decode(share.statement.as_slice()).ok())?
}

/// The share that a certificate makes this node switch to: the one about which it made the very statement.
fn mine<'a>(row: &'a KeyRow, statement: &KeyStatement, certificate: &pb::Envelope) -> Option<&'a ShareRow> {
    let share = row.epochs.pending.get(&statement.epoch.0)?;
    stated(share).filter(|own| own.payload == certificate.payload).map(|_| share)
}

/// What this node knows of the key from before, whoever says so now.
fn known(row: &KeyRow) -> Option<KeyStatement> {
    let certificate = (!row.certificate.is_empty()).then(|| pb::Envelope::decode(row.certificate.as_slice()).ok());
    let known = certificate.flatten().or_else(|| row.share.as_ref().and_then(stated))?;
    KeyStatement::decode(&known).ok()
}

/// A certificate about a share that this node has not made counts only with an order that the charter allows: a few corrupt nodes
/// could certify anything among themselves.
fn check_order(
    shared: &Shared,
    row: &KeyRow,
    statement: &KeyStatement,
    order: Option<&pb::Envelope>,
) -> Result<(), ApiError> {
    let key = &statement.key_id;
    let missing = || ApiError::new(Code::Malformed, format!("a later epoch of key {key} comes without its order"));
    let unknown = || ApiError::new(Code::UnknownKey, format!("nothing certain is known here of key {key}"));
    let present = known(row).ok_or_else(unknown)?;
    let order = check_handover_order(&shared.charter(), order.ok_or_else(missing)?, &present)?;
    let same_key = present.cluster == statement.cluster
        && present.scheme == statement.scheme
        && present.public_key == statement.public_key
        && present.chain_code == statement.chain_code;
    let as_ordered = order.id == statement.generation_id
        && order.allows(statement.epoch)
        && order.protocol == statement.protocol
        && order.size == statement.size
        && order.nodes == statement.nodes;
    if same_key && as_ordered {
        return Ok(());
    }
    let what = if same_key { "not what its order says" } else { "about another public key" };
    tracing::error!(%key, epoch = %statement.epoch, what, "ALARM: a certificate is refused");
    Err(ApiError::new(Code::WrongState, format!("the certificate of key {key}, epoch {}, is {what}", statement.epoch)))
}

/// Goes over to a later epoch: signs with its shares from now on, or with none if they are others'.
async fn switch(
    shared: &Arc<Shared>,
    row: &KeyRow,
    statement: &KeyStatement,
    (certificate, order): (pb::Envelope, Option<pb::Envelope>),
) -> Result<(), ApiError> {
    let (key, epoch) = (&statement.key_id, statement.epoch);
    verify(shared, &certificate)?;
    let mine = mine(row, statement, &certificate);
    let order = match mine {
        Some(share) => share.handover.clone(),
        None => {
            check_order(shared, row, statement, order.as_ref())?;
            order.unwrap_or_default().encode_to_vec()
        }
    };
    let facts = mine.map(|share| shares::facts(shared, key, share, true)).transpose();
    let facts = facts.map_err(|error: VaultError| error.to_api())?;
    let switching = Switching {
        key: key.clone(),
        epoch,
        certificate: certificate.encode_to_vec(),
        hash: Sha256::digest(&certificate.payload).into(),
        order,
        word: match facts {
            Some(_) => Some((shared.me.to_string(), word(shared, statement, &certificate).await?)),
            None => None,
        },
    };
    let now = shared.now();
    let switched = shared.store.write(move |txn| switching.write(txn, now));
    if !switched.await.map_err(failed)? {
        return Ok(());
    }
    match facts {
        Some(facts) => {
            shared.nonces.renew(&facts);
            shared.put_key(facts);
            tracing::info!(%key, %epoch, "switched to new shares");
        }
        None => {
            shared.nonces.forget(key);
            shared.drop_key(key);
            tracing::warn!(%key, %epoch, "the key was handed over to others: this signer signs with it no more");
        }
    }
    shared.presignatures.forget(key);
    shared.vault.forget_before(key, epoch);
    shared.nonces.low.notify_one();
    tell(shared, key)
}

/// What a switch writes, as one.
struct Switching {
    key: KeyId,
    epoch: Epoch,
    certificate: Vec<u8>,
    hash: [u8; 32],
    order: Vec<u8>,
    word: Option<(String, Vec<u8>)>,
}

impl Switching {
    fn write(self, txn: &mut Txn<'_>, now: crate::clock::Millis) -> Result<bool, StoreError> {
        let Some(mut row) = txn.key(&self.key)? else { return Ok(false) };
        // Somebody else was quicker.
        if row.in_force().is_some_and(|known| known >= self.epoch) {
            return Ok(false);
        }
        let is_member = self.word.is_some();
        let next = row.epochs.pending.get(&self.epoch.0).filter(|_| is_member).cloned();
        if is_member && next.is_none() {
            return Ok(false);
        }
        if next.is_some() {
            row.epochs.pending.remove(&self.epoch.0);
        }
        if let Some(over) = std::mem::replace(&mut row.share, next) {
            row.epochs.old.insert(over.epoch, over);
        }
        if let Some(before) = row.in_force() {
            row.epochs.past.insert(before.0, std::mem::take(&mut row.certificate));
        }
        row.phase = if is_member { KeyPhase::Active } else { KeyPhase::Away };
        (row.certificate, row.epochs.order) = (self.certificate, self.order);
        row.epochs.switched = self.word.into_iter().collect();
        row.epochs.burnt = row.epochs.burnt.max(self.epoch.0);
        txn.put_key(&self.key, &row)?;
        let (key, epoch, certificate) = (self.key.to_string(), self.epoch.0, self.hash);
        txn.append(now, Event::EpochInForce { key, epoch, certificate, is_member })?;
        Ok(true)
    }
}

/// This node's word that it signs with these shares; told to nobody before it does.
async fn word(shared: &Shared, statement: &KeyStatement, certificate: &pb::Envelope) -> Result<Vec<u8>, ApiError> {
    let word = EpochSwitched {
        cluster: statement.cluster.clone(),
        node: shared.me.clone(),
        key_id: statement.key_id.clone(),
        epoch: statement.epoch,
        statement_hash: Sha256::digest(&certificate.payload).into(),
    };
    let unsigned = Unsigned::new(PayloadType::EpochSwitched, word.to_payload());
    Ok(shared.identity.seal(unsigned, &shared.me).await?.encode_to_vec())
}

fn tell(shared: &Shared, key: &KeyId) -> Result<(), ApiError> {
    let row = shared.store.view().and_then(|view| view.key(key)).map_err(failed)?;
    if let Some(news) = row.as_ref().and_then(news) {
        shared.mesh.send_all(&pb::peer_message::Kind::KeyEpoch(news));
    }
    Ok(())
}

/// Takes members' words that they have switched. What is of another epoch than the one in force here says nothing.
async fn hear(shared: &Arc<Shared>, key: &KeyId, words: &[pb::Envelope]) -> Result<(), ApiError> {
    if words.is_empty() {
        return Ok(());
    }
    let row = shared.store.view().and_then(|view| view.key(key)).map_err(failed)?;
    let Some(row) = row else { return Ok(()) };
    let certificate = pb::Envelope::decode(row.certificate.as_slice()).map_err(malformed)?;
    let statement = KeyStatement::decode(&certificate).map_err(malformed)?;
    let hash: [u8; 32] = Sha256::digest(&certificate.payload).into();
    let mut new = BTreeMap::new();
    for envelope in words.iter().take(limits::KEY_MEMBERS) {
        let (word, opened) = EpochSwitched::open(envelope).map_err(malformed)?;
        let is_of_this = word.cluster == statement.cluster
            && word.key_id == *key
            && word.epoch == statement.epoch
            && word.statement_hash == hash;
        let is_known = row.epochs.switched.contains_key(word.node.as_str());
        if !is_of_this || is_known || !statement.nodes.contains(&word.node) {
            continue;
        }
        let unknown = || ApiError::new(Code::NotEnrolled, format!("{} is not in the charter", word.node));
        let pinned = shared.charter().node_key(&word.node).ok_or_else(unknown)?;
        opened
            .verify(word.node.as_str(), &pinned)
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        new.insert(word.node.to_string(), envelope.encode_to_vec());
    }
    if new.is_empty() {
        return Ok(());
    }
    // Those who switched later than this node have not taken its nonces.
    for node in new.keys().filter_map(|name| NodeId::new(name.clone()).ok()) {
        for batch in shared.nonces.greeting_of(&node, key) {
            let batch = shared.identity.seal(batch, &shared.me).await?;
            shared.mesh.send(&node, pb::peer_message::Kind::NonceBatch(batch));
        }
    }
    let (name, epoch) = (key.clone(), statement.epoch);
    let kept = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)?.filter(|row| row.in_force() == Some(epoch)) else { return Ok(()) };
        row.epochs.switched.extend(new);
        txn.put_key(&name, &row)
    });
    kept.await.map_err(failed)?;
    let (task, key) = (Arc::clone(shared), key.clone());
    shared.tasks.spawn(async move { erase(&task, &key).await });
    Ok(())
}

/// The epochs whose shares may go: those before the one in force, once enough members sign with that.
fn over(row: &KeyRow) -> BTreeSet<Epoch> {
    let Some(in_force) = row.in_force() else { return BTreeSet::new() };
    let statement = pb::Envelope::decode(row.certificate.as_slice()).ok();
    let Some(statement) = statement.and_then(|envelope| KeyStatement::decode(&envelope).ok()) else {
        return BTreeSet::new();
    };
    if row.epochs.switched.len() < switched_needed(statement.size) {
        return BTreeSet::new();
    }
    let lying = row.epochs.old.keys().chain(row.epochs.pending.keys());
    lying.map(|epoch| Epoch(*epoch)).filter(|epoch| *epoch < in_force).collect()
}

async fn erase(shared: &Arc<Shared>, key: &KeyId) {
    let sealing = shared.wrapping.write().await;
    let (task, name, now) = (Arc::clone(shared), key.clone(), shared.now());
    let erasing = tokio::task::spawn_blocking(move || -> Result<Option<BTreeSet<Epoch>>, VaultError> {
        let over = task.store.view()?.key(&name)?.map(|row| over(&row)).unwrap_or_default();
        if over.is_empty() {
            return Ok(None);
        }
        task.vault.erase(&name, &over, now)?;
        Ok(Some(over))
    });
    match erasing.await {
        Ok(Ok(Some(epochs))) => tracing::info!(%key, ?epochs, "shares that are over were erased"),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            if let Some(count) = crate::ratelimit::WARNINGS.pass("shares_not_erased") {
                tracing::warn!(%key, %error, count, "shares that are over lie here still: it is tried again");
            }
        }
        Err(error) => tracing::error!(%key, %error, "erasing shares was cut off"),
    }
    drop(sealing);
}

/// Erases what an interruption or a token that was away has left.
pub async fn erase_left(shared: &Arc<Shared>) {
    let keys = match shared.store.view().and_then(|view| view.keys()) {
        Ok(keys) => keys,
        Err(error) => return tracing::debug!(%error, "shares that are over are looked at later"),
    };
    for (key, _) in keys.iter().filter(|(_, row)| !over(row).is_empty()) {
        erase(shared, key).await;
    }
}
