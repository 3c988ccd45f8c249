//! How a charter changes, and who can stop everything.

use limen_wire::ids::{CharterHash, GroupId};
use serde::Serialize;

use crate::formula::Formula;

/// Which version this is and what the next one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Governance {
    /// Counts versions, from 1.
    pub number: u64,
    /// What this version follows: none for the first, one as a rule, two to join siblings.
    pub parents: Vec<CharterHash>,
    /// Signed versions that shall never come into force.
    pub voids: Vec<CharterHash>,
    /// Who has to sign the next version.
    pub quorum: Formula,
    /// How long a version waits that loosens anything, in seconds.
    pub loosening_delay_secs: u64,
    /// Who freezes alone and at once.
    pub guardians: GroupId,
    /// Who lifts a freeze.
    pub unfreeze: Formula,
    /// How long that waits, in seconds.
    pub unfreeze_delay_secs: u64,
}
