//! What came before the charter that a machine began with.
//!
//! A machine may begin with a late version. Then a version that joins an old fork follows something that it has never seen,
//! and cannot be judged. The versions before its own are named by hash, one by the next, so anybody may hand over their texts;
//! with them known, the peers' records are read anew and everything in them is judged in its order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use limen_policy::charter::Charter;
use limen_policy::succession::{Entry, Step};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, NodeId};
use limen_wire::pb::peer_message::Kind;
use limen_wire::{limits, pb};

use super::{Follows, failed, number};
use crate::clock::Now;
use crate::decisions::Decisions;
use crate::peers::Talks;
use crate::store::journal::Event;
use crate::store::rows::CharterRow;
use crate::store::{Store, StoreError, Txn};

/// Bytes of the texts of one answer; one text at least is in each.
const PAGE_BYTES: usize = 2 * limits::CHARTER_BYTES;

/// A version that follows what is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The version.
    pub version: CharterHash,
    /// What of that which it follows is not known.
    pub missing: Vec<CharterHash>,
}

/// Versions among the records of peers that follow what is not known, each of which holds the reading of its peer's records
/// up: so there is at most one for each peer. Nobody can tell yet who has signed them, so what clients and coordinators bring is
/// refused and not noted. Lost with the process, and shown again.
#[derive(Debug, Default)]
pub struct Orphans(Mutex<BTreeMap<NodeId, Orphan>>);

impl Orphans {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Orphan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what holds a peer's records up now.
    pub(crate) fn note(&self, peer: &NodeId, orphan: Orphan) {
        let mut held = self.lock();
        if held.get(peer) != Some(&orphan) {
            let missing: Vec<String> = orphan.missing.iter().map(ToString::to_string).collect();
            tracing::warn!(
                %peer, charter = %orphan.version, missing = missing.join(", "),
                "a version of the charter follows what is not known here: it is not judged before that is"
            );
            held.insert(peer.clone(), orphan);
        }
    }

    /// The peer's records are read on.
    pub(crate) fn pass(&self, peer: &NodeId) {
        self.lock().remove(peer);
    }

    /// It was taken, or will never be.
    pub(super) fn forget(&self, version: &CharterHash) {
        self.lock().retain(|_, orphan| orphan.version != *version);
    }

    /// How many peers show one.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// The next texts that this machine has to be shown; none while nothing waits for them.
pub(crate) fn wanted(host: &impl Follows) -> Result<Vec<CharterHash>, StoreError> {
    if host.orphans().is_empty() {
        return Ok(Vec::new());
    }
    let lineage = host.decisions().store.view()?.lineage()?;
    let ancestors = lineage.map(|lineage| lineage.unknown_ancestors()).unwrap_or_default();
    Ok(ancestors.into_iter().take(limits::CHARTERS_WANTED).collect())
}

fn question(wanted: &[CharterHash]) -> pb::ChartersWanted {
    pb::ChartersWanted { hashes: wanted.iter().map(|hash| hash.as_bytes().to_vec().into()).collect() }
}

/// Asks every peer for what is wanted.
pub(crate) fn ask(host: &impl Talks) -> Result<(), StoreError> {
    let wanted = wanted(host)?;
    if !wanted.is_empty() {
        host.send_all(&Kind::ChartersWanted(question(&wanted)));
    }
    Ok(())
}

/// Those of the wanted texts that this machine has, as many as one answer holds.
pub(crate) fn texts(store: &Store, wanted: &[impl AsRef<[u8]>]) -> Result<Vec<String>, StoreError> {
    let view = store.view()?;
    let (mut texts, mut room) = (Vec::new(), PAGE_BYTES);
    for hash in wanted.iter().take(limits::CHARTERS_WANTED) {
        let Ok(hash) = CharterHash::from_slice(hash.as_ref()) else { continue };
        let Some(row) = view.charter(hash)? else { continue };
        if row.text.len() > room && !texts.is_empty() {
            break;
        }
        room = room.saturating_sub(row.text.len());
        texts.push(row.text);
    }
    Ok(texts)
}

/// Answers a peer's question; says nothing if nothing of it is known here.
pub(crate) fn answer(host: &impl Talks, from: &NodeId, question: &pb::ChartersWanted) -> Result<(), ApiError> {
    let texts = texts(host.decisions().store, &question.hashes).map_err(failed)?;
    if !texts.is_empty() {
        host.send(from, Kind::CharterTexts(pb::CharterTexts { texts }));
    }
    Ok(())
}

/// Reads a peer's answer, and asks it for what comes before that.
pub(crate) async fn read(host: &impl Talks, from: &NodeId, told: pb::CharterTexts) -> Result<(), ApiError> {
    if take_in(host, told.texts).await? {
        let wanted = wanted(host).map_err(failed)?;
        if !wanted.is_empty() {
            host.send(from, Kind::ChartersWanted(question(&wanted)));
        }
    }
    Ok(())
}

/// Takes texts that are wanted: what they are is said by the hash under which a version that is known here names them. True if
/// there was one; then every record of the peers is read anew.
pub(crate) async fn take_in(host: &impl Follows, texts: Vec<String>) -> Result<bool, ApiError> {
    if texts.len() > limits::CHARTERS_WANTED {
        return Err(ApiError::new(Code::Malformed, format!("{} texts of charters in one answer", texts.len())));
    }
    let wanted = wanted(host).map_err(failed)?;
    let Decisions { store, now, .. } = host.decisions();
    let mut new = false;
    for text in texts.into_iter().filter(|text| text.len() <= limits::CHARTER_BYTES) {
        // What nobody asked for is no fault: somebody else has answered before.
        if !wanted.contains(&Charter::hash_of(&text)) {
            continue;
        }
        let charter = Charter::from_toml(&text)
            .map_err(|error| ApiError::new(Code::Malformed, format!("an old version of the charter: {error}")))?;
        new |= store.write(move |txn| remember(txn, &charter, text, now)).await.map_err(failed)?;
    }
    Ok(new)
}

fn remember(txn: &mut Txn<'_>, charter: &Charter, text: String, now: Now) -> Result<bool, StoreError> {
    let (mut lineage, hash) = (txn.lineage()?, charter.hash());
    if !lineage.remember(hash, Entry::new(charter, Step::AtOnce, now.uptime.0)) {
        return Ok(false);
    }
    txn.put_charter(hash, &CharterRow { text, signed: Vec::new(), veto: None })?;
    txn.put_lineage(&lineage)?;
    // What follows it was passed over until now.
    txn.forget_cursors()?;
    txn.append(now.wall, Event::CharterPast { hash: *hash.as_bytes() })?;
    tracing::info!(charter = %hash, number = number(charter), "an old version of the charter is known here from now on");
    Ok(true)
}

#[cfg(test)]
mod tests;
