//! Leaves: one encoding, strict reading, signed by who says so.

use limen_evidence::leaf::authorization::MAX_DIGESTS;
use limen_evidence::leaf::{AccountKey, Digests, Kind, Leaf, LeafError, Signature, Signed, SignedAuthorization};
use limen_evidence::{Malformed, merkle};
use limen_wire::ids::Scheme;

use crate::keys::p256;
use crate::story::{SCHEMES, Story, node_key};

fn authorization() -> SignedAuthorization {
    let story = Story::new(Scheme::EcdsaSecp256k1);
    story.authorizations[0].0.clone().sign(&node_key(0))
}

fn field(bytes: &[u8]) -> &'static str {
    match Leaf::decode(bytes) {
        Err(LeafError::Malformed(Malformed::Field { field, .. })) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leaves_go_round() {
    for scheme in SCHEMES {
        let story = Story::new(scheme);
        let leaf = Leaf::Signature(Box::new(story.signature.clone()));
        assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf.clone()));
        assert_eq!(leaf.hash(), merkle::leaf_hash(&leaf.encode()));
        for (authorization, key) in story.authorizations {
            let leaf = Leaf::Authorization(Box::new(authorization.sign(&key)));
            assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
        }
    }
}

#[test]
fn what_is_absent_is_written_so() {
    let mut plain = authorization().unverified().clone();
    plain.certificate = None;
    plain.approvals = Digests::default();
    plain.path = limen_chain::DerivationPath::root();
    plain.requester_key = p256(8).public_key();
    let leaf = plain.clone().sign(&node_key(0));
    assert_eq!(SignedAuthorization::decode(&leaf.encode()).unwrap().unverified(), &plain);
    assert!(leaf.encode().len() < authorization().encode().len());
}

#[test]
fn what_reads_is_written_again_as_the_same_bytes() {
    // any byte changed: refused, or another leaf with exactly these bytes
    for leaf in [authorization().encode(), Story::new(Scheme::EddsaEd25519).signature.encode()] {
        for at in 0..leaf.len() {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
                let mut other = leaf.clone();
                other[at] ^= flip;
                if let Ok(read) = Leaf::decode(&other) {
                    assert_eq!(read.encode(), other, "byte {at} ^ {flip:#04x}");
                }
            }
        }
    }
}

#[test]
fn a_cut_or_extended_leaf_is_refused() {
    for leaf in [authorization().encode(), Story::new(Scheme::SchnorrBip340).signature.encode()] {
        for length in 0..leaf.len() {
            assert!(Leaf::decode(&leaf[..length]).is_err(), "{length} bytes");
        }
        let longer = [&leaf[..], &[0]].concat();
        assert_eq!(Leaf::decode(&longer), Err(Malformed::Surplus { count: 1 }.into()));
        assert!(Leaf::decode(&vec![1; 70_000]).is_err());
    }
}

#[test]
fn unknown_versions_and_kinds_are_refused() {
    let leaf = authorization().encode();
    for (version, kind) in [(0, 1), (2, 1), (1, 0), (1, 3), (1, 4), (1, 255)] {
        let mut other = leaf.clone();
        (other[0], other[1]) = (version, kind);
        assert_eq!(Leaf::decode(&other), Err(LeafError::Unknown { version, kind }));
    }
}

#[test]
fn one_kind_of_leaf_is_never_taken_for_another() {
    let (a, s) = (authorization().encode(), Story::new(Scheme::EcdsaSecp256k1).signature.encode());
    let (found, needed) = (Kind::Authorization, Kind::Signature);
    assert_eq!(Signature::decode(&a), Err(LeafError::OtherKind { found, needed }));
    assert_eq!(SignedAuthorization::decode(&s), Err(LeafError::OtherKind { found: needed, needed: found }));
}

#[test]
fn fields_out_of_their_range_are_named() {
    let leaf = authorization();
    let body = leaf.unverified();
    let good = leaf.encode();
    let spoil = |find: &[u8], put: &[u8]| {
        let at = good.windows(find.len()).position(|window| window == find).unwrap();
        let mut bytes = good.clone();
        bytes.splice(at..at + find.len(), put.iter().copied());
        bytes
    };
    assert_eq!(field(&spoil(b"\x04test", b"\x04Test")), "cluster");
    assert_eq!(field(&spoil(b"\x08signer-1", b"\x00")), "node");
    assert_eq!(field(&spoil(b"\x08treasury", b"\x08trea ury")), "key");
    let key = body.requester_key.to_bytes();
    let tagged = [&[1][..], &key].concat();
    assert_eq!(field(&spoil(&tagged, &[&[3][..], &key].concat())), "requester_key", "an unknown type");
    assert_eq!(field(&spoil(&tagged, &[&[1][..], &[0; 32]].concat())), "requester_key", "a weak point");
    let compact = [&[2, 5][..], &p256(8).public_key().to_bytes()[1..]].concat();
    assert_eq!(field(&spoil(&tagged, &compact)), "requester_key", "another form of a point");
    let (low, high) = ([4_u8; 32], [5_u8; 32]);
    let list = [&[2][..], &low, &high].concat();
    assert_eq!(field(&spoil(&list, &[&[2][..], &high, &low].concat())), "approvals", "out of order");
    assert_eq!(field(&spoil(&list, &[&[2][..], &low, &low].concat())), "approvals", "twice");
    assert_eq!(field(&spoil(&[1, 6, 6, 6, 6], &[2, 6, 6, 6, 6])), "certificate");
    assert_eq!(field(&spoil(&[2, 1, 3, 8], &[2, 3, 1, 8])), "signers", "out of order");
    assert_eq!(field(&spoil(&[2, 1, 3, 8], &[0, 8])), "signers", "nobody");
    assert_eq!(field(&spoil(&[2, 1, 3, 8], &[2, 0, 3, 8])), "signers", "zero");
    assert_eq!(field(&spoil(&[2, 0, 0, 0, 0, 0, 0, 0, 7], &[2, 0x80, 0, 0, 0, 0, 0, 0, 7])), "path", "hardened");
    let deep = [&[11][..], &[0; 44]].concat();
    assert_eq!(field(&spoil(&[2, 0, 0, 0, 0, 0, 0, 0, 7], &deep)), "path", "too deep");
}

#[test]
fn fields_of_a_signature_out_of_their_range_are_named() {
    let good = Story::new(Scheme::EcdsaSecp256k1).signature;
    let bytes = good.encode();
    // version, kind, cluster, intent, key, epoch: then the scheme
    let scheme = 2 + 5 + 32 + 9 + 8;
    let spoil = |at: usize, value: u8| {
        let mut other = bytes.clone();
        other[at] = value;
        field(&other)
    };
    assert_eq!((spoil(scheme, 0), spoil(scheme, 5)), ("scheme", "scheme"));
    let signed = scheme + 1 + 33;
    assert_eq!((spoil(signed, 0), spoil(signed, 3)), ("signed", "signed"));
    assert_eq!(spoil(signed + 1 + 32 + 64, 4), "recovery_id");
    assert_eq!(spoil(bytes.len() - 1, 1), "signers");
    let other = Signature { recovery_id: 1, ..Story::new(Scheme::EddsaEd25519).signature };
    assert_eq!(field(&other.encode()), "recovery_id", "Ed25519 knows none");
}

#[test]
fn digests_are_a_set() {
    assert_eq!(Digests::new(vec![[2; 32], [1; 32], [2; 32]]).unwrap().as_slice(), [[1; 32], [2; 32]]);
    let many = |count: u8| (0..count).map(|number| [number; 32]).collect::<Vec<_>>();
    assert!(Digests::new(many(64)).is_some());
    assert_eq!(Digests::new(many(65)), None);
    let mut leaf = authorization().unverified().clone();
    leaf.approvals = Digests::new(many(64)).unwrap();
    assert_eq!(leaf.approvals.as_slice().len(), MAX_DIGESTS);
    assert!(SignedAuthorization::decode(&leaf.sign(&node_key(0)).encode()).is_ok());
}

#[test]
fn only_the_signer_itself_can_have_said_it() {
    let leaf = authorization();
    assert_eq!(leaf.verify(&node_key(0).public_key()), Some(leaf.unverified()));
    assert_eq!(leaf.verify(&node_key(1).public_key()), None);
    let body_only = node_key(0).sign(&leaf.unverified().to_body());
    let bare = SignedAuthorization::new(leaf.unverified().clone(), body_only);
    assert_eq!(bare.verify(&node_key(0).public_key()), None, "a signature without the type of what is signed");
    let stored = SignedAuthorization::new(leaf.unverified().clone(), node_key(0).sign(&leaf.unverified().to_message()));
    assert_eq!(stored, leaf, "signing again gives the same leaf");
}

#[test]
fn every_field_is_signed() {
    let bytes = authorization().encode();
    let key = node_key(0).public_key();
    for at in 2..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        if let Ok(leaf) = SignedAuthorization::decode(&other) {
            assert_eq!(leaf.verify(&key), None, "byte {at}");
        }
    }
}

#[test]
fn signatures_verify_by_the_rules_of_their_scheme() {
    use limen_wire::effects::sha256;
    for scheme in SCHEMES {
        let Signature { account_key, signed, signature, recovery_id, .. } = Story::new(scheme).signature;
        let message = match signed {
            Signed::Digest(digest) => digest.to_vec(),
            Signed::Message(hash) => {
                assert_eq!(hash, sha256(b"pay the rent"));
                b"pay the rent".to_vec()
            }
        };
        assert!(account_key.verify(&message, &signature, recovery_id));
        assert!(!account_key.verify(&message, &signature, recovery_id ^ 1), "recovery id");
        assert!(!account_key.verify(&message[1..], &signature, recovery_id), "message");
        for at in 0..64 {
            let mut other = signature;
            other[at] ^= 1;
            assert!(!account_key.verify(&message, &other, recovery_id), "{scheme} byte {at}");
        }
        assert_eq!(AccountKey::new(scheme, &[2; 31]), None);
        let nobody = AccountKey::new(scheme, &vec![0xff; account_key.as_bytes().len()]).unwrap();
        assert!(!nobody.verify(&message, &signature, recovery_id));
    }
}

#[test]
fn a_p256_signature_verifies_on_its_own_curve_with_low_s_and_its_recovery_id() {
    let Signature { account_key, signed, signature, recovery_id, .. } = Story::held().signature;
    let hash = limen_wire::effects::sha256(b"pay the rent");
    assert_eq!(signed, Signed::Message(hash), "the message is what was asked for, and its hash what ECDSA takes");
    assert!(account_key.verify(&hash, &signature, recovery_id));
    for id in (0..=4).filter(|id| *id != recovery_id) {
        assert!(!account_key.verify(&hash, &signature, id), "recovery id {id}");
    }
    assert!(!account_key.verify(b"pay the rent", &signature, recovery_id), "which is no digest");
    assert!(!account_key.verify(&[&[0], &hash[..]].concat(), &signature, recovery_id));
    let low = ::p256::ecdsa::Signature::from_slice(&signature).unwrap();
    let high = ::p256::ecdsa::Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
    assert!(!account_key.verify(&hash, &high.to_bytes().into(), recovery_id ^ 1));
    for half in [0..32, 32..64] {
        let mut zero = signature;
        zero[half].fill(0);
        assert!(!account_key.verify(&hash, &zero, recovery_id), "r or s is zero");
    }
    let other = AccountKey::new(Scheme::EcdsaSecp256k1, account_key.as_bytes()).unwrap();
    assert!(!other.verify(&hash, &signature, recovery_id), "the same bytes as a key of the other curve");
}

#[test]
fn an_ecdsa_signature_with_high_s_is_refused() {
    let Signature { account_key, signed, signature, recovery_id, .. } = Story::new(Scheme::EcdsaSecp256k1).signature;
    let Signed::Digest(digest) = signed else { panic!("ECDSA signs digests") };
    let low = k256::ecdsa::Signature::from_slice(&signature).unwrap();
    let high = k256::ecdsa::Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
    assert!(!account_key.verify(&digest, &high.to_bytes().into(), recovery_id ^ 1));
}
