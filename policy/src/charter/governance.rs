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
    /// When a signer freezes a requester by itself; never where this is left out.
    pub automatic_freeze: Option<AutomaticFreeze>,
}

/// So many different requests of one requester, denied for good within so long, and the signer that denied them takes nothing
/// more of that requester before people lift its freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AutomaticFreeze {
    /// How many requests.
    pub refused: u32,
    /// How long, in seconds of the signer's own running time.
    pub within_secs: u64,
}
