//! When a decision is made, and for how long things have been in force by then.

use limen_wire::ids::{BookEntryId, CredentialId};

use crate::check::Quotes;

/// For how many seconds, on the decider's own running time, a part of the charter has been in force as it stands now.
/// `None` where the decider does not know: it is then taken for new.
pub trait InForce {
    /// An entry of the address book, with its chain, address and tags.
    fn entry_secs(&self, entry: &BookEntryId) -> Option<u64>;
    /// A credential.
    fn credential_secs(&self, credential: &CredentialId) -> Option<u64>;
}

/// Nobody knows since when anything is in force: what must have been there for a while, has not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

impl InForce for Unknown {
    fn entry_secs(&self, _: &BookEntryId) -> Option<u64> {
        None
    }
    fn credential_secs(&self, _: &CredentialId) -> Option<u64> {
        None
    }
}

/// Everything has been in force for ever: for those who only give advice, and whose yes lets nothing be signed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled;

impl InForce for Settled {
    fn entry_secs(&self, _: &BookEntryId) -> Option<u64> {
        Some(u64::MAX)
    }
    fn credential_secs(&self, _: &CredentialId) -> Option<u64> {
        Some(u64::MAX)
    }
}

/// The moment of a decision, and what is known at it.
#[derive(Clone, Copy)]
pub struct When<'a> {
    /// Seconds since 1970, by the decider's clock.
    pub now_secs: u64,
    /// Since when things are in force.
    pub in_force: &'a dyn InForce,
    /// What things are worth, as attested for the intent.
    pub quotes: &'a Quotes,
}

impl When<'static> {
    /// A moment at which nobody knows since when anything is in force.
    pub const fn at(now_secs: u64) -> Self {
        Self { now_secs, in_force: &Unknown, quotes: Quotes::none() }
    }

    /// A moment for those who only give advice: see [`Settled`].
    pub const fn advice(now_secs: u64) -> Self {
        Self { now_secs, in_force: &Settled, quotes: Quotes::none() }
    }
}

impl std::fmt::Debug for When<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "When({} s)", self.now_secs)
    }
}
