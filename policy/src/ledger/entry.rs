//! An entry: one number of the ledger.
//!
//! There are three kinds. An entry that *reserves or releases* stands directly on the certified number before it. One that
//! *settles* comes after numbers that were given up: it carries what was acknowledged at them and adds nothing of its own,
//! so that giving up again never piles up. One that *seals* ends the committee; it may settle too.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use limen_wire::effects::Asset;
use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::ids::{CharterHash, ClusterId, CommitteeHash, CurrencyId, EntryHash, IntentId, LedgerId, NodeId};
use limen_wire::keys::SigningKey;
use limen_wire::{check, pb};
use serde::{Deserialize, Serialize};

use super::entry_wire::{self, EntryError};
use super::scope::Charges;

/// What one request reserves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The request.
    pub intent: IntentId,
    /// The request that it replaces.
    pub replaces: Option<IntentId>,
    /// What it takes, maximum fee included.
    pub charges: Charges,
}

/// A price by which charges in money were computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Of what.
    pub asset: Asset,
    /// In which money.
    pub unit: CurrencyId,
    /// In the smallest numbers.
    pub price: check::Price,
    /// When it was found, in milliseconds since 1970.
    pub at_ms: u64,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check::Price { value, scale } = self.price;
        write!(f, "{value}/10^{scale} {} for {}, found at {} ms", self.unit, self.asset, self.at_ms)
    }
}

/// The end of a committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// The committee that goes on.
    pub successor: CommitteeHash,
    /// [`super::Book::digest`] of everything that counts.
    pub book: [u8; 32],
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// The cluster.
    pub cluster: ClusterId,
    /// The ledger.
    pub ledger: LedgerId,
    /// The committee.
    pub committee: CommitteeHash,
    /// The charter by which charges and limits are judged.
    pub charter: CharterHash,
    /// From 1.
    pub number: u64,
    /// The certified number that it builds on, 0 at the committee's start.
    pub base: u64,
    /// The entry at the base.
    pub previous: EntryHash,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// When its reservations end.
    pub expires_at_ms: u64,
    /// The prices that the claims need, in increasing order of asset and money, and no others.
    pub prices: Vec<Price>,
    /// What is reserved, in increasing order of intents.
    pub claims: Vec<Claim>,
    /// Evidence for what is given back.
    pub releases: Vec<pb::Envelope>,
    /// Statements of q members about the numbers between base and number.
    pub closings: Vec<pb::Envelope>,
    /// The entries that those statements name, in increasing order of number and hash.
    pub carried: Vec<Entry>,
    /// Set in the committee's last entry.
    pub seal: Option<Seal>,
}

/// A well-formed entry with its exact bytes and hash. Cheap to clone. Whether it may be acknowledged is a member's question.
#[derive(Debug, Clone)]
pub struct Entry(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    body: Body,
    payload: Bytes,
    hash: EntryHash,
}

impl Entry {
    /// Encodes and checks the shape.
    pub fn new(body: Body) -> Result<Self, EntryError> {
        let payload = Bytes::from(entry_wire::encode(&body));
        Self::decode(payload)
    }

    /// From exact bytes; only the canonical encoding is read.
    pub fn decode(payload: Bytes) -> Result<Self, EntryError> {
        Self::read(payload, false)
    }

    pub(super) fn decode_carried(payload: Bytes) -> Result<Self, EntryError> {
        Self::read(payload, true)
    }

    fn read(payload: Bytes, carried: bool) -> Result<Self, EntryError> {
        let body = entry_wire::decode(&payload, carried)?;
        let hash = entry_wire::hash(&payload);
        Ok(Self(Arc::new(Encoded { body, payload, hash })))
    }

    /// Hash of its exact bytes.
    pub fn hash(&self) -> EntryHash {
        self.0.hash
    }

    /// Its exact bytes: what an acknowledgement signs.
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// Whether numbers before it were given up.
    pub fn settles(&self) -> bool {
        !self.closings.is_empty()
    }

    /// Whether it reserves or releases something of its own, so that closings must name it.
    pub fn counts(&self) -> bool {
        !self.claims.is_empty() || !self.releases.is_empty()
    }

    /// This entry, to be signed by a member. Only for an entry that [`super::Member`] answered with.
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(PayloadType::LedgerEntry, self.payload().to_vec())
    }

    /// The acknowledgement of a member: this entry under its signature.
    pub fn acknowledge(&self, member: &NodeId, key: &SigningKey) -> pb::Envelope {
        self.unsigned().sign(member.as_str(), key)
    }
}

impl Deref for Entry {
    type Target = Body;
    fn deref(&self) -> &Body {
        &self.0.body
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}
impl Eq for Entry {}
impl std::hash::Hash for Entry {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}
impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.payload().as_ref().serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Vec::<u8>::deserialize(deserializer)?;
        Self::decode(payload.into()).map_err(serde::de::Error::custom)
    }
}
