//! The keys of people, requesters and of the adversary.

use std::sync::OnceLock;

use limen_wire::keys::SigningKey;
use zeroize::Zeroizing;

use super::plan::{PEOPLE, REQUESTERS};

fn keys() -> &'static [SigningKey] {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let seeds = 1..=u8::try_from(2 * PEOPLE + REQUESTERS + 1).unwrap_or(u8::MAX);
    KEYS.get_or_init(|| seeds.map(|seed| SigningKey::ed25519_from_seed(&Zeroizing::new([seed; 32]))).collect())
}

/// A requester's.
pub(crate) fn requester_key(requester: usize) -> &'static SigningKey {
    &keys()[requester]
}

/// A person's, by credential.
pub(crate) fn credential_key(person: usize, terminal: bool) -> &'static SigningKey {
    &keys()[REQUESTERS + 2 * person + usize::from(terminal)]
}

/// One that nobody has enrolled.
pub(crate) fn foreign_key() -> &'static SigningKey {
    &keys()[REQUESTERS + 2 * PEOPLE]
}
