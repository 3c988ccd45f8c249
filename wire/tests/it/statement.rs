use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, Protocol, Scheme};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, StatementError, combine};

fn node(index: u8) -> NodeId {
    NodeId::new(format!("signer-{index}")).unwrap()
}

fn key(index: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[index; 32].into())
}

fn pinned(id: &NodeId) -> Option<PublicKey> {
    (1..=3).find(|index| node(*index) == *id).map(|index| key(index).public_key())
}

fn statement() -> KeyStatement {
    KeyStatement {
        cluster: ClusterId::new("test").unwrap(),
        key_id: KeyId::new("treasury").unwrap(),
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        epoch: Epoch::FIRST,
        size: CommitteeSize::new(2, 3).unwrap(),
        nodes: (1..=3).map(node).collect(),
        public_key: [vec![2], vec![7; 32]].concat(),
        chain_code: [8; 32],
        verifying_shares_hash: [9; 32],
        generation_id: IntentId::new([10; 32]),
    }
}

fn signed_by(statement: &KeyStatement, indices: &[u8]) -> pb::Envelope {
    combine(&indices.iter().map(|i| statement.sign(&node(*i), &key(*i))).collect::<Vec<_>>()).unwrap()
}

#[test]
fn all_members_make_a_certificate_and_enough_an_attestation() {
    let all = signed_by(&statement(), &[3, 1, 2]);
    assert_eq!(KeyStatement::from_certificate(&all, &pinned).unwrap(), statement());
    let two = signed_by(&statement(), &[1, 3]);
    assert_eq!(KeyStatement::from_attestation(&two, &pinned).unwrap(), statement());
    let error = KeyStatement::from_certificate(&two, &pinned).unwrap_err();
    assert!(matches!(error, StatementError::TooFew { have: 2, need: 3, .. }), "{error}");
    let one = signed_by(&statement(), &[2]);
    assert!(matches!(KeyStatement::from_attestation(&one, &pinned), Err(StatementError::TooFew { .. })));
}

#[test]
fn a_liar_cannot_swap_the_key() {
    // One corrupt member signs another key; the signatures of the others cannot be carried over.
    let mut lie = statement();
    lie.public_key[5] ^= 1;
    let honest = signed_by(&statement(), &[1, 2]);
    assert!(combine(&[honest.clone(), lie.sign(&node(3), &key(3))]).is_none());
    let mut forged = honest;
    forged.payload = lie.to_payload().into();
    assert!(matches!(KeyStatement::from_attestation(&forged, &pinned), Err(StatementError::Envelope(_))));
}

#[test]
fn neither_outsiders_nor_repetition_count() {
    let mut outsider = signed_by(&statement(), &[1]);
    outsider.signatures.extend(statement().sign(&NodeId::new("mallory").unwrap(), &key(9)).signatures);
    assert!(matches!(KeyStatement::from_attestation(&outsider, &pinned), Err(StatementError::NotMember { .. })));
    let mut twice = signed_by(&statement(), &[1]);
    twice.signatures.push(twice.signatures[0].clone());
    assert!(KeyStatement::from_attestation(&twice, &pinned).is_err());
    let unpinned = |_: &NodeId| None;
    let good = signed_by(&statement(), &[1, 2]);
    assert!(matches!(KeyStatement::from_attestation(&good, &unpinned), Err(StatementError::NotPinned { .. })));
}
