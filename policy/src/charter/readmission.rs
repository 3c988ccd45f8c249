//! Pairs of signers that may meet again after one of them has banned the other.
//!
//! A ban is about the set-up that two signers share for a key. What is lifted is one ban, by the session in which it was made: sessions that
//! make everything anew may be run between the two from then on, and shares that were made after the ban may be used. Set-ups from before the ban
//! are never used again, which is for signers to see to.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{NodeId, SessionId};

use super::Charter;

/// The bans that are lifted, by pair in the charter's order.
pub type Readmissions = BTreeMap<[NodeId; 2], BTreeSet<SessionId>>;

impl Charter {
    /// Whether the ban between these two, in whichever direction, that was made in this session is lifted.
    pub fn readmits(&self, pair: [&NodeId; 2], session: &SessionId) -> bool {
        let [one, other] = pair.map(NodeId::clone);
        let either = [[one.clone(), other.clone()], [other, one]];
        either.iter().filter_map(|pair| self.readmissions.get(pair)).any(|sessions| sessions.contains(session))
    }
}

#[cfg(test)]
mod tests;
