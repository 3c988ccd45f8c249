//! One round after the other: take leaves in, append them, show them to everybody, collect cosignatures.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use limen_evidence::checkpoint::{Checkpoint, NoteSignature, SignedCheckpoint};
use limen_evidence::leaf::{Leaf, Signature};
use limen_evidence::merkle::{TreeHash, leaf_hash};
use limen_wire::error::Code;
use limen_wire::ids::{IntentId, NodeId, SessionId};
use limen_wire::{limits, pb};
use tokio::time::MissedTickBehavior;

use super::receipt::is_participant;
use super::recover::recover;
use super::{Cosigning, ROUND, together};
use crate::context::Core;
use crate::keys::ring::ActiveKey;
use crate::signers::CallError;
use crate::store::{NoteKind, StoreError};

/// Pages that one node is shown in one round.
const PAGES: usize = 64;
/// Rounds for which the leaf of a signature waits for the authorizations of all participants: a receipt needs them before it.
const HELD_BACK: u32 = 10;

/// What the keeper knows besides what lies in the store.
struct Keeper {
    core: Arc<Core>,
    nodes: Vec<Arc<Cosigning>>,
    /// How many leaves each node holds, as far as it was heard.
    held: BTreeMap<NodeId, u64>,
    /// The newest checkpoint with its cosignatures. Every node is shown it in every round: a leaf that became pending there
    /// after the last round is settled by it.
    note: Option<SignedCheckpoint>,
    /// Nodes that show another log: said once.
    forked: BTreeSet<NodeId>,
    /// Signatures' leaves that wait, with the rounds.
    waiting: HashMap<TreeHash, u32>,
}

/// What one node was shown and has answered.
struct Talk {
    id: NodeId,
    /// How many leaves it holds, as it said last: also where the talk ended before its end.
    held: Option<u64>,
    answer: Result<Answer, CallError>,
}

#[derive(Default)]
struct Answer {
    pending: Vec<Bytes>,
    cosigned: Option<NoteSignature>,
}

/// The log at the moment of a round.
#[derive(Clone)]
struct Moment {
    checkpoint: Checkpoint,
    note: Option<String>,
}

pub(super) async fn run(core: Arc<Core>, nodes: Vec<Arc<Cosigning>>) -> Result<(), StoreError> {
    recover(&core, &nodes).await?;
    let note = core.store.note(NoteKind::Newest)?;
    let (held, forked, waiting) = Default::default();
    let mut keeper = Keeper { core, nodes, held, note, forked, waiting };
    let mut ticks = tokio::time::interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        keeper.round().await?;
    }
}

impl Keeper {
    async fn round(&mut self) -> Result<(), StoreError> {
        let now = self.moment()?;
        let talks = together(self.nodes.iter().map(|node| self.talk(node, &now, false))).await;
        let mut fresh = Vec::new();
        for talk in talks {
            let (id, pending) = (talk.id.clone(), self.heard(talk));
            fresh.extend(pending.into_iter().map(|leaf| (id.clone(), leaf)));
        }
        let fresh = self.choose(fresh)?;
        if !fresh.is_empty() {
            self.core.store.append_log(fresh).await?;
        }
        self.cosign(now.checkpoint.size()).await
    }

    fn moment(&self) -> Result<Moment, StoreError> {
        let size = self.core.store.log_size()?;
        let root = self.core.store.log_root(size)?;
        let checkpoint = Checkpoint::new(&self.core.charter().cluster, size, root);
        let checkpoint = checkpoint.map_err(|_| StoreError::Damaged { what: "the log's size".to_owned() })?;
        let note = self.note.as_ref().filter(|note| note.checkpoint().size() <= size);
        let note = note.map(SignedCheckpoint::to_note);
        Ok(Moment { checkpoint, note })
    }

    /// Shows one node what it lacks, and takes what it answers, in the time of one call: nobody waits longer for a slow one.
    fn talk(&self, node: &Arc<Cosigning>, now: &Moment, cosign: bool) -> impl Future<Output = Talk> + Send + use<> {
        let start = self.held.get(&node.id).copied().unwrap_or(now.checkpoint.size());
        let (core, node, now) = (Arc::clone(&self.core), Arc::clone(node), now.clone());
        async move {
            let mut held = None;
            let answer = node.within(&core, show(&core, &node, &now, start, cosign, &mut held)).await;
            Talk { id: node.id.clone(), held, answer }
        }
    }

    /// Notes what a node said; gives the leaves that it hands in.
    fn heard(&mut self, talk: Talk) -> Vec<Bytes> {
        // What a node had taken before its time was up is durable there: the next round goes on behind it.
        let known = talk.held.filter(|_| matches!(talk.answer, Ok(_) | Err(CallError::Timeout(_))));
        match known {
            Some(size) => self.held.insert(talk.id.clone(), size),
            None => self.held.remove(&talk.id),
        };
        match talk.answer {
            Ok(answer) => {
                self.forked.remove(&talk.id);
                answer.pending
            }
            Err(error) => {
                let forked = matches!(&error, CallError::Refused(refusal) if refusal.code == Code::LogForked);
                if forked && self.forked.insert(talk.id.clone()) {
                    self.core.metrics.log_alarms.inc();
                    tracing::error!(node = %talk.id, %error, "ALARM: this node has cosigned another log than the one here");
                } else {
                    tracing::debug!(node = %talk.id, %error, "this node does not follow the log now");
                }
                Vec::new()
            }
        }
    }

    /// Leaves that are new and whose maker may say so, authorizations first.
    fn choose(&mut self, leaves: Vec<(NodeId, Bytes)>) -> Result<Vec<Bytes>, StoreError> {
        let charter = self.core.charter();
        let (mut seen, mut fresh, mut signatures) = (BTreeSet::<TreeHash>::new(), Vec::new(), Vec::new());
        let mut allowed: BTreeMap<SessionId, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, bytes) in leaves {
            let hash = leaf_hash(&bytes);
            if seen.contains(&hash) || self.core.store.has_leaf(&hash)? {
                continue;
            }
            // Witnesses make no leaves.
            let signs = charter.nodes.iter().any(|signer| signer.id == node);
            match Leaf::decode(&bytes) {
                Ok(Leaf::Authorization(leaf)) if signs && self.is_signed(&node, &leaf) => {
                    allowed.entry(leaf.unverified().session).or_default().insert(node);
                    fresh.push(bytes);
                }
                Ok(Leaf::Signature(leaf))
                    if signs && leaf.cluster == charter.cluster && self.may_hand_in(&node, &leaf) =>
                {
                    signatures.push((hash, leaf, bytes));
                }
                _ => {
                    self.core.metrics.leaf_refused(&node);
                    tracing::debug!(%node, "a leaf that is not its own, or none, was not taken");
                    continue;
                }
            }
            seen.insert(hash);
        }
        let (mut waiting, mut logged) = (HashMap::new(), BTreeMap::new());
        for (hash, leaf, bytes) in signatures {
            let logged: &mut Vec<(SessionId, NodeId)> = match logged.entry(leaf.intent) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.logged(&leaf.intent)?),
            };
            let known = logged.iter().filter(|(session, _)| *session == leaf.session).map(|(_, node)| node);
            let mut have: BTreeSet<&NodeId> = known.collect();
            have.extend(allowed.get(&leaf.session).into_iter().flatten());
            let rounds = self.waiting.get(&hash).copied().unwrap_or(0);
            if have.len() >= leaf.signers.len() || (rounds >= HELD_BACK && self.is_known(&leaf)?) {
                fresh.push(bytes);
            } else {
                waiting.insert(hash, rounds.saturating_add(1));
            }
        }
        self.waiting = waiting;
        Ok(fresh)
    }

    /// Who has allowed an intent, by the log, and in which sessions.
    fn logged(&self, intent: &IntentId) -> Result<Vec<(SessionId, NodeId)>, StoreError> {
        let leaves = self.core.store.leaves_of(intent)?.into_iter();
        let allowed = leaves.filter_map(|(_, leaf)| match leaf {
            Leaf::Authorization(leaf) => Some((leaf.unverified().session, leaf.unverified().node.clone())),
            Leaf::Signature(_) => None,
        });
        Ok(allowed.collect())
    }

    /// The key of a signature's leaf, if it is in use here.
    fn key_of(&self, leaf: &Signature) -> Option<Arc<ActiveKey>> {
        self.core.keys.find_at(&leaf.key, leaf.epoch)
    }

    /// Whether a node took part in the session of a signature's leaf, or may have, where the key is not known here (yet).
    fn may_hand_in(&self, node: &NodeId, leaf: &Signature) -> bool {
        self.key_of(leaf).is_none_or(|key| is_participant(&key.statement, &leaf.signers, node))
    }

    /// Whether the leaf of a signature may stand in the log without the authorizations of all: it is a participant's word, or
    /// the signature in the books. Another one goes on waiting.
    fn is_known(&self, leaf: &Signature) -> Result<bool, StoreError> {
        if self.key_of(leaf).is_some() {
            return Ok(true);
        }
        let result = self.core.store.request(&leaf.intent)?.and_then(|entry| entry.record.result);
        Ok(result.is_some_and(|result| result.signature[..] == leaf.signature[..]))
    }

    /// Whether a leaf is the word of the node that hands it in.
    fn is_signed(&self, node: &NodeId, leaf: &limen_evidence::leaf::SignedAuthorization) -> bool {
        let pinned = self.nodes.iter().find(|one| one.id == *node).map(|one| one.key);
        let said = pinned.and_then(|key| leaf.verify(&key));
        said.is_some_and(|said| said.node == *node && said.cluster == self.core.charter().cluster)
    }

    /// Has everybody cosign the log as it is, unless they have. Whoever does not hold what was there before this round is
    /// not asked: it was too slow already.
    async fn cosign(&mut self, before: u64) -> Result<(), StoreError> {
        let now = self.moment()?;
        let checkpoint = now.checkpoint.clone();
        if checkpoint.size() == 0 {
            return Ok(());
        }
        let present = self.note.as_ref().filter(|note| *note.checkpoint() == checkpoint);
        let mut signatures: Vec<NoteSignature> = present.map(|note| note.signatures().to_vec()).unwrap_or_default();
        let lacks = |node: &&Arc<Cosigning>| {
            let heard = self.held.get(&node.id).is_some_and(|held| *held >= before);
            heard && !signatures.iter().any(|signature| node.cosigner.claims(signature))
        };
        let asked: Vec<&Arc<Cosigning>> = self.nodes.iter().filter(lacks).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let talks = together(asked.into_iter().map(|node| self.talk(node, &now, true))).await;
        for mut talk in talks {
            let cosigned = talk.answer.as_mut().ok().and_then(|answer| answer.cosigned.take());
            signatures.extend(cosigned);
            self.heard(talk);
        }
        if signatures.is_empty() {
            return Ok(());
        }
        let note = SignedCheckpoint::new(checkpoint, signatures);
        let note = note.map_err(|error| StoreError::Damaged { what: error.to_string() })?;
        self.core.store.put_note(NoteKind::Newest, &note).await?;
        let trust = super::receipt::trust(&self.core.charter());
        if let Ok(trust) = trust
            && trust.committee().count(&note).is_ok_and(|cosignatures| cosignatures.is_final())
        {
            self.core.store.put_note(NoteKind::Final, &note).await?;
        }
        self.core.metrics.log_size.set(note.checkpoint().size());
        self.note = Some(note);
        Ok(())
    }
}

/// Shows a node the log from what it holds on, page by page; `held` is what it said last.
async fn show(
    core: &Core,
    node: &Cosigning,
    now: &Moment,
    start: u64,
    cosign: bool,
    held: &mut Option<u64>,
) -> Result<Answer, CallError> {
    let failed = |error: StoreError| CallError::Invalid(error.to_string());
    let (size, mut start) = (now.checkpoint.size(), start.min(now.checkpoint.size()));
    let mut answer = Answer::default();
    for _ in 0..PAGES {
        let leaves = core.store.log_leaves(start, size).map_err(failed)?;
        let end = start + leaves.len() as u64;
        let request = pb::FollowRequest {
            size,
            start,
            leaves,
            root: Bytes::copy_from_slice(core.store.log_root(end).map_err(failed)?.as_bytes()),
            checkpoint: now.note.as_ref().map(|note| Bytes::copy_from_slice(note.as_bytes())).unwrap_or_default(),
            cosign: cosign && end == size,
        };
        let said = node.port.follow(request).await?;
        let less = held.is_some_and(|before| said.size < before);
        if said.size > size || less || (said.size == start && end > start) {
            return Err(CallError::Invalid(format!("it holds {} leaves after it was shown {end}", said.size)));
        }
        *held = Some(said.size);
        answer.pending = page(said.pending);
        if end == size && said.size == size {
            answer.cosigned = if cosign { Some(read(node, now, &said.cosigned)?) } else { None };
            break;
        }
        start = said.size;
    }
    Ok(answer)
}

/// As many of a node's leaves as one message may carry.
fn page(leaves: Vec<Bytes>) -> Vec<Bytes> {
    let mut room = Some(limits::LOG_PAGE_BYTES);
    let fits = |leaf: &Bytes| {
        room = room.and_then(|room| room.checked_sub(leaf.len()));
        room.is_some()
    };
    leaves.into_iter().take(limits::LOG_PAGE).take_while(fits).collect()
}

/// A node's cosignature of exactly this checkpoint.
fn read(node: &Cosigning, now: &Moment, note: &[u8]) -> Result<NoteSignature, CallError> {
    let invalid = |error: String| CallError::Invalid(format!("its cosignature: {error}"));
    let signed = SignedCheckpoint::parse(note).map_err(|error| invalid(error.to_string()))?;
    if *signed.checkpoint() != now.checkpoint {
        return Err(invalid("of another checkpoint".to_owned()));
    }
    let own = signed.signatures().iter().find(|signature| node.cosigner.claims(signature));
    let own = own.ok_or_else(|| invalid("not under its name".to_owned()))?;
    node.cosigner.verify(&now.checkpoint.to_text(), own).map_err(|error| invalid(error.to_string()))?;
    Ok(own.clone())
}
