//! The keys of people, requesters and of the adversary.

use std::sync::OnceLock;

use limen_node::identity::Identity;
use limen_wire::keys::SigningKey;
use zeroize::Zeroizing;

use super::plan::{CHECKERS, PEOPLE, REQUESTERS};

fn keys() -> &'static [SigningKey] {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let seeds = 1..=u8::try_from(2 * PEOPLE + REQUESTERS + 1 + CHECKERS.len()).unwrap_or(u8::MAX);
    KEYS.get_or_init(|| seeds.map(|seed| SigningKey::ed25519_from_seed(&Zeroizing::new([seed; 32]))).collect())
}

/// How many machines have a key: members of the ledger, and the coordinator last.
pub(crate) const MACHINES: u8 = 6;

/// A small multiple of P-256's generator, counted from 1.
fn scalar(index: u8) -> SigningKey {
    let mut scalar = [0; 32];
    scalar[31] = index;
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&scalar).expect("a scalar"))
}

/// What a machine signs with.
pub(crate) fn machine_key(index: u8) -> &'static SigningKey {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (1..=MACHINES).map(scalar).collect())[usize::from(index) - 1]
}

/// The same as its node holds it.
pub(crate) fn machine(index: u8) -> &'static Identity {
    static IDENTITIES: OnceLock<Vec<Identity>> = OnceLock::new();
    &IDENTITIES.get_or_init(|| (1..=MACHINES).map(|index| scalar(index).into()).collect())[usize::from(index) - 1]
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

/// A checker's.
pub(crate) fn checker_key(checker: usize) -> &'static SigningKey {
    &keys()[REQUESTERS + 2 * PEOPLE + 1 + checker]
}
