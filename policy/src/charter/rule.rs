//! Rules: what they match, and what they ask for.

use std::collections::BTreeSet;
use std::fmt;

use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{BookEntryId, CheckerId, KeyId, RequesterId, VaultId};
use serde::{Deserialize, Serialize};

use super::Currency;
use super::assets::Assets;
use super::hours::Hours;
use crate::formula::Formula;

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Verb {
    /// Allows it, if its requirements are met.
    Allow,
    /// Allows nothing by itself, but adds its requirements wherever another rule allows.
    Require,
    /// Denies it, whatever other rules say.
    Deny,
}

impl Verb {
    /// The word in charters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Require => "require",
            Self::Deny => "deny",
        }
    }
}

/// A class of effects, as rules name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Value that moves.
    Transfer,
    /// What inclusion may cost.
    Fee,
    /// Leave for somebody else to move assets; the destinations are the spenders.
    Allowance,
    /// Calls of known meaning; the destinations are the contracts.
    Call,
    /// New contracts.
    Deploy,
    /// Control over an account or contract; the destinations are who gets it.
    AuthorityChange,
    /// Messages for people and programs.
    Message,
    /// Structured data; the destinations are the verifying contracts.
    TypedData,
    /// Bytes without a known meaning; the destinations are the contracts that get them.
    Unknown,
    /// Bare digests. Only with the keys named.
    Raw,
}

impl Class {
    /// The word in charters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Fee => "fee",
            Self::Allowance => "allowance",
            Self::Call => "call",
            Self::Deploy => "deploy",
            Self::AuthorityChange => "authority-change",
            Self::Message => "message",
            Self::TypedData => "typed-data",
            Self::Unknown => "unknown",
            Self::Raw => "raw",
        }
    }

    /// Whether effects of this class have an asset and an amount.
    pub const fn has_amount(self) -> bool {
        matches!(self, Self::Transfer | Self::Fee | Self::Allowance)
    }

    /// Whether effects of this class go somewhere.
    pub const fn has_destination(self) -> bool {
        matches!(
            self,
            Self::Transfer | Self::Allowance | Self::Call | Self::AuthorityChange | Self::TypedData | Self::Unknown
        )
    }

    /// Whether a rule can name what it is about: a call's method, an authority change's kind, the primary type of typed
    /// data.
    pub const fn has_names(self) -> bool {
        matches!(self, Self::Call | Self::AuthorityChange | Self::TypedData)
    }

    /// Whether nobody may have it without people's approval: it hands over control, or nobody can say what it does.
    pub const fn needs_people(self) -> bool {
        matches!(self, Self::AuthorityChange | Self::Unknown)
    }
}

/// Which asset, and how much of it within one request: amounts of a class are added up over the whole request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AmountRange {
    /// Which asset, or which several added up; `None` matches every one, in rules that do not allow.
    pub assets: Option<Assets>,
    /// The money in which the sums are said, at an attested price; `None` where they are in units of the assets.
    pub currency: Option<Currency>,
    /// Only sums above this one.
    pub more_than: Option<Amount>,
    /// Only sums up to this one.
    pub max_amount: Option<Amount>,
}

/// One way to say where something may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Destination {
    /// This address, on whatever chain.
    Address(Address),
    /// The entry of the address book: its address on its chain.
    Entry(BookEntryId),
    /// Every entry of the address book with this tag.
    Tag(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Entry(entry) => write!(f, "book:{entry}"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

/// Where the matched effects go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Destinations {
    /// Anywhere: written `destinations = "anywhere"`.
    Anywhere,
    /// Only these.
    Only(BTreeSet<Destination>),
    /// Anywhere else: written `destinations_except`.
    Except(BTreeSet<Destination>),
}

/// For how long the address-book entry of a destination has been in force, on the signer's own running time. A signer that
/// does not know takes it for new, and a destination without an entry is new for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum EntryAge {
    /// However long.
    #[default]
    Any,
    /// At least so many seconds; in rules that allow.
    AtLeast(u64),
    /// Less than so many seconds; in rules that ask or deny.
    LessThan(u64),
}

impl fmt::Display for EntryAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any age"),
            Self::AtLeast(secs) => write!(f, "at least {secs} s"),
            Self::LessThan(secs) => write!(f, "less than {secs} s"),
        }
    }
}

/// What must be, besides the match, before a request is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Who has to approve.
    pub approvals: Option<Formula>,
    /// How long the request waits after that, in seconds on every signer's own monotonic clock.
    pub delay_secs: u64,
    /// When the wait begins.
    pub delay_from: DelayFrom,
    /// The people behind the requester do not count as approvers.
    pub not_by_requester: bool,
    /// For how many seconds, on the signer's own running time, a credential must have been in force before what it approves
    /// counts.
    pub credentials_for_secs: u64,
    /// Which external checks must have passed.
    pub checks: BTreeSet<CheckerId>,
}

impl Needs {
    /// Nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.approvals.is_none() && self.delay_secs == 0 && self.checks.is_empty()
    }
}

/// From when a delay runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DelayFrom {
    /// From the moment that the signer durably holds approvals that meet the formula.
    #[default]
    FormulaMet,
    /// From the moment that the signer durably holds the request.
    FirstSight,
}

/// A rule. All rules that match count, in no order: deny beats requirements, requirements add up, and what no rule allows
/// is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, in decisions and logs.
    pub name: String,
    /// What it does.
    pub verb: Verb,
    /// What it covers.
    pub class: Class,
    /// How much, for classes with an amount.
    pub amount: AmountRange,
    /// Which methods, kinds or primary types; empty means all.
    pub names: BTreeSet<String>,
    /// For whom; empty means every requester with the duty.
    pub requesters: BTreeSet<RequesterId>,
    /// For which keys; empty means all.
    pub keys: BTreeSet<KeyId>,
    /// From which vaults; empty means from anywhere.
    pub vaults: BTreeSet<VaultId>,
    /// On which chains; empty means on all.
    pub chains: BTreeSet<ChainId>,
    /// To where.
    pub destinations: Destinations,
    /// For how long the destination has been in the address book.
    pub entry_age: EntryAge,
    /// When.
    pub hours: Hours,
    /// What it asks for.
    pub needs: Needs,
}

impl Rule {
    /// Whether what it makes of a request depends on when it is looked at, or on what it is worth then.
    pub fn is_timed(&self) -> bool {
        self.amount.currency.is_some() || self.entry_age != EntryAge::Any || self.hours != Hours::Always
    }
}
