use limen_wire::handover::statement_hash;
use limen_wire::identities::{FileFormer, FormerError, FormerIdentities, MAX_STATEMENTS, NodeKeys};
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
        was_whole: false,
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

/// A charter in which the second signer is another one than when it signed, and these of its statements go on.
struct Rotated(Vec<KeyStatement>);

impl NodeKeys for Rotated {
    fn node_key(&self, id: &NodeId) -> Option<PublicKey> {
        if *id == node(2) { Some(key(9).public_key()) } else { pinned(id) }
    }
    fn former_keys(&self, id: &NodeId, statement: &[u8; 32]) -> Vec<PublicKey> {
        let statements = self.0.iter().map(|one| hex::encode(statement_hash(&one.to_payload()))).collect();
        let former = FileFormer { node: node(2), public_key: key(2).public_key().to_string(), statements };
        FormerIdentities::read(vec![former]).unwrap().keys(id, statement)
    }
}

#[test]
fn a_former_identity_counts_under_what_is_listed_and_nothing_else() {
    let all = signed_by(&statement(), &[1, 2, 3]);
    let later = KeyStatement { epoch: Epoch(2), ..statement() };
    assert_eq!(KeyStatement::from_certificate(&all, &Rotated(vec![statement(), later.clone()])).unwrap(), statement());
    for listed in [vec![], vec![later.clone()]] {
        let refused = KeyStatement::from_certificate(&all, &Rotated(listed)).unwrap_err();
        assert!(matches!(refused, StatementError::Envelope(_)), "{refused}");
    }
    // Whoever has the old key states nothing new, and no other member signs by it.
    let forged = signed_by(&later, &[1, 2, 3]);
    assert!(KeyStatement::from_certificate(&forged, &Rotated(vec![statement()])).is_err());
    let swapped = combine(&[
        statement().sign(&node(1), &key(2)),
        statement().sign(&node(2), &key(9)),
        statement().sign(&node(3), &key(3)),
    ]);
    assert!(KeyStatement::from_certificate(&swapped.unwrap(), &Rotated(vec![statement()])).is_err());
    let anew = combine(&[
        statement().sign(&node(1), &key(1)),
        statement().sign(&node(2), &key(9)),
        statement().sign(&node(3), &key(3)),
    ]);
    assert!(KeyStatement::from_certificate(&anew.unwrap(), &Rotated(Vec::new())).is_ok());
}

#[test]
fn a_list_of_former_identities_is_refused_by_what_is_wrong_with_it() {
    let good =
        FileFormer { node: node(1), public_key: key(1).public_key().to_string(), statements: vec!["ab".repeat(32)] };
    let read = |all: &[&FileFormer]| FormerIdentities::read(all.iter().map(|one| (*one).clone()).collect());
    let text = read(&[&good]).unwrap().to_toml();
    assert!(text.contains("node = \"signer-1\"") && text.contains(&"ab".repeat(32)), "{text}");
    assert!(matches!(read(&[&good, &good]), Err(FormerError::Twice { .. })));
    let with = |statements: Vec<String>| FileFormer { statements, ..good.clone() };
    let statement = "ab".repeat(32);
    assert!(matches!(read(&[&with(vec![statement.clone(), statement.clone()])]), Err(FormerError::Twice { .. })));
    for wrong in ["AB".repeat(32), "ab".repeat(31), "xy".repeat(32), String::new()] {
        assert!(matches!(read(&[&with(vec![wrong])]), Err(FormerError::Statement { .. })));
    }
    assert!(matches!(read(&[&with(vec![statement; MAX_STATEMENTS + 1])]), Err(FormerError::TooMany)));
    let keyless = FileFormer { public_key: "p256:00".to_owned(), ..good };
    assert!(matches!(read(&[&keyless]), Err(FormerError::Key { .. })));
}

#[test]
fn the_mark_of_an_imported_key_is_part_of_what_is_signed() {
    let marked = KeyStatement { was_whole: true, ..statement() };
    assert!(KeyStatement::from_certificate(&signed_by(&marked, &[1, 2, 3]), &pinned).unwrap().was_whole);
    assert!(combine(&[statement().sign(&node(1), &key(1)), marked.sign(&node(2), &key(2))]).is_none());
    let mut lost = signed_by(&marked, &[1, 2, 3]);
    lost.payload = statement().to_payload().into();
    assert!(matches!(KeyStatement::from_certificate(&lost, &pinned), Err(StatementError::Envelope(_))));
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

/// A key in one token: one member, one signature, no children; and nothing in between.
#[test]
fn a_key_in_one_token_has_one_member_and_no_children() {
    let alone = KeyStatement {
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        nodes: vec![node(1)],
        chain_code: [0; 32],
        ..statement()
    };
    assert_eq!(KeyStatement::from_certificate(&signed_by(&alone, &[1]), &pinned).unwrap(), alone);
    let refused = [
        KeyStatement { chain_code: [8; 32], ..alone.clone() },
        KeyStatement { was_whole: true, ..alone.clone() },
        KeyStatement { protocol: Protocol::Dkls23, ..alone.clone() },
        KeyStatement { protocol: Protocol::Hsm, ..statement() },
        KeyStatement { size: CommitteeSize::new(2, 2).unwrap(), ..alone },
    ];
    for other in refused {
        let signed = signed_by(&other, &[1]);
        assert!(KeyStatement::decode(&signed).is_err(), "{other:?}");
        assert!(KeyStatement::from_certificate(&signed, &pinned).is_err());
    }
}

#[test]
fn one_signer_is_a_committee_of_a_token_alone() {
    assert_eq!(CommitteeSize::of(Protocol::Hsm, 1, 1).unwrap(), CommitteeSize::ALONE);
    for (required, total) in [(1, 2), (2, 2), (0, 1), (1, 0)] {
        assert!(CommitteeSize::of(Protocol::Hsm, required, total).is_err(), "{required} of {total}");
    }
    for protocol in [Protocol::Dkls23, Protocol::Cggmp24, Protocol::Frost] {
        assert!(CommitteeSize::of(protocol, 1, 1).is_err());
        assert!(protocol.is_threshold());
    }
    assert!(CommitteeSize::new(1, 1).is_err());
    assert!(!Protocol::Hsm.supports(Scheme::SchnorrBip340));
    assert_eq!("hsm".parse::<Protocol>().unwrap(), Protocol::Hsm);
}

#[test]
fn p256_is_the_scheme_of_keys_in_one_token_alone() {
    for protocol in [Protocol::Dkls23, Protocol::Cggmp24, Protocol::Frost] {
        assert!(!protocol.supports(Scheme::EcdsaP256), "{protocol}");
        let threshold = KeyStatement { protocol, scheme: Scheme::EcdsaP256, ..statement() };
        let refused = KeyStatement::decode(&signed_by(&threshold, &[1])).unwrap_err();
        assert!(refused.to_string().contains("cannot make ecdsa-p256 signatures"), "{refused}");
    }
    let held = KeyStatement {
        protocol: Protocol::Hsm,
        scheme: Scheme::EcdsaP256,
        size: CommitteeSize::ALONE,
        nodes: vec![node(1)],
        chain_code: [0; 32],
        ..statement()
    };
    // The scheme is signed: the same bytes of a key under another scheme are another statement.
    assert_eq!(KeyStatement::decode(&signed_by(&held, &[1])).unwrap(), held);
    let other = KeyStatement { scheme: Scheme::EcdsaSecp256k1, ..held.clone() };
    assert_ne!(other.unsigned().message(), held.unsigned().message());
    let short = KeyStatement { public_key: vec![2; 32], ..held };
    assert!(KeyStatement::decode(&signed_by(&short, &[1])).is_err());
    for scheme in Scheme::ALL {
        assert_eq!(scheme.as_str().parse(), Ok(scheme));
        assert_eq!(serde_json::to_string(&scheme).unwrap(), format!("\"{scheme}\""));
    }
}
