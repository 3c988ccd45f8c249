//! How a session of an import starts.

use limen_wire::ids::{IntentId, PartyIndex, SessionId};

use super::{Session, StartError, Step};
use crate::binding::{Binding, Purpose};
use crate::dealt::Dealing;

impl Session {
    /// Starts taking in a key that was dealt outside, as run `session`, authorised by `intent`, among all members; `share` is the
    /// scalar that was dealt to us, in the curve's own byte order, and is checked before anything is said.
    ///
    /// Ends with the share ([`super::Output::Key`]): able to sign if the protocol is DKLs23 or FROST; a CGGMP24 share needs
    /// [`Session::aux_info`] first. Every run makes its own set-up for the same shares: a caller that lets two runs of one dealing
    /// overlap may keep the set-up of one where others keep that of the other.
    pub fn import(
        dealing: &Dealing,
        (session, intent): (SessionId, IntentId),
        me: PartyIndex,
        share: &[u8; 32],
    ) -> Result<(Self, Step), StartError> {
        let core = dealing.core(me, share)?;
        let binding = Binding::new(dealing.params(session, intent), Purpose::Import, dealing.context());
        let started = crate::reshare::import(&binding, dealing, me, core)?;
        Ok(Self::start(binding, me, started)?)
    }
}
