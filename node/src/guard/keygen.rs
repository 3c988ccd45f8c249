//! Orders for new keys.

use limen_policy::charter::{Charter, index_in};
use limen_policy::key_order;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, NodeId, PartyIndex, SessionId};
use limen_wire::intent::KeyGeneration;
use limen_wire::{limits, pb};

use super::admit::check_expiry;
use super::bans::check_parties;
use super::{JournalView, KeygenToken, check_charter, order_refused};
use crate::clock::Millis;

/// An order whose signature and content this signer has checked.
#[derive(Debug, Clone)]
pub struct ExaminedOrder {
    order: KeyGeneration,
    me: PartyIndex,
    charter: CharterHash,
}

impl ExaminedOrder {
    /// The checked order.
    pub const fn order(&self) -> &KeyGeneration {
        &self.order
    }
    /// This node's index in the new committee.
    pub const fn me(&self) -> PartyIndex {
        self.me
    }
}

/// Examines an order: cluster, duty, signature, members in the charter's order, this node among them.
pub fn examine_order(charter: &Charter, me: &NodeId, envelope: &pb::Envelope) -> Result<ExaminedOrder, ApiError> {
    let (order, opened) =
        KeyGeneration::open(envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let requester = charter.requesters.get(&order.requester).ok_or_else(|| {
        ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", order.requester))
    })?;
    opened
        .verify(order.requester.as_str(), &requester.public_key)
        .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    key_order::check(charter, &order).map_err(|error| order_refused(&error))?;
    // Indices are places in the charter: a committee in another order would give a node another's place.
    let mut places = charter.nodes.iter();
    if !order.nodes.iter().all(|node| places.any(|known| known.id == *node)) {
        let message = "the members are not in the charter's order";
        return Err(ApiError::new(Code::BadSignerSet, message));
    }
    let me = index_in(&order.nodes, me)
        .ok_or_else(|| ApiError::new(Code::BadSignerSet, format!("{me} is no member of key {}", order.key_id)))?;
    Ok(ExaminedOrder { order, me, charter: charter.hash() })
}

/// The guard's answer to an order.
#[derive(Debug)]
pub enum KeygenVerdict {
    /// Go ahead.
    Allowed(Box<KeygenToken>),
    /// This node has stated a share made under this order; it makes no other.
    Repeat,
    /// No.
    Refused(ApiError),
}

/// Decides on key generation. A node states at most one share per key name, for ever: two would let a coordinator show
/// one public key to depositors and certify another.
pub fn admit_keygen<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: ExaminedOrder,
    session: SessionId,
    now: Millis,
) -> Result<KeygenVerdict, V::Error> {
    let order = &examined.order;
    if let Err(error) = check_charter(&view.in_force()?, charter, examined.charter) {
        return Ok(KeygenVerdict::Refused(error));
    }
    match view.key_order(&order.key_id)? {
        Some((id, _)) if id != order.id => {
            let message = format!("the name {} is taken by order {id}", order.key_id);
            return Ok(KeygenVerdict::Refused(ApiError::new(Code::KeyExists, message)));
        }
        Some((_, true)) => return Ok(KeygenVerdict::Repeat),
        None if view.key_names()? >= limits::KEY_SHARES => {
            let message = format!("this signer holds shares of {} keys and takes no more", limits::KEY_SHARES);
            return Ok(KeygenVerdict::Refused(ApiError::new(Code::Overloaded, message)));
        }
        Some((_, false)) | None => {}
    }
    if let Err(error) = check_expiry(charter, order.expires_at_secs, now) {
        return Ok(KeygenVerdict::Refused(error));
    }
    if view.session_seen(&session)? {
        let message = format!("session {session} was used before; a session is never computed twice");
        return Ok(KeygenVerdict::Refused(ApiError::new(Code::SessionDead, message)));
    }
    let lifted = match check_parties(view, charter, (&order.nodes, examined.me))? {
        Ok(lifted) => lifted,
        Err(error) => return Ok(KeygenVerdict::Refused(error)),
    };
    Ok(KeygenVerdict::Allowed(Box::new(KeygenToken { order: examined.order, session, me: examined.me, lifted })))
}
