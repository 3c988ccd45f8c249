//! Reports that no honest signer makes change nothing.

use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, Scheme};
use limen_wire::statement::KeyStatement;

use super::*;
use crate::keys::ring::ActiveKey;
use crate::lifecycle::Committee;

const NODES: [&str; 3] = ["signer-1", "signer-2", "signer-3"];

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn ring() -> KeyRing {
    let ring = KeyRing::default();
    let schemes =
        [("greeter", Scheme::EddsaEd25519, Protocol::Frost), ("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)];
    for (name, scheme, protocol) in schemes {
        let nodes: Vec<_> = NODES.iter().take(2).map(|name| node(name)).collect();
        let statement = KeyStatement {
            cluster: ClusterId::new("test").unwrap(),
            key_id: KeyId::new(name).unwrap(),
            scheme,
            protocol,
            epoch: Epoch::FIRST,
            size: CommitteeSize::new(2, 2).unwrap(),
            nodes: nodes.clone(),
            public_key: Vec::new(),
            chain_code: [0; 32],
            verifying_shares_hash: [0; 32],
            generation_id: IntentId::new([0; 32]),
            was_whole: false,
        };
        ring.insert(ActiveKey {
            statement,
            committee: Committee { members: nodes, required: 2, max_sessions: 1 },
            certificate: pb::Envelope::default(),
        });
    }
    ring
}

fn report(key: &str, boot: usize, next_index: u64, end_index: u64) -> pb::NoncePool {
    pb::NoncePool { key_id: key.to_owned(), boot: vec![7; boot].into(), next_index, end_index }
}

fn pools(reports: &[(&str, pb::NoncePool)]) -> (NoncePools, Vec<Result<(), ReportError>>) {
    let (ring, pools) = (ring(), NoncePools::default());
    let seen = reports.iter().map(|(name, report)| pools.observe(&ring, &node(name), report)).collect();
    (pools, seen)
}

fn len(pools: &NoncePools) -> usize {
    pools.0.lock().unwrap().len()
}

fn key() -> KeyId {
    KeyId::new("greeter").unwrap()
}

#[test]
fn nonces_are_taken_in_of_members_of_frost_keys_only() {
    let (pools, seen) = pools(&[
        ("signer-1", report("unknown", 16, 0, 9)),
        ("signer-1", report("No name!", 16, 0, 9)),
        ("signer-1", report("treasury", 16, 0, 9)),
        ("signer-3", report("greeter", 16, 0, 9)),
        ("signer-2", report("greeter", 16, 0, 9)),
    ]);
    let treasury = KeyId::new("treasury").unwrap();
    let wrong = |key: &KeyId| Err(ReportError::NotItsKey(key.clone()));
    assert_eq!(seen, [Ok(()), Ok(()), wrong(&treasury), wrong(&key()), Ok(())]);
    assert_eq!(len(&pools), 1);
}

#[test]
fn a_boot_has_sixteen_bytes_and_numbers_end_after_they_start() {
    let (pools, seen) = pools(&[
        ("signer-1", report("greeter", 0, 0, 9)),
        ("signer-1", report("greeter", 15, 0, 9)),
        ("signer-1", report("greeter", 1 << 20, 0, 9)),
        ("signer-1", report("greeter", 16, 10, 9)),
    ]);
    let boot = |bytes| Err(ReportError::Boot(bytes));
    assert_eq!(seen, [boot(0), boot(15), boot(1 << 20), Err(ReportError::Order { next: 10, end: 9 })]);
    assert_eq!(len(&pools), 0);
}

#[test]
fn no_more_numbers_are_free_than_a_signer_can_hold() {
    let (pools, _) =
        pools(&[("signer-1", report("greeter", 16, 3, 5000)), ("signer-2", report("greeter", 16, 0, u64::MAX))]);
    let taken = pools.take(&key(), &[(1, node("signer-1")), (2, node("signer-2"))]).unwrap();
    assert_eq!(taken.iter().map(|nonce| nonce.index).collect::<Vec<_>>(), [5000 - FREE, u64::MAX - FREE]);
}

#[test]
fn numbers_only_rise_within_a_boot() {
    let (pools, _) = pools(&[
        ("signer-1", report("greeter", 16, 5, 9)),
        ("signer-1", report("greeter", 16, 2, 7)),
        ("signer-2", report("greeter", 16, 0, 9)),
    ]);
    let taken = pools.take(&key(), &[(1, node("signer-1")), (2, node("signer-2"))]).unwrap();
    assert_eq!(taken.iter().map(|nonce| nonce.index).collect::<Vec<_>>(), [5, 0]);
}
