//! A proof shows what signers have said, and nothing that anybody else has.

use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{CharterHash, CommitteeSize, Epoch, IntentId, Protocol, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::statement::combine;

use super::*;

fn key(n: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[n; 32].into())
}

fn node(n: u8) -> NodeId {
    NodeId::new(format!("n{n}")).unwrap()
}

fn trust() -> Trust {
    let nodes = (1..=4).map(|n| (node(n), key(n).public_key()));
    let committee = (1..=4).map(node);
    Trust::new("test".parse().unwrap(), nodes, committee, 3, 1).unwrap()
}

fn statement() -> KeyStatement {
    KeyStatement {
        cluster: "test".parse().unwrap(),
        key_id: "treasury".parse().unwrap(),
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        epoch: Epoch::FIRST,
        size: CommitteeSize::new(2, 3).unwrap(),
        nodes: (1..=3).map(node).collect(),
        public_key: vec![9; 32],
        chain_code: [1; 32],
        verifying_shares_hash: [2; 32],
        generation_id: IntentId::new([3; 32]),
        was_whole: false,
    }
}

fn word(n: u8, change: impl FnOnce(&mut KeyDestroyed)) -> pb::Envelope {
    let mut word = KeyDestroyed {
        cluster: "test".parse().unwrap(),
        node: node(n),
        key_id: "treasury".parse().unwrap(),
        public_key: vec![9; 32],
        epochs: vec![Epoch::FIRST],
        charter: CharterHash::new([7; 32]),
        wrapping_keys_left: Vec::new(),
        at_ms: 1,
    };
    change(&mut word);
    seal(PayloadType::KeyDestroyed, word.to_payload(), node(n).as_str(), &key(n))
}

fn proof(words: Vec<pb::Envelope>) -> DestructionProof {
    let stated = |n: u8| seal(PayloadType::KeyStatement, statement().to_payload(), node(n).as_str(), &key(n));
    DestructionProof { certificate: combine(&[stated(1), stated(2), stated(3)]).unwrap(), words }
}

#[test]
fn a_proof_is_read_back_and_shows_who_has_destroyed_the_key() {
    let whole = proof((1..=3).map(|n| word(n, |_| {})).collect());
    let read = DestructionProof::decode(&whole.encode()).unwrap();
    assert_eq!(read, whole);
    let shown = read.verify(&trust()).unwrap();
    assert_eq!((shown.words.len(), shown.lacking.len(), shown.is_beyond_signing()), (3, 0, true));
    // One of three may have a share still: alone it signs nothing. Two would.
    let shown = proof(vec![word(1, |_| {}), word(3, |_| {})]).verify(&trust()).unwrap();
    assert_eq!((shown.lacking.as_slice(), shown.is_beyond_signing()), (&[node(2)][..], true));
    // One that held a share before is no member, and stands in for none.
    let shown = proof(vec![word(1, |_| {}), word(4, |_| {})]).verify(&trust()).unwrap();
    assert_eq!((shown.lacking.len(), shown.is_beyond_signing()), (2, false));
}

#[test]
fn what_signers_have_not_said_is_refused() {
    let mut forged = word(1, |_| {});
    forged.signatures[0].signature = vec![0; 64].into();
    let by_another = word(1, |word| word.node = node(2));
    for (words, says) in [
        (vec![forged], "the word of n1"),
        (vec![by_another], "the word of n2"),
        (vec![word(1, |_| {}), word(1, |_| {})], "twice"),
        (vec![word(1, |word| word.public_key = vec![8; 32])], "not about the key"),
        (vec![word(1, |word| word.key_id = "other".parse().unwrap())], "not about the key"),
        (vec![word(1, |word| word.cluster = "other".parse().unwrap())], "not about the key"),
        (vec![word(5, |_| {})], "no public key is pinned for node n5"),
    ] {
        let error = proof(words).verify(&trust()).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut short = proof(Vec::new());
    short.certificate.signatures.pop();
    assert!(matches!(short.verify(&trust()), Err(DestructionError::Certificate(_))));
}

#[test]
fn what_is_no_proof_is_refused() {
    let good = proof(vec![word(1, |_| {})]).encode();
    for (text, says) in [
        (String::new(), "line 1"),
        (format!("{HEAD}\n"), "line 2"),
        (good.replace("certificate", "certificates"), "line 2"),
        (good.replace("destroyed ", "destroyed ?"), "line 3"),
        (format!("{good}more\n"), "line 4"),
        (format!("{good}{}", "destroyed \n".repeat(64)), "longer"),
        ("a".repeat(MAX_BYTES + 1), "longer"),
    ] {
        let error = DestructionProof::decode(&text).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}
