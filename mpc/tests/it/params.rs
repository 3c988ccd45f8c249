//! Session parameters and randomness for tests, all determined by small numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use limen_mpc::{Seed, SessionParams};
use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId, SignerSet, tagged_hash,
};

/// A party by its number.
pub(crate) fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

/// A signer set by its numbers.
pub(crate) fn set(indices: &[u16]) -> SignerSet {
    SignerSet::new(indices.iter().map(|index| party(*index)).collect()).unwrap()
}

/// `required`-of-`total`.
pub(crate) fn size(required: u16, total: u16) -> CommitteeSize {
    CommitteeSize::new(required, total).unwrap()
}

/// A seed that no other call gives, the same in every run of the test.
pub(crate) fn seed() -> Seed {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Seed::new(tagged_hash("test seed", [&number.to_be_bytes()[..]]))
}

/// Parameters of a run number `run` of the test key among all signers.
pub(crate) fn params(scheme: Scheme, protocol: Protocol, size: CommitteeSize, run: u64) -> SessionParams {
    SessionParams {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new("hot").unwrap(),
        epoch: Epoch::FIRST,
        scheme,
        protocol,
        size,
        signers: SignerSet::all(size),
        session: SessionId::new(tagged_hash("test session", [&run.to_be_bytes()[..]])),
        intent: IntentId::new(tagged_hash("test intent", [&run.to_be_bytes()[..]])),
    }
}

/// The same with fewer signers.
pub(crate) fn among(mut params: SessionParams, signers: &SignerSet) -> SessionParams {
    params.signers = signers.clone();
    params
}
