//! New shares for a key: the order, and who signs with them. Checked forms of `KeyHandover` and `EpochSwitched` in `types.proto`.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::envelope::{self, Opened, PayloadType};
use crate::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, Protocol, RequesterId};
use crate::intent::{IntentError, check_version, committee_from_wire, field, invalid, protocol_from_wire};
use crate::{intent, limits, pb};

/// An order to make a key's shares anew: checked, together with its id. With the present committee it is a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHandover {
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub id: IntentId,
    /// The cluster asked.
    pub cluster: ClusterId,
    /// Who orders.
    pub requester: RequesterId,
    /// The key.
    pub key_id: KeyId,
    /// The lowest epoch that an attempt takes.
    pub first_epoch: Epoch,
    /// The protocol that signs with the new shares; never `hsm`.
    pub protocol: Protocol,
    /// How many of the new members must take part.
    pub size: CommitteeSize,
    /// The new members in index order, all different.
    pub nodes: Vec<NodeId>,
    /// Seconds since 1970 after which no signer takes part.
    pub expires_at_secs: u64,
    /// SHA-256 of the certified statement's bytes of the present shares ([`statement_hash`]).
    pub present: [u8; 32],
}

/// SHA-256 of a statement's bytes, by which orders and words name what is certified.
pub fn statement_hash(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

impl KeyHandover {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::KeyHandover)?;
        let raw: pb::KeyHandover = opened.decode("key handover")?;
        check_version(raw.version)?;
        let protocol = protocol_from_wire(raw.protocol)?;
        if !protocol.is_threshold() {
            return Err(invalid("protocol", "a key in one token has no shares to hand over"));
        }
        if raw.first_epoch <= Epoch::FIRST.0 || raw.first_epoch > limits::LAST_EPOCH {
            let reason = format!("{} is none of 2 to {}", raw.first_epoch, limits::LAST_EPOCH);
            return Err(invalid("first_epoch", reason));
        }
        let (size, nodes) = committee_from_wire(protocol, raw.signers_required, raw.nodes)?;
        if raw.expires_at_secs == 0 {
            return Err(invalid("expires_at_secs", "an order must expire"));
        }
        let order = Self {
            id: opened.id(),
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            requester: RequesterId::new(raw.requester).map_err(field("requester"))?,
            key_id: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            first_epoch: Epoch(raw.first_epoch),
            protocol,
            size,
            nodes,
            expires_at_secs: raw.expires_at_secs,
            present: *IntentId::from_slice(&raw.present).map_err(field("present"))?.as_bytes(),
        };
        Ok((order, opened))
    }

    /// Whether an attempt of this order may take this epoch.
    pub const fn allows(&self, epoch: Epoch) -> bool {
        epoch.0 >= self.first_epoch.0 && epoch.0 - self.first_epoch.0 < limits::HANDOVER_ATTEMPTS
    }

    /// The wire form.
    pub fn to_wire(&self) -> pb::KeyHandover {
        pb::KeyHandover {
            version: 1,
            cluster: self.cluster.to_string(),
            requester: self.requester.to_string(),
            key_id: self.key_id.to_string(),
            first_epoch: self.first_epoch.0,
            protocol: intent::protocol_to_wire(self.protocol),
            signers_required: self.size.signers_required().into(),
            nodes: self.nodes.iter().map(ToString::to_string).collect(),
            expires_at_secs: self.expires_at_secs,
            present: Bytes::copy_from_slice(&self.present),
        }
    }
}

/// A signer's word that it signs with the shares of this epoch and with no older ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochSwitched {
    /// The cluster.
    pub cluster: ClusterId,
    /// Who says it.
    pub node: NodeId,
    /// The key.
    pub key_id: KeyId,
    /// The generation of the shares.
    pub epoch: Epoch,
    /// SHA-256 of the certified statement's bytes.
    pub statement_hash: [u8; 32],
}

impl EpochSwitched {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::EpochSwitched)?;
        let raw: pb::EpochSwitched = opened.decode("epoch switched")?;
        check_version(raw.version)?;
        let switched = Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            node: NodeId::new(raw.node).map_err(field("node"))?,
            key_id: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            epoch: Epoch(raw.epoch),
            statement_hash: *IntentId::from_slice(&raw.statement_hash).map_err(field("statement_hash"))?.as_bytes(),
        };
        Ok((switched, opened))
    }

    /// The payload that is signed.
    pub fn to_payload(&self) -> Vec<u8> {
        let raw = pb::EpochSwitched {
            version: 1,
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            key_id: self.key_id.to_string(),
            epoch: self.epoch.0,
            statement_hash: Bytes::copy_from_slice(&self.statement_hash),
        };
        raw.encode_to_vec()
    }
}
