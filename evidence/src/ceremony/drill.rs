//! What the record of a drill proves to a node: that the people whom its charter names held this drill, and when.
//!
//! That machines were off is people's word, and a restore is told from another signature by their word alone. What the record shows is that
//! each of them signed all of it by the credential that the charter has for them, and that the plan's key signed the plan's message.

use limen_policy::ceremony::{Kind, Mode};
use limen_policy::charter::Charter;
use limen_wire::ids::{ClusterId, DrillId, KeyId, NodeId, PersonId, RecordHead};

use super::contribution::Body;
use super::record::{Record, RecordError, Verified};

/// How far in the future a record's time may lie by the clock of whoever reads it, in seconds: what a clock is off.
pub const SKEW_SECS: u64 = 60;

/// Why a record is no result of a drill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    /// It does not hold.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Practice.
    #[error("the record is of a REHEARSAL: it counts for nothing")]
    Rehearsal,
    /// Called off.
    #[error("the ceremony was called off: hold it again under a new plan")]
    Aborted,
    /// Another kind.
    #[error("the record is of a ceremony of kind {0}, not of a drill")]
    Kind(&'static str),
    /// Another cluster.
    #[error("the record is of cluster {found}, this is {expected}")]
    Cluster {
        /// Whose it is.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// Nobody asked for it.
    #[error("the charter in force asks for no drill of scenario {scenario} with key {key}: see its [[drills]]")]
    NotAsked {
        /// What was played.
        scenario: &'static str,
        /// With which key.
        key: KeyId,
    },
    /// A key of the same name that is another one.
    #[error(
        "key {key} has public key {found} in the record, {expected} is the one that the charter in force has for drill {drill}"
    )]
    OtherKey {
        /// Which drill.
        drill: DrillId,
        /// The key's name.
        key: KeyId,
        /// Its public key in the plan, in hexadecimal.
        found: String,
        /// The charter's.
        expected: String,
    },
    /// Somebody else.
    #[error("the charter in force does not know {0} with the credential that signed")]
    Stranger(PersonId),
    /// Another machine.
    #[error("the charter in force does not know machine {0} with the key of the plan")]
    Machine(NodeId),
    /// Held tomorrow.
    #[error(
        "the record was made at {at_secs}, which is later than the clock here ({now_secs}): one of the clocks is wrong"
    )]
    Future {
        /// The record's time, in seconds since 1970.
        at_secs: u64,
        /// The reader's.
        now_secs: u64,
    },
}

/// A drill that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillHeld {
    /// Which, as the charter names it.
    pub drill: DrillId,
    /// With which key.
    pub key: KeyId,
    /// Its public key, as the plan has it and as it signed.
    pub public_key: Vec<u8>,
    /// What was played: the word in plans.
    pub scenario: &'static str,
    /// When, by the latest of its participants' clocks, in seconds since 1970.
    pub at_secs: u64,
    /// The record's name.
    pub record: RecordHead,
}

impl DrillHeld {
    /// Verifies a record alone, under the charter in force.
    pub fn read(bytes: &[u8], charter: &Charter, now_secs: u64) -> Result<Self, DrillError> {
        let verified = Record::verify(bytes)?;
        let plan = verified.session.plan();
        if verified.session.mode() != Mode::Real {
            return Err(DrillError::Rehearsal);
        }
        let record = verified.name.ok_or(DrillError::Aborted)?;
        let Kind::Drill(held) = &plan.kind else { return Err(DrillError::Kind(plan.kind.as_str())) };
        if plan.cluster != charter.cluster {
            let (found, expected) = (plan.cluster.clone(), charter.cluster.clone());
            return Err(DrillError::Cluster { found, expected });
        }
        let (scenario, key) = (held.scenario.as_str(), held.key.id.clone());
        let Some(asked) = charter.drill_of(held.scenario, &key) else {
            return Err(DrillError::NotAsked { scenario, key });
        };
        if held.key.public_key != asked.public_key {
            let (drill, key) = (asked.id.clone(), held.key.id.clone());
            let [found, expected] = [&held.key.public_key, &asked.public_key].map(hex::encode);
            return Err(DrillError::OtherKey { drill, key, found, expected });
        }
        known(&verified, charter)?;
        let at_secs = latest(&verified);
        if at_secs > now_secs.saturating_add(SKEW_SECS) {
            return Err(DrillError::Future { at_secs, now_secs });
        }
        let (drill, public_key) = (asked.id.clone(), held.key.public_key.clone());
        Ok(Self { drill, key, public_key, scenario, at_secs, record })
    }
}

/// Whether everybody who took part, and every machine of the plan, is the charter's.
fn known(verified: &Verified, charter: &Charter) -> Result<(), DrillError> {
    let plan = verified.session.plan();
    for person in verified.session.attendance().present() {
        let signs = plan.person(person).map(|one| one.credential);
        let enrolled = charter.roster.people.get(person);
        let has = enrolled.is_some_and(|one| one.credentials.values().any(|known| Some(known.public_key) == signs));
        if !has {
            return Err(DrillError::Stranger(person.clone()));
        }
    }
    for machine in &plan.machines {
        let mut nodes = charter.machines().map(|node| (&node.id, node.public_key));
        let mut coordinators = charter.coordinators.iter().map(|one| (&one.id, one.public_key));
        let is_it = |(id, key): (&NodeId, _)| *id == machine.id && key == machine.public_key;
        if !nodes.any(is_it) && !coordinators.any(is_it) {
            return Err(DrillError::Machine(machine.id.clone()));
        }
    }
    Ok(())
}

/// The latest moment that anybody wrote down.
fn latest(verified: &Verified) -> u64 {
    let said = verified.done.iter().flat_map(|step| step.values());
    let moments = said.filter_map(|said| match said.contribution.body {
        Body::Step { at, .. } => at,
        Body::Abort { .. } => None,
    });
    moments.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
