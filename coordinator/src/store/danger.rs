//! Dying on purpose at a chosen durable write, so that a test with real signers can see what a restart makes of it.
//! Refused outside a development charter.

use serde::Deserialize;

use crate::lifecycle::{Record, State};

/// On which side of the write the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing of it is on the disk.
    Before,
    /// All of it is, and nobody has been told.
    After,
}

/// Which write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CrashPoint {
    /// The first that holds a request in this state.
    State(State),
    /// The one that notes a requester's stop record.
    Stopping,
}

impl TryFrom<String> for CrashPoint {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let state = State::ALL.into_iter().find(|state| state.as_str() == word);
        match state {
            Some(state) => Ok(Self::State(state)),
            None if word == "stopping" => Ok(Self::Stopping),
            None => Err(format!("{word:?} is neither the state of a request nor \"stopping\"")),
        }
    }
}

/// Where the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DangerCrash {
    /// At which write.
    pub at: CrashPoint,
    /// On which side of it.
    pub moment: Moment,
}

impl DangerCrash {
    fn strikes(self, moment: Moment, record: &Record) -> bool {
        let here = match self.at {
            CrashPoint::State(state) => record.state == state,
            CrashPoint::Stopping => record.stop.is_some() && !record.state.is_end(),
        };
        here && self.moment == moment
    }

    /// Ends the process if this is the place.
    pub(super) fn pass(self, moment: Moment, record: &Record) {
        if self.strikes(moment, record) {
            tracing::error!(intent = %record.id, at = ?self.at, ?moment, "DANGER: the process kills itself, as configured");
            std::process::abort();
        }
    }
}
