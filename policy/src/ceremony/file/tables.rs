//! The tables of kinds, as they are written.

use serde::Deserialize;

use crate::ceremony::Scenario;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGenesis {
    pub(super) charter_sha256: String,
    #[serde(default)]
    pub(super) unproven: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKeyGeneration {
    pub(super) key: String,
    pub(super) scheme: String,
    pub(super) protocol: String,
    pub(super) signers_required: u16,
    pub(super) nodes: Vec<String>,
    pub(super) orders: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKey {
    pub(super) id: String,
    pub(super) scheme: String,
    pub(super) protocol: String,
    pub(super) signers_required: u16,
    pub(super) nodes: Vec<String>,
    pub(super) public_key: String,
    pub(super) epoch: u64,
    pub(super) shares_sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRefresh {
    pub(super) orders: String,
    #[serde(default)]
    pub(super) protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileReshare {
    pub(super) orders: String,
    #[serde(default)]
    pub(super) protocol: Option<String>,
    pub(super) signers_required: u16,
    pub(super) nodes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCharterChange {
    pub(super) charter_sha256: String,
    pub(super) parent_sha256: String,
    pub(super) brings: String,
    pub(super) approvers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDestruction {
    pub(super) retired_by: String,
    #[serde(default)]
    pub(super) custodians: Vec<String>,
    #[serde(default)]
    pub(super) lost: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRecovery {
    pub(super) custodians: Vec<String>,
    pub(super) operator: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDrill {
    pub(super) scenario: Scenario,
    #[serde(default)]
    pub(super) absent: Vec<String>,
    pub(super) operator: String,
    pub(super) next_due: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileBackup {
    pub(super) members: Vec<FileMemberBackup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMemberBackup {
    pub(super) node: String,
    pub(super) sha256: String,
    pub(super) head_sha256: String,
    pub(super) custodians: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKekRotation {
    pub(super) nodes: Vec<String>,
    pub(super) orders: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileIdentityRotation {
    pub(super) machines: Vec<FileReplaced>,
    #[serde(default)]
    pub(super) reshare: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileReplaced {
    pub(super) id: String,
    pub(super) before: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSweep {
    pub(super) retired_by: String,
    pub(super) sweeper: String,
}

/// The tables of kinds that stand in a plan.
pub(super) struct Tables {
    pub(super) genesis: Option<FileGenesis>,
    pub(super) key_generation: Option<FileKeyGeneration>,
    pub(super) key: Option<FileKey>,
    pub(super) refresh: Option<FileRefresh>,
    pub(super) reshare: Option<FileReshare>,
    pub(super) charter_change: Option<FileCharterChange>,
    pub(super) destruction: Option<FileDestruction>,
    pub(super) recovery: Option<FileRecovery>,
    pub(super) drill: Option<FileDrill>,
    pub(super) backup: Option<FileBackup>,
    pub(super) kek_rotation: Option<FileKekRotation>,
    pub(super) identity_rotation: Option<FileIdentityRotation>,
    pub(super) to: Option<FileKey>,
    pub(super) sweep: Option<FileSweep>,
}

impl Tables {
    pub(super) fn names(&self) -> Vec<&'static str> {
        let all = [
            ("genesis", self.genesis.is_some()),
            ("key_generation", self.key_generation.is_some()),
            ("key", self.key.is_some()),
            ("refresh", self.refresh.is_some()),
            ("reshare", self.reshare.is_some()),
            ("charter_change", self.charter_change.is_some()),
            ("destruction", self.destruction.is_some()),
            ("recovery", self.recovery.is_some()),
            ("drill", self.drill.is_some()),
            ("backup", self.backup.is_some()),
            ("kek_rotation", self.kek_rotation.is_some()),
            ("identity_rotation", self.identity_rotation.is_some()),
            ("to", self.to.is_some()),
            ("sweep", self.sweep.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
}
