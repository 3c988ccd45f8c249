//! What a signer does about keys that the charter takes out of use: nothing made ahead is left of them, and of a destroyed one
//! nothing at all.
//!
//! That a key signs nothing is the guard's matter, in each decision. Here is what follows from it by and by: looked at every second,
//! so that an interruption, a token that was away and a signer that was off only delay it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use limen_policy::charter::Charter;
use limen_policy::charter::key_state::KeyState;
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, Epoch, KeyId};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

use crate::epochs;
use crate::peers::Talks as _;
use crate::shared::Shared;
use crate::store::rows::{KeyPhase, KeyRow};
use crate::store::{StoreError, Txn};
use crate::vault::{VaultError, decode_public};

/// Keys whose wrapping keys were looked at in this run: they end only while no signer runs.
#[derive(Debug, Default)]
pub struct LookedAt(Mutex<BTreeSet<KeyId>>);

impl LookedAt {
    /// `true` the first time.
    fn is_first(&self, key: &KeyId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone())
    }
}

/// Why a key is not destroyed here yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("erasing was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Brings what lies here of keys out of use to what the charter says of them.
pub async fn follow(shared: &Arc<Shared>) {
    let charter = shared.charter();
    for mark in charter.key_marks.values() {
        let key = &mark.key;
        forget(shared, key);
        if mark.state != KeyState::Destroyed {
            continue;
        }
        if let Err(error) = destroy(shared, &charter, key).await
            && let Some(count) = crate::ratelimit::WARNINGS.pass("key_not_destroyed")
        {
            tracing::warn!(%key, %error, count, "a key is not destroyed here yet: it is tried again");
        }
    }
}

/// Drops what was made ahead for requests to come, and the share from memory: a sweep opens it anew.
fn forget(shared: &Shared, key: &KeyId) {
    shared.presignatures.forget(key);
    match shared.key(key) {
        Some(facts) => shared.nonces.renew(&facts),
        None => shared.nonces.forget(key),
    }
    shared.vault.forget(key);
}

fn row_of(shared: &Shared, key: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    shared.store.view()?.key(key)
}

async fn destroy(shared: &Arc<Shared>, charter: &Charter, key: &KeyId) -> Result<(), NotYet> {
    let Some(mut row) = row_of(shared, key)? else { return Ok(()) };
    if !row.destroyed.erased {
        confirmed(shared, charter, &row)?;
    }
    if row.phase != KeyPhase::Destroyed {
        let (name, hash) = (key.clone(), charter.hash());
        shared.store.write(move |txn| begin(txn, &name, hash)).await?;
        tracing::warn!(%key, charter = %charter.hash(), "the charter says that this key is destroyed: its shares are erased now");
        row = row_of(shared, key)?.unwrap_or(row);
    }
    shared.drop_key(key);
    if !row.destroyed.erased {
        // Not while a share waits to be stored: it is tried again every second.
        let Ok(sealing) = shared.wrapping.try_write() else { return Ok(()) };
        let (task, name, now) = (Arc::clone(shared), key.clone(), shared.now());
        tokio::task::spawn_blocking(move || task.vault.destroy(&name, &row, now)).await??;
        drop(sealing);
        tracing::warn!(%key, "everything that lay here of the key is erased");
    }
    look_again(shared, key).await?;
    say(shared, charter, key).await
}

/// Nobody can undo what follows. A signer that is cut off may not have heard a veto that all others have: so as many others as
/// sign with it have to stand well and say that the same charter is in force with them.
fn confirmed(shared: &Shared, charter: &Charter, row: &KeyRow) -> Result<(), ApiError> {
    let required = statement_of(row).map_or(1, |statement| usize::from(statement.size.signers_required()));
    let peers = shared.peers();
    let needed = required.saturating_sub(1).max(1).min(peers.len());
    let found = shared.standings.under(charter.hash(), peers.iter(), shared.time().uptime);
    if found >= needed {
        return Ok(());
    }
    let message =
        format!("{found} of {needed} other signers that are needed stand well and say that this charter is in force");
    Err(ApiError::new(Code::NoStanding, message))
}

/// From here on nothing is stored for the key any more.
fn begin(txn: &mut Txn<'_>, key: &KeyId, charter: CharterHash) -> Result<(), StoreError> {
    let Some(mut row) = txn.key(key)? else { return Ok(()) };
    let public_key = statement_of(&row).map(|statement| statement.public_key).or_else(|| {
        let public = decode_public(key, &row.share.as_ref()?.public).ok()?;
        Some(public.public_key.to_key(public.scheme).to_vec())
    });
    let epochs: BTreeSet<u64> = row.shares().map(|share| share.epoch).collect();
    row.phase = KeyPhase::Destroyed;
    row.destroyed.charter = *charter.as_bytes();
    row.destroyed.public_key = public_key.unwrap_or_default();
    row.destroyed.epochs = epochs.into_iter().collect();
    txn.put_key(key, &row)
}

fn statement_of(row: &KeyRow) -> Option<KeyStatement> {
    KeyStatement::decode(&pb::Envelope::decode(row.certificate.as_slice()).ok()?).ok()
}

/// Looks, once in a run, whether wrapping keys that others needed have ended with a rotation: then the word is given anew.
async fn look_again(shared: &Arc<Shared>, key: &KeyId) -> Result<(), NotYet> {
    let left = row_of(shared, key)?.map(|row| row.destroyed.keks_left).unwrap_or_default();
    if left.is_empty() || !shared.destructions.is_first(key) {
        return Ok(());
    }
    let task = Arc::clone(shared);
    let there = tokio::task::spawn_blocking(move || task.vault.keks_there(&left).map(|there| (left, there)));
    let (left, there) = there.await??;
    if left.len() == there.len() {
        return Ok(());
    }
    let (name, me) = (key.clone(), shared.me.to_string());
    let kept = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)? else { return Ok(()) };
        row.destroyed.keks_left = there;
        row.destroyed.words.remove(&me);
        txn.put_key(&name, &row)
    });
    Ok(kept.await?)
}

/// Says, signed, that nothing of the key is left here: not while a session has its share in memory.
async fn say(shared: &Arc<Shared>, charter: &Charter, key: &KeyId) -> Result<(), NotYet> {
    let Some(row) = row_of(shared, key)? else { return Ok(()) };
    let done = &row.destroyed;
    let owes = done.erased && !done.public_key.is_empty() && !done.words.contains_key(shared.me.as_str());
    if !owes || shared.vault.is_in_use(key) {
        return Ok(());
    }
    let left = done.keks_left.iter().map(|kek| kek.parse());
    let word = KeyDestroyed {
        cluster: charter.cluster.clone(),
        node: shared.me.clone(),
        key_id: key.clone(),
        public_key: done.public_key.clone(),
        epochs: done.epochs.iter().copied().map(Epoch).collect(),
        charter: CharterHash::new(done.charter),
        wrapping_keys_left: left
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Damaged("a wrapping key's name".to_owned()))?,
        at_ms: shared.now().0,
    };
    let unsigned = Unsigned::new(PayloadType::KeyDestroyed, word.to_payload());
    let word = shared.identity.seal(unsigned, &shared.me).await.map_err(ApiError::from)?;
    keep(shared, key, BTreeMap::from([(shared.me.to_string(), word.encode_to_vec())])).await?;
    Ok(epochs::tell(shared, key)?)
}

async fn keep(shared: &Shared, key: &KeyId, words: BTreeMap<String, Vec<u8>>) -> Result<(), StoreError> {
    let name = key.clone();
    let kept = shared.store.write(move |txn| {
        let Some(mut row) = txn.key(&name)? else { return Ok(()) };
        row.destroyed.words.extend(words);
        txn.put_key(&name, &row)
    });
    kept.await
}

fn opened(word: &[u8]) -> Option<KeyDestroyed> {
    KeyDestroyed::open(&pb::Envelope::decode(word).ok()?).map(|(word, _)| word).ok()
}

/// Takes others' words that they have destroyed a key. They move nothing here: they are kept as its proof. What is no such word is
/// passed over: what came with it is of use all the same.
pub async fn hear(shared: &Shared, key: &KeyId, words: &[pb::Envelope]) -> Result<(), ApiError> {
    let failed = |error: StoreError| Shared::store_error(&error);
    let charter = shared.charter();
    let Some(row) = (if words.is_empty() { None } else { row_of(shared, key).map_err(failed)? }) else { return Ok(()) };
    let Some(statement) = statement_of(&row) else { return Ok(()) };
    let mut new = BTreeMap::new();
    for envelope in words.iter().take(charter.nodes.len()) {
        let Ok((word, signed)) = KeyDestroyed::open(envelope) else { continue };
        let is_of_this =
            word.cluster == charter.cluster && word.key_id == *key && word.public_key == statement.public_key;
        let known = row.destroyed.words.get(word.node.as_str()).and_then(|known| opened(known));
        // One that leaves less behind replaces one that left more.
        let is_news = known.is_none_or(|known| word.wrapping_keys_left.len() < known.wrapping_keys_left.len());
        if !is_of_this || !is_news || word.node == shared.me {
            continue;
        }
        let pinned = charter.node_key(&word.node);
        if pinned.is_some_and(|pinned| signed.verify(word.node.as_str(), &pinned).is_ok()) {
            new.insert(word.node.to_string(), envelope.encode_to_vec());
        }
    }
    if new.is_empty() { Ok(()) } else { keep(shared, key, new).await.map_err(failed) }
}
