//! FROST nonces shared ahead: our secret pairs, and the commitments of our peers.
//!
//! All of it lives in memory only and belongs to one boot. A pair is taken out to be used and cannot come back; a
//! commitment counts only from a batch that its owner has signed. Running out is normal: the session then takes two
//! rounds instead of one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use limen_mpc::{NonceCommitment, NoncePair, SignMode};
use limen_wire::envelope::{self, PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{ClusterId, Epoch, KeyId, NodeId, PartyIndex, SignerSet};
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::guard::KeyFacts;
use crate::metrics::Metrics;

/// Commitments kept of one peer for one key: two full batches.
const KEPT: usize = 2 * limits::NONCE_BATCH;

/// Sessions in a row that leave a filled pool aside before it is made anew: the coordinator has lost track of its numbers.
const PASSED_OVER: u32 = 64;

/// A boot's random name.
pub type Boot = [u8; 16];

/// Names one commitment: whose, of which boot, which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    signer: PartyIndex,
    boot: Boot,
    index: u64,
}

/// The pools.
pub struct Nonces {
    cluster: ClusterId,
    me: NodeId,
    boot: Boot,
    metrics: Arc<Metrics>,
    pools: Mutex<Pools>,
    /// Wakes whoever fills the pools up.
    pub low: tokio::sync::Notify,
}

#[derive(Default)]
struct Pools {
    own: HashMap<KeyId, Own>,
    theirs: HashMap<(KeyId, NodeId), Theirs>,
}

struct Own {
    epoch: Epoch,
    members: Vec<NodeId>,
    pairs: BTreeMap<u64, NoncePair>,
    end: u64,
    target: usize,
    passed_over: u32,
}

struct Theirs {
    boot: Boot,
    epoch: Epoch,
    commitments: BTreeMap<u64, NonceCommitment>,
}

/// Fresh pairs with their numbers, in no pool yet.
pub struct Fresh {
    first: u64,
    pairs: Vec<NoncePair>,
}

/// A batch as its owner has signed it: read and checked.
pub struct CheckedBatch {
    key: KeyId,
    node: NodeId,
    theirs: Theirs,
}

fn unavailable(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::NonceUnavailable, message)
}

/// Reads the references of a sign request: none, or exactly one per signer in the order of the set.
pub fn references(raw: &[pb::NonceReference], signers: &SignerSet) -> Result<Vec<Reference>, ApiError> {
    if raw.is_empty() {
        return Ok(Vec::new());
    }
    let bad = || ApiError::new(Code::Malformed, "nonces must name one commitment per signer, in the order of signers");
    if raw.len() != signers.len() {
        return Err(bad());
    }
    let read = |(raw, party): (&pb::NonceReference, &PartyIndex)| {
        let boot = raw.boot.as_ref().try_into().map_err(|_| bad())?;
        let same = raw.signer == u32::from(party.as_u16());
        if same { Ok(Reference { signer: *party, boot, index: raw.index }) } else { Err(bad()) }
    };
    raw.iter().zip(signers.parties()).map(read).collect()
}

/// Reads a peer's batch: signed by the peer that sent it, for a key of which it is a member, every commitment two points.
pub fn check_batch(
    cluster: &ClusterId,
    from: &NodeId,
    pinned: &limen_wire::keys::PublicKey,
    key: impl FnOnce(&KeyId) -> Option<Arc<KeyFacts>>,
    batch: &pb::Envelope,
) -> Result<CheckedBatch, ApiError> {
    let malformed = |reason: String| ApiError::new(Code::Malformed, format!("a nonce batch: {reason}"));
    let opened = envelope::open(batch, PayloadType::NonceBatch).map_err(|error| malformed(error.to_string()))?;
    opened
        .verify(from.as_str(), pinned)
        .map_err(|error| ApiError::new(Code::BadSignature, format!("a nonce batch: {error}")))?;
    let raw: pb::NonceBatch = opened.decode("nonce batch").map_err(|error| malformed(error.to_string()))?;
    if raw.version != 1 || raw.cluster != cluster.as_str() || raw.node != from.as_str() {
        return Err(malformed("it is of another version, cluster or node".to_owned()));
    }
    if raw.commitments.len() > limits::NONCE_BATCH {
        return Err(malformed(format!("{} commitments", raw.commitments.len())));
    }
    let key_id = KeyId::new(raw.key_id).map_err(|error| malformed(error.to_string()))?;
    let unknown =
        || ApiError::new(Code::UnknownKey, format!("a nonce batch for key {key_id}, of which {from} is no member"));
    let facts = key(&key_id).filter(|facts| facts.nodes.contains(from)).ok_or_else(unknown)?;
    let boot = raw.boot.as_ref().try_into().map_err(|_| malformed("the boot is not 16 bytes".to_owned()))?;
    if raw.epoch != facts.public.epoch.0 {
        return Err(malformed(format!("it is of epoch {}", raw.epoch)));
    }
    let mut commitments = BTreeMap::new();
    for (offset, bytes) in (0u64..).zip(&raw.commitments) {
        let commitment = NonceCommitment::from_bytes(facts.public.scheme, bytes);
        let commitment = commitment.map_err(|error| malformed(error.to_string()))?;
        commitments.insert(raw.first_index.saturating_add(offset), commitment);
    }
    let theirs = Theirs { boot, epoch: facts.public.epoch, commitments };
    Ok(CheckedBatch { key: key_id, node: from.clone(), theirs })
}

impl Nonces {
    /// Empty pools of this boot.
    pub fn new(cluster: ClusterId, me: NodeId, boot: Boot, metrics: Arc<Metrics>) -> Self {
        let (pools, low) = (Mutex::default(), tokio::sync::Notify::new());
        Self { cluster, me, boot, metrics, pools, low }
    }

    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pairs a key's pool lacks, if it is below half.
    pub fn wanted(&self, key: &KeyId, target: usize) -> usize {
        let have = self.lock().own.get(key).map_or(0, |own| own.pairs.len());
        if have.saturating_mul(2) < target { target.saturating_sub(have) } else { 0 }
    }

    /// Numbers fresh pairs, and gives the batch that tells the peers of them. They are in no pool before the batch is signed: a
    /// pair of which the peers do not know is of no use.
    pub fn number(&self, facts: &KeyFacts, pairs: Vec<NoncePair>) -> (Fresh, Unsigned) {
        let first = self.lock().own.get(&facts.public.key).map_or(0, |own| own.end);
        let commitments = pairs.iter().map(|pair| pair.commitment().to_bytes().into()).collect();
        let batch = self.batch(&facts.public.key, facts.public.epoch, first, commitments);
        (Fresh { first, pairs }, batch)
    }

    /// Adds numbered pairs; `false`, and they are wiped, if their numbers were given to others meanwhile.
    pub fn add(&self, facts: &KeyFacts, fresh: Fresh, target: usize) -> bool {
        let mut pools = self.lock();
        let own = pools.own.entry(facts.public.key.clone()).or_insert_with(|| Own {
            epoch: facts.public.epoch,
            members: facts.nodes.clone(),
            pairs: BTreeMap::new(),
            end: 0,
            target,
            passed_over: 0,
        });
        if own.epoch < facts.public.epoch {
            own.pairs.clear();
            (own.epoch, own.members, own.passed_over) = (facts.public.epoch, facts.nodes.clone(), 0);
        }
        if own.end != fresh.first || own.epoch != facts.public.epoch {
            return false;
        }
        for pair in fresh.pairs {
            own.pairs.insert(own.end, pair);
            own.end = own.end.saturating_add(1);
        }
        self.metrics.nonces.set(count(&pools));
        true
    }

    /// Begins anew for another epoch: no pair of an earlier one is left, and no number is given twice.
    pub fn renew(&self, facts: &KeyFacts) {
        let mut pools = self.lock();
        if let Some(own) = pools.own.get_mut(&facts.public.key) {
            own.pairs.clear();
            (own.epoch, own.members, own.passed_over) = (facts.public.epoch, facts.nodes.clone(), 0);
        }
        pools.theirs.retain(|(key, _), _| *key != facts.public.key);
        self.metrics.nonces.set(count(&pools));
    }

    /// Drops all pairs of a key that is others' now.
    pub fn forget(&self, key: &KeyId) {
        let mut pools = self.lock();
        // Its numbers go on should the key come back.
        if let Some(own) = pools.own.get_mut(key) {
            own.pairs.clear();
            own.members.clear();
        }
        pools.theirs.retain(|(of, _), _| of != key);
        self.metrics.nonces.set(count(&pools));
    }

    fn batch(&self, key: &KeyId, epoch: Epoch, first_index: u64, commitments: Vec<Bytes>) -> Unsigned {
        let batch = pb::NonceBatch {
            version: 1,
            cluster: self.cluster.to_string(),
            node: self.me.to_string(),
            key_id: key.to_string(),
            epoch: epoch.0,
            boot: self.boot.to_vec().into(),
            first_index,
            commitments,
        };
        Unsigned::new(PayloadType::NonceBatch, batch.encode_to_vec())
    }

    /// Every unused commitment for a peer whose link is new, to be signed.
    pub fn greeting(&self, peer: &NodeId) -> Vec<Unsigned> {
        self.unused(peer, |_| true)
    }

    /// The same of one key.
    pub fn greeting_of(&self, peer: &NodeId, key: &KeyId) -> Vec<Unsigned> {
        self.unused(peer, |of| of == key)
    }

    fn unused(&self, peer: &NodeId, wanted: impl Fn(&KeyId) -> bool) -> Vec<Unsigned> {
        let pools = self.lock();
        let mut batches = Vec::new();
        for (key, own) in pools.own.iter().filter(|(key, own)| wanted(key) && own.members.contains(peer)) {
            let mut run: Option<(u64, Vec<Bytes>)> = None;
            for (index, pair) in &own.pairs {
                let bytes = Bytes::from(pair.commitment().to_bytes());
                match &mut run {
                    Some((first, commitments))
                        if first.saturating_add(commitments.len() as u64) == *index
                            && commitments.len() < limits::NONCE_BATCH =>
                    {
                        commitments.push(bytes);
                    }
                    _ => {
                        if let Some((first, commitments)) = run.replace((*index, vec![bytes])) {
                            batches.push(self.batch(key, own.epoch, first, commitments));
                        }
                    }
                }
            }
            if let Some((first, commitments)) = run {
                batches.push(self.batch(key, own.epoch, first, commitments));
            }
        }
        batches
    }

    /// Keeps a peer's commitments. A new boot of the peer puts an end to all older ones.
    pub fn keep(&self, batch: CheckedBatch) {
        let mut pools = self.lock();
        let place = pools.theirs.entry((batch.key, batch.node));
        let kept = place.or_insert_with(|| Theirs {
            boot: batch.theirs.boot,
            epoch: batch.theirs.epoch,
            commitments: BTreeMap::new(),
        });
        if kept.boot != batch.theirs.boot || kept.epoch != batch.theirs.epoch {
            *kept = batch.theirs;
        } else {
            kept.commitments.extend(batch.theirs.commitments);
        }
        while kept.commitments.len() > KEPT {
            kept.commitments.pop_first();
        }
    }

    /// Whether all references can be served. Looks only: nothing is used up before the guard has allowed the session.
    pub fn check(&self, key: &KeyFacts, is_bare: bool, wanted: &[Reference]) -> Result<(), ApiError> {
        if is_bare {
            return Err(unavailable("bare digests are not signed with nonces shared ahead"));
        }
        if key.public.scheme.is_ecdsa() {
            return Err(unavailable(format!("key {} has no nonces shared ahead", key.public.key)));
        }
        let pools = self.lock();
        for reference in wanted {
            let known = if reference.signer == key.me {
                reference.boot == self.boot
                    && pools.own.get(&key.public.key).is_some_and(|own| own.pairs.contains_key(&reference.index))
            } else {
                commitment(&pools, key, reference).is_some()
            };
            if !known {
                let Reference { signer, index, .. } = reference;
                return Err(unavailable(format!(
                    "nonce {index} of signer {signer} is used, unknown or of another boot"
                )));
            }
        }
        Ok(())
    }

    /// Takes our pair out for ever and gives the list for the session.
    pub fn take(&self, key: &KeyFacts, wanted: &[Reference]) -> Result<SignMode, ApiError> {
        let gone = || unavailable("a nonce was used by another session meanwhile");
        let mut pools = self.lock();
        let mut commitments = BTreeMap::new();
        let mut own_pair = None;
        for reference in wanted {
            let commitment = if reference.signer == key.me {
                let own =
                    pools.own.get_mut(&key.public.key).filter(|_| reference.boot == self.boot).ok_or_else(gone)?;
                let pair = own.pairs.remove(&reference.index).ok_or_else(gone)?;
                own.passed_over = 0;
                if own.pairs.len().saturating_mul(2) < own.target {
                    self.low.notify_one();
                }
                let commitment = pair.commitment();
                own_pair = Some(pair);
                commitment
            } else {
                commitment(&pools, key, reference).ok_or_else(gone)?
            };
            commitments.insert(reference.signer, commitment);
        }
        for reference in wanted {
            forget(&mut pools, key, reference);
        }
        self.metrics.nonces.set(count(&pools));
        Ok(SignMode::Shared { own: own_pair.ok_or_else(gone)?, commitments })
    }

    /// Notes a session of two rounds. After some in a row the key's pairs are dropped and new ones made under new numbers.
    pub fn pass_over(&self, key: &KeyId) {
        let mut pools = self.lock();
        let Some(own) = pools.own.get_mut(key).filter(|own| !own.pairs.is_empty()) else { return };
        own.passed_over = own.passed_over.saturating_add(1);
        if own.passed_over >= PASSED_OVER {
            own.passed_over = 0;
            own.pairs.clear();
            self.metrics.nonces.set(count(&pools));
            self.low.notify_one();
        }
    }

    /// The state of a key's own pool, for coordinators.
    pub fn pool(&self, key: &KeyId) -> Option<pb::NoncePool> {
        self.lock().own.get(key).map(|own| self.describe(key, own))
    }

    /// The state of all own pools.
    pub fn all(&self) -> Vec<pb::NoncePool> {
        self.lock().own.iter().map(|(key, own)| self.describe(key, own)).collect()
    }

    fn describe(&self, key: &KeyId, own: &Own) -> pb::NoncePool {
        pb::NoncePool {
            key_id: key.to_string(),
            boot: self.boot.to_vec().into(),
            next_index: own.pairs.first_key_value().map_or(own.end, |(index, _)| *index),
            end_index: own.end,
        }
    }
}

fn count(pools: &Pools) -> i64 {
    let pairs = pools.own.values().fold(0usize, |sum, own| sum.saturating_add(own.pairs.len()));
    i64::try_from(pairs).unwrap_or(i64::MAX)
}

fn place(key: &KeyFacts, reference: &Reference) -> Option<(KeyId, NodeId)> {
    Some((key.public.key.clone(), key.node_at(reference.signer)?.clone()))
}

fn commitment(pools: &Pools, key: &KeyFacts, reference: &Reference) -> Option<NonceCommitment> {
    let theirs = pools.theirs.get(&place(key, reference)?)?;
    let right = theirs.boot == reference.boot && theirs.epoch == key.public.epoch;
    if right { theirs.commitments.get(&reference.index).copied() } else { None }
}

fn forget(pools: &mut Pools, key: &KeyFacts, reference: &Reference) {
    if let Some(theirs) = place(key, reference).and_then(|place| pools.theirs.get_mut(&place)) {
        theirs.commitments.remove(&reference.index);
    }
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(redacted)")
    }
}

#[cfg(test)]
mod tests;
