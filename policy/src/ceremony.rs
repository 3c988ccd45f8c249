//! Ceremonies: the reviewed plan that people follow at several sites, what is wrong with one, and the steps that come of it.
//!
//! A plan is text; its SHA-256 is its name, and everything that is said in a ceremony is bound to it. The steps are derived from
//! the plan's kind by code, the same at every participant and at whoever verifies the record years later
//! (`limen_evidence::ceremony`). Nothing here knows of files, clocks or sockets. See docs/ceremonies/README.md and ADR 17.

pub mod attendance;
pub mod check;
mod file;
mod kind;
pub mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use limen_wire::ids::{CeremonyId, CharterHash, ClusterId, NodeId, PersonId, PlanHash, RecordHead, RoleId};
use limen_wire::keys::PublicKey;
use sha2::{Digest as _, Sha256};

use crate::approval::words;

pub use attendance::{Attendance, AttendanceError};
pub use kind::{
    Backup, CharterChange, Destruction, Drill, Genesis, Handover, IdentityRotation, KekRotation, KeyGeneration, Kind,
    KnownKey, MemberBackup, Recovery, Scenario, Sweep, Wanted, WantedEpoch, Which,
};
pub use step::{Field, Rule, Step, Undo};

/// The longest plan that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most people of a plan.
pub const MAX_PEOPLE: usize = 32;

/// Whether it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It counts.
    Real,
    /// Practice, on throw-away keys.
    Rehearsal,
}

impl Mode {
    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Rehearsal => "REHEARSAL",
        }
    }

    /// The mode that a word of records means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Real, Self::Rehearsal].into_iter().find(|mode| mode.as_str() == word)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a character hides or reorders its neighbours, or ends a line: what people read would not be what they sign.
pub fn hides(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    format || c.is_control()
}

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
    /// Identities that it had, which count under certificates of shares that are there before.
    pub former_keys: Vec<PublicKey>,
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

    /// The charter that a genesis makes version 1, or the version that a change has signed.
    pub const fn charter(&self) -> Option<CharterHash> {
        match (&self.kind, self.kind.change()) {
            (Kind::Genesis(genesis), _) => Some(genesis.charter),
            (_, Some(change)) => Some(change.charter),
            _ => None,
        }
    }

    /// The text that a test signature is over; nothing else in the world has a reason to say it. It names the record before its step, which
    /// nobody knew before: a signature of an earlier day or of the rehearsal is over another one.
    pub fn test_message(&self, mode: Mode, head: RecordHead) -> String {
        let Self { id, cluster, hash, .. } = self;
        format!("Limen ceremony {id} of cluster {cluster}: test signature for plan {hash}, {mode}, record {head}")
    }

    /// What a machine signs by its identity to show the ceremony that it holds it, and what more the [kind](Kind::claim) has it say: lines of
    /// text, as payload of an envelope of type [`MachineProof`](limen_wire::envelope::PayloadType::MachineProof). The mode stands in it: what
    /// was signed for practice is nothing when it counts.
    pub fn machine_proof(&self, machine: &Machine, mode: Mode) -> String {
        let mut text = format!(
            "limen-machine-proof 1\ncluster {}\nceremony {}\nmode {mode}\nplan {}\nmachine {}\nkey {}\n",
            self.cluster, self.id, self.hash, machine.id, machine.public_key
        );
        if let Some(claim) = self.kind.claim() {
            text.push_str(claim);
            text.push('\n');
        }
        text
    }
}
