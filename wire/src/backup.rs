//! What custodians of backups say: checked form of `backup.proto`.
//!
//! A value of this type is well formed and no more. Whose it is and what it proves is the question of `recover`, and whose credential it
//! names that of `policy`.

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, Opened, PayloadType, Unsigned};
use crate::ids::{ClusterId, CredentialId, Epoch, KeyId, NodeId, PartyIndex, PersonId};
use crate::intent::{IntentError, check_version, field, invalid};
use crate::pb;

/// A custodian's word that their piece of a backup decrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupProof {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key.
    pub key: KeyId,
    /// The generation of its shares.
    pub epoch: Epoch,
    /// Whose share.
    pub member: PartyIndex,
    /// SHA-256 that the backup is called by.
    pub backup: [u8; 32],
    /// The custodian.
    pub person: PersonId,
    /// The credential that signs, and the name that it signs by.
    pub credential: CredentialId,
    /// The node that asked.
    pub asked_by: NodeId,
    /// What it drew.
    pub nonce: [u8; 32],
    /// By the piece, over backup, place and nonce.
    pub proof: [u8; 64],
    /// Seconds since 1970 by the custodian's clock, never zero. That the proof is new the nonce says, not this.
    pub made_at_secs: u64,
}

impl BackupProof {
    /// Opens an envelope and checks everything but signature and proof.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::BackupProof)?;
        let raw: pb::BackupProof = opened.decode("proof of a backup")?;
        check_version(raw.version)?;
        if raw.made_at_secs == 0 {
            return Err(invalid("made_at_secs", "missing"));
        }
        let member = u16::try_from(raw.member).map_err(|error| invalid("member", error.to_string()))?;
        let said = Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            key: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            epoch: Epoch(raw.epoch),
            member: PartyIndex::new(member).map_err(field("member"))?,
            backup: bytes("backup", &raw.backup)?,
            person: PersonId::new(raw.person).map_err(field("person"))?,
            credential: CredentialId::new(raw.credential).map_err(field("credential"))?,
            asked_by: NodeId::new(raw.asked_by).map_err(field("asked_by"))?,
            nonce: bytes("nonce", &raw.nonce)?,
            proof: bytes("proof", &raw.proof)?,
            made_at_secs: raw.made_at_secs,
        };
        Ok((said, opened))
    }

    /// What is to be signed, by [`Self::credential`].
    pub fn to_unsigned(&self) -> Unsigned {
        let raw = pb::BackupProof {
            version: 1,
            cluster: self.cluster.to_string(),
            key_id: self.key.to_string(),
            epoch: self.epoch.0,
            member: u32::from(self.member.as_u8()),
            backup: Bytes::copy_from_slice(&self.backup),
            person: self.person.to_string(),
            credential: self.credential.to_string(),
            asked_by: self.asked_by.to_string(),
            nonce: Bytes::copy_from_slice(&self.nonce),
            proof: Bytes::copy_from_slice(&self.proof),
            made_at_secs: self.made_at_secs,
        };
        Unsigned::new(PayloadType::BackupProof, raw.encode_to_vec())
    }
}

fn bytes<const N: usize>(name: &'static str, bytes: &[u8]) -> Result<[u8; N], IntentError> {
    <[u8; N]>::try_from(bytes).map_err(|_| invalid(name, format!("{} bytes where {N} are needed", bytes.len())))
}
