//! The journal: what this signer decided, in order, each record chained to the one before by hash.
//!
//! Head after record n: `tagged_hash("limen node journal v1", [head before, n, record])`, starting from zeros. Records
//! before the checkpoint are gone; the checkpoint's own head keeps the rest verifiable.

use limen_wire::ids::tagged_hash;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Number of records and hash of the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Records ever written.
    pub length: u64,
    /// Hash of the newest, zeros at the beginning.
    pub hash: [u8; 32],
}

impl Head {
    /// The head after one more record.
    #[must_use]
    pub fn after(&self, record: &[u8]) -> Self {
        let parts = [&self.hash[..], &self.length.to_be_bytes(), record];
        Self { length: self.length.saturating_add(1), hash: tagged_hash("limen node journal v1", parts) }
    }

    pub(super) fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let parts = self.length.to_be_bytes().into_iter().chain(self.hash);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let parts = bytes.split_first_chunk::<8>();
        let head = parts.and_then(|(length, hash)| {
            Some(Self { length: u64::from_be_bytes(*length), hash: <[u8; 32]>::try_from(hash).ok()? })
        });
        head.ok_or_else(|| StoreError::damaged("a journal head of the wrong length"))
    }
}

/// Evidence that later issues add to a decision; its place in the record is kept from the first day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Ids of the approvals.
    pub approvals: Vec<[u8; 32]>,
    /// Hash of the reservation's certificate.
    pub certificate: Option<[u8; 32]>,
    /// Ids of the standings that confirmed this signer.
    pub standing: Vec<[u8; 32]>,
    /// Hash of the freeze epoch.
    pub freeze: Option<[u8; 32]>,
}

/// "I have allowed intent R in session S": durable before anything of the session leaves this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The intent.
    pub intent: [u8; 32],
    /// The session.
    pub session: [u8; 32],
    /// The key.
    pub key: String,
    /// Generation of the shares.
    pub epoch: u64,
    /// Indices of the participants.
    pub signers: Vec<u8>,
    /// The charter that allowed it.
    pub charter: [u8; 32],
    /// Digest of the effects, recomputed from the bytes.
    pub effects: [u8; 32],
    /// The intent replaced, if any.
    pub replaces: Option<[u8; 32]>,
    /// What else the decision rests on.
    pub evidence: Evidence,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The process started.
    Boot {
        /// Random.
        boot: [u8; 16],
        /// Version of the program.
        version: String,
    },
    /// Another charter than before is in force.
    Charter {
        /// Its hash.
        hash: [u8; 32],
    },
    /// An intent was seen for the first time.
    FirstSeen {
        /// Which.
        intent: [u8; 32],
    },
    /// A decision.
    Allowed(Box<Allowed>),
    /// A session of this node ended with a signature.
    Signed {
        /// Which intent.
        intent: [u8; 32],
        /// In which session.
        session: [u8; 32],
        /// SHA-256 of the signature.
        signature_hash: [u8; 32],
    },
    /// A stop record was taken.
    Stopped {
        /// Which intent.
        intent: [u8; 32],
        /// Id of the record.
        record: [u8; 32],
    },
    /// A session that makes a key or a presignature was started.
    Session {
        /// Which key.
        key: String,
        /// The session.
        session: [u8; 32],
        /// What for, as a fixed word.
        purpose: String,
    },
    /// A sealed share was stored, not yet read back.
    ShareStored {
        /// Which key.
        key: String,
        /// Generation of the shares.
        epoch: u64,
        /// Generation number of the sealed records.
        generation: u64,
        /// SHA-256 over the sealed records; over the public part of a key that the token holds.
        sealed_hash: [u8; 32],
    },
    /// The share was read back and stated to the others.
    ShareConfirmed {
        /// Which key.
        key: String,
        /// SHA-256 of the statement.
        statement: [u8; 32],
    },
    /// A certificate was taken: the key signs.
    KeyActive {
        /// Which key.
        key: String,
        /// SHA-256 of the certificate.
        certificate: [u8; 32],
    },
    /// An attempt to hand a key over took an epoch.
    EpochTaken {
        /// Which key.
        key: String,
        /// The epoch.
        epoch: u64,
        /// The session.
        session: [u8; 32],
        /// Id of the order.
        order: [u8; 32],
    },
    /// A later epoch's certificate was taken: the key signs by it, here or elsewhere.
    EpochInForce {
        /// Which key.
        key: String,
        /// The epoch.
        epoch: u64,
        /// SHA-256 of the certificate.
        certificate: [u8; 32],
        /// Whether this node has a share of it.
        is_member: bool,
    },
    /// Shares of earlier epochs were erased, after the wrapping keys that no other share needs.
    SharesErased {
        /// Which key.
        key: String,
        /// Their epochs.
        epochs: Vec<u64>,
        /// The wrapping keys that were destroyed for it.
        keks: Vec<String>,
    },
    /// Everything that lay here of a key is erased, by the charter's word.
    KeyDestroyed {
        /// Which key.
        key: String,
        /// Hash of the charter that says so.
        charter: [u8; 32],
        /// The generations of which something lay here.
        epochs: Vec<u64>,
        /// The wrapping keys that were destroyed for it.
        keks: Vec<String>,
        /// Those that other keys' shares need still.
        keks_left: Vec<String>,
    },
    /// A peer is banned.
    Banned {
        /// Which node.
        peer: String,
        /// In which session.
        session: [u8; 32],
        /// Why.
        reason: String,
    },
    /// A signed version of the charter is held from now on.
    CharterSigned {
        /// Its hash.
        hash: [u8; 32],
    },
    /// A version of the charter will never come into force.
    CharterVetoed {
        /// Its hash.
        hash: [u8; 32],
        /// Digest of the veto.
        approval: [u8; 32],
    },
    /// What a person said about an intent is held from now on.
    Approval {
        /// Which intent.
        intent: [u8; 32],
        /// Digest of the approval.
        approval: [u8; 32],
    },
    /// A freeze is in force here from now on.
    Frozen {
        /// Its id.
        freeze: [u8; 32],
    },
    /// Somebody's word that freezes may be lifted is held from now on.
    Unfreeze {
        /// Id of the record.
        record: [u8; 32],
    },
    /// A freeze is lifted here.
    Lifted {
        /// Its id.
        freeze: [u8; 32],
    },
    /// An entry of a ledger was acknowledged, or numbers were given up.
    Ledger {
        /// Which ledger.
        ledger: String,
        /// The entry's number, or the last one given up.
        number: u64,
        /// The entry's hash; `None` where numbers were given up.
        entry: Option<[u8; 32]>,
    },
    /// A drill was held, as its record shows.
    DrillHeld {
        /// Which, as the charter names it.
        drill: String,
        /// The record's name.
        record: [u8; 32],
        /// When, in seconds since 1970.
        at_secs: u64,
    },
    /// The evidence log that was held here was given up, by its operator's word.
    LogGivenUp {
        /// How many leaves it had.
        size: u64,
        /// Its root.
        root: [u8; 32],
    },
    /// This signer has frozen a requester by itself.
    FrozenByItself {
        /// The freeze's id.
        freeze: [u8; 32],
        /// Whom.
        requester: String,
    },
    /// A version from before the charter that this machine began with is known from now on.
    CharterPast {
        /// Its hash.
        hash: [u8; 32],
    },
    /// The data keys of a share are wrapped by another wrapping key.
    ShareRewrapped {
        /// Which key.
        key: String,
        /// Generation of the shares.
        epoch: u64,
        /// The wrapping key.
        kek: String,
        /// SHA-256 over the sealed records.
        sealed_hash: [u8; 32],
    },
    /// A wrapping key that no record names any more was destroyed.
    WrappingKeyDestroyed {
        /// Which one.
        kek: String,
    },
    /// A share was backed up to its custodians.
    BackupMade {
        /// Which key.
        key: String,
        /// Generation of the shares.
        epoch: u64,
        /// What the backup is called by.
        backup: [u8; 32],
        /// The charter that named the custodians.
        charter: [u8; 32],
    },
    /// A custodian has proven that their piece decrypts.
    BackupProven {
        /// Which key.
        key: String,
        /// Generation of the shares.
        epoch: u64,
        /// The backup.
        backup: [u8; 32],
        /// Who.
        person: String,
        /// SHA-256 of the envelope.
        proof: [u8; 32],
    },
}

/// A record: an event with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Milliseconds since 1970 on this node's clock.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}
