//! What stands in the tables: versioned rows, encoded as one version byte and postcard.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{ClusterId, Epoch, IntentId, KeyId, NodeId, RequesterId, tagged_hash};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::clock::Uptime;

/// Version of every row encoding in this release.
const ROW_VERSION: u8 = 1;

/// Encodes a row.
pub(super) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(row, vec![ROW_VERSION]).map_err(|error| StoreError::damaged(format!("encoding a row: {error}")))
}

/// Decodes a row of a known version.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&ROW_VERSION, body)) => {
            postcard::from_bytes(body).map_err(|error| StoreError::damaged(format!("a row of {what}: {error}")))
        }
        Some((version, _)) => Err(StoreError::damaged(format!("a row of {what} has the unknown version {version}"))),
        None => Err(StoreError::damaged(format!("an empty row of {what}"))),
    }
}

/// Place in the order of first sight, from 1.
pub type Sequence = u64;

/// The name of a thing that is claimed once: 128 bits of a tagged hash. Whoever wants two of their own requests to
/// collide must find the collision among their own signed requests, and gains a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimKey(pub [u8; 16]);

fn first_half(hash: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    half
}

impl ClaimKey {
    /// A requester's own name for a request.
    pub fn idempotency(cluster: &ClusterId, requester: &RequesterId, key: &str) -> Self {
        let parts = [cluster.as_str().as_bytes(), requester.as_str().as_bytes(), key.as_bytes()];
        Self(first_half(tagged_hash("limen node idempotency claim v1", parts)))
    }
    /// An account's sequence number on a chain.
    pub fn nonce(chain: &str, account: &str, nonce: u64) -> Self {
        let parts = [chain.as_bytes(), account.as_bytes(), &nonce.to_be_bytes()];
        Self(first_half(tagged_hash("limen node nonce claim v1", parts)))
    }
    /// A session's name.
    pub(super) fn session(session: &[u8; 32]) -> [u8; 16] {
        first_half(tagged_hash("limen node session v1", [&session[..]]))
    }
    /// An intent's name.
    pub(super) fn intent(id: &IntentId) -> [u8; 16] {
        first_half(*id.as_bytes())
    }
}

/// A signature that a session of this node made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSignature {
    /// `r ‖ s`, `R ‖ s`: 64 bytes.
    pub signature: Vec<u8>,
    /// ECDSA only.
    pub recovery_id: u8,
    /// The session; empty once compacted.
    pub session: Vec<u8>,
    /// Indices of its signers; empty once compacted.
    pub signers: Vec<u8>,
}

/// Who asked, as half a hash: it outlives the name, so that a tombstone still knows its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequesterTag([u8; 16]);

impl RequesterTag {
    /// For a requester's name.
    pub fn of(requester: &str) -> Self {
        Self(first_half(tagged_hash("limen node requester v1", [requester.as_bytes()])))
    }
}

/// What the node knows of one intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRow {
    /// Its id.
    pub id: [u8; 32],
    /// Milliseconds since 1970 of first sight.
    pub first_seen_ms: u64,
    /// Who asked.
    pub requester: RequesterTag,
    /// It has been allowed: a signature may exist.
    pub allowed: bool,
    /// A stop record names it.
    pub stopped: bool,
    /// The signature, if this node has one.
    pub result: Option<StoredSignature>,
    /// What goes when the row shrinks to a tombstone.
    pub live: Option<LiveIntent>,
}

/// The part of an intent that is kept until some time after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveIntent {
    /// The envelope, as protocol buffer.
    pub envelope: Vec<u8>,
    /// Who asked.
    pub requester: String,
    /// As what it is counted until it is allowed, where it could not be signed as it stood when it was first seen.
    pub counted: Option<Tally>,
    /// Its expiry, in seconds since 1970.
    pub expires_at_secs: u64,
    /// Sessions allowed so far.
    pub sessions: u32,
    /// The sequence number that it burns, if it does.
    pub nonce_claim: Option<ClaimKey>,
    /// How long this node had been running at first sight, in milliseconds.
    pub first_seen_uptime: u64,
    /// What people said: approvals' envelopes, as protocol buffers, in the order in which they became durable.
    pub approvals: Vec<Vec<u8>>,
    /// The delays that run.
    pub delays: Delays,
    /// Who rejected it, and why: for good, whatever becomes of their credential.
    pub rejected: Option<(String, String)>,
    /// The limits in which this node's own shares count it.
    pub metered: Vec<String>,
}

/// What the node remembers of a ledger that it keeps, besides certificates and acknowledged entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Who keeps it, as `limen.v1.LedgerCommittee`: of those before the charter's own nothing else knows it.
    pub committee: Vec<u8>,
    /// Nothing more is acknowledged at this number or below.
    pub closed_through: u64,
}

/// Since when each rule's delay runs.
pub type Delays = BTreeMap<String, Started>;

/// The moment from which a delay runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The slice of the charter under which it began: under another one it begins anew.
    pub slice: [u8; 32],
    /// How long this node had been running, in milliseconds.
    pub uptime: u64,
    /// Rules that have had their approvals ever since, whether or not they matched all the time: another one that matches
    /// lets it begin anew.
    pub met: BTreeSet<String>,
}

impl IntentRow {
    /// The id, typed.
    pub const fn intent_id(&self) -> IntentId {
        IntentId::new(self.id)
    }
    /// The running time at which its life is over, counted from first sight, so that no wall clock turned back makes it longer.
    /// `None` for a tombstone.
    pub fn life_ends(&self) -> Option<Uptime> {
        let live = self.live.as_ref()?;
        let life = live.expires_at_secs.saturating_mul(1000).saturating_sub(self.first_seen_ms);
        Some(Uptime(live.first_seen_uptime.saturating_add(life)))
    }
    /// Sessions allowed so far; a tombstone has used up all.
    pub fn sessions(&self) -> u32 {
        self.live.as_ref().map_or(u32::MAX, |live| live.sessions)
    }
}

/// Where a key stands at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyPhase {
    /// The name is taken, a session runs or ran; no share yet.
    Generating,
    /// The share is durable and was read back; the others may not be as far.
    Pending,
    /// Certified by all members.
    Active,
    /// Generation failed; the name stays taken.
    Failed,
    /// Certified shares are others': this node has none, or one that is not certified yet.
    Away,
    /// The charter says that it is destroyed: nothing of it is stored here again.
    Destroyed,
}

/// What the node knows of one key; never the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Where it stands.
    pub phase: KeyPhase,
    /// The envelope of the order that made the key, as protocol buffer; empty where the key was handed over to this node.
    pub order: Vec<u8>,
    /// Id of the order under which the name is taken.
    pub order_id: [u8; 32],
    /// Key generations tried so far.
    pub attempts: u32,
    /// The share that signs, or is to sign first.
    pub share: Option<ShareRow>,
    /// The newest certificate, as protocol buffer, once there is one.
    pub certificate: Vec<u8>,
    /// What handovers have left here.
    pub epochs: EpochsRow,
    /// What its end has left here, and who says the same of theirs.
    pub destroyed: DestroyedRow,
}

/// How far a key is destroyed at this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyedRow {
    /// The charter under which it was begun here; zeros before.
    pub charter: [u8; 32],
    /// The public key, as certificates have it; empty of a key of which nothing was ever held here.
    pub public_key: Vec<u8>,
    /// Generations of which something lay here, increasing.
    pub epochs: Vec<u64>,
    /// No record of it is left.
    pub erased: bool,
    /// Wrapping keys of its records that other shares need still.
    pub keks_left: Vec<String>,
    /// Who has destroyed it: their words, as protocol buffers, by name.
    pub words: BTreeMap<String, Vec<u8>>,
}

/// What handovers of one key have left at this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochsRow {
    /// The highest epoch that an attempt has taken here: none is taken twice.
    pub burnt: u64,
    /// Shares of epochs that are not certified, by epoch.
    pub pending: BTreeMap<u64, ShareRow>,
    /// Shares of epochs that are over, until they are erased.
    pub old: BTreeMap<u64, ShareRow>,
    /// The order of the newest certificate, as protocol buffer; empty for the first epoch.
    pub order: Vec<u8>,
    /// Certificates of earlier epochs with their orders, as protocol buffers: what was signed with them is proved by them, and who
    /// has missed one takes it up first.
    pub past: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    /// Who signs with the newest certificate's shares: their words, as protocol buffers, by name.
    pub switched: BTreeMap<String, Vec<u8>>,
}

impl KeyRow {
    /// The highest epoch for which a share or set-up may have been made here.
    pub fn newest_epoch(&self) -> Epoch {
        let pending = self.epochs.pending.keys().next_back().copied();
        let present = self.share.as_ref().map(|share| share.epoch);
        Epoch([Some(self.epochs.burnt), pending, present].into_iter().flatten().fold(Epoch::FIRST.0, u64::max))
    }

    /// The share of an epoch, whatever it is to this node.
    pub fn share_at(&self, epoch: Epoch) -> Option<&ShareRow> {
        let present = self.share.iter().find(|share| share.epoch == epoch.0);
        present.or_else(|| self.epochs.pending.get(&epoch.0)).or_else(|| self.epochs.old.get(&epoch.0))
    }

    /// The share of an epoch that may come to sign, or signs.
    pub fn share_at_mut(&mut self, epoch: Epoch) -> Option<&mut ShareRow> {
        let present = self.share.iter_mut().find(|share| share.epoch == epoch.0);
        present.or_else(|| self.epochs.pending.get_mut(&epoch.0))
    }

    /// Every share that lies here.
    pub fn shares(&self) -> impl Iterator<Item = &ShareRow> {
        self.share.iter().chain(self.epochs.pending.values()).chain(self.epochs.old.values())
    }

    /// The generation of the shares that sign, as far as this node knows.
    pub fn in_force(&self) -> Option<Epoch> {
        let statement = pb::Envelope::decode(self.certificate.as_slice()).ok()?;
        Some(KeyStatement::decode(&statement).ok()?.epoch)
    }
}

/// The public side of a stored share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRow {
    /// Generation of the shares.
    pub epoch: u64,
    /// The members in index order.
    pub nodes: Vec<NodeId>,
    /// Id of the order that the share was made under.
    pub order_id: [u8; 32],
    /// The envelope of that order, as protocol buffer, if it handed the key over.
    pub handover: Vec<u8>,
    /// Generation number that the sealed records must carry.
    pub generation: u64,
    /// Encoded public part of the key.
    pub public: Vec<u8>,
    /// This node's signed statement, as protocol buffer; empty until the share was read back.
    pub statement: Vec<u8>,
    /// The key was imported: the mark goes with it through every epoch.
    pub was_whole: bool,
}

/// A version of the charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterRow {
    /// The exact text.
    pub text: String,
    /// The envelope with what people signed, as protocol buffer; empty for the charter that this node began with.
    pub signed: Vec<u8>,
    /// Somebody's veto, as protocol buffer.
    pub veto: Option<Vec<u8>>,
}

/// The name of a requester's stop record for an intent: a stranger's record never takes the place of the requester's own.
pub(super) fn stop_name(intent: &IntentId, requester: &str) -> [u8; 32] {
    tagged_hash("limen node stop v1", [&intent.as_bytes()[..], requester.as_bytes()])
}

/// The name of a limit's meter for one subject.
pub(super) fn meter_name(limit: &str, subject: &str) -> [u8; 32] {
    tagged_hash("limen node meter v1", [limit.as_bytes(), subject.as_bytes()])
}

/// What is counted for each requester and person, so that none of them fills the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tally {
    /// Intents noted although the rules denied them for good, neither allowed nor compacted since.
    Denied,
    /// Intents noted that waited for people, findings, an hour or an age, neither allowed nor compacted since.
    Waiting,
    /// Stop records for intents that have not been seen.
    StopsAhead,
    /// What a person said about freezes and about intents that have not been seen.
    Said,
}

impl Tally {
    pub(super) fn name(self, requester: &str) -> String {
        match self {
            Self::Denied => format!("denied/{requester}"),
            Self::Waiting => format!("waiting/{requester}"),
            Self::StopsAhead => format!("stops-ahead/{requester}"),
            Self::Said => format!("said/{requester}"),
        }
    }
}

/// A sealed record's name: key, epoch and purpose.
pub fn share_name(key: &KeyId, epoch: Epoch, purpose: &str) -> String {
    format!("{key}/{epoch}/{purpose}")
}

/// What the names of a key's sealed records begin with, and of no other's.
pub fn share_prefix(key: &KeyId) -> String {
    format!("{key}/")
}

/// Why a peer is banned. A later ban of the same peer takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRow {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// In which session.
    pub session: [u8; 32],
    /// What was observed.
    pub reason: String,
    /// The newest epoch of each key for which a set-up with the peer may have been made before: none of these is used with it again.
    pub tainted: BTreeMap<String, u64>,
}
