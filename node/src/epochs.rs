//! Which generation of a key's shares signs: certificates, switching, and the end of shares that are over.
//!
//! A certificate is the statements of all members of one epoch: each has its share durable and read back. It proves itself,
//! whoever brings it, and the highest certified epoch wins. Until a node sees it, it stays with the shares that it has; from then on it
//! signs with no others. What is over is erased when so many members have switched that no set of too few is left with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::envelope::{self, PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::{EpochSwitched, KeyHandover, statement_hash};
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId};
use limen_wire::keys::PublicKey;
use limen_wire::statement::{self, KeyStatement};
use limen_wire::{limits, pb};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::destruction;
use crate::guard::{KeyFacts, check_handover_order};
use crate::shared::Shared;
use crate::shares;
use crate::store::journal::Event;
use crate::store::rows::{KeyPhase, KeyRow, ShareRow};
use crate::store::{StoreError, Txn, View};
use crate::vault::VaultError;

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

fn malformed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

fn read(bytes: &[u8]) -> Option<pb::Envelope> {
    (!bytes.is_empty()).then(|| pb::Envelope::decode(bytes).ok())?
}

/// What is known of a key's newest epoch, for a peer or a caller; `None` before it is certified.
pub fn news(row: &KeyRow) -> Option<pb::KeyEpoch> {
    let certificate = read(&row.certificate)?;
    let words = row.epochs.switched.values().filter_map(|word| read(word));
    let first = row.epochs.past.len().saturating_sub(limits::PAST_EPOCHS);
    let past = row.epochs.past.values().skip(first);
    let past = past.map(|(certificate, order)| pb::PastEpoch { certificate: read(certificate), order: read(order) });
    let destroyed = row.destroyed.words.values().filter_map(|word| read(word)).collect();
    Some(pb::KeyEpoch {
        destroyed,
        certificate: Some(certificate),
        order: read(&row.epochs.order),
        switched: words.collect(),
        past: past.collect(),
    })
}

/// How many members have to say that they signed with the new shares before older ones go: so many that enough honest ones are
/// among them for a signature, or all where there are fewer.
pub const fn switched_needed(size: CommitteeSize) -> usize {
    let (required, total) = (size.signers_required() as usize, size.signers_total() as usize);
    let needed = required.saturating_mul(2).saturating_sub(1);
    if needed < total { needed } else { total }
}

/// What a certificate is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// It is known, or of an epoch that is over.
    Nothing,
    /// The key's first one.
    First,
    /// Of a later epoch than the one that this node knows.
    Later,
    /// Another one of the epoch in force.
    Rival,
}

fn means(row: &KeyRow, statement: &KeyStatement, certificate: &pb::Envelope) -> Means {
    let first = row.share.as_ref().is_some_and(|share| share.epoch == statement.epoch.0);
    match row.in_force() {
        None if first => Means::First,
        None => Means::Later,
        Some(known) if known < statement.epoch => Means::Later,
        Some(known) if known > statement.epoch => Means::Nothing,
        Some(_) if read(&row.certificate).is_some_and(|held| held.payload == certificate.payload) => Means::Nothing,
        Some(_) => Means::Rival,
    }
}

/// Takes what proves that an epoch is in force, and who signs with it. What is begun here is ended, whether or not whoever brought it
/// waits for that.
pub async fn take(shared: &Arc<Shared>, news: pb::KeyEpoch) -> Result<(), ApiError> {
    let task = Arc::clone(shared);
    let taking = shared.tasks.spawn(async move {
        let switching = task.switching.lock().await;
        let taken = take_all(&task, news).await;
        drop(switching);
        taken
    });
    taking.await.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?
}

async fn take_all(shared: &Arc<Shared>, news: pb::KeyEpoch) -> Result<(), ApiError> {
    let pb::KeyEpoch { certificate, order, switched, past, destroyed } = news;
    let certificate = certificate.unwrap_or_default();
    let statement = KeyStatement::decode(&certificate).map_err(malformed)?;
    let key = &statement.key_id;
    let row = || shared.store.view().and_then(|view| view.key(key)).map_err(failed);
    let unknown = || ApiError::new(Code::UnknownKey, format!("no share of key {key} is held here"));
    destruction::hear(shared, key, &destroyed).await?;
    if row()?.is_some_and(|row| row.phase == KeyPhase::Destroyed) {
        return Ok(());
    }
    // Signatures are looked at only where they matter: certificates come again with every new link.
    if means(&row()?.ok_or_else(unknown)?, &statement, &certificate) == Means::Later {
        // Who has missed epochs takes them up in their order.
        for pb::PastEpoch { certificate, order } in past.into_iter().take(limits::PAST_EPOCHS) {
            let certificate = certificate.unwrap_or_default();
            let before = KeyStatement::decode(&certificate).map_err(malformed)?;
            if before.key_id == *key && before.epoch < statement.epoch {
                take_one(shared, &row()?.ok_or_else(unknown)?, &before, (certificate, order)).await?;
            }
        }
    }
    take_one(shared, &row()?.ok_or_else(unknown)?, &statement, (certificate, order)).await?;
    hear(shared, key, &switched).await
}

async fn take_one(
    shared: &Arc<Shared>,
    row: &KeyRow,
    statement: &KeyStatement,
    (certificate, order): (pb::Envelope, Option<pb::Envelope>),
) -> Result<(), ApiError> {
    match means(row, statement, &certificate) {
        Means::Nothing => Ok(()),
        Means::First => activate(shared, statement, certificate).await,
        Means::Later => switch(shared, row, statement, (certificate, order)).await,
        Means::Rival => {
            verify(shared, &certificate)?;
            let (key, epoch) = (&statement.key_id, statement.epoch);
            if let Some(count) = crate::ratelimit::WARNINGS.pass("two_certificates") {
                tracing::error!(%key, %epoch, count, "ALARM: two certificates of one epoch");
            }
            let message = format!("another certificate of key {key}, epoch {epoch}, is in force here");
            Err(ApiError::new(Code::WrongState, message))
        }
    }
}

fn verify(shared: &Shared, certificate: &pb::Envelope) -> Result<(), ApiError> {
    KeyStatement::from_certificate(certificate, &*shared.charter())
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
        let Some(mut row) = txn.key(&name)?.filter(|row| row.phase != KeyPhase::Destroyed) else { return Ok(false) };
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

/// What this node knows of the key from before, whoever says what now: what is in force, what was, and what it stated first.
fn known(row: &KeyRow) -> Vec<KeyStatement> {
    let certificates = std::iter::once(&row.certificate).chain(row.epochs.past.values().rev().map(|(one, _)| one));
    let held = certificates.filter_map(|bytes| read(bytes)).chain(row.share.as_ref().and_then(stated));
    held.filter_map(|envelope| KeyStatement::decode(&envelope).ok()).collect()
}

/// A certificate counts only with an order that the charter allows, made for shares that this node knows: a few corrupt nodes could
/// certify anything among themselves.
fn check_order(
    shared: &Shared,
    known: &[KeyStatement],
    statement: &KeyStatement,
    order: Option<&pb::Envelope>,
) -> Result<(), ApiError> {
    let key = &statement.key_id;
    let missing = || ApiError::new(Code::Malformed, format!("a later epoch of key {key} comes without its order"));
    let order = order.ok_or_else(missing)?;
    let named = KeyHandover::open(order).map_err(malformed)?.0.present;
    let unknown = || {
        let message = format!("epoch {} of key {key} follows shares that are not known here", statement.epoch);
        ApiError::new(Code::WrongState, message)
    };
    let present = known.iter().find(|known| statement_hash(&known.to_payload()) == named).ok_or_else(unknown)?;
    let order = check_handover_order(&shared.charter(), order, present)?;
    let same_key = present.cluster == statement.cluster
        && present.scheme == statement.scheme
        && present.public_key == statement.public_key
        && present.chain_code == statement.chain_code;
    // A key that was whole once stays one, and none becomes one.
    let same_mark = present.was_whole == statement.was_whole;
    let as_ordered = order.id == statement.generation_id
        && order.allows(statement.epoch)
        && order.protocol == statement.protocol
        && order.size == statement.size
        && order.nodes == statement.nodes;
    if same_key && same_mark && as_ordered {
        return Ok(());
    }
    let what = match (same_key, same_mark) {
        (false, _) => "about another public key",
        (true, false) => "not of the same mark: whether the key was once whole",
        (true, true) => "not what its order says",
    };
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
    let order = mine.and_then(|share| read(&share.handover)).or(order);
    match (known(row), mine) {
        // Nothing is known of a key that comes here for the first time but what this node has taken part in.
        (known, Some(_)) if known.is_empty() => {}
        (known, Some(_)) => {
            // The charter was asked before this node took part.
            let named = order.as_ref().and_then(|order| KeyHandover::open(order).ok()).map(|(order, _)| order.present);
            if !known.iter().any(|known| Some(statement_hash(&known.to_payload())) == named) {
                let message = format!("epoch {epoch} of key {key} follows shares that are not known here");
                return Err(ApiError::new(Code::WrongState, message));
            }
        }
        (known, None) => check_order(shared, &known, statement, order.as_ref())?,
    }
    let switching = Switching {
        key: key.clone(),
        epoch,
        certificate: certificate.encode_to_vec(),
        hash: statement_hash(&certificate.payload),
        order: order.unwrap_or_default().encode_to_vec(),
        is_member: mine.is_some(),
    };
    let now = shared.now();
    let switched = shared.store.write(move |txn| switching.write(txn, now));
    if !switched.await.map_err(failed)? {
        return Ok(());
    }
    let row = shared.store.view().and_then(|view| view.key(key)).map_err(failed)?;
    let facts = row.as_ref().and_then(|row| {
        let share = row.share.as_ref()?;
        Some(shares::facts(shared, key, (row, share), row.phase == KeyPhase::Active))
    });
    match facts {
        Some(Ok(facts)) => {
            shared.nonces.renew(&facts);
            shared.put_key(facts);
            tracing::info!(%key, %epoch, "switched to new shares");
        }
        Some(Err(error)) => {
            shared.drop_key(key);
            tracing::error!(%key, %epoch, %error, "the new share is not usable here");
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
    if !say(shared, key).await {
        tell(shared, key)?;
    }
    Ok(())
}

/// What a switch writes, as one.
struct Switching {
    key: KeyId,
    epoch: Epoch,
    certificate: Vec<u8>,
    hash: [u8; 32],
    order: Vec<u8>,
    is_member: bool,
}

impl Switching {
    fn write(self, txn: &mut Txn<'_>, now: crate::clock::Millis) -> Result<bool, StoreError> {
        let Some(mut row) = txn.key(&self.key)? else { return Ok(false) };
        // Somebody else was quicker.
        if row.phase == KeyPhase::Destroyed || row.in_force().is_some_and(|known| known >= self.epoch) {
            return Ok(false);
        }
        let is_member = self.is_member;
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
            let over = (std::mem::take(&mut row.certificate), std::mem::take(&mut row.epochs.order));
            row.epochs.past.insert(before.0, over);
        }
        row.phase = if is_member { KeyPhase::Active } else { KeyPhase::Away };
        (row.certificate, row.epochs.order) = (self.certificate, self.order);
        row.epochs.switched = BTreeMap::new();
        row.epochs.burnt = row.epochs.burnt.max(self.epoch.0);
        txn.put_key(&self.key, &row)?;
        let (key, epoch, certificate) = (self.key.to_string(), self.epoch.0, self.hash);
        txn.append(now, Event::EpochInForce { key, epoch, certificate, is_member })?;
        Ok(true)
    }
}

/// This node's word that it signs with the shares in force, and with no others: not before its own opens here and now, because others
/// erase what was before on the strength of it. `true` if it was given just now.
async fn say(shared: &Arc<Shared>, key: &KeyId) -> bool {
    match try_say(shared, key).await {
        Ok(said) => said,
        Err(error) => {
            if let Some(count) = crate::ratelimit::WARNINGS.pass("epoch_not_said") {
                tracing::warn!(%key, %error, count, "whether the new share serves is looked at again");
            }
            false
        }
    }
}

async fn try_say(shared: &Arc<Shared>, key: &KeyId) -> Result<bool, ApiError> {
    let row = shared.store.view().and_then(|view| view.key(key)).map_err(failed)?;
    let Some(row) = row.filter(|row| owes_word(row, &shared.me)) else { return Ok(false) };
    let certificate = read(&row.certificate).unwrap_or_default();
    let statement = KeyStatement::decode(&certificate).map_err(malformed)?;
    let opened = shared.open_share(key, statement.epoch).await.map_err(|error| error.to_api())?;
    drop(opened);
    let word = EpochSwitched {
        cluster: statement.cluster,
        node: shared.me.clone(),
        key_id: statement.key_id,
        epoch: statement.epoch,
        statement_hash: statement_hash(&certificate.payload),
    };
    let unsigned = Unsigned::new(PayloadType::EpochSwitched, word.to_payload());
    let word = shared.identity.seal(unsigned, &shared.me).await?;
    keep(shared, key, statement.epoch, BTreeMap::from([(shared.me.to_string(), word.encode_to_vec())])).await?;
    tell(shared, key)?;
    erase_soon(shared, key);
    Ok(true)
}

/// Whether this node signs with shares that were handed over, and has not said so.
fn owes_word(row: &KeyRow, me: &NodeId) -> bool {
    let is_handed_over = row.in_force().is_some_and(|epoch| epoch > Epoch::FIRST);
    row.phase == KeyPhase::Active && is_handed_over && !row.epochs.switched.contains_key(me.as_str())
}

async fn keep(shared: &Shared, key: &KeyId, epoch: Epoch, words: BTreeMap<String, Vec<u8>>) -> Result<(), ApiError> {
    let name = key.clone();
    let kept = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)?.filter(|row| row.in_force() == Some(epoch)) else { return Ok(()) };
        row.epochs.switched.extend(words);
        txn.put_key(&name, &row)
    });
    kept.await.map_err(failed)
}

fn erase_soon(shared: &Arc<Shared>, key: &KeyId) {
    let (task, key) = (Arc::clone(shared), key.clone());
    shared.tasks.spawn(async move { erase(&task, &key).await });
}

pub(crate) fn tell(shared: &Shared, key: &KeyId) -> Result<(), ApiError> {
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
    let hash = statement_hash(&certificate.payload);
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
        let charter = shared.charter();
        let pinned = charter.node_key(&word.node).ok_or_else(unknown)?;
        let former = charter.former_identities.keys(&word.node, &hash);
        statement::verify(&opened, &word.node, (pinned, &former))
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
    keep(shared, key, statement.epoch, new).await?;
    erase_soon(shared, key);
    Ok(())
}

/// The statements of keys that a node has signed under this identity, as far as they are part of a certificate here: by their hash.
pub(crate) fn stated_under(view: &View, node: &NodeId, key: &PublicKey) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    let mut statements = BTreeSet::new();
    for (_, row) in view.keys()? {
        let past = row.epochs.past.values().map(|(certificate, _)| certificate);
        for certificate in past.chain([&row.certificate]).filter_map(|bytes| read(bytes)) {
            let Ok(opened) = envelope::open(&certificate, PayloadType::KeyStatement) else { continue };
            if opened.verify(node.as_str(), key).is_ok() {
                statements.insert(statement_hash(&certificate.payload));
            }
        }
    }
    Ok(statements)
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
    // Not while a share waits to be stored: it is tried again every few seconds.
    let Ok(sealing) = shared.wrapping.try_write() else { return };
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

/// Says and erases what an interruption or a token that was away has left.
pub async fn finish_left(shared: &Arc<Shared>) {
    let keys = match shared.store.view().and_then(|view| view.keys()) {
        Ok(keys) => keys,
        Err(error) => return tracing::debug!(%error, "shares that are over are looked at later"),
    };
    for (key, row) in &keys {
        if owes_word(row, &shared.me) {
            say(shared, key).await;
        }
        if !over(row).is_empty() {
            erase(shared, key).await;
        }
    }
}
