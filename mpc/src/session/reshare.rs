//! How a session of resharing starts.

use limen_wire::ids::{IntentId, PartyIndex, SessionId};

use super::{Session, StartError, Step};
use crate::binding::{Binding, Purpose};
use crate::handover::Handover;
use crate::key::{CoreShare, KeyShare};
use crate::seed::Seed;

impl Session {
    /// Starts handing a key over as run `session`, authorised by `intent`, among the parties of `handover`; `me` is our
    /// number among them ([`Handover`] says which). A dealer brings its share of the old epoch; those of others are
    /// not looked at.
    ///
    /// A new member ends with its share of the new epoch ([`super::Output::Key`]): able to sign if the new protocol is DKLs23
    /// or FROST; a CGGMP24 share needs [`Session::aux_info`] first. A dealer that leaves ends with nothing secret
    /// ([`super::Output::HandedOver`]), which is no word that each new member has its share. No old share is touched: when it
    /// goes is the caller's rule, and it must be after the new epoch is certified. With DKLs23 steps compute for a second and
    /// more: never on a network thread.
    pub fn reshare(
        handover: &Handover,
        (session, intent): (SessionId, IntentId),
        me: PartyIndex,
        share: Option<&KeyShare>,
        seed: Seed,
    ) -> Result<(Self, Step), StartError> {
        let params = handover.params(session, intent);
        if !params.signers.contains(me) {
            return Err(StartError::NotInSignerSet(me));
        }
        let share = dealers_share(handover, me, share)?;
        let binding = Binding::new(params, Purpose::Reshare, handover.context());
        let started = crate::reshare::reshare(&binding, handover, me, share, seed)?;
        Ok(Self::start(binding, me, started)?)
    }
}

/// The core share of a dealer, which must be the one that `handover` says; `None` for others.
fn dealers_share<'a>(
    handover: &Handover,
    me: PartyIndex,
    share: Option<&'a KeyShare>,
) -> Result<Option<&'a CoreShare>, StartError> {
    let Some(holder) = handover.holder(me) else { return Ok(None) };
    let share = share.ok_or(StartError::NoShare(holder))?;
    if share.index() != holder {
        return Err(StartError::ShareMismatch("party"));
    }
    if share.public().epoch != handover.old().epoch {
        return Err(StartError::ShareMismatch("epoch"));
    }
    if share.public() != handover.old() {
        return Err(StartError::ShareMismatch("key"));
    }
    Ok(Some(share.core()))
}
