//! Newtypes for everything that is counted or named: no bare integers or strings across a crate boundary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a name, number or hash was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A name has the wrong length or a character outside `a-z 0-9 - _ .`.
    #[error(
        "{what} {value:?} is not a name: 1 to {max} characters out of a-z, 0-9, '-', '_' and '.', starting with a letter or digit"
    )]
    BadName {
        /// Which kind of name.
        what: &'static str,
        /// The offending text, cut to 80 characters.
        value: String,
        /// The greatest length allowed, in bytes.
        max: usize,
    },
    /// A hash or public key has the wrong number of bytes, or is not hexadecimal.
    #[error("{what} must be {expected} bytes as lower-case hexadecimal, found {found}")]
    BadBytes {
        /// Which kind of value.
        what: &'static str,
        /// Bytes expected.
        expected: usize,
        /// What was there instead.
        found: String,
    },
    /// A number is outside its range.
    #[error("{what} must be between {min} and {max}, found {found}")]
    OutOfRange {
        /// Which kind of number.
        what: &'static str,
        /// Smallest allowed value.
        min: u64,
        /// Greatest allowed value.
        max: u64,
        /// The offending value.
        found: u64,
    },
    /// A list that must be strictly increasing is not.
    #[error("{what} must be strictly increasing without duplicates")]
    NotStrictlyIncreasing {
        /// Which list.
        what: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Greatest length in bytes.
            pub const MAX_LEN: usize = $max;

            /// Checks the spelling: `a-z 0-9 - _ .`, first a letter or digit, at most [`Self::MAX_LEN`] bytes.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                let ok = value.len() <= $max
                    && value.bytes().next().is_some_and(plain)
                    && value.bytes().all(|b| plain(b) || matches!(b, b'-' | b'_' | b'.'));
                if ok {
                    Ok(Self(value))
                } else {
                    Err(IdError::BadName { what: $what, value: value.chars().take(80).collect(), max: $max })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                Self::new(value)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::new(value)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

name!(
    /// Names a cluster: everything that is signed inside it carries this name.
    ClusterId, "cluster id", 64
);
name!(
    /// Names a threshold key within a cluster.
    KeyId, "key id", 64
);
name!(
    /// Names a signer node, as pinned in the charter.
    NodeId, "node id", 64
);
name!(
    /// Names an enrolled requester (a backend, a plugin, an operator's terminal).
    RequesterId, "requester id", 64
);
name!(
    /// Names a ledger of limits, as the charter does.
    LedgerId, "ledger id", 64
);
name!(
    /// Names a vault: accounts under one tier and one set of rules.
    VaultId, "vault id", 64
);

name!(
    /// Names a person in the charter. People approve; credentials are how they prove it.
    PersonId, "person id", 64
);
name!(
    /// Names one credential of one person.
    CredentialId, "credential id", 64
);
name!(
    /// Names a group of people.
    GroupId, "group id", 64
);
name!(
    /// Names an external checker.
    CheckerId, "checker id", 64
);
name!(
    /// Names an entry of the address book.
    BookEntryId, "address book entry", 64
);
name!(
    /// Names a limit: so much within a window.
    LimitId, "limit id", 64
);
name!(
    /// Names a currency of the charter, such as `usd`.
    CurrencyId, "currency", 64
);

name!(
    /// Names a ceremony within a cluster: never used for two.
    CeremonyId, "ceremony id", 64
);
name!(
    /// Names a drill that the charter asks for.
    DrillId, "drill id", 64
);
name!(
    /// Names what somebody does in a ceremony.
    RoleId, "role", 64
);
name!(
    /// Names a wrapping key of a signer: one for a node and an epoch group, one for each cold key.
    KekId, "wrapping key", 96
);
name!(
    /// Names a key that lives wholly in one token.
    HeldId, "held key", 96
);

macro_rules! hash32 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            /// From a byte string that must be 32 bytes long.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| IdError::BadBytes {
                    what: $what,
                    expected: 32,
                    found: format!("{} bytes", bytes.len()),
                })
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                let mut bytes = [0u8; 32];
                hex::decode_to_slice(value, &mut bytes).map_err(|_| IdError::BadBytes {
                    what: $what,
                    expected: 32,
                    found: format!("{} characters", value.len()),
                })?;
                Ok(Self(bytes))
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                value.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    };
}

hash32!(
    /// SHA-256 of the DSSE pre-authentication encoding of an intent's envelope.
    IntentId, "intent id"
);
hash32!(
    /// Names one run of a protocol among a fixed signer set; random, never used twice.
    SessionId, "session id"
);
hash32!(
    /// SHA-256 of a charter version's exact bytes.
    CharterHash, "charter hash"
);
hash32!(
    /// SHA-256 of a ceremony plan's exact bytes.
    PlanHash, "plan hash"
);
hash32!(
    /// Hash of a ceremony's record up to the end of a step.
    RecordHead, "head of a ceremony's record"
);
hash32!(
    /// Digest of an approval: what its person proves, and its name.
    ApprovalId, "approval digest"
);
hash32!(
    /// SHA-256 over the part of a charter that decides about one intent.
    SliceHash, "hash of the charter's slice"
);
hash32!(
    /// Hash of the live freezes of the scopes that one intent touches.
    FreezeEpoch, "freeze epoch"
);

hash32!(
    /// Hash of a ledger committee: its ledger, members, keys and numbers.
    CommitteeHash, "committee hash"
);
hash32!(
    /// Hash of a ledger entry's exact bytes.
    EntryHash, "entry hash"
);

impl FreezeEpoch {
    /// Nothing that the intent touches is frozen: 32 zeros, which no hash gives.
    pub const NONE: Self = Self([0; 32]);

    /// Of the ids of the live freezes, in any order and each counted once: [`tagged_hash`] with domain
    /// `limen/freeze-epoch/v1` over the sorted ids, or [`Self::NONE`] if there are none.
    pub fn of(freezes: impl IntoIterator<Item = IntentId>) -> Self {
        let ids: std::collections::BTreeSet<IntentId> = freezes.into_iter().collect();
        if ids.is_empty() {
            return Self::NONE;
        }
        Self::new(tagged_hash("limen/freeze-epoch/v1", ids.iter().map(|id| id.as_bytes().as_slice())))
    }

    /// The same with the freezes that were lifted: what was approved before a freeze does not hold after it.
    /// [`tagged_hash`] with domain `limen/freeze-history/v1` over [`Self::of`] the live ones and the sorted ids of the lifted
    /// ones; without lifted ones [`Self::of`] itself.
    pub fn with_lifted(live: impl IntoIterator<Item = IntentId>, lifted: impl IntoIterator<Item = IntentId>) -> Self {
        let (live, lifted) = (Self::of(live), lifted.into_iter().collect::<std::collections::BTreeSet<_>>());
        if lifted.is_empty() {
            return live;
        }
        let ids = lifted.iter().map(|id| id.as_bytes().as_slice());
        Self::new(tagged_hash("limen/freeze-history/v1", std::iter::once(live.as_bytes().as_slice()).chain(ids)))
    }
}

/// Domain-separated SHA-256 over length-prefixed parts: injective, so that no two lists of parts share an input.
/// Layout: `len(domain) ‖ domain ‖ (len(part) ‖ part)*`, each length a big-endian `u64` of bytes.
pub fn tagged_hash<'a>(domain: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((domain.len() as u64).to_be_bytes());
    hash.update(domain.as_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A signer's index in a key's committee: the x-coordinate of its share, from 1 to 255. Zero would be the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PartyIndex(u8);

impl PartyIndex {
    /// Checks `1 ≤ index ≤ 255`.
    pub fn new(index: u16) -> Result<Self, IdError> {
        match u8::try_from(index) {
            Ok(index) if index > 0 => Ok(Self(index)),
            _ => Err(IdError::OutOfRange { what: "party index", min: 1, max: 255, found: u64::from(index) }),
        }
    }
    /// The index, from 1.
    pub const fn as_u8(self) -> u8 {
        self.0
    }
    /// The index, from 1.
    pub const fn as_u16(self) -> u16 {
        self.0 as u16
    }
}
impl fmt::Display for PartyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl TryFrom<u16> for PartyIndex {
    type Error = IdError;
    fn try_from(value: u16) -> Result<Self, IdError> {
        Self::new(value)
    }
}
impl From<PartyIndex> for u16 {
    fn from(value: PartyIndex) -> u16 {
        value.as_u16()
    }
}

/// The generation of a key's shares, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that key generation makes.
    pub const FIRST: Self = Self(1);
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many signers hold shares of a key, and how many of them must take part to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawCommittee", into = "RawCommittee")]
pub struct CommitteeSize {
    total: u8,
    required: u8,
}

#[derive(Serialize, Deserialize)]
struct RawCommittee {
    signers_total: u16,
    signers_required: u16,
}

impl CommitteeSize {
    /// The one signer whose token holds a key of [`Protocol::Hsm`]: 1-of-1, which no threshold key has.
    pub const ALONE: Self = Self { total: 1, required: 1 };

    /// The size that fits a protocol: [`Self::ALONE`] and nothing else for a key in one token, [`Self::new`] for every other.
    pub fn of(protocol: Protocol, signers_required: u16, signers_total: u16) -> Result<Self, IdError> {
        if protocol.is_threshold() {
            return Self::new(signers_required, signers_total);
        }
        for (what, found) in [("signers_total", signers_total), ("signers_required", signers_required)] {
            if found != 1 {
                return Err(IdError::OutOfRange { what, min: 1, max: 1, found: found.into() });
            }
        }
        Ok(Self::ALONE)
    }

    /// Checks `2 ≤ required ≤ total ≤ 32`. One signer alone is not a threshold; more than 32 is outside what was measured.
    pub fn new(signers_required: u16, signers_total: u16) -> Result<Self, IdError> {
        let range = |what, min: u16, max: u16, found: u16| match u8::try_from(found) {
            Ok(value) if (min..=max).contains(&found) => Ok(value),
            _ => Err(IdError::OutOfRange { what, min: min.into(), max: max.into(), found: found.into() }),
        };
        let total = range("signers_total", 2, 32, signers_total)?;
        let required = range("signers_required", 2, signers_total, signers_required)?;
        Ok(Self { total, required })
    }
    /// How many signers hold a share.
    pub const fn signers_total(self) -> u8 {
        self.total
    }
    /// How many signers must take part.
    pub const fn signers_required(self) -> u8 {
        self.required
    }
}
impl fmt::Display for CommitteeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.required, self.total)
    }
}
impl TryFrom<RawCommittee> for CommitteeSize {
    type Error = IdError;
    fn try_from(raw: RawCommittee) -> Result<Self, IdError> {
        // Whether it fits the protocol is seen where both stand.
        if (raw.signers_required, raw.signers_total) == (1, 1) {
            return Ok(Self::ALONE);
        }
        Self::new(raw.signers_required, raw.signers_total)
    }
}
impl From<CommitteeSize> for RawCommittee {
    fn from(size: CommitteeSize) -> Self {
        Self { signers_total: size.total.into(), signers_required: size.required.into() }
    }
}

/// The parties of one session, strictly increasing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<PartyIndex>", into = "Vec<PartyIndex>")]
pub struct SignerSet(Vec<PartyIndex>);

impl SignerSet {
    /// Checks that there are 1 to 32 parties, strictly increasing. One alone fits no threshold key, whose sessions and guard
    /// ask for exactly as many as it needs.
    pub fn new(parties: Vec<PartyIndex>) -> Result<Self, IdError> {
        if !(1..=32).contains(&parties.len()) {
            return Err(IdError::OutOfRange {
                what: "size of a signer set",
                min: 1,
                max: 32,
                found: parties.len() as u64,
            });
        }
        if !parties.iter().zip(parties.iter().skip(1)).all(|(a, b)| a < b) {
            return Err(IdError::NotStrictlyIncreasing { what: "a signer set" });
        }
        Ok(Self(parties))
    }
    /// All `1..=total`: the set that generates a key.
    pub fn all(size: CommitteeSize) -> Self {
        Self((1..=size.total).map(PartyIndex).collect())
    }
    /// The parties, increasing.
    pub fn parties(&self) -> &[PartyIndex] {
        &self.0
    }
    /// Whether the party takes part.
    pub fn contains(&self, party: PartyIndex) -> bool {
        self.0.binary_search(&party).is_ok()
    }
    /// How many take part.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Never: a set holds at least one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The others, increasing.
    pub fn others(&self, me: PartyIndex) -> impl Iterator<Item = PartyIndex> + '_ {
        self.0.iter().copied().filter(move |party| *party != me)
    }
    /// Position of the party in the set, from 0.
    pub fn position(&self, party: PartyIndex) -> Option<usize> {
        self.0.binary_search(&party).ok()
    }
}
impl TryFrom<Vec<PartyIndex>> for SignerSet {
    type Error = IdError;
    fn try_from(parties: Vec<PartyIndex>) -> Result<Self, IdError> {
        Self::new(parties)
    }
}
impl From<SignerSet> for Vec<PartyIndex> {
    fn from(set: SignerSet) -> Self {
        set.0
    }
}

/// Which signature a key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// ECDSA over secp256k1 (SEC 1), low-S.
    EcdsaSecp256k1,
    /// EdDSA over Curve25519 (RFC 8032, Ed25519).
    EddsaEd25519,
    /// Schnorr over secp256k1 with x-only keys (BIP-340).
    SchnorrBip340,
    /// ECDSA over NIST P-256 (FIPS 186-5; the curve secp256r1), low-S. Only keys in one token have it, and no chain takes it.
    EcdsaP256,
}

impl Scheme {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::EcdsaSecp256k1, Self::EddsaEd25519, Self::SchnorrBip340, Self::EcdsaP256];

    /// The name used in the API, configuration and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaSecp256k1 => "ecdsa-secp256k1",
            Self::EddsaEd25519 => "eddsa-ed25519",
            Self::SchnorrBip340 => "schnorr-bip340",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }
    /// Bytes of a public key as the API writes it: a compressed point (SEC 1 section 2.3.3) for ECDSA, else 32.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::EcdsaSecp256k1 | Self::EcdsaP256 => 33,
            Self::EddsaEd25519 | Self::SchnorrBip340 => 32,
        }
    }
    /// Whether a signature is over a digest of 32 bytes and has a recovery id; the other schemes take a message.
    pub const fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaSecp256k1 | Self::EcdsaP256)
    }
}
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for Scheme {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let known = "ecdsa-secp256k1, eddsa-ed25519, schnorr-bip340, ecdsa-p256";
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or_else(|| UnknownWord::new("scheme", text, known))
    }
}

/// How a key signs, by which threshold protocol or none: one at a time, for the whole life of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Doerner, Kondi, Lee, shelat 2023 (ePrint 2023/765): threshold ECDSA from oblivious transfer.
    Dkls23,
    /// Canetti, Gennaro, Goldfeder, Makriyannis, Peled 2024 (ePrint 2021/060): threshold ECDSA from Paillier encryption.
    Cggmp24,
    /// FROST (RFC 9591): threshold Schnorr.
    Frost,
    /// None: the key lives wholly in the token of one signer, which signs alone. Outside the cluster's promise.
    Hsm,
}

impl Protocol {
    /// The name used in the API, configuration and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dkls23 => "dkls23",
            Self::Cggmp24 => "cggmp24",
            Self::Frost => "frost",
            Self::Hsm => "hsm",
        }
    }
    /// Whether the protocol can make this kind of signature.
    pub const fn supports(self, scheme: Scheme) -> bool {
        match self {
            Self::Dkls23 | Self::Cggmp24 => matches!(scheme, Scheme::EcdsaSecp256k1),
            Self::Frost => matches!(scheme, Scheme::EddsaEd25519 | Scheme::SchnorrBip340),
            Self::Hsm => matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::EddsaEd25519 | Scheme::EcdsaP256),
        }
    }
    /// Whether no single signer can sign: what the cluster promises of its keys.
    pub const fn is_threshold(self) -> bool {
        !matches!(self, Self::Hsm)
    }
}
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for Protocol {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Dkls23, Self::Cggmp24, Self::Frost, Self::Hsm]
            .into_iter()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| UnknownWord::new("protocol", text, "dkls23, cggmp24, frost, hsm"))
    }
}

/// A word that is not in its closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a {what}; known are {known}")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    known: &'static str,
}

impl UnknownWord {
    /// Cuts the offending word to 80 characters.
    pub fn new(what: &'static str, word: &str, known: &'static str) -> Self {
        Self { what, word: word.chars().take(80).collect(), known }
    }
}
