//! Orders to make a key's shares anew.

use std::collections::BTreeMap;

use limen_mpc::{Handover, KeyPublic, Point, SessionParams, Succession};
use limen_policy::charter::{Charter, index_in};
use limen_policy::key_order::{self, KeyOrderError};
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::KeyHandover;
use limen_wire::ids::{CharterHash, Epoch, IntentId, KeyId, NodeId, PartyIndex, Scheme, SessionId, SignerSet};
use limen_wire::statement::KeyStatement;
use limen_wire::{limits, pb};

use super::admit::check_expiry;
use super::bans::{Lifted, check_parties};
use super::state::state_code;
use super::{JournalView, KeyFacts, check_charter};
use crate::clock::Millis;
use crate::shares::key_statement;

fn malformed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

/// What an order that the charter does not allow is to a caller.
pub fn order_refused(error: &KeyOrderError) -> ApiError {
    let code = match error {
        KeyOrderError::WrongCluster { .. } => Code::WrongCluster,
        KeyOrderError::NotPermitted(_)
        | KeyOrderError::NotThisCommittee { .. }
        | KeyOrderError::ImportNotNamed { .. }
        | KeyOrderError::NameOfImport { .. }
        | KeyOrderError::TooFewForBackups { .. } => Code::NotPermitted,
        KeyOrderError::UnknownNode(_) => Code::BadSignerSet,
        KeyOrderError::Held(_) => Code::HsmKeyRefused,
        KeyOrderError::State(error) => state_code(error),
        KeyOrderError::OtherKey { .. } | KeyOrderError::OtherPresent { .. } => Code::Malformed,
        KeyOrderError::Protocol { .. } => Code::WrongScheme,
    };
    ApiError::new(code, error.to_string())
}

/// Opens an order whose requester has signed it and may order this, given the present certificate.
pub fn check_handover_order(
    charter: &Charter,
    envelope: &pb::Envelope,
    present: &KeyStatement,
) -> Result<KeyHandover, ApiError> {
    let (order, opened) = KeyHandover::open(envelope).map_err(malformed)?;
    let requester = charter.requesters.get(&order.requester).ok_or_else(|| {
        ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", order.requester))
    })?;
    opened
        .verify(order.requester.as_str(), &requester.public_key)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    key_order::check_handover(charter, &order, present).map_err(|error| order_refused(&error))?;
    // Indices are places in the charter: a committee in another order would give a node another's place.
    let mut places = charter.nodes.iter();
    if order.nodes.iter().all(|node| places.any(|known| known.id == *node)) {
        return Ok(order);
    }
    Err(ApiError::new(Code::BadSignerSet, "the new members are not in the charter's order"))
}

/// An attempt whose order, certificate and parties this signer has checked.
#[derive(Debug, Clone)]
pub struct ExaminedHandover {
    order: KeyHandover,
    epoch: Epoch,
    /// SHA-256 names what is certified; these are its exact bytes.
    certified: Vec<u8>,
    was_whole: bool,
    handover: Handover,
    parties: Vec<NodeId>,
    me: PartyIndex,
    deals: bool,
    charter: CharterHash,
}

impl ExaminedHandover {
    /// The checked order.
    pub const fn order(&self) -> &KeyHandover {
        &self.order
    }
    /// The epoch of this attempt.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// How many other signers have to stand well: as many as take part in a signature, before or after.
    pub fn others_needed(&self) -> usize {
        let (old, new) = (self.handover.old().size, self.order.size);
        usize::from(old.signers_required().max(new.signers_required())).saturating_sub(1)
    }
}

/// The public part of the present shares: what the certificate's hash says.
fn present(statement: &KeyStatement, shares: &[bytes::Bytes]) -> Result<KeyPublic, ApiError> {
    let point = |bytes: &[u8]| Point::of_key(statement.scheme, bytes).map_err(malformed);
    let mut verifying_shares = BTreeMap::new();
    for (number, bytes) in (1u16..).zip(shares.iter().take(limits::KEY_MEMBERS)) {
        let party = PartyIndex::new(number).map_err(malformed)?;
        // Of a share the y coordinate counts for BIP-340, too.
        let share = match statement.scheme {
            Scheme::SchnorrBip340 => Point::secp256k1(bytes).map_err(malformed)?,
            _ => point(bytes)?,
        };
        verifying_shares.insert(party, share);
    }
    Ok(KeyPublic {
        cluster: statement.cluster.clone(),
        key: statement.key_id.clone(),
        epoch: statement.epoch,
        scheme: statement.scheme,
        protocol: statement.protocol,
        size: statement.size,
        public_key: point(&statement.public_key)?,
        chain_code: statement.chain_code,
        verifying_shares,
    })
}

/// Examines an attempt: the certificate of the present shares, the order under it, who deals, this node among the parties.
pub fn examine_handover(
    charter: &Charter,
    me: &NodeId,
    request: &pb::HandOverKeyRequest,
) -> Result<ExaminedHandover, ApiError> {
    let certificate = request.certificate.clone().unwrap_or_default();
    let statement = KeyStatement::from_certificate(&certificate, charter)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    let order = check_handover_order(charter, &request.order.clone().unwrap_or_default(), &statement)?;
    let epoch = Epoch(request.epoch);
    if !order.allows(epoch) {
        let (first, attempts) = (order.first_epoch, limits::HANDOVER_ATTEMPTS);
        return Err(malformed(format!("epoch {epoch} is none of the {attempts} from {first} that the order allows")));
    }
    let public = present(&statement, &request.verifying_shares)?;
    if key_statement(&public, &statement.nodes, (statement.generation_id, statement.was_whole)).to_payload()
        != certificate.payload
    {
        return Err(malformed("the public shares are not those that the certificate names"));
    }
    let dealers = dealers(&statement, &order, &request.dealers)?;
    let next = Succession { epoch, protocol: order.protocol, size: order.size };
    let handover =
        Handover::new(public, next, &dealers).map_err(|error| ApiError::new(Code::BadSignerSet, error.to_string()))?;
    let leaving = dealers.iter().filter(|(_, place)| place.is_none());
    let leaving = leaving.filter_map(|(holder, _)| statement.nodes.get(usize::from(holder.as_u8()).checked_sub(1)?));
    let parties: Vec<NodeId> = order.nodes.iter().chain(leaving).cloned().collect();
    let none = || ApiError::new(Code::BadSignerSet, format!("{me} takes no part in this handover"));
    let number = index_in(&parties, me).ok_or_else(none)?;
    let deals = request.dealers.iter().any(|dealer| dealer == me.as_str());
    let certified = certificate.payload.to_vec();
    let (me, was_whole, charter) = (number, statement.was_whole, charter.hash());
    Ok(ExaminedHandover { order, epoch, certified, was_whole, handover, parties, me, deals, charter })
}

/// For the old number of each dealer its number in the new committee, if it stays.
fn dealers(
    present: &KeyStatement,
    order: &KeyHandover,
    names: &[String],
) -> Result<BTreeMap<PartyIndex, Option<PartyIndex>>, ApiError> {
    let mut dealers = BTreeMap::new();
    for name in names.iter().take(limits::KEY_MEMBERS) {
        let node = NodeId::new(name.clone()).map_err(malformed)?;
        let stranger = || ApiError::new(Code::BadSignerSet, format!("{node} holds no present share of the key"));
        let holder = index_in(&present.nodes, &node).ok_or_else(stranger)?;
        if dealers.insert(holder, index_in(&order.nodes, &node)).is_some() {
            return Err(malformed(format!("dealer {node} is named twice")));
        }
    }
    Ok(dealers)
}

/// Refuses a call whose indices are places in another epoch's committee than the one that signs here.
pub fn check_epoch_named(key: &KeyFacts, epoch: u64) -> Result<(), ApiError> {
    let here = key.public.epoch;
    if epoch == here.0 {
        return Ok(());
    }
    let message = format!("the call is about epoch {epoch} of key {}, epoch {here} signs here", key.public.key);
    Err(ApiError::new(Code::EpochChanged, message))
}

/// What the journal knows of a key's epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEpochs {
    /// The exact bytes of the newest certified statement, and its epoch; none of a key that was never certified here.
    pub in_force: Option<(Epoch, Vec<u8>)>,
    /// This node signs with a share of it.
    pub signs: bool,
    /// A key generation of this name is under way, or failed.
    pub is_making: bool,
    /// The highest epoch that an attempt has taken here.
    pub burnt: Epoch,
    /// The order and epoch of the last share that was made here and is not certified.
    pub pending: Option<(IntentId, Epoch)>,
}

/// The guard's answer to an attempt.
#[derive(Debug)]
pub enum HandoverVerdict {
    /// Go ahead.
    Allowed(Box<HandoverToken>),
    /// This attempt has left a share here; it is stated, and no other is made.
    Repeat,
    /// No.
    Refused(ApiError),
}

/// "This key may be handed over in this session." Used up by it.
#[derive(Debug)]
pub struct HandoverToken {
    examined: ExaminedHandover,
    session: SessionId,
    lifted: Lifted,
}

impl HandoverToken {
    /// The key.
    pub const fn key(&self) -> &KeyId {
        &self.examined.order.key_id
    }
    /// The order.
    pub const fn order(&self) -> &KeyHandover {
        &self.examined.order
    }
    /// The epoch of the new shares.
    pub const fn epoch(&self) -> Epoch {
        self.examined.epoch
    }
    /// The session.
    pub const fn session(&self) -> &SessionId {
        &self.session
    }
    /// Bans between the parties that the charter has lifted.
    pub const fn lifted(&self) -> &Lifted {
        &self.lifted
    }
    /// The public part of the present shares.
    pub fn present(&self) -> &KeyPublic {
        self.examined.handover.old()
    }
    /// Whether the key was imported, as the certificate of the present shares says.
    pub const fn was_whole(&self) -> bool {
        self.examined.was_whole
    }
    /// Who deals with what to whom.
    pub const fn handover(&self) -> &Handover {
        &self.examined.handover
    }
    /// Everybody who takes part, by number.
    pub fn parties(&self) -> &[NodeId] {
        &self.examined.parties
    }
    /// This node's number among them.
    pub const fn me(&self) -> PartyIndex {
        self.examined.me
    }
    /// Whether this node brings its present share.
    pub const fn deals(&self) -> bool {
        self.examined.deals
    }
    /// Whether this node gets a new share.
    pub fn is_member(&self) -> bool {
        self.examined.me.as_u8() <= self.examined.order.size.signers_total()
    }
    /// What the session of the auxiliary information is bound to.
    pub fn aux_params(&self, session: SessionId) -> SessionParams {
        let order = &self.examined.order;
        SessionParams { signers: SignerSet::all(order.size), ..self.examined.handover.params(session, order.id) }
    }
}

/// Decides on an attempt. A node takes each epoch once, in increasing order, and deals only with the shares that are in force
/// for it: so no two transcripts of one epoch can both be certified, and an attempt that fails has burnt its number.
pub fn admit_handover<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: ExaminedHandover,
    (session, no_standing): (SessionId, Option<ApiError>),
    now: Millis,
) -> Result<HandoverVerdict, V::Error> {
    let (order, epoch) = (&examined.order, examined.epoch);
    let refused = |error| Ok(HandoverVerdict::Refused(error));
    if let Err(error) = check_charter(&view.in_force()?, charter, examined.charter) {
        return refused(error);
    }
    let known = view.key_epochs(&order.key_id)?;
    if known.as_ref().and_then(|known| known.pending) == Some((order.id, epoch)) {
        return Ok(HandoverVerdict::Repeat);
    }
    if let Err(error) = check_expiry(charter, order.expires_at_secs, now) {
        return refused(error);
    }
    if known.is_none() && view.key_names()? >= limits::KEY_SHARES {
        let message = format!("this signer holds shares of {} keys and takes no more", limits::KEY_SHARES);
        return refused(ApiError::new(Code::Overloaded, message));
    }
    let known =
        known.unwrap_or(KeyEpochs { in_force: None, signs: false, is_making: false, burnt: Epoch(0), pending: None });
    if let Err(error) = check_epochs(&examined, &known) {
        return refused(error);
    }
    if view.session_seen(&session)? {
        let message = format!("session {session} was used before; a session is never computed twice");
        return refused(ApiError::new(Code::SessionDead, message));
    }
    let lifted = match check_parties(view, charter, (&examined.parties, examined.me))? {
        Ok(lifted) => lifted,
        Err(error) => return refused(error),
    };
    if let Some(error) = no_standing {
        return refused(error);
    }
    Ok(HandoverVerdict::Allowed(Box::new(HandoverToken { examined, session, lifted })))
}

fn check_epochs(examined: &ExaminedHandover, known: &KeyEpochs) -> Result<(), ApiError> {
    let (key, epoch, present) = (&examined.order.key_id, examined.epoch, examined.handover.old().epoch);
    if known.is_making {
        return Err(ApiError::new(Code::KeyNotActive, format!("key {key} is not certified here yet")));
    }
    match &known.in_force {
        Some((in_force, _)) if *in_force > present => {
            let message =
                format!("epoch {in_force} of key {key} is in force here, the certificate shown is of {present}");
            return Err(ApiError::new(Code::EpochChanged, message));
        }
        Some((in_force, certified)) if *in_force == present && *certified != examined.certified => {
            let message = format!("another certificate of key {key}, epoch {present}, is in force here");
            return Err(ApiError::new(Code::WrongState, message));
        }
        Some((in_force, _)) if *in_force == present => {}
        // Who has known the key judges by what it knows: a few corrupt nodes could certify anything among themselves.
        Some(_) => {
            let message = format!("epoch {present} of key {key} is not in force here yet");
            return Err(ApiError::new(Code::EpochChanged, message));
        }
        None if examined.deals => {
            return Err(ApiError::new(Code::KeyNotActive, format!("no present share of key {key} is held here")));
        }
        None => {}
    }
    if examined.deals && !known.signs {
        return Err(ApiError::new(Code::KeyNotActive, format!("no present share of key {key} is held here")));
    }
    let seen = known.burnt.max(present);
    if epoch <= seen || epoch.0 > seen.0.saturating_add(limits::EPOCHS_AHEAD) {
        let message = format!("epoch {epoch} of key {key} cannot be taken here: {seen} is, take the next");
        return Err(ApiError::new(Code::EpochTaken, message));
    }
    Ok(())
}
