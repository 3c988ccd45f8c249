//! The evidence log at a node that cosigns it: a signer or a witness.
//!
//! Whoever keeps the log is believed nothing. A node holds every leaf itself, durably, computes the root itself, and cosigns
//! only the tree that has grown out of what it holds: no proof has to be believed, and a keeper that lost its disk reads the
//! log back from here. A signer hands its own leaves in, and forgets each once enough nodes have cosigned a checkpoint with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_evidence::checkpoint::{Checkpoint, Committee, MAX_NOTE_BYTES, SignedCheckpoint, View, cosigner_name};
use limen_evidence::leaf;
use limen_evidence::merkle::{TreeHash, leaf_hash};
use limen_policy::charter::Charter;
use limen_wire::envelope::pre_authentication_encoding;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::keys::PublicKey;
use limen_wire::{limits, pb};

use crate::clock::Now;
use crate::identity::{Identity, IdentityError};
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::store::log::{LeafNumber, PendingLeaf, Tree};
use crate::store::{self, Store, StoreError, Txn};

/// How long one call signs leaves: whoever asks gives up after a few seconds, and what was signed by then shall count.
const SIGNING_AT_MOST: Duration = Duration::from_secs(1);
/// What is added to a body.
const SIGNATURE_BYTES: usize = 64;

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

fn malformed(what: impl Into<String>) -> ApiError {
    ApiError::new(Code::Malformed, what)
}

fn forked(what: impl Into<String>) -> ApiError {
    ApiError::new(Code::LogForked, what)
}

/// What operators are told when another log is shown than the one here.
#[derive(Debug, Default)]
pub struct LogAlarm(Mutex<Alarms>);

#[derive(Debug, Default)]
struct Alarms {
    keeper: String,
    peers: BTreeMap<NodeId, String>,
}

impl LogAlarm {
    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong; empty if nothing is.
    pub fn words(&self) -> String {
        let alarms = self.alarms();
        let peers = alarms.peers.iter().map(|(peer, words)| format!("{peer} {words}"));
        let all: Vec<String> =
            [&alarms.keeper].into_iter().filter(|words| !words.is_empty()).cloned().chain(peers).collect();
        all.join("; ")
    }

    /// Notes how a call of the keeper ended: the alarm lasts until it shows the right log again.
    pub fn note<T>(&self, outcome: &Result<T, ApiError>, metrics: &Metrics) {
        let words = match outcome {
            Ok(_) => "",
            Err(error) if error.code == Code::LogForked => &error.message,
            Err(_) => return,
        };
        let mut alarms = self.alarms();
        if !words.is_empty() && alarms.keeper.is_empty() {
            tracing::error!(words, "ALARM: the coordinator shows another log than the one that this node has cosigned");
        }
        words.clone_into(&mut alarms.keeper);
        metrics.log_forked.set(alarms.is_any());
    }

    /// Notes what comparing logs with a peer has shown.
    pub fn note_peer(&self, peer: &NodeId, words: Option<&str>, metrics: &Metrics) {
        let mut alarms = self.alarms();
        let before = match words {
            Some(words) => alarms.peers.insert(peer.clone(), words.to_owned()),
            None => alarms.peers.remove(peer),
        };
        if let (Some(words), None) = (words, before) {
            tracing::error!(%peer, words, "ALARM: this peer has cosigned another log; it does not count for decisions here");
        }
        metrics.log_forked.set(alarms.is_any());
    }
}

impl Alarms {
    fn is_any(&self) -> i64 {
        i64::from(!self.keeper.is_empty() || !self.peers.is_empty())
    }
}

/// The parts of a node that follow the log, at one moment.
#[derive(Debug)]
pub struct Follower<'a> {
    /// The charter in force.
    pub charter: Arc<Charter>,
    /// Durable memory.
    pub store: &'a Store,
    /// This node.
    pub me: &'a NodeId,
    /// Signs its leaves and cosignatures.
    pub identity: &'a Identity,
    /// Counters.
    pub metrics: &'a Metrics,
    /// The time.
    pub now: Now,
}

/// Gives the log up that is held here if its root is the one that the configuration names; a name left behind does nothing.
pub(crate) async fn give_up(
    store: &Store,
    key: PublicKey,
    charter: &Charter,
    root: Option<&str>,
    now: Now,
) -> Result<(), StoreError> {
    let held = store.view()?.log()?;
    if root.is_none_or(|root| root != held.root.to_string()) || held.size == 0 {
        return Ok(());
    }
    tracing::error!(size = held.size, root, "the evidence log held here is given up, as the configuration says");
    let most = u8::try_from(charter.log_committee().quorum).unwrap_or(u8::MAX);
    store.write(move |txn| txn.give_up_log(&key, most, now)).await
}

/// A part of the keeper's log, checked in itself.
struct Part {
    size: u64,
    start: u64,
    end: u64,
    root: TreeHash,
    leaves: Vec<bytes::Bytes>,
}

impl Part {
    fn read(request: &pb::FollowRequest) -> Result<Self, ApiError> {
        let leaves = request.leaves.clone();
        let bytes: usize = leaves.iter().map(bytes::Bytes::len).sum();
        if leaves.len() > limits::LOG_PAGE || bytes > limits::LOG_PAGE_BYTES {
            let bound = format!("at most {} and {} bytes are taken", limits::LOG_PAGE, limits::LOG_PAGE_BYTES);
            return Err(malformed(format!("{} leaves of {bytes} bytes in one call; {bound}", leaves.len())));
        }
        if leaves.iter().any(|leaf| leaf.len() > leaf::MAX_BYTES) {
            return Err(malformed(format!("a leaf of more than {} bytes", leaf::MAX_BYTES)));
        }
        let root = <[u8; 32]>::try_from(request.root.as_ref()).map_err(|_| malformed("a root that is not 32 bytes"))?;
        let end = request.start.checked_add(leaves.len() as u64).filter(|end| *end <= request.size);
        let end = end.ok_or_else(|| malformed("more leaves than the log that they are of has"))?;
        Ok(Self { size: request.size, start: request.start, end, root: TreeHash::new(root), leaves })
    }
}

/// What became of a part.
enum Followed {
    /// It begins beyond what is held.
    Ahead,
    /// It fits; this is held now.
    Holds(Tree),
    /// It contradicts what is held.
    Forked(String),
}

/// Takes the leaves that are new, if the rest is what is held and the root is right. Decides and writes in one transaction.
fn follow(txn: &mut Txn<'_>, part: &Part) -> Result<Followed, StoreError> {
    let held = txn.log_size()?;
    if part.start > held {
        return Ok(Followed::Ahead);
    }
    if part.size < held {
        return Ok(Followed::Forked(format!("a log of {} leaves, this node has cosigned {held}", part.size)));
    }
    let known = usize::try_from(held.saturating_sub(part.start)).unwrap_or(usize::MAX);
    for (leaf, index) in part.leaves.iter().take(known).zip(part.start..) {
        if txn.log_leaf(index)?.as_deref() != Some(leaf) {
            return Ok(Followed::Forked(format!("another leaf {index} than the one that this node has cosigned")));
        }
    }
    let fresh: Vec<&[u8]> = part.leaves.iter().skip(known).map(AsRef::as_ref).collect();
    let grown = txn.grown_log(&fresh)?;
    let tree = grown.tree();
    let root = if part.end < held { txn.log_root(part.end)? } else { tree.root };
    if root != part.root {
        let what = format!("the root {} at {} leaves, this node finds {root}", part.root, part.end);
        return Ok(Followed::Forked(what));
    }
    txn.append_log(&fresh, &grown)?;
    Ok(Followed::Holds(tree))
}

impl Follower<'_> {
    fn view(&self) -> Result<store::View, ApiError> {
        self.store.view().map_err(failed)
    }

    fn checkpoint(&self, tree: Tree) -> Result<Checkpoint, ApiError> {
        let made = Checkpoint::new(&self.charter.cluster, tree.size, tree.root);
        made.map_err(|error| ApiError::new(Code::Internal, error.to_string()))
    }

    /// Follows the keeper's log a step further.
    pub async fn follow(&self, request: pb::FollowRequest) -> Result<pb::FollowResponse, ApiError> {
        let part = Part::read(&request)?;
        let before = self.view()?.log().map_err(failed)?;
        let tree = self.take(part, before).await?;
        let Some(tree) = tree else {
            return Ok(pb::FollowResponse { size: before.size, ..pb::FollowResponse::default() });
        };
        self.settle(&request.checkpoint, tree).await?;
        let (pending, more) = self.pending().await?;
        let whole = request.cosign && tree.size == request.size;
        let cosigned = match if whole { self.cosign(before, tree).await } else { Ok(String::new()) } {
            // What is durable leaves although the identity does not sign now: its cosignature comes with the next call.
            Err(error) if error.code == Code::HsmUnavailable && !pending.is_empty() => {
                tracing::warn!(%error, "a checkpoint waits for this node's identity");
                String::new()
            }
            cosigned => cosigned?,
        };
        self.metrics.log_size.set(i64::try_from(tree.size).unwrap_or(i64::MAX));
        let left = self.view()?.pending_leaf_count().map_err(failed)?;
        self.metrics.pending_leaves.set(i64::try_from(left).unwrap_or(i64::MAX));
        Ok(pb::FollowResponse { size: tree.size, pending, more, cosigned: cosigned.into() })
    }

    /// What is held afterwards; `None` if the part begins beyond it. A keeper that shows nothing new costs no write.
    async fn take(&self, part: Part, before: Tree) -> Result<Option<Tree>, ApiError> {
        if part.leaves.is_empty() && part.size == before.size && (part.end, part.root) == (before.size, before.root) {
            return Ok(Some(before));
        }
        let taken = self.store.write(move |txn| follow(txn, &part)).await.map_err(failed)?;
        match taken {
            Followed::Ahead => Ok(None),
            Followed::Holds(tree) => Ok(Some(tree)),
            Followed::Forked(what) => Err(forked(format!("the coordinator shows {what}"))),
        }
    }

    /// Forgets own leaves that a checkpoint holds which enough nodes of the charter have cosigned.
    async fn settle(&self, note: &[u8], held: Tree) -> Result<(), ApiError> {
        let pending = self.view()?.pending_leaves().map_err(failed)?;
        if note.is_empty() || pending.is_empty() {
            return Ok(());
        }
        let (size, cosigned) = self.count(note, held)?;
        let view = self.view()?;
        let mut safe: Vec<(LeafNumber, PendingLeaf)> = Vec::new();
        for (number, leaf) in pending {
            let place = leaf.hash().map(|hash| view.log_place(&hash)).transpose().map_err(failed)?.flatten();
            if usize::from(leaf.required) <= cosigned && place.is_some_and(|index| index < size) {
                safe.push((number, leaf));
            }
        }
        if safe.is_empty() {
            return Ok(());
        }
        self.store.write(move |txn| txn.settle_leaves(&safe)).await.map_err(failed)
    }

    /// Size of a checkpoint, and how many nodes that the charter pins have cosigned it.
    fn count(&self, note: &[u8], held: Tree) -> Result<(u64, usize), ApiError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(malformed(format!("a checkpoint of {} bytes", note.len())));
        }
        let signed = SignedCheckpoint::parse(note).map_err(|error| malformed(error.to_string()))?;
        let size = signed.checkpoint().size();
        if size > held.size {
            return Ok((0, 0));
        }
        let root = self.view()?.log_root(size).map_err(failed)?;
        let members = self.charter.machines().map(|machine| (machine.id.clone(), machine.public_key));
        let members: Vec<_> = members.collect();
        let all = members.len();
        let machines = Committee::new(&self.charter.cluster, members, all, 0);
        let machines = machines.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
        let counted = machines.count(&signed).map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        if *signed.checkpoint() != self.checkpoint(Tree { size, root })? {
            let what =
                format!("a checkpoint of {size} leaves that {} nodes have cosigned and this node", counted.by.len());
            return Err(forked(format!("the coordinator shows {what} finds another one")));
        }
        Ok((size, counted.by.len()))
    }

    /// Own leaves that the log lacks, whole; those that were not signed yet are signed, and that is durable before they leave. A
    /// token that is slow or fails in the middle ends the page: the next call goes on from what is durable.
    async fn pending(&self) -> Result<(Vec<bytes::Bytes>, bool), ApiError> {
        let (mut page, mut signed, mut room, mut more) = (Vec::new(), Vec::new(), limits::LOG_PAGE_BYTES, false);
        let started = Instant::now();
        for (number, leaf) in self.view()?.pending_leaves().map_err(failed)? {
            let length = leaf.bytes.len().saturating_add(if leaf.whole { 0 } else { SIGNATURE_BYTES });
            let is_late = !signed.is_empty() && started.elapsed() > SIGNING_AT_MOST;
            if page.len().saturating_add(signed.len()) >= limits::LOG_PAGE || length > room || is_late {
                more = true;
                break;
            }
            if leaf.whole {
                if self.view()?.log_place(&leaf_hash(&leaf.bytes)).map_err(failed)?.is_none() {
                    room = room.saturating_sub(length);
                    page.push(bytes::Bytes::from(leaf.bytes));
                }
                continue;
            }
            match self.sign(&leaf).await {
                Ok(whole) => signed.push((number, leaf.bytes, whole)),
                Err(error) if page.is_empty() && signed.is_empty() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "leaves wait for this node's identity");
                    more = true;
                    break;
                }
            }
            room = room.saturating_sub(length);
        }
        page.extend(self.complete(signed).await?);
        Ok((page, more))
    }

    /// Makes signed leaves durable, and gives them as they stand there then.
    async fn complete(&self, signed: Vec<(LeafNumber, Vec<u8>, Vec<u8>)>) -> Result<Vec<bytes::Bytes>, ApiError> {
        if signed.is_empty() {
            return Ok(Vec::new());
        }
        let kept = move |txn: &mut Txn<'_>| {
            let complete =
                |(number, body, whole): &(LeafNumber, Vec<u8>, Vec<u8>)| txn.complete_leaf(*number, body, whole);
            signed.iter().map(complete).collect::<Result<Vec<_>, _>>()
        };
        let kept = self.store.write(kept).await.map_err(failed)?;
        Ok(kept.into_iter().flatten().map(bytes::Bytes::from).collect())
    }

    /// An authorization's body with this node's signature.
    async fn sign(&self, leaf: &PendingLeaf) -> Result<Vec<u8>, IdentityError> {
        let message = pre_authentication_encoding(leaf::authorization::PAYLOAD_TYPE, &leaf.bytes);
        let signature = self.identity.sign_aside(message).await?;
        Ok([&leaf.bytes[..], &signature].concat())
    }

    /// Cosigns what is durably held, as it grew out of what was.
    async fn cosign(&self, before: Tree, tree: Tree) -> Result<String, ApiError> {
        let internal = |error: String| ApiError::new(Code::Internal, error);
        let proof = self.view()?.log_consistency(before.size, tree.size).map_err(failed)?;
        let (view, new) = (View::at(&self.checkpoint(before)?), self.checkpoint(tree)?);
        let consistent = view.follow(before.size, &proof, &new).map_err(|error| forked(error.to_string()))?;
        let name = cosigner_name(&self.charter.cluster, self.me);
        let secs = self.now.wall.as_secs().max(1);
        let unsigned = consistent.unsigned(&name, self.identity.public_key(), secs);
        let unsigned = unsigned.map_err(|error| internal(error.to_string()))?;
        let signature = self.identity.sign_aside(unsigned.message().to_vec()).await?;
        let cosignature = unsigned.signed(&signature).map_err(|error| internal(error.to_string()))?;
        let note = SignedCheckpoint::new(new, vec![cosignature]).map_err(|error| internal(error.to_string()))?;
        Ok(note.to_note())
    }

    /// A part of what is held.
    pub fn show(&self, request: &pb::ShowLogRequest) -> Result<pb::ShowLogResponse, ApiError> {
        if request.sizes.len() > limits::LOG_ROOTS {
            return Err(malformed(format!("roots at {} sizes, at most {}", request.sizes.len(), limits::LOG_ROOTS)));
        }
        let view = self.view()?;
        let size = view.log_size().map_err(failed)?;
        let root = |wanted: &u64| match *wanted <= size {
            true => view.log_root(*wanted).map(|root| bytes::Bytes::copy_from_slice(root.as_bytes())),
            false => Ok(bytes::Bytes::new()),
        };
        let roots: Result<_, StoreError> = request.sizes.iter().map(root).collect();
        let most = usize::try_from(request.most).unwrap_or(usize::MAX).min(limits::LOG_PAGE);
        let leaves = view.log_leaves(request.start, most, limits::LOG_PAGE_BYTES).map_err(failed)?;
        let leaves = leaves.into_iter().map(bytes::Bytes::from).collect();
        Ok(pb::ShowLogResponse { size, leaves, roots: roots.map_err(failed)? })
    }
}

#[cfg(test)]
mod tests;
