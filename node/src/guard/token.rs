//! Permissions. Only this module's parent can make one, each is used up by what it permits, none can be copied.

use std::collections::BTreeSet;
use std::sync::Arc;

use limen_mpc::{DerivationPath, SessionParams, SignInput};
use limen_policy::decide::Charge;
use limen_wire::effects::Address;
use limen_wire::ids::{ApprovalId, IntentId, NodeId, PartyIndex, SessionId};
use limen_wire::intent::{KeyGeneration, Payload};

use super::reserve::Cover;
use super::{Examined, KeyFacts, Lifted, SignCall};
use crate::store::journal::{Allowed, Evidence};

/// "This intent may be signed in this session." Becomes valid by being recorded: the store hands it out only after the
/// record is durable.
#[derive(Debug)]
pub struct SignToken {
    examined: Examined,
    call: SignCall,
    charter: [u8; 32],
    approvals: BTreeSet<ApprovalId>,
    cover: Cover,
    lifted: Lifted,
}

impl SignToken {
    pub(super) fn new(examined: Examined, call: SignCall, charter: [u8; 32], approvals: BTreeSet<ApprovalId>) -> Self {
        Self { examined, call, charter, approvals, cover: Cover::default(), lifted: Lifted::new() }
    }
    pub(super) fn covered(self, cover: Cover) -> Self {
        Self { cover, ..self }
    }
    pub(super) fn meeting(self, lifted: Lifted) -> Self {
        Self { lifted, ..self }
    }
    /// Bans between the signers that the charter has lifted.
    pub const fn lifted(&self) -> &Lifted {
        &self.lifted
    }
    /// What this signer's own shares of limits take over with this permission.
    pub fn metered(&self) -> &[Charge] {
        &self.cover.metered
    }
    /// The examined intent.
    pub const fn examined(&self) -> &Examined {
        &self.examined
    }
    /// The key that signs.
    pub const fn key(&self) -> &Arc<KeyFacts> {
        &self.examined.key
    }
    /// The session.
    pub const fn session(&self) -> &SessionId {
        &self.call.session
    }
    /// The signer set and session.
    pub const fn call(&self) -> &SignCall {
        &self.call
    }
    /// What the session is bound to.
    pub fn params(&self) -> SessionParams {
        params(&self.examined.key, &self.call, self.examined.intent.id)
    }
    /// The child key's path.
    pub const fn path(&self) -> &DerivationPath {
        &self.examined.path
    }
    /// What is signed, computed from the intent's bytes.
    pub const fn input(&self) -> &SignInput {
        &self.examined.input
    }
    /// The account that signs.
    pub const fn account(&self) -> &Address {
        &self.examined.account
    }
    /// The exact bytes behind the signature.
    pub const fn payload(&self) -> &Payload {
        &self.examined.intent.payload
    }
    /// The journal's record of this permission.
    pub fn record(&self) -> Allowed {
        let intent = &self.examined.intent;
        Allowed {
            intent: *intent.id.as_bytes(),
            session: *self.call.session.as_bytes(),
            key: intent.key_id.to_string(),
            epoch: self.examined.key.public.epoch.0,
            signers: self.call.signers.parties().iter().map(|party| party.as_u8()).collect(),
            charter: self.charter,
            effects: self.examined.effects_digest,
            replaces: intent.replaces.map(|id| *id.as_bytes()),
            evidence: Evidence {
                approvals: self.approvals.iter().map(|id| *id.as_bytes()).collect(),
                freeze: Some(*self.examined.freeze_epoch.as_bytes()),
                certificate: self.cover.certificate,
                ..Evidence::default()
            },
        }
    }
}

fn params(key: &KeyFacts, call: &SignCall, intent: IntentId) -> SessionParams {
    let public = &key.public;
    SessionParams {
        cluster: public.cluster.clone(),
        key: public.key.clone(),
        epoch: public.epoch,
        scheme: public.scheme,
        protocol: public.protocol,
        size: public.size,
        signers: call.signers.clone(),
        session: call.session,
        intent,
    }
}

/// "This key may be made in this session."
#[derive(Debug)]
pub struct KeygenToken {
    pub(super) order: KeyGeneration,
    pub(super) session: SessionId,
    pub(super) me: PartyIndex,
    pub(super) lifted: Lifted,
}

impl KeygenToken {
    /// Bans between the members that the charter has lifted.
    pub const fn lifted(&self) -> &Lifted {
        &self.lifted
    }
    /// The order.
    pub const fn order(&self) -> &KeyGeneration {
        &self.order
    }
    /// The session.
    pub const fn session(&self) -> &SessionId {
        &self.session
    }
    /// This node's index.
    pub const fn me(&self) -> PartyIndex {
        self.me
    }
    /// The members.
    pub fn nodes(&self) -> &[NodeId] {
        &self.order.nodes
    }
    /// What the session is bound to.
    pub fn params(&self) -> SessionParams {
        let order = &self.order;
        SessionParams {
            cluster: order.cluster.clone(),
            key: order.key_id.clone(),
            epoch: limen_wire::ids::Epoch::FIRST,
            scheme: order.scheme,
            protocol: order.protocol,
            size: order.size,
            signers: limen_wire::ids::SignerSet::all(order.size),
            session: self.session,
            intent: order.id,
        }
    }
}

/// "A presignature may be made in this session." It signs nothing: using it takes a [`SignToken`].
#[derive(Debug)]
pub struct PresignToken {
    pub(super) key: Arc<KeyFacts>,
    pub(super) call: SignCall,
    pub(super) path: DerivationPath,
    pub(super) lifted: Lifted,
}

impl PresignToken {
    /// Bans between the signers that the charter has lifted.
    pub const fn lifted(&self) -> &Lifted {
        &self.lifted
    }
    /// The key.
    pub const fn key(&self) -> &Arc<KeyFacts> {
        &self.key
    }
    /// The session.
    pub const fn session(&self) -> &SessionId {
        &self.call.session
    }
    /// The path that the presignature is bound to.
    pub const fn path(&self) -> &DerivationPath {
        &self.path
    }
    /// What the session is bound to: no intent, so the zero id stands in its place.
    pub fn params(&self) -> SessionParams {
        params(&self.key, &self.call, IntentId::new([0; 32]))
    }
}
