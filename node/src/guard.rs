//! The guard: decides alone, from evidence that this signer can check itself, whether anything may be signed.
//!
//! Pure: the charter, the journal's view, the authorization and the time are arguments. Two steps: *examine* checks what
//! needs no state (signatures, bytes, effects, rules), outside the writer; *admit* checks what does (claims, sessions,
//! stops, bans), inside the transaction that records the decision. Only `admit` builds a token, and only a token opens a
//! share: there is no other way to a signature.

mod admit;
mod bans;
mod examine;
mod freeze;
mod handover;
mod keygen;
mod leaf;
mod meter;
mod presign;
mod requirements;
mod reserve;
mod state;
mod token;

use std::collections::BTreeSet;

use limen_mpc::KeyPublic;
use limen_policy::charter::Charter;
use limen_policy::decide::Charge;
use limen_policy::freeze::Freezes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, IntentId, KeyId, LimitId, NodeId, PartyIndex, RequesterId, SessionId};

use crate::clock::Uptime;
use crate::store::log::MissingLeaves;
use crate::store::rows::{ClaimKey, RequesterTag, StoredSignature, Tally};

pub use admit::{FirstSight, admit_claim, admit_sign, first_sight};
pub use bans::{Ban, Lifted};
pub use examine::{Examined, SignCall, examine, sign_call};
pub use freeze::frozen;
pub use handover::{
    ExaminedHandover, HandoverToken, HandoverVerdict, KeyEpochs, admit_handover, check_epoch_named,
    check_handover_order, examine_handover, order_refused,
};
pub use keygen::{ExaminedOrder, KeygenVerdict, admit_keygen, examine_order};
pub use leaf::{LEAF_PATIENCE_MS, PENDING_LEAVES};
pub use meter::Meter;
pub use presign::{PresignCall, admit_presign, presign_call};
pub use requirements::{Progress, Said, facts, progress, running};
pub use reserve::Reservations;
pub use state::state_refused;
pub use token::{KeygenToken, PresignToken, SignToken};

/// The guard's answer.
#[derive(Debug)]
pub enum Verdict<T> {
    /// Go ahead, with this and only with this.
    Allowed(T),
    /// It was done before; here is what came of it.
    Repeat(StoredSignature),
    /// No.
    Refused(ApiError),
}

/// What the guard knows of a key: its public part, and who its members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Public key, chain code, committee size, epoch.
    pub public: KeyPublic,
    /// The members in index order.
    pub nodes: Vec<NodeId>,
    /// This node's index; one beyond every committee where it keeps a ledger and holds no share.
    pub me: PartyIndex,
    /// Certified by all members.
    pub active: bool,
    /// Others than these members have, or may have, signed by the key before it was handed over: nobody can speak for them all, so
    /// nothing that is reserved for it is given back early.
    pub moved: bool,
}

impl KeyFacts {
    /// The member with this index.
    pub fn node_at(&self, index: PartyIndex) -> Option<&NodeId> {
        self.nodes.get(usize::from(index.as_u8()).checked_sub(1)?)
    }
    /// Whether this node holds a share of it.
    pub fn is_member(&self) -> bool {
        self.node_at(self.me).is_some()
    }
}

/// What the guard asks the journal about one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIntent {
    /// Sessions allowed so far.
    pub sessions: u32,
    /// It has been allowed at least once.
    pub allowed: bool,
    /// The running time at which its life is over; `None` once it has shrunk.
    pub life_ends: Option<Uptime>,
    /// It has shrunk to a tombstone: it will never start a session again.
    pub ended: bool,
    /// Its signature, if this node has one.
    pub result: Option<StoredSignature>,
    /// The sequence number that it burns; `None` also once it has shrunk.
    pub nonce_claim: Option<ClaimKey>,
    /// Who asked.
    pub requester: RequesterTag,
    /// The limits that this node's own shares have counted it in.
    pub metered: BTreeSet<LimitId>,
}

/// The charter that the journal says is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Its hash.
    pub hash: CharterHash,
    /// A signed sibling that tightens and that this signer's line has passed by.
    pub fork: Option<CharterHash>,
}

/// Refuses to decide under a charter that is not the one in force, and under none while two versions contradict each other.
fn check_charter(in_force: &InForce, charter: &Charter, examined_under: CharterHash) -> Result<(), ApiError> {
    if let Some(sibling) = in_force.fork {
        let message = format!("charter {} is in force and {sibling}, signed too, is not joined with it", in_force.hash);
        return Err(ApiError::new(Code::CharterFork, message));
    }
    if charter.hash() != in_force.hash || examined_under != in_force.hash {
        return Err(charter_changed(in_force));
    }
    Ok(())
}

/// What was examined under a charter that is not in force is examined anew.
pub fn charter_changed(in_force: &InForce) -> ApiError {
    let message = format!("charter {} came into force while this was examined", in_force.hash);
    ApiError::new(Code::CharterChanged, message)
}

/// The journal as the guard sees it.
pub trait JournalView {
    /// Why it cannot be read.
    type Error;
    /// The charter in force.
    fn in_force(&self) -> Result<InForce, Self::Error>;
    /// What is known of an intent.
    fn intent(&self, id: &IntentId) -> Result<Option<KnownIntent>, Self::Error>;
    /// Which intent holds a claim.
    fn holder(&self, claim: ClaimKey) -> Result<Option<IntentId>, Self::Error>;
    /// Whether a session of this name was ever started, in any boot.
    fn session_seen(&self, session: &SessionId) -> Result<bool, Self::Error>;
    /// Whether the intent was stopped by its requester.
    fn stopped(&self, intent: &IntentId, requester: &RequesterId) -> Result<bool, Self::Error>;
    /// Every freeze that is held here.
    fn freezes(&self) -> Result<Freezes, Self::Error>;
    /// Intents of this requester that are counted here as this.
    fn counted(&self, tally: Tally, requester: &RequesterId) -> Result<u64, Self::Error>;
    /// What of a limit this node has allowed by itself.
    fn meter(&self, charge: &Charge) -> Result<Meter, Self::Error>;
    /// The leaves of this signer's own that are not safely in the evidence log.
    fn missing_leaves(&self) -> Result<MissingLeaves, Self::Error>;
    /// Why a peer is banned, if it is.
    fn ban(&self, peer: &NodeId) -> Result<Option<Ban>, Self::Error>;
    /// Names of keys taken so far.
    fn key_names(&self) -> Result<usize, Self::Error>;
    /// Id of the order under which a key's name is taken, and whether this node has stated a share of it.
    fn key_order(&self, key: &KeyId) -> Result<Option<(IntentId, bool)>, Self::Error>;
    /// What is known of a key's epochs; `None` of a name that nobody has taken here.
    fn key_epochs(&self, key: &KeyId) -> Result<Option<KeyEpochs>, Self::Error>;
}

#[cfg(test)]
pub(crate) mod tests;
