use bytes::Bytes;
use limen_wire::ids::{CommitteeSize, Epoch, IntentId, Protocol};
use limen_wire::keys::SigningKey;
use limen_wire::statement::{self, StatementError};
use zeroize::Zeroizing;

use super::*;

/// The generator of secp256k1 as public key, for statements whose key nobody uses.
const GENERATOR: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

fn node_key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&Zeroizing::new([seed; 32]))
}

fn node(index: u8) -> NodeId {
    NodeId::new(format!("n{index}")).unwrap()
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
        public_key: hex::decode(GENERATOR).unwrap(),
        chain_code: [7; 32],
        verifying_shares_hash: [8; 32],
        generation_id: IntentId::new([9; 32]),
        was_whole: false,
    }
}

fn signed_by(statement: &KeyStatement, signers: &[u8]) -> pb::Envelope {
    let signed: Vec<_> = signers.iter().map(|index| statement.sign(&node(*index), &node_key(*index))).collect();
    statement::combine(&signed).unwrap()
}

fn directory() -> KeyDirectory {
    let nodes = (1..=3).map(|index| (node(index), node_key(index).public_key())).collect();
    KeyDirectory::new(KeyTrust {
        cluster: ClusterId::new("test").unwrap(),
        nodes,
        min_signers_required: 2,
        hsm_keys: BTreeMap::new(),
        former: FormerIdentities::default(),
    })
}

fn admit(certificate: &pb::Envelope) -> Result<KeyStatement, Untrue> {
    directory().admit(&KeyId::new("treasury").unwrap(), certificate)
}

#[test]
fn enough_pinned_signers_are_believed() {
    assert_eq!(admit(&signed_by(&statement(), &[1, 2, 3])).unwrap(), statement());
    assert_eq!(admit(&signed_by(&statement(), &[1, 3])).unwrap(), statement());
}

#[test]
fn too_few_signers_are_not_believed() {
    let error = admit(&signed_by(&statement(), &[2])).unwrap_err();
    assert!(matches!(error, Untrue::Certificate { source: StatementError::TooFew { have: 1, need: 2, .. }, .. }));
}

#[test]
fn another_public_key_under_good_signatures_is_refused() {
    let mut certificate = signed_by(&statement(), &[1, 2, 3]);
    let mut swapped = statement();
    swapped.public_key[0] = 0x03;
    certificate.payload = Bytes::from(swapped.to_payload());
    assert!(matches!(admit(&certificate).unwrap_err(), Untrue::Certificate { .. }));
}

#[test]
fn a_node_with_a_key_of_its_own_making_is_refused() {
    let forged: Vec<_> = [1, 2].iter().map(|index| statement().sign(&node(*index), &node_key(99))).collect();
    assert!(matches!(admit(&statement::combine(&forged).unwrap()).unwrap_err(), Untrue::Certificate { .. }));
}

#[test]
fn unknown_members_are_refused() {
    let mut strange = statement();
    strange.nodes = (7..=9).map(node).collect();
    let error = admit(&signed_by(&strange, &[7, 8, 9])).unwrap_err();
    assert!(matches!(error, Untrue::Certificate { source: StatementError::NotPinned { .. }, .. }));
}

#[test]
fn a_certificate_of_another_key_or_cluster_is_refused() {
    let mut other = statement();
    other.key_id = KeyId::new("petty-cash").unwrap();
    assert!(matches!(admit(&signed_by(&other, &[1, 2])).unwrap_err(), Untrue::OtherKey { what: "key", .. }));
    let mut other = statement();
    other.cluster = ClusterId::new("elsewhere").unwrap();
    assert!(matches!(admit(&signed_by(&other, &[1, 2])).unwrap_err(), Untrue::OtherKey { what: "cluster", .. }));
}

#[test]
fn a_key_that_fewer_signers_can_use_is_refused() {
    let nodes = (1..=3).map(|index| (node(index), node_key(index).public_key())).collect();
    let trust = KeyTrust {
        cluster: ClusterId::new("test").unwrap(),
        nodes,
        min_signers_required: 3,
        hsm_keys: BTreeMap::new(),
        former: FormerIdentities::default(),
    };
    let error = KeyDirectory::new(trust).admit(&statement().key_id, &signed_by(&statement(), &[1, 2, 3])).unwrap_err();
    assert!(matches!(error, Untrue::TooFewRequired { found: 2, least: 3, .. }));
}

#[test]
fn a_public_key_never_changes_and_an_epoch_never_goes_back() {
    let directory = directory();
    let mut newer = statement();
    newer.epoch = Epoch(2);
    directory.admit(&newer.key_id, &signed_by(&newer, &[1, 2])).unwrap();
    let back = directory.admit(&newer.key_id, &signed_by(&statement(), &[1, 2])).unwrap();
    assert_eq!(back.epoch, Epoch(2));
    let mut changed = statement();
    changed.epoch = Epoch(3);
    changed.chain_code = [1; 32];
    // Nor does a key become one that was never whole, or the other way round.
    let mut marked = KeyStatement { epoch: Epoch(3), was_whole: true, ..statement() };
    let error = directory.admit(&newer.key_id, &signed_by(&marked, &[1, 2])).unwrap_err();
    assert!(matches!(error, Untrue::KeyChanged { .. }));
    marked.epoch = Epoch(1);
    let error = directory.admit(&newer.key_id, &signed_by(&marked, &[1, 2])).unwrap_err();
    assert!(matches!(error, Untrue::KeyChanged { .. }));
    let error = directory.admit(&newer.key_id, &signed_by(&changed, &[1, 2])).unwrap_err();
    assert!(matches!(error, Untrue::KeyChanged { .. }));
}

/// BIP-32, test vector 1: from the public key at m/0H/1/2H, the public child m/0H/1/2H/2 and its child 1000000000.
#[test]
fn children_follow_bip32() {
    let mut parent = statement();
    parent.public_key = hex::decode("0357bfe1e341d01c69fe5654309956cbea516822fba8a601743a012a7896ee8dc2").unwrap();
    parent.chain_code =
        hex::decode("04466b9cc8e161e966409ca52986c584f07e9dc81f735db683c3ff6ec7b1503f").unwrap().try_into().unwrap();
    let child = child_public_key(&parent, &[2]).unwrap();
    assert_eq!(hex::encode(child), "02e8445082a72f29b75ca48748a914df60622a609cacfce8ed0e35804560741d29");
    let child = child_public_key(&parent, &[2, 1_000_000_000]).unwrap();
    assert_eq!(hex::encode(child), "022a471424da5e657499d1ff51cb43c47481a03b1e77f951fe64cec9f5a48f7011");
}

#[test]
fn addresses_are_spelled_by_the_chain() {
    let address = receive_address(&statement(), &[], &ChainId::eip155(1)).unwrap();
    // The address of the private key 1.
    assert_eq!(address.as_str(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
}

#[test]
fn hardened_steps_do_not_exist() {
    assert!(matches!(child_public_key(&statement(), &[1 << 31]).unwrap_err(), Untrue::Derive(_)));
}

/// Every signer could state such a key, of any name: its owner's word is needed.
#[test]
fn a_key_in_one_token_is_believed_where_its_owner_names_it() {
    let alone = KeyStatement {
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        nodes: vec![node(1)],
        chain_code: [0; 32],
        ..statement()
    };
    let key = KeyId::new("treasury").unwrap();
    let error = admit(&signed_by(&alone, &[1])).unwrap_err();
    assert!(matches!(error, Untrue::OutsideThePromise { .. }), "{error}");
    assert!(error.to_string().contains("signs alone"), "{error}");
    let named = |index| {
        let mut directory = directory();
        directory.trust.hsm_keys.insert(key.clone(), node(index));
        directory
    };
    assert_eq!(named(1).admit(&key, &signed_by(&alone, &[1])).unwrap(), alone);
    assert!(matches!(named(2).admit(&key, &signed_by(&alone, &[1])), Err(Untrue::OutsideThePromise { .. })));
    let threshold = named(1).admit(&key, &signed_by(&statement(), &[1, 2]));
    assert!(matches!(threshold, Err(Untrue::OtherKey { what: "protocol", .. })), "{threshold:?}");
    assert!(child_public_key(&alone, &[1]).is_err(), "it has no children");
    assert_eq!(child_public_key(&alone, &[]).unwrap(), alone.public_key);
}
