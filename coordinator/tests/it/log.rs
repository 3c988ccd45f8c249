//! The evidence log: nodes that hold it, hand leaves in and cosign, and a keeper that is started, wiped and put back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use limen_coordinator::log::EvidencePort;
use limen_coordinator::signers::CallError;
use limen_coordinator::store::{NoteKind, Store};
use limen_evidence::checkpoint::{Checkpoint, SignedCheckpoint, View, cosigner_name, log_origin};
use limen_evidence::leaf::{self, AccountKey, Authorization, Digests, Signature, Signed};
use limen_evidence::merkle::{ConsistencyProof, Frontier, TreeHash, leaf_hash};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{
    CharterHash, ClusterId, Epoch, IntentId, KeyId, NodeId, PartyIndex, Scheme, SessionId, SignerSet,
};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;

use crate::disk::Disk;
use crate::world::{Running, World, machine, until};

/// A node that holds the log in memory.
pub(crate) struct FakeNode {
    pub(crate) id: NodeId,
    key: SigningKey,
    held: Mutex<Vec<Bytes>>,
    pending: Mutex<Vec<Bytes>>,
    down: AtomicBool,
    /// It shows no leaves from here on.
    hides: AtomicUsize,
    /// What becomes of its answers on the way.
    pub(crate) spoils: Mutex<Option<Spoil>>,
}

/// Makes another answer of a node's.
pub(crate) type Spoil = fn(&FakeNode, pb::FollowResponse) -> pb::FollowResponse;

/// The way of one coordinator process.
struct Way(Arc<FakeNode>, CancellationToken);

fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

pub(crate) fn root(leaves: &[Bytes]) -> TreeHash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| drop(tree.append(leaf_hash(leaf)).unwrap()));
    tree.root()
}

impl FakeNode {
    fn new(number: u8) -> Arc<Self> {
        Self::named(&format!("signer-{number}"), number)
    }

    pub(crate) fn named(name: &str, number: u8) -> Arc<Self> {
        let id = NodeId::new(name).unwrap();
        let (held, pending, down, spoils) = Default::default();
        Arc::new(Self { id, key: machine(number), held, pending, down, hides: AtomicUsize::new(usize::MAX), spoils })
    }

    pub(crate) fn port(self: &Arc<Self>, cut: CancellationToken) -> Arc<dyn EvidencePort> {
        Arc::new(Way(Arc::clone(self), cut))
    }

    pub(crate) fn hands_in(&self, leaf: Bytes) {
        self.pending.lock().unwrap().push(leaf);
    }

    pub(crate) fn held(&self) -> Vec<Bytes> {
        self.held.lock().unwrap().clone()
    }

    pub(crate) fn cosign(&self, leaves: &[Bytes]) -> Bytes {
        let checkpoint = Checkpoint::new(&cluster(), leaves.len() as u64, root(leaves)).unwrap();
        let nothing = ConsistencyProof::new(Vec::new()).unwrap();
        let consistent = View::empty(log_origin(&cluster())).follow(0, &nothing, &checkpoint).unwrap();
        let cosigned = consistent.cosign(&cosigner_name(&cluster(), &self.id), &self.key, 9).unwrap();
        SignedCheckpoint::new(checkpoint, vec![cosigned]).unwrap().to_note().into_bytes().into()
    }

    fn follow(&self, request: &pb::FollowRequest) -> Result<pb::FollowResponse, CallError> {
        let mut held = self.held.lock().unwrap();
        let start = usize::try_from(request.start).unwrap();
        let size = held.len() as u64;
        if start > held.len() {
            return Ok(pb::FollowResponse { size, ..pb::FollowResponse::default() });
        }
        let mut grown = held[..start].to_vec();
        grown.extend(request.leaves.iter().cloned());
        let known = grown.len().min(held.len());
        let forked =
            request.size < size || held[..known] != grown[..known] || root(&grown).as_bytes()[..] != request.root[..];
        if forked {
            return Err(CallError::Refused(ApiError::new(Code::LogForked, "another log")));
        }
        if grown.len() > held.len() {
            *held = grown;
        }
        let pending = self.pending.lock().unwrap().iter().filter(|leaf| !held.contains(leaf)).cloned().collect();
        let cosigned = if request.cosign { self.cosign(&held) } else { Bytes::new() };
        Ok(pb::FollowResponse { size: held.len() as u64, pending, more: false, cosigned })
    }
}

#[async_trait]
impl EvidencePort for Way {
    async fn follow(&self, request: pb::FollowRequest) -> Result<pb::FollowResponse, CallError> {
        self.reach()?;
        let answer = self.0.follow(&request)?;
        let spoil = *self.0.spoils.lock().unwrap();
        Ok(match spoil {
            Some(spoil) => spoil(&self.0, answer),
            None => answer,
        })
    }
    async fn show_log(&self, request: pb::ShowLogRequest) -> Result<pb::ShowLogResponse, CallError> {
        self.reach()?;
        let held = self.0.held();
        let roots = request.sizes.iter().map(|size| match held.get(..usize::try_from(*size).unwrap()) {
            Some(leaves) => Bytes::copy_from_slice(root(leaves).as_bytes()),
            None => Bytes::new(),
        });
        let end = held.len().min(self.0.hides.load(Ordering::SeqCst));
        let start = usize::try_from(request.start).unwrap().min(end);
        // Two at a time: there are pages.
        let leaves = held[start..end].iter().take((request.most as usize).min(2)).cloned().collect();
        Ok(pb::ShowLogResponse { size: held.len() as u64, roots: roots.collect(), leaves })
    }
}

impl Way {
    fn reach(&self) -> Result<(), CallError> {
        let away = self.1.is_cancelled() || self.0.down.load(Ordering::SeqCst);
        if away { Err(CallError::Unreachable("down".to_owned())) } else { Ok(()) }
    }
}

fn signers() -> SignerSet {
    SignerSet::new([1, 2].map(|index| PartyIndex::new(index).unwrap()).to_vec()).unwrap()
}

pub(crate) fn authorization(node: u8, session: u8, by: u8) -> Bytes {
    let leaf = Authorization {
        cluster: cluster(),
        node: NodeId::new(format!("signer-{node}")).unwrap(),
        intent: IntentId::new([session; 32]),
        requester_key: machine(100).public_key(),
        effects: [1; 32],
        decoder_version: 1,
        charter: CharterHash::new([2; 32]),
        slice: [3; 32],
        freeze_epoch: [4; 32],
        approvals: Digests::default(),
        certificate: None,
        session: SessionId::new([session; 32]),
        signers: signers(),
        key: KeyId::new("treasury").unwrap(),
        epoch: Epoch::FIRST,
        path: "m".parse().unwrap(),
        max_corrupt: 1,
        allowed_at_ms: 5,
    };
    leaf.sign(&machine(by)).encode().into()
}

pub(crate) fn signature(session: u8) -> Bytes {
    let leaf = Signature {
        cluster: cluster(),
        intent: IntentId::new([session; 32]),
        key: KeyId::new("treasury").unwrap(),
        epoch: Epoch::FIRST,
        account_key: AccountKey::new(Scheme::EddsaEd25519, &[5; 32]).unwrap(),
        signed: Signed::Message([6; 32]),
        signature: [7; 64],
        recovery_id: 0,
        session: SessionId::new([session; 32]),
        signers: signers(),
    };
    leaf.encode().into()
}

pub(crate) fn world() -> World {
    World { log: (1..=3).map(FakeNode::new).collect(), ..World::new(3) }
}

/// What one session of signers 1 and 2 leaves behind.
pub(crate) fn sign(world: &World, session: u8) {
    for index in [0, 1] {
        world.log[index].hands_in(signature(session));
        world.log[index].hands_in(authorization(
            u8::try_from(index).unwrap() + 1,
            session,
            u8::try_from(index).unwrap() + 1,
        ));
    }
}

fn is_final(store: &Store, size: u64) -> bool {
    store.note(NoteKind::Final).unwrap().is_some_and(|note| note.checkpoint().size() == size)
}

pub(crate) async fn cosigned(running: &Running, size: u64) {
    until("the log is cosigned", || is_final(&running.core.store, size)).await;
}

pub(crate) fn leaves(running: &Running) -> Vec<Bytes> {
    running.core.store.log_leaves(0, u64::MAX).unwrap()
}

#[tokio::test]
async fn leaves_come_in_once_and_are_cosigned() {
    let world = world();
    let disk = Disk::default();
    sign(&world, 1);
    // Not its own, not signed, not a leaf.
    world.log[2].hands_in(authorization(1, 9, 3));
    world.log[2].hands_in(authorization(3, 9, 1));
    world.log[2].hands_in(Bytes::from_static(b"nothing"));
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    let log = leaves(&running);
    assert_eq!(log.last(), Some(&signature(1)), "what was allowed stands before what was signed");
    assert!(log.contains(&authorization(1, 1, 1)) && log.contains(&authorization(2, 1, 2)));
    assert!(world.log.iter().all(|node| node.held() == log));
    let found = running.core.store.leaves_of(&IntentId::new([1; 32])).unwrap();
    assert_eq!(found.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(found.iter().all(|(_, leaf)| leaf::Leaf::decode(&leaf.encode()).is_ok()));
    // One that was away gets everything, and is waited for by nobody.
    world.log[2].down.store(true, Ordering::SeqCst);
    sign(&world, 2);
    cosigned(&running, 6).await;
    assert_eq!(world.log[2].held().len(), 3);
    world.log[2].down.store(false, Ordering::SeqCst);
    let all = || running.core.store.note(NoteKind::Newest).unwrap().unwrap().signatures().len() == 3;
    until("all have cosigned", all).await;
    assert_eq!(running.core.metrics.log_alarms.get(), 0);
    running.stop(&disk).await;
}

/// Wiped: read back without an alarm. Put back or edited: read back, and somebody is told.
#[tokio::test]
async fn the_log_outlives_its_keepers_disk() {
    let world = world();
    let disk = Disk::default();
    sign(&world, 1);
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    let old = disk.after_crash();
    sign(&world, 2);
    cosigned(&running, 6).await;
    let log = leaves(&running);
    running.stop(&disk).await;
    let edited = Disk::default();
    let store = Store::open_backend(edited.clone(), &cluster()).unwrap();
    store.append_log(vec![Bytes::from_static(b"another"), Bytes::from_static(b"story")]).await.unwrap();
    drop(store);
    for (what, disk, alarms) in
        [("wiped", Disk::default(), 0), ("put back", old, 1), ("edited", edited.after_crash(), 1)]
    {
        let running = world.start(&disk).await;
        cosigned(&running, 6).await;
        assert_eq!(leaves(&running), log, "{what}");
        assert_eq!(running.core.metrics.log_alarms.get(), alarms, "{what}");
        running.stop(&disk).await;
    }
}

/// A node that invents a longer log does not make its keeper follow it.
#[tokio::test]
async fn a_single_liar_does_not_lead_the_log_astray() {
    let world = world();
    let disk = Disk::default();
    sign(&world, 1);
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    let log = leaves(&running);
    running.stop(&disk).await;
    *world.log[2].held.lock().unwrap() = vec![Bytes::from_static(b"a lie"); 9];
    let disk = Disk::default();
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    assert_eq!(leaves(&running), log);
    until("the alarms", || running.core.metrics.log_alarms.get() == 2).await;
    sign(&world, 2);
    cosigned(&running, 6).await;
    running.stop(&disk).await;
}

/// A node that shows true roots, then others and no leaves, or too many of them, holds nobody up.
#[tokio::test]
async fn a_liar_with_a_longer_tail_does_not_stop_recovery() {
    let world = world();
    let disk = Disk::default();
    sign(&world, 1);
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    let log = leaves(&running);
    running.stop(&disk).await;
    for (hides, tail) in [(3, 6), (5, 6), (1, 6), (usize::MAX, 5000)] {
        let mut lies = log.clone();
        lies.extend(vec![Bytes::from_static(b"a lie"); tail]);
        *world.log[2].held.lock().unwrap() = lies;
        world.log[2].hides.store(hides, Ordering::SeqCst);
        let disk = Disk::default();
        let running = world.start(&disk).await;
        cosigned(&running, 3).await;
        assert_eq!(leaves(&running), log, "{hides} shown of a tail of {tail}");
        running.stop(&disk).await;
    }
}

/// A short log agrees with both sides of a fork: it does not win by that.
#[tokio::test]
async fn a_short_log_and_a_forked_one_do_not_shorten_the_log() {
    let world = world();
    let disk = Disk::default();
    sign(&world, 1);
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    sign(&world, 2);
    cosigned(&running, 6).await;
    let log = leaves(&running);
    let kept = running.stop(&disk).await;
    // The first by name leads where nobody else can say; where this disk can, it does.
    for (disk, honest, short, liar) in [(Disk::default(), 0, 1, 2), (kept, 1, 2, 0)] {
        *world.log[honest].held.lock().unwrap() = log.clone();
        *world.log[short].held.lock().unwrap() = log[..3].to_vec();
        let mut forked = log[..3].to_vec();
        forked.extend(vec![Bytes::from_static(b"a lie"); 3]);
        *world.log[liar].held.lock().unwrap() = forked;
        let running = world.start(&disk).await;
        until("the short one follows", || world.log[short].held() == log).await;
        assert_eq!(leaves(&running), log);
        until("the alarms", || running.core.metrics.log_alarms.get() == 2).await;
        running.stop(&disk).await;
    }
}
