//! What a genesis proves to a machine that is to begin with its charter.
//!
//! The people of the record are those that the record itself names, so it says nothing by them to a stranger. What binds it to a machine
//! is the signature by that machine's own identity over the record's plan: whoever wants to give a machine another charter needs the
//! machine's key to make another record, not only its disk.

use limen_policy::ceremony::Kind;
use limen_policy::charter::{Charter, CharterError};
use limen_wire::ids::{CharterHash, NodeId, RecordHead};
use limen_wire::keys::PublicKey;

use super::record::{Record, RecordError, Verified};
use limen_policy::ceremony::Mode;

/// Why a record does not let a machine begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// There is none.
    #[error(
        "the charter is no development charter, so this machine begins with it only by the record of the genesis ceremony that made it: \
         name its file as `genesis` in the configuration"
    )]
    NoRecord,
    /// There is one where there should not be.
    #[error(
        "the configuration names a genesis, but the charter says `danger_development = true`: one of the two is not what it should be"
    )]
    NeedlessRecord,
    /// It does not hold.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Practice.
    #[error("the record is of a REHEARSAL: it counts for nothing")]
    Rehearsal,
    /// Called off.
    #[error("the ceremony was called off: {0}")]
    Aborted(String),
    /// Another kind.
    #[error("the record is of a ceremony of kind {0}, not of a genesis")]
    Kind(&'static str),
    /// Its charter.
    #[error("the record's charter is refused: {0}")]
    Charter(#[from] CharterError),
    /// For development.
    #[error("the record's charter is a development charter, which needs no genesis")]
    Development,
    /// Another charter.
    #[error("the record makes charter {record} version 1, the file is {file}")]
    OtherCharter {
        /// The record's.
        record: CharterHash,
        /// The file's.
        file: CharterHash,
    },
    /// The machine is not in it, or with another key.
    #[error("in the record machine {machine} has not shown that it holds {key}")]
    OtherMachine {
        /// Which.
        machine: NodeId,
        /// Its key.
        key: Box<PublicKey>,
    },
}

/// Whether a machine with this identity may begin with this charter: by a genesis, or because the charter is for development. Asked anew at
/// each start.
pub fn may_begin(
    charter: &Charter,
    record: Option<&[u8]>,
    machine: &NodeId,
    key: &PublicKey,
) -> Result<(), GenesisError> {
    match (charter.is_development(), record) {
        (true, None) => Ok(()),
        (true, Some(_)) => Err(GenesisError::NeedlessRecord),
        (false, None) => Err(GenesisError::NoRecord),
        (false, Some(bytes)) => GenesisProof::read(bytes)?.admits(charter.hash(), machine, key),
    }
}

/// A genesis that was completed and counts.
#[derive(Debug, Clone, PartialEq)]
pub struct GenesisProof {
    verified: Verified,
    charter: Charter,
}

impl GenesisProof {
    /// Verifies a record and what it makes.
    pub fn read(bytes: &[u8]) -> Result<Self, GenesisError> {
        let verified = Record::verify(bytes)?;
        if verified.session.mode() == Mode::Rehearsal {
            return Err(GenesisError::Rehearsal);
        }
        if let Some((by, cause)) = verified.aborts.first() {
            return Err(GenesisError::Aborted(format!("{by}: {cause}")));
        }
        let plan = verified.session.plan();
        if !matches!(plan.kind, Kind::Genesis(_)) {
            return Err(GenesisError::Kind(plan.kind.as_str()));
        }
        let charter = Charter::from_toml(verified.session.charter().unwrap_or_default())?;
        if charter.is_development() {
            return Err(GenesisError::Development);
        }
        Ok(Self { verified, charter })
    }

    /// Version 1.
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The record's name.
    pub const fn name(&self) -> Option<RecordHead> {
        self.verified.name
    }

    /// Whether it lets this machine, with this identity, begin with this charter.
    pub fn admits(&self, charter: CharterHash, machine: &NodeId, key: &PublicKey) -> Result<(), GenesisError> {
        let record = self.charter.hash();
        if record != charter {
            return Err(GenesisError::OtherCharter { record, file: charter });
        }
        // That it is in the plan means that it has proved itself: the record would not be complete otherwise.
        match self.verified.session.plan().machine(machine) {
            Some(known) if known.public_key == *key => Ok(()),
            _ => Err(GenesisError::OtherMachine { machine: machine.clone(), key: Box::new(*key) }),
        }
    }
}
