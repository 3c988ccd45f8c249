//! Kinds of ceremonies, with the parameters that each takes from its plan.

mod wanted;

use std::collections::BTreeSet;

use limen_wire::ids::{CharterHash, CommitteeSize, Epoch, KeyId, NodeId, PersonId, Protocol, RoleId, Scheme};
use limen_wire::keys::PublicKey;

pub use wanted::{Wanted, WantedEpoch, Which};

/// What kind of ceremony, with its own parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The first charter of a cluster.
    Genesis(Genesis),
    /// A new key.
    KeyGeneration(KeyGeneration),
    /// New shares for the same committee.
    Refresh(Handover),
    /// New shares for another committee, or for another number of signers required.
    Reshare(Handover),
    /// A version of the charter, signed by the quorum of the one that it follows.
    CharterChange(CharterChange),
    /// A key is destroyed, with each machine's signed word.
    Destruction(Destruction),
    /// A key is made whole from its backups, outside of the cluster.
    Recovery(Recovery),
    /// A loss is played on a key that holds nothing.
    Drill(Drill),
    /// Custodians show that they can read their pieces of each member's backup.
    Backup(Backup),
    /// Wrapping keys at members' tokens are made anew, and the old ones destroyed.
    KekRotation(KekRotation),
    /// Machines have other identities from a version of the charter on.
    IdentityRotation(IdentityRotation),
    /// What lies under a key goes to another one.
    Sweep(Sweep),
}

impl Kind {
    /// The word in plans.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::KeyGeneration(_) => "key-generation",
            Self::Refresh(_) => "refresh",
            Self::Reshare(_) => "reshare",
            Self::CharterChange(_) => "charter-change",
            Self::Destruction(_) => "destruction",
            Self::Recovery(_) => "recovery",
            Self::Drill(_) => "drill",
            Self::Backup(_) => "backup",
            Self::KekRotation(_) => "kek-rotation",
            Self::IdentityRotation(_) => "identity-rotation",
            Self::Sweep(_) => "sweep",
        }
    }

    /// The key that the ceremony is about, where it was there before.
    pub const fn known(&self) -> Option<&KnownKey> {
        match self {
            Self::Genesis(_) | Self::KeyGeneration(_) | Self::CharterChange(_) | Self::IdentityRotation(_) => None,
            Self::Refresh(handover) | Self::Reshare(handover) => Some(&handover.key),
            Self::Destruction(destruction) => Some(&destruction.key),
            Self::Recovery(recovery) => Some(&recovery.key),
            Self::Drill(drill) => Some(&drill.key),
            Self::Backup(backup) => Some(&backup.key),
            Self::KekRotation(rotation) => Some(&rotation.key),
            Self::Sweep(sweep) => Some(&sweep.key),
        }
    }

    /// All keys that were there before: of a sweep also the one that things go to.
    pub fn known_keys(&self) -> impl Iterator<Item = &KnownKey> {
        let to = if let Self::Sweep(sweep) = self { Some(&sweep.to) } else { None };
        self.known().into_iter().chain(to)
    }

    /// The version of the charter that the ceremony has signed.
    pub const fn change(&self) -> Option<&CharterChange> {
        match self {
            Self::CharterChange(change) => Some(change),
            Self::IdentityRotation(rotation) => Some(&rotation.change),
            _ => None,
        }
    }

    /// What a machine signs besides that it is itself: a line of [`Plan::machine_proof`](super::Plan::machine_proof).
    pub const fn claim(&self) -> Option<&'static str> {
        match self {
            Self::KekRotation(_) => Some("rotated every wrapping key and destroyed the old ones"),
            _ => None,
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

/// A key that is there, as `limen key show` prints what its signers attest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its name.
    pub id: KeyId,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol.
    pub protocol: Protocol,
    /// How many of the nodes must take part.
    pub size: CommitteeSize,
    /// The members in index order; signers of the plan.
    pub nodes: Vec<NodeId>,
    /// As the API writes it.
    pub public_key: Vec<u8>,
    /// The generation of its shares.
    pub epoch: Epoch,
    /// SHA-256 over all verifying shares of that generation.
    pub shares: [u8; 32],
}

/// Parameters of a refresh or a reshare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The key, with the shares that it has before.
    pub key: KnownKey,
    /// The protocol that signs with the new shares.
    pub protocol: Protocol,
    /// How many of the new members must take part.
    pub size: CommitteeSize,
    /// The new members in index order; signers of the plan.
    pub nodes: Vec<NodeId>,
    /// The role that orders it and asks for the test signature.
    pub orders: RoleId,
}

/// Parameters of a change of the charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterChange {
    /// The version's text, by its hash.
    pub charter: CharterHash,
    /// The one charter that it follows, by its hash.
    pub parent: CharterHash,
    /// The role that brings the parent's text.
    pub brings: RoleId,
    /// Roles whose people sign the version.
    pub approvers: Vec<RoleId>,
}

/// Parameters of a destruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// The key.
    pub key: KnownKey,
    /// The version of the charter that takes the key out of use, by its hash.
    pub retired_by: CharterHash,
    /// Roles of those who hold pieces of backups.
    pub custodians: Vec<RoleId>,
    /// Members whose machines are lost, and say nothing any more: fewer than sign. People say what became of them.
    pub lost: Vec<NodeId>,
}

/// Parameters of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The key.
    pub key: KnownKey,
    /// Roles of those who bring pieces of backups.
    pub custodians: Vec<RoleId>,
    /// The role that works at the offline machine.
    pub operator: RoleId,
}

/// What a drill plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The key comes back from its backups; no signer is asked.
    Restore,
    /// Signers are off.
    SiteLoss,
    /// Signers are in somebody else's hands: off, and nothing of theirs is believed.
    Compromise,
}

impl Scenario {
    /// The word in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::SiteLoss => "site-loss",
            Self::Compromise => "compromise",
        }
    }
}

/// Parameters of a drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// The key, under which nothing of worth may lie.
    pub key: KnownKey,
    /// What is played.
    pub scenario: Scenario,
    /// Members that are off meanwhile; all of them play no part in a restore.
    pub absent: Vec<NodeId>,
    /// The role that brings the signature.
    pub operator: RoleId,
    /// When the next drill is due, `YYYY-MM-DD`.
    pub next_due: String,
}

/// Parameters of a proof of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The key.
    pub key: KnownKey,
    /// One backup of each member.
    pub members: Vec<MemberBackup>,
}

/// The backup of one member's share, as `limen-recover show` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberBackup {
    /// Whose share.
    pub node: NodeId,
    /// What the backup is called by.
    pub backup: [u8; 32],
    /// SHA-256 of what it says in clear.
    pub head: [u8; 32],
    /// Roles of all its custodians.
    pub custodians: Vec<RoleId>,
}

/// Parameters of a rotation of wrapping keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekRotation {
    /// A key whose shares they seal.
    pub key: KnownKey,
    /// Members whose wrapping keys rotate.
    pub nodes: Vec<NodeId>,
    /// The role that asks for the test signature.
    pub orders: RoleId,
}

/// Parameters of a rotation of machines' identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRotation {
    /// The version of the charter that pins the new ones.
    pub change: CharterChange,
    /// Machines of the plan, which pins their new identities, each with the identity before.
    pub replaced: Vec<(NodeId, PublicKey)>,
    /// Keys of which these machines held shares: they are to be reshared.
    pub reshare: Vec<KeyId>,
}

/// Parameters of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The key that goes out of use.
    pub key: KnownKey,
    /// Where things go.
    pub to: KnownKey,
    /// The version of the charter that takes the first key out of use, by its hash.
    pub retired_by: CharterHash,
    /// The role that moves things and asks for the test signature.
    pub sweeper: RoleId,
}
