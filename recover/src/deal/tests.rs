//! Keys dealt and opened, with each part spoiled.

use age::secrecy::ExposeSecret as _;
use age::x25519;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::whole::{BadWholeKey, WholeForm};

const SECRET: &str = "0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d";
/// The same in wallet import format, as its own page has it.
const WIF: &str = "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617";
const SCHEMES: [Scheme; 3] = [Scheme::EcdsaSecp256k1, Scheme::SchnorrBip340, Scheme::EddsaEd25519];

struct Stage {
    members: Vec<(NodeId, Recipient)>,
    identities: Vec<Identities>,
}

fn stage() -> Stage {
    let (mut members, mut identities) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let identity = x25519::Identity::generate();
        let recipient = Recipient::new(&identity.to_public().to_string()).unwrap();
        members.push((NodeId::new(format!("signer-{number}")).unwrap(), recipient));
        let text = identity.to_string();
        identities.push(Identities::read(text.expose_secret().as_bytes(), age::NoCallbacks).unwrap());
    }
    Stage { members, identities }
}

fn name(key: &str) -> (ClusterId, KeyId) {
    (ClusterId::new("test").unwrap(), KeyId::new(key).unwrap())
}

fn whole(scheme: Scheme) -> WholeKey {
    // Little-endian for Ed25519: its last byte is the highest.
    WholeKey::read(WholeForm::Scalar, scheme, &SECRET.replace("aa1d", "0a0d")).unwrap()
}

fn deal(stage: &Stage, scheme: Scheme, key: &str) -> (DealtKey, Vec<Vec<u8>>) {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    DealtKey::deal(&whole(scheme), [5; 32], name(key), (2, &stage.members), &mut rng).unwrap()
}

fn member(number: u16) -> PartyIndex {
    PartyIndex::new(number).unwrap()
}

#[test]
fn each_member_opens_its_piece_and_two_are_the_key() {
    let stage = stage();
    for scheme in SCHEMES {
        let (dealt, pieces) = deal(&stage, scheme, "old");
        let all = (1..=3).zip(&stage.identities).zip(&pieces);
        let shares: Vec<_> = all.map(|((at, by), piece)| dealt.open(member(at), by, piece).unwrap()).collect();
        let key = curve::join(scheme, &[(1, &shares[0]), (3, &shares[2])]).unwrap();
        assert_eq!(*key, *whole(scheme).secret());
        let point = curve::public_point(scheme, &key).unwrap();
        assert_eq!(point.to_key(scheme), dealt.imported().public_key);
        assert_eq!(dealt.imported().commitments.len(), 2);
    }
}

#[test]
fn a_piece_in_any_other_place_is_refused() {
    let stage = stage();
    for scheme in SCHEMES {
        let (dealt, pieces) = deal(&stage, scheme, "old");
        let (other, others) = deal(&stage, scheme, "other");
        let open = |dealt: &DealtKey, at: u16, by: usize, piece: &[u8]| {
            dealt.open(member(at), &stage.identities[by], piece).map(drop).unwrap_err()
        };
        assert_eq!(open(&dealt, 1, 0, &pieces[1]), PieceRefused::NotForThis);
        assert_eq!(open(&dealt, 1, 1, &pieces[1]), PieceRefused::OtherMember { expected: member(1), found: 2 });
        assert_eq!(open(&dealt, 1, 0, &others[0]), PieceRefused::OtherImport);
        assert_eq!(open(&other, 1, 0, &pieces[0]), PieceRefused::OtherImport, "replayed under another name");
        for cut in [0, 1, 50, pieces[0].len() - 1] {
            assert!(matches!(open(&dealt, 1, 0, &pieces[0][..cut]), PieceRefused::Decrypt(_)), "{cut}");
        }
        let mut damaged = pieces[0].clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(open(&dealt, 1, 0, &damaged), PieceRefused::Decrypt(_)));
        // Rightly encrypted, and wrong inside.
        let seal = |plain: &[u8]| seal::seal(&stage.members[0].1, plain, &Plugins::none(), age::NoCallbacks).unwrap();
        let wrong = encode_piece(&dealt.hash(), 1, &[1; 32]);
        assert!(matches!(open(&dealt, 1, 0, &seal(&wrong)), PieceRefused::Wrong(DealingError::WrongShare(_))));
        let zero = encode_piece(&dealt.hash(), 1, &[0; 32]);
        assert!(matches!(open(&dealt, 1, 0, &seal(&zero)), PieceRefused::Wrong(DealingError::WrongShare(_))));
        for plain in [&wrong[..68], b"LMP1", &[&wrong[..], &[0]].concat()] {
            assert_eq!(open(&dealt, 1, 0, &seal(plain)), PieceRefused::Encoding);
        }
    }
}

#[test]
fn the_public_file_has_one_spelling() {
    let stage = stage();
    for scheme in SCHEMES {
        let (dealt, _) = deal(&stage, scheme, "old");
        let text = dealt.encode();
        assert_eq!(DealtKey::decode(text.as_bytes()).unwrap(), dealt);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(DealtKey::decode(&bytes).is_err(), "{scheme}, byte {at}");
        }
        for cut in 0..text.len() {
            assert!(DealtKey::decode(&text.as_bytes()[..cut]).is_err(), "{scheme}, first {cut} bytes");
        }
        assert!(DealtKey::decode(format!("{text}\n").as_bytes()).is_err());
        assert!(DealtKey::decode(text.replace('\n', "\r\n").as_bytes()).is_err());
    }
}

#[test]
fn facts_that_do_not_go_together_are_refused() {
    let stage = stage();
    let (dealt, _) = deal(&stage, Scheme::EcdsaSecp256k1, "old");
    let with = |nodes: Vec<NodeId>, size: (u16, u16), change: fn(&mut ImportedKey)| {
        let mut imported = dealt.imported().clone();
        change(&mut imported);
        let size = CommitteeSize::new(size.0, size.1).unwrap();
        DealtKey::new(name("old"), Scheme::EcdsaSecp256k1, (size, nodes), imported).map(drop).unwrap_err()
    };
    let nodes = dealt.nodes().to_vec();
    let twice = vec![nodes[0].clone(), nodes[0].clone(), nodes[1].clone()];
    assert!(matches!(with(twice, (2, 3), |_| ()), DealError::MemberTwice(_)));
    assert!(matches!(with(nodes[..2].to_vec(), (2, 3), |_| ()), DealError::Size(_)));
    assert!(matches!(with(nodes.clone(), (3, 3), |_| ()), DealError::Facts(DealingError::Degree { .. })));
    let swapped = with(nodes, (2, 3), |imported| imported.commitments.swap(0, 1));
    assert!(matches!(swapped, DealError::Facts(DealingError::OtherKey)));
}

#[test]
fn whole_keys_are_read_in_each_form_and_in_no_other() {
    let scheme = Scheme::EcdsaSecp256k1;
    let read = |form, text: &str| WholeKey::read(form, scheme, text);
    let bytes = hex::decode(SECRET).unwrap();
    assert_eq!(read(WholeForm::Scalar, SECRET).unwrap().secret()[..], bytes);
    assert_eq!(read(WholeForm::Wif, WIF).unwrap().secret()[..], bytes);
    // BIP-32, test vector 1, chain m.
    let xprv = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    let key = read(WholeForm::Xprv, xprv).unwrap();
    assert_eq!(hex::encode(key.secret()), "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35");
    assert_eq!(
        hex::encode(key.chain_code().unwrap()),
        "873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508"
    );
    use k256::pkcs8::{EncodePrivateKey as _, LineEnding};
    let pem = k256::SecretKey::from_slice(&bytes).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
    assert_eq!(read(WholeForm::Pkcs8, &pem).unwrap().secret()[..], bytes);
    for (form, text) in
        [(WholeForm::Scalar, WIF), (WholeForm::Wif, SECRET), (WholeForm::Wif, xprv), (WholeForm::Xprv, WIF)]
    {
        assert_eq!(read(form, text).map(drop), Err(BadWholeKey::Text));
    }
    for number in ["00".repeat(32), "ff".repeat(32)] {
        assert_eq!(read(WholeForm::Scalar, &number).map(drop), Err(BadWholeKey::Number));
    }
    let refused = WholeKey::read(WholeForm::Wif, Scheme::EddsaEd25519, WIF).map(drop);
    assert_eq!(refused, Err(BadWholeKey::NoForm { scheme: Scheme::EddsaEd25519 }));
    assert!(matches!(WholeKey::read(WholeForm::Scalar, Scheme::EcdsaP256, SECRET), Err(BadWholeKey::NoShares(_))));
    // Both scalars of an x-only key are one key.
    let three = format!("{:064x}", 3);
    let even = WholeKey::read(WholeForm::Scalar, Scheme::SchnorrBip340, &three).unwrap();
    let odd = k256::Scalar::from(3u64).negate().to_bytes();
    let odd = WholeKey::read(WholeForm::Scalar, Scheme::SchnorrBip340, &hex::encode(odd)).unwrap();
    assert_eq!(even.secret(), odd.secret());
    // Children are derived by the point as it was.
    assert!(odd.was_odd() && !even.was_odd() && !key.was_odd());
}
