//! Ceremonies: the reviewed plan that people follow at several sites, what is wrong with one, and the steps that come of it.
//!
//! A plan is text; its SHA-256 is its name, and everything that is said in a ceremony is bound to it. The steps are derived from
//! the plan's kind by code, the same at every participant and at whoever verifies the record years later
//! (`limen_evidence::ceremony`). Nothing here knows of files, clocks or sockets. See docs/ceremonies/README.md and ADR 17.

pub mod attendance;
pub mod check;
mod file;
pub mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use limen_wire::ids::{
    CeremonyId, CharterHash, ClusterId, CommitteeSize, KeyId, NodeId, PersonId, PlanHash, Protocol, RoleId, Scheme,
};
use limen_wire::keys::PublicKey;
use sha2::{Digest as _, Sha256};

use crate::approval::words;

pub use attendance::{Attendance, AttendanceError};
pub use step::{Field, Rule, Step, Undo};

/// The longest plan that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most people of a plan.
pub const MAX_PEOPLE: usize = 32;

/// Something wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("in {place}: {message}")]
pub struct Problem {
    /// Where.
    pub place: String,
    /// What, and what to do.
    pub message: String,
}

impl Problem {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// Somebody who takes part, or steps in for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// As the charter names them.
    pub id: PersonId,
    /// For the printed script.
    pub name: String,
    /// Where they sit.
    pub site: String,
    /// The terminal credential that signs what they say.
    pub credential: PublicKey,
}

/// What exactly one person does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub id: RoleId,
    /// What it is for, for the printed script.
    pub duty: String,
    /// Who does it.
    pub holder: PersonId,
    /// Who does it if the holder is not there, the first that is.
    pub stand_ins: Vec<PersonId>,
}

/// Which kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// A signer node.
    Signer,
    /// A node without shares.
    Witness,
    /// A coordinator.
    Coordinator,
}

impl MachineKind {
    /// The word in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signer => "signer",
            Self::Witness => "witness",
            Self::Coordinator => "coordinator",
        }
    }
}

/// A machine whose identity the plan pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub id: NodeId,
    /// What it is.
    pub kind: MachineKind,
    /// Where it stands; coordinators may stand anywhere.
    pub site: String,
    /// Its identity.
    pub public_key: PublicKey,
    /// The role that speaks for it.
    pub operator: RoleId,
}

/// Who relays, and by which key the relay is known. It is believed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conductor {
    /// The role.
    pub role: RoleId,
    /// The key of its TLS certificate.
    pub public_key: PublicKey,
}

/// What everybody's machine must meet before the ceremony goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The clocks of all, each read when its owner is ready, lie within so many seconds.
    pub clock_window_secs: u64,
    /// Free room where the record is kept, in MiB.
    pub disk_free_mib: u64,
    /// Longest wait for somebody's part of a step, in minutes.
    pub step_minutes: u32,
}

/// What kind of ceremony, with its own parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The first charter of a cluster.
    Genesis(Genesis),
    /// A new key.
    KeyGeneration(KeyGeneration),
}

impl Kind {
    /// The word in plans.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::KeyGeneration(_) => "key-generation",
        }
    }
}

/// Parameters of a genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The charter's text, by its hash.
    pub charter: CharterHash,
    /// People of the charter who do not take part: nothing proves in the record that they hold their credentials.
    pub unproven: BTreeSet<PersonId>,
}

/// Parameters of a key generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGeneration {
    /// The new key.
    pub key: KeyId,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol.
    pub protocol: Protocol,
    /// How many of the nodes must take part.
    pub size: CommitteeSize,
    /// The members in index order; signers of the plan.
    pub nodes: Vec<NodeId>,
    /// The role that orders the key and asks for the test signature.
    pub orders: RoleId,
}

/// A plan that can be read and whose parts fit each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    hash: PlanHash,
    text: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name; no two ceremonies of a cluster have the same.
    pub id: CeremonyId,
    /// For the printed script.
    pub title: String,
    /// What kind.
    pub kind: Kind,
    /// Who may take part, in order of their names.
    pub people: Vec<Participant>,
    /// What there is to do.
    pub roles: Vec<Role>,
    /// Roles that one person must not have at the same time.
    pub conflicts: Vec<BTreeSet<RoleId>>,
    /// Who relays.
    pub conductor: Conductor,
    /// SHA-256 of the executables that may take part.
    pub software: BTreeSet<String>,
    /// Machines with their identities.
    pub machines: Vec<Machine>,
    /// Conditions.
    pub bounds: Bounds,
}

impl Plan {
    /// Reads a plan. Refused with everything that is wrong with it, as far as it can be read.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Problem>> {
        file::read(text)
    }

    /// The name of a plan with exactly this text: SHA-256.
    pub fn hash_of(text: &str) -> PlanHash {
        PlanHash::new(Sha256::digest(text.as_bytes()).into())
    }

    /// SHA-256 of the exact text.
    pub const fn hash(&self) -> PlanHash {
        self.hash
    }

    /// The exact text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words by which people compare the plan.
    pub fn words(&self) -> String {
        words::words_of("plan", self.hash.as_bytes()).join(" ")
    }

    /// Somebody of the plan.
    pub fn person(&self, id: &PersonId) -> Option<&Participant> {
        self.people.iter().find(|person| person.id == *id)
    }

    /// A role of the plan.
    pub fn role(&self, id: &RoleId) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == *id)
    }

    /// A machine of the plan.
    pub fn machine(&self, id: &NodeId) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id == *id)
    }

    /// The charter that a genesis makes version 1.
    pub const fn charter(&self) -> Option<CharterHash> {
        match &self.kind {
            Kind::Genesis(genesis) => Some(genesis.charter),
            Kind::KeyGeneration(_) => None,
        }
    }

    /// The text that a test signature of a key generation is over; nothing else in the world has a reason to say it.
    pub fn test_message(&self) -> String {
        format!("Limen ceremony {} of cluster {}: test signature for plan {}", self.id, self.cluster, self.hash)
    }

    /// What a machine signs by its identity to show the ceremony that it holds it: lines of text, as payload of an envelope of type
    /// [`MachineProof`](limen_wire::envelope::PayloadType::MachineProof).
    pub fn machine_proof(&self, machine: &Machine) -> String {
        format!(
            "limen-machine-proof 1\ncluster {}\nceremony {}\nplan {}\nmachine {}\nkey {}\n",
            self.cluster, self.id, self.hash, machine.id, machine.public_key
        )
    }
}
