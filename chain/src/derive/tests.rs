use curve25519_dalek::Scalar as EdwardsScalar;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use sha2::{Digest, Sha256};

use super::*;

/// Public steps of BIP-32's test vectors 1 and 2: the parent's extended public key, an index, the child's. Vectors 3 and
/// 4 have hardened steps only.
const BIP32: [(&str, u32, &str); 5] = [
    (
        "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
        1,
        "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
    ),
    (
        "xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
        2,
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
    ),
    (
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
        1_000_000_000,
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
    ),
    (
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
        0,
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
    ),
    (
        "xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
        1,
        "xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
    ),
];

/// Reads an extended key's chain code and public key; its checksum guards the table above.
fn extended(text: &str) -> ([u8; 32], Point) {
    const ALPHABET: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0u8; 82];
    for character in text.chars() {
        let mut carry = ALPHABET.find(character).unwrap();
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry % 256).unwrap();
            carry /= 256;
        }
        assert_eq!(carry, 0);
    }
    let (content, checksum) = bytes.split_at(78);
    assert_eq!(Sha256::digest(Sha256::digest(content))[..4], *checksum, "{text}");
    (content[13..45].try_into().unwrap(), Point::secp256k1(&content[45..]).unwrap())
}

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn path(steps: &[u32]) -> DerivationPath {
    DerivationPath::new(steps.to_vec()).unwrap()
}

#[test]
fn follows_the_public_steps_of_bip32s_vectors() {
    for (parent, index, child) in BIP32 {
        let (chain_code, key) = extended(parent);
        let (expected_code, expected_key) = extended(child);
        let derived = derive_public(&key, &chain_code, &path(&[index])).unwrap();
        assert_eq!((derived.public_key, derived.chain_code), (expected_key, expected_code), "{child}");
    }
    // two steps at once
    let (chain_code, key) = extended(BIP32[1].0);
    let derived = derive_public(&key, &chain_code, &path(&[2, 1_000_000_000])).unwrap();
    assert_eq!((derived.chain_code, derived.public_key), extended(BIP32[2].2));
}

/// The non-hardened vectors of `hd-wallet` 0.6 (`tests/edwards_test_vector.rs`), which come from another library still:
/// path, secret child key (big-endian), public child key.
const EDWARDS: [(&[u32], &str, &str); 5] = [
    (
        &[0],
        "0542fcce4962a2e1785bc9d183e6d80f754d7ad70251b7d9239b434bc6b117d4",
        "4fefbecb1d4a584b289e457ffe868d87b27ab421f66e32a078616552a837c7e2",
    ),
    (
        &[1],
        "0a25f8ffae098918dff9b24afbe8dae365015f14b4b559f5097684747a62ec97",
        "0dc358776f744c4d6c282dbca128d123a0ac38fd7cda5cf87805b82c70a0e2cd",
    ),
    (
        &[2],
        "0b68998b58f5b96ec64b754d421339869a439c6249b843e78610c675d51f01f9",
        "d634d478dfb41b9bc8cc6653febd00f89bf5bf8c6f665dbdf541a203abef0882",
    ),
    (
        &[1_245_290_303, 456_055_179, 1_419_108_629, 261_968_456],
        "089f32db21f3027a39ee9a6bebae1ffa0bd07527120f5fe943a7d6363bd90ff6",
        "4671c7c639c8421d16488a59618bc4d06dbae56741df740eea6be993eb99f734",
    ),
    (
        &[1_478_344_788, 731_157_828, 912_233_245, 1_553_129_543],
        "04fe0f016a5b070f49f5b8f76de8862f5520661461b7914463d9ecd81a893f90",
        "d983da0a4f2a368bbc5ada8af0c5a003adea602c2e7ad1feca60c73401dc606e",
    ),
];

#[test]
fn derives_ed25519_children_as_hd_wallet_does() {
    let mut secret = hex32("09ba1ad29fabe87a0cf23fec142db2adfb8f9e7089928000dcba5714e08236ec");
    secret.reverse();
    let secret = EdwardsScalar::from_canonical_bytes(secret).unwrap();
    let root = Point::ed25519(EdwardsPoint::mul_base(&secret).compress().as_bytes()).unwrap();
    assert_eq!(root.to_string(), "6fa093b0e855f5fdb40d77f6efe9b67b709092a71d73f35de6afc70cac40d57a");
    let chain_code = hex32("64ae4b48b206ef11f75059af10d209546586baf8418222c6f4b989b75d008ddd");
    for (steps, child_secret, child_public) in EDWARDS {
        let child = derive_public(&root, &chain_code, &path(steps)).unwrap();
        assert_eq!(child.public_key.to_string(), child_public);
        let tweak = EdwardsScalar::from_canonical_bytes(child.tweak).unwrap();
        let mut bytes = (secret + tweak).to_bytes();
        bytes.reverse();
        assert_eq!(bytes, hex32(child_secret));
    }
}

/// Root key and chain code, path, child key, its chain code and the tweak: computed by a plain Python program with
/// arithmetic of its own.
const FROZEN: [[&str; 6]; 2] = [
    [
        "8563b916e43788428a91362133bf56df43804c40e1f904ec128599de3192ae18",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "m/0/1/44/501/2147483647",
        "122159928df40b59e4d4f1912e03d4226eb552df4ab7785b2fac07b9e1c197a9",
        "d4d362f12be932c13f6604994bc38f2e8afa27a7563fa67cd581a42b9b8475dd",
        "ae7e949606f08afda8e4f0379ce866597b20d77ceb3783b33fd9f922b1f1fc05",
    ],
    [
        "5866666666666666666666666666666666666666666666666666666666666666",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "m/7/0/0/0/0/1/2/3/4/5",
        "38904ed7cb0a94350d68d9fc51e1ba0605e6a97b1ed3ff073b1aa8833fb6b437",
        "51fe3c0e4ec222f11ef43a260674cc16af5e44cbdc2eef5a0f42fe7be2e4ce02",
        "a7c7e2960f54591dd23e8fa761803d92bd766a461e05dfd17ccb380250357701",
    ],
];

#[test]
fn frozen_ed25519_children_stay() {
    for [root, chain_code, path, key, child_code, tweak] in FROZEN {
        let root = Point::ed25519(&hex32(root)).unwrap();
        let child = derive_public(&root, &hex32(chain_code), &path.parse().unwrap()).unwrap();
        assert_eq!(child.public_key.to_string(), key);
        assert_eq!((child.chain_code, child.tweak), (hex32(child_code), hex32(tweak)));
        // what is derived passes the check of points that come from outside
        assert_eq!(Point::ed25519(child.public_key.as_bytes()), Ok(child.public_key));
    }
}

#[test]
fn the_tweak_takes_the_root_to_the_child_on_both_curves() {
    let steps = path(&[44, 60, 0, 0, 7]);
    let secret = Scalar::from(0xdead_beef_u64);
    let public = |secret: &Scalar| (ProjectivePoint::GENERATOR * secret).to_affine().to_encoded_point(true);
    let root = Point::secp256k1(public(&secret).as_bytes()).unwrap();
    let child = derive_public(&root, &[7; 32], &steps).unwrap();
    let tweak = Scalar::from_repr(child.tweak.into()).unwrap();
    assert_eq!(child.public_key.as_bytes(), public(&(secret + tweak)).as_bytes());

    let secret = EdwardsScalar::from(0xdead_beef_u64);
    let public = |secret: &EdwardsScalar| EdwardsPoint::mul_base(secret).compress().to_bytes();
    let root = Point::ed25519(&public(&secret)).unwrap();
    let child = derive_public(&root, &[7; 32], &steps).unwrap();
    let tweak = EdwardsScalar::from_canonical_bytes(child.tweak).unwrap();
    assert_eq!(child.public_key.as_bytes(), public(&(secret + tweak)));
}

#[test]
fn the_empty_path_is_the_key_itself() {
    for root in [extended(BIP32[0].0).1, Point::ed25519(&hex32(FROZEN[1][0])).unwrap()] {
        let child = derive_public(&root, &[3; 32], &DerivationPath::root()).unwrap();
        assert_eq!(child, ChildKey { public_key: root, chain_code: [3; 32], tweak: [0; 32] });
    }
}

#[test]
fn paths_have_one_spelling_and_a_greatest_depth() {
    for text in ["m", "m/0", "m/44/60/0/0/2147483647", "m/1/2/3/4/5/6/7/8/9/10"] {
        let path: DerivationPath = text.parse().unwrap();
        assert_eq!(path.to_string(), text);
    }
    for text in ["", "M/0", "m/", "m//0", "m/+1", "m/01", "m/-1", "m/0'", "m/0h", "m/4294967296", "0/1", "m/1 "] {
        assert!(matches!(text.parse::<DerivationPath>(), Err(DeriveError::BadPath(_))), "{text}");
    }
    assert_eq!("m/2147483648".parse::<DerivationPath>(), Err(DeriveError::Hardened(1 << 31)));
    assert_eq!("m/1/2/3/4/5/6/7/8/9/10/11".parse::<DerivationPath>(), Err(DeriveError::TooDeep(11)));
    assert_eq!(DerivationPath::new(vec![u32::MAX]), Err(DeriveError::Hardened(u32::MAX)));
    assert_eq!(DerivationPath::new(vec![0; 11]), Err(DeriveError::TooDeep(11)));
}

#[test]
fn points_are_checked_when_they_are_made() {
    let identity_ed = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    let order_two = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xec, 0x7f);
        bytes
    };
    // order 8 (RFC 8032's curve; ePrint 2020/1244, table 6), and the generator plus a point of order two
    let order_eight = hex32("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    let generator = EdwardsPoint::mul_base(&EdwardsScalar::ONE);
    let mixed = (generator + CompressedEdwardsY(order_two).decompress().unwrap()).compress().to_bytes();
    // y = p + 1, another spelling of the identity
    let not_canonical = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xee, 0x7f);
        bytes
    };
    for bytes in [identity_ed, order_two, order_eight, mixed, not_canonical, [0xff; 32], [2; 32], [0; 32]] {
        assert!(Point::ed25519(&bytes).is_err(), "{}", hex::encode(bytes));
    }
    assert!(Point::ed25519(&[0x58; 31]).is_err() && Point::ed25519(&[]).is_err());
    let good = extended(BIP32[0].0).1;
    for (at, value) in [(0, 0), (0, 4), (0, 5), (0, 0x82)] {
        let mut bytes: [u8; 33] = good.as_bytes().try_into().unwrap();
        bytes[at] = value;
        assert!(Point::secp256k1(&bytes).is_err());
    }
    // x = 5 is on no point, x ≥ p is no field element, one byte is the identity's encoding
    let x5 = [&[2; 1][..], &[0; 31], &[5]].concat();
    for bytes in [&x5[..], &[&[2; 1][..], &[0xff; 32]].concat(), &[0], &[], &good.as_bytes()[..32]] {
        assert!(Point::secp256k1(bytes).is_err(), "{}", hex::encode(bytes));
    }
}

#[test]
fn a_p256_key_has_no_children_whatever_chain_code_it_is_said_to_have() {
    let key = hex::decode("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").unwrap();
    let key = Point::p256(&key).unwrap();
    for chain_code in [[0; 32], [7; 32]] {
        let root = derive_public(&key, &chain_code, &DerivationPath::root()).unwrap();
        assert_eq!(root, ChildKey { public_key: key, chain_code, tweak: [0; 32] });
        assert_eq!(derive_public(&key, &chain_code, &path(&[0])), Err(DeriveError::NoChildren));
    }
}
