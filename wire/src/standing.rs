//! What a signer says of itself to a peer: checked form of `Standing` in `peer.proto`.

use bytes::Bytes;
use prost::Message as _;

use crate::envelope::{self, Opened, PayloadType};
use crate::ids::{CharterHash, ClusterId, NodeId};
use crate::intent::{IntentError, check_version, field, invalid};
use crate::{limits, pb};

/// How many of something, and the running hash over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// How many.
    pub length: u64,
    /// The hash, zeros at the beginning.
    pub hash: [u8; 32],
}

/// What one signer says of itself to one peer, as an answer to a question of that peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The cluster.
    pub cluster: ClusterId,
    /// Who says it.
    pub node: NodeId,
    /// To whom.
    pub receiver: NodeId,
    /// The question's random bytes.
    pub nonce: [u8; 32],
    /// Milliseconds since 1970 on its clock.
    pub clock_ms: u64,
    /// The charter in force there.
    pub charter: CharterHash,
    /// The stop records that it holds.
    pub stops: ChainHead,
    /// Its own signed [`JournalHead`]; nothing until this receiver has confirmed it since the last start.
    pub journal: Option<pb::Envelope>,
    /// The receiver's own signed [`JournalHead`] that this signer durably holds: the longest that it was ever shown.
    pub remembered: Option<pb::Envelope>,
    /// The ledgers that it knows.
    pub ledgers: Vec<pb::LedgerHead>,
    /// The evidence log that it holds: leaves and root.
    pub log: Option<ChainHead>,
    /// What the receiver said of its log last is not what this signer holds.
    pub other_log: bool,
}

impl Standing {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Standing)?;
        let raw: pb::Standing = opened.decode("standing")?;
        check_version(raw.version)?;
        if raw.ledgers.len() > limits::LEDGER_HEADS {
            return Err(invalid(
                "ledgers",
                format!("{} are named, at most {}", raw.ledgers.len(), limits::LEDGER_HEADS),
            ));
        }
        let standing = Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            node: NodeId::new(raw.node).map_err(field("node"))?,
            receiver: NodeId::new(raw.receiver).map_err(field("receiver"))?,
            nonce: bytes32("nonce", &raw.nonce)?,
            clock_ms: raw.clock_ms,
            charter: CharterHash::from_slice(&raw.charter_hash).map_err(field("charter_hash"))?,
            stops: ChainHead { length: raw.stops_length, hash: bytes32("stops_head", &raw.stops_head)? },
            journal: raw.journal,
            remembered: raw.remembered,
            ledgers: raw.ledgers,
            log: match raw.log_root.as_ref() {
                [] => None,
                root => Some(ChainHead { length: raw.log_size, hash: bytes32("log_root", root)? }),
            },
            other_log: raw.other_log,
        };
        Ok((standing, opened))
    }

    /// The payload that is signed.
    pub fn to_payload(&self) -> Vec<u8> {
        let copy = |bytes: &[u8; 32]| Bytes::copy_from_slice(bytes);
        let raw = pb::Standing {
            version: 1,
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            receiver: self.receiver.to_string(),
            nonce: copy(&self.nonce),
            clock_ms: self.clock_ms,
            charter_hash: copy(self.charter.as_bytes()),
            stops_length: self.stops.length,
            stops_head: copy(&self.stops.hash),
            journal: self.journal.clone(),
            remembered: self.remembered.clone(),
            ledgers: self.ledgers.clone(),
            log_size: self.log.map_or(0, |log| log.length),
            log_root: self.log.map_or_else(Bytes::new, |log| copy(&log.hash)),
            other_log: self.other_log,
        };
        raw.encode_to_vec()
    }
}

/// A signer's word about its own journal: whoever holds it can prove to that signer that it once was so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalHead {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose journal.
    pub node: NodeId,
    /// How far it is.
    pub head: ChainHead,
}

impl JournalHead {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::JournalHead)?;
        let raw: pb::JournalHead = opened.decode("journal head")?;
        check_version(raw.version)?;
        let head = Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            node: NodeId::new(raw.node).map_err(field("node"))?,
            head: ChainHead { length: raw.length, hash: bytes32("hash", &raw.hash)? },
        };
        Ok((head, opened))
    }

    /// The payload that is signed.
    pub fn to_payload(&self) -> Vec<u8> {
        let raw = pb::JournalHead {
            version: 1,
            cluster: self.cluster.to_string(),
            node: self.node.to_string(),
            length: self.head.length,
            hash: Bytes::copy_from_slice(&self.head.hash),
        };
        raw.encode_to_vec()
    }
}

fn bytes32(name: &'static str, bytes: &[u8]) -> Result<[u8; 32], IntentError> {
    <[u8; 32]>::try_from(bytes).map_err(|_| invalid(name, format!("{} bytes where 32 are needed", bytes.len())))
}
