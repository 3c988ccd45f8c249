//! One round after the other: take leaves in, append them, show them to everybody, collect cosignatures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use limen_evidence::checkpoint::{Checkpoint, NoteSignature, SignedCheckpoint};
use limen_evidence::leaf::Leaf;
use limen_evidence::merkle::{TreeHash, leaf_hash};
use limen_wire::error::Code;
use limen_wire::ids::{NodeId, SessionId};
use limen_wire::pb;
use tokio::time::MissedTickBehavior;

use super::recover::recover;
use super::{Cosigning, ROUND, together};
use crate::context::Core;
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
    /// Under which checkpoint each node has cosigned, and which it was shown.
    note: Option<SignedCheckpoint>,
    shown: BTreeMap<NodeId, (u64, usize)>,
    /// Nodes that show another log: said once.
    forked: BTreeSet<NodeId>,
    /// Signatures' leaves that wait, with the rounds.
    waiting: HashMap<TreeHash, u32>,
}

/// What one node was shown and has answered.
struct Talk {
    id: NodeId,
    answer: Result<Answer, CallError>,
}

#[derive(Default)]
struct Answer {
    held: u64,
    pending: Vec<Bytes>,
    cosigned: Option<NoteSignature>,
}

/// The log at the moment of a round.
#[derive(Clone)]
struct Moment {
    checkpoint: Checkpoint,
    note: Option<(String, (u64, usize))>,
}

pub(super) async fn run(core: Arc<Core>, nodes: Vec<Arc<Cosigning>>) -> Result<(), StoreError> {
    recover(&core, &nodes).await?;
    let note = core.store.note(NoteKind::Newest)?;
    let (held, shown, forked, waiting) = Default::default();
    let mut keeper = Keeper { core, nodes, held, note, shown, forked, waiting };
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
            let (id, pending) = (talk.id.clone(), self.heard(talk, &now));
            fresh.extend(pending.into_iter().map(|leaf| (id.clone(), leaf)));
        }
        let fresh = self.choose(fresh)?;
        if !fresh.is_empty() {
            self.core.store.append_log(fresh).await?;
        }
        self.cosign().await
    }

    fn moment(&self) -> Result<Moment, StoreError> {
        let size = self.core.store.log_size()?;
        let root = self.core.store.log_root(size)?;
        let checkpoint = Checkpoint::new(&self.core.charter().cluster, size, root);
        let checkpoint = checkpoint.map_err(|_| StoreError::Damaged { what: "the log's size".to_owned() })?;
        let note = self.note.as_ref().filter(|note| note.checkpoint().size() <= size);
        let note = note.map(|note| (note.to_note(), (note.checkpoint().size(), note.signatures().len())));
        Ok(Moment { checkpoint, note })
    }

    /// Shows one node what it lacks, and takes what it answers.
    fn talk(&self, node: &Arc<Cosigning>, now: &Moment, cosign: bool) -> impl Future<Output = Talk> + Send + use<> {
        let start = self.held.get(&node.id).copied().unwrap_or(now.checkpoint.size());
        let mut now = now.clone();
        now.note = now.note.filter(|(_, what)| self.shown.get(&node.id) != Some(what));
        let (core, node) = (Arc::clone(&self.core), Arc::clone(node));
        async move { Talk { id: node.id.clone(), answer: show(&core, &node, &now, start, cosign).await } }
    }

    /// Notes what a node said; gives the leaves that it hands in.
    fn heard(&mut self, talk: Talk, now: &Moment) -> Vec<Bytes> {
        match talk.answer {
            Ok(answer) => {
                self.held.insert(talk.id.clone(), answer.held);
                self.forked.remove(&talk.id);
                if let Some((_, what)) = now.note.as_ref().filter(|(_, (size, _))| *size <= answer.held) {
                    self.shown.insert(talk.id, *what);
                }
                answer.pending
            }
            Err(error) => {
                self.held.remove(&talk.id);
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
        let (mut seen, mut authorizations, mut signatures) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut allowed: BTreeMap<SessionId, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, bytes) in leaves {
            let hash = leaf_hash(&bytes);
            if !seen.insert(hash) || self.core.store.has_leaf(&hash)? {
                continue;
            }
            match Leaf::decode(&bytes) {
                Ok(Leaf::Authorization(leaf)) if self.is_signed(&node, &leaf) => {
                    allowed.entry(leaf.unverified().session).or_default().insert(node);
                    authorizations.push(bytes);
                }
                Ok(Leaf::Signature(leaf)) if leaf.cluster == self.core.charter().cluster => {
                    signatures.push((hash, leaf, bytes));
                }
                _ => {
                    self.core.metrics.leaf_refused(&node);
                    tracing::debug!(%node, "a leaf that is not its own, or none, was not taken");
                }
            }
        }
        let mut waiting = HashMap::new();
        for (hash, leaf, bytes) in signatures {
            let logged = self.core.store.leaves_of(&leaf.intent)?;
            let logged = logged.into_iter().filter_map(|(_, known)| match known {
                Leaf::Authorization(known) if known.unverified().session == leaf.session => {
                    Some(known.unverified().node.clone())
                }
                _ => None,
            });
            let mut have: BTreeSet<NodeId> = logged.collect();
            have.extend(allowed.get(&leaf.session).into_iter().flatten().cloned());
            let rounds = self.waiting.get(&hash).copied().unwrap_or(0);
            if have.len() < leaf.signers.len() && rounds < HELD_BACK {
                waiting.insert(hash, rounds + 1);
            } else {
                authorizations.push(bytes);
            }
        }
        self.waiting = waiting;
        Ok(authorizations)
    }

    /// Whether a leaf is the word of the node that hands it in.
    fn is_signed(&self, node: &NodeId, leaf: &limen_evidence::leaf::SignedAuthorization) -> bool {
        let pinned = self.nodes.iter().find(|one| one.id == *node).map(|one| one.key);
        let said = pinned.and_then(|key| leaf.verify(&key));
        said.is_some_and(|said| said.node == *node && said.cluster == self.core.charter().cluster)
    }

    /// Has everybody cosign the log as it is, unless they have.
    async fn cosign(&mut self) -> Result<(), StoreError> {
        let now = self.moment()?;
        let checkpoint = now.checkpoint.clone();
        if checkpoint.size() == 0 {
            return Ok(());
        }
        let present = self.note.as_ref().filter(|note| *note.checkpoint() == checkpoint);
        let mut signatures: Vec<NoteSignature> = present.map(|note| note.signatures().to_vec()).unwrap_or_default();
        let lacks = |node: &&Arc<Cosigning>| {
            let heard = self.held.contains_key(&node.id);
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
            self.heard(talk, &now);
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

/// Shows a node the log from what it holds on, page by page.
async fn show(core: &Core, node: &Cosigning, now: &Moment, start: u64, cosign: bool) -> Result<Answer, CallError> {
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
            checkpoint: now.note.as_ref().map(|(note, _)| Bytes::copy_from_slice(note.as_bytes())).unwrap_or_default(),
            cosign: cosign && end == size,
        };
        let said = node.within(core, node.port.follow(request)).await?;
        answer.held = said.size;
        answer.pending = said.pending;
        if end == size && said.size == size {
            answer.cosigned = if cosign { Some(read(node, now, &said.cosigned)?) } else { None };
            break;
        }
        if said.size > size || (said.size == start && end > start) {
            return Err(CallError::Invalid(format!("it holds {} leaves after it was shown {end}", said.size)));
        }
        start = said.size;
    }
    Ok(answer)
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
