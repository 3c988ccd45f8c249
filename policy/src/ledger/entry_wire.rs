//! The one encoding of an entry, and the shapes that it refuses.

use bytes::Bytes;
use limen_wire::effects::{Amount, Asset};
use limen_wire::ids::{
    CharterHash, ClusterId, CommitteeHash, CurrencyId, EntryHash, IdError, IntentId, LedgerId, tagged_hash,
};
use limen_wire::{check, limits, pb};
use prost::Message as _;

use super::entry::{Body, Claim, Entry, Price, Seal};
use super::release::Release;
use super::scope::{self, ScopeError};

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the encoding that its content gives.
    #[error("the ledger entry is not in its canonical encoding: {0}")]
    NotCanonical(String),
    /// Longer than an entry may be.
    #[error("the ledger entry has {found} bytes, more than the {limit} allowed: put fewer requests into one entry")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A name or hash.
    #[error("the ledger entry is not well formed: {0}")]
    Id(#[from] IdError),
    /// A charge.
    #[error("the ledger entry is not well formed: {0}")]
    Scope(#[from] ScopeError),
    /// Anything else.
    #[error("the ledger entry is not well formed: {field}: {reason}")]
    Shape {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

const fn shape(field: &'static str, reason: &'static str) -> EntryError {
    EntryError::Shape { field, reason }
}

pub(super) fn hash(payload: &[u8]) -> EntryHash {
    EntryHash::new(tagged_hash("limen ledger entry v1", [payload]))
}

pub(super) fn claim_to_wire(claim: &Claim) -> pb::LedgerClaim {
    pb::LedgerClaim {
        intent_id: copy(claim.intent.as_bytes()),
        replaces: claim.replaces.map(|id| copy(id.as_bytes())).unwrap_or_default(),
        charges: scope::charges_to_wire(&claim.charges),
    }
}

fn copy(bytes: &[u8; 32]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn encode(body: &Body) -> Vec<u8> {
    let price = |price: &Price| pb::LedgerPrice {
        asset: price.asset.to_string(),
        unit: price.unit.to_string(),
        value: copy(&price.price.value.to_be_bytes()),
        scale: price.price.scale,
        at_ms: price.at_ms,
    };
    pb::LedgerEntry {
        version: 1,
        cluster: body.cluster.to_string(),
        ledger: body.ledger.to_string(),
        committee: copy(body.committee.as_bytes()),
        charter: copy(body.charter.as_bytes()),
        number: body.number,
        base: body.base,
        previous: copy(body.previous.as_bytes()),
        time_ms: body.time_ms,
        expires_at_ms: body.expires_at_ms,
        prices: body.prices.iter().map(price).collect(),
        claims: body.claims.iter().map(claim_to_wire).collect(),
        releases: body.releases.clone(),
        closings: body.closings.clone(),
        carried: body.carried.iter().map(|entry| entry.payload().clone()).collect(),
        seal: body
            .seal
            .map(|seal| pb::LedgerSeal { successor: copy(seal.successor.as_bytes()), book: copy(&seal.book) }),
    }
    .encode_to_vec()
}

/// `carried`: the entry stands inside another, where only one that does not settle can.
pub(super) fn decode(payload: &[u8], carried: bool) -> Result<Body, EntryError> {
    at_most(payload.len(), limits::ENVELOPE_PAYLOAD_BYTES)?;
    let raw = pb::LedgerEntry::decode(payload).map_err(|error| EntryError::NotCanonical(error.to_string()))?;
    if raw.encode_to_vec() != payload {
        return Err(EntryError::NotCanonical("encoding the decoded message gives other bytes".to_owned()));
    }
    if raw.version != 1 {
        return Err(shape("version", "not known here; 1 is"));
    }
    let settles = !raw.closings.is_empty();
    if settles && carried {
        return Err(shape("carried", "an entry that settles is never carried"));
    }
    if !settles {
        at_most(payload.len(), limits::LEDGER_ENTRY_BYTES)?;
        if !raw.carried.is_empty() {
            return Err(shape("carried", "nothing is carried without closings"));
        }
    }
    let body = Body {
        cluster: ClusterId::new(raw.cluster)?,
        ledger: LedgerId::new(raw.ledger)?,
        committee: CommitteeHash::from_slice(&raw.committee)?,
        charter: CharterHash::from_slice(&raw.charter)?,
        number: raw.number,
        base: raw.base,
        previous: EntryHash::from_slice(&raw.previous)?,
        time_ms: raw.time_ms,
        expires_at_ms: raw.expires_at_ms,
        prices: raw.prices.into_iter().map(price).collect::<Result<_, _>>()?,
        claims: raw.claims.into_iter().map(claim).collect::<Result<_, _>>()?,
        releases: raw.releases,
        closings: raw.closings,
        carried: raw.carried.into_iter().map(Entry::decode_carried).collect::<Result<_, _>>()?,
        seal: raw.seal.map(seal).transpose()?,
    };
    well_formed(&body)?;
    Ok(body)
}

const fn at_most(found: usize, limit: usize) -> Result<(), EntryError> {
    if found > limit { Err(EntryError::TooLarge { found, limit }) } else { Ok(()) }
}

fn price(raw: pb::LedgerPrice) -> Result<Price, EntryError> {
    let asset = Asset::from_caip19(&raw.asset).filter(|asset| asset.to_string() == raw.asset);
    let asset = asset.ok_or_else(|| shape("prices", "a coin or a token in its one CAIP-19 spelling is needed"))?;
    let value = raw.value.as_ref().try_into().map_err(|_| shape("prices", "32 bytes of value are needed"))?;
    let price = check::Price { value: Amount::from_be_bytes(value), scale: raw.scale };
    if !price.is_possible() || price != price.reduced() {
        return Err(shape("prices", "a price is more than nothing, in the smallest numbers"));
    }
    Ok(Price { asset, unit: CurrencyId::new(raw.unit)?, price, at_ms: raw.at_ms })
}

fn claim(raw: pb::LedgerClaim) -> Result<Claim, EntryError> {
    let intent = IntentId::from_slice(&raw.intent_id)?;
    let replaces = match raw.replaces.len() {
        0 => None,
        _ => Some(IntentId::from_slice(&raw.replaces)?),
    };
    if replaces == Some(intent) {
        return Err(shape("claims", "nothing replaces itself"));
    }
    Ok(Claim { intent, replaces, charges: scope::charges_from_wire(raw.charges)? })
}

fn seal(raw: pb::LedgerSeal) -> Result<Seal, EntryError> {
    let book = raw.book.as_ref().try_into().map_err(|_| shape("seal", "32 bytes of digest are needed"))?;
    Ok(Seal { successor: CommitteeHash::from_slice(&raw.successor)?, book })
}

/// What holds for every entry, whoever made it.
fn well_formed(body: &Body) -> Result<(), EntryError> {
    if body.number == 0 || body.base >= body.number {
        return Err(shape("number", "it comes after its base"));
    }
    if body.expires_at_ms < body.time_ms {
        return Err(shape("expires_at_ms", "it comes after time_ms"));
    }
    if !body.prices.iter().zip(body.prices.iter().skip(1)).all(|(a, b)| a.place() < b.place()) {
        return Err(shape("prices", "they stand in strictly increasing order of asset and money"));
    }
    if !body.claims.iter().zip(body.claims.iter().skip(1)).all(|(a, b)| a.intent < b.intent) {
        return Err(shape("claims", "they stand in strictly increasing order of intents"));
    }
    let counts = !body.claims.is_empty() || !body.releases.is_empty();
    for evidence in &body.releases {
        let named = Release::named(evidence).map_err(|_| shape("releases", "each is the void of one request"))?;
        if body.claims.iter().any(|claim| claim.intent == named) {
            return Err(shape("releases", "an entry does not reserve what it releases"));
        }
    }
    if body.seal.is_some() && counts {
        return Err(shape("seal", "an entry that seals neither reserves nor releases"));
    }
    if body.closings.is_empty() {
        return check_direct(body, counts);
    }
    if counts || !body.prices.is_empty() {
        return Err(shape("closings", "an entry that settles adds nothing of its own"));
    }
    check_settling(body)
}

fn check_direct(body: &Body, counts: bool) -> Result<(), EntryError> {
    if body.base.checked_add(1) != Some(body.number) {
        return Err(shape("base", "without closings an entry stands on the number right before it"));
    }
    if !counts && body.seal.is_none() {
        return Err(shape("claims", "the entry is empty"));
    }
    Ok(())
}

fn check_settling(body: &Body) -> Result<(), EntryError> {
    if body.closings.len() > limits::LEDGER_MEMBERS {
        return Err(shape("closings", "more than a committee has members"));
    }
    let place = |entry: &Entry| (entry.number, entry.hash());
    if !body.carried.iter().zip(body.carried.iter().skip(1)).all(|(a, b)| place(a) < place(b)) {
        return Err(shape("carried", "entries stand in strictly increasing order of number and hash"));
    }
    for entry in &body.carried {
        if !entry.counts() {
            return Err(shape("carried", "only entries that reserve or release are carried"));
        }
        if (&entry.cluster, &entry.ledger, entry.committee) != (&body.cluster, &body.ledger, body.committee) {
            return Err(shape("carried", "it is of another ledger or committee"));
        }
        if entry.number <= body.base || entry.number >= body.number || entry.time_ms > body.time_ms {
            return Err(shape("carried", "it lies between base and number, not later in time"));
        }
    }
    Ok(())
}
