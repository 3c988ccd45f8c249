//! Drills: losses that people play again and again on a key under which nothing of worth lies, and by when.
//!
//! That one was held is the record of its ceremony, for each node to see. What follows from one that is overdue is in
//! [`raises`](crate::diff::raises) and at the nodes: first they warn, then no version of the charter comes into force that gives
//! requests more leave.

use limen_wire::ids::{DrillId, KeyId};

use super::Charter;
use crate::ceremony::Scenario;
use crate::date::DAY_SECS;

/// A drill that is held every so often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Its name.
    pub id: DrillId,
    /// What is played.
    pub scenario: Scenario,
    /// With which key.
    pub key: KeyId,
    /// Its public key as statements have it: compressed SEC 1 point (33 bytes), Ed25519 point (32) or x-only point (32). Another one is
    /// another key, whatever its name.
    pub public_key: Vec<u8>,
    /// How many days after one the next is due.
    pub every_days: u16,
    /// For how many days nodes only warn once it is overdue.
    pub grace_days: u16,
    /// When the first is due, `YYYY-MM-DD`; none is due before.
    pub from: String,
    /// The same in seconds since 1970.
    pub from_secs: u64,
}

impl Drill {
    /// From when on it is overdue, in seconds since 1970, if it was held last at `held_secs`.
    pub fn due_secs(&self, held_secs: Option<u64>) -> u64 {
        let every = u64::from(self.every_days).saturating_mul(DAY_SECS);
        let next = held_secs.map_or(0, |held| held.saturating_add(every));
        self.from_secs.max(next)
    }

    /// From when on it stands in the way of what gives more leave, in seconds since 1970.
    pub fn blocks_secs(&self, held_secs: Option<u64>) -> u64 {
        self.due_secs(held_secs).saturating_add(u64::from(self.grace_days).saturating_mul(DAY_SECS))
    }
}

impl Charter {
    /// The drill that this scenario with this key is.
    pub fn drill_of(&self, scenario: Scenario, key: &KeyId) -> Option<&Drill> {
        self.drills.values().find(|drill| drill.scenario == scenario && drill.key == *key)
    }
}

#[cfg(test)]
mod tests;
