//! What a token claims to have signed.

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;

use super::*;

fn key(seed: u8) -> (k256::ecdsa::SigningKey, Point) {
    let key = k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = Point::secp256k1(key.verifying_key().to_encoded_point(true).as_bytes()).unwrap();
    (key, point)
}

#[test]
fn an_ecdsa_signature_leaves_with_low_s_and_a_recovery_id_of_ours() {
    let (secret, point) = key(7);
    for number in 0..32u8 {
        let digest = [number; 32];
        let input = SignInput::Digest(digest);
        let low: k256::ecdsa::Signature = secret.sign_prehash(&digest).unwrap();
        let high = k256::ecdsa::Signature::from_scalars(*low.r(), -*low.s()).unwrap();
        let made = [low, high].map(|claimed| Signature::of_token(&point, &input, &claimed.to_bytes().into()).unwrap());
        assert_eq!(made[0], made[1], "whichever S it gave");
        assert_eq!(made[0].to_bytes(), <[u8; 64]>::from(low.to_bytes()));
        made[0].verify(&point, &input).unwrap();
    }
}

fn p256_key(seed: u8) -> (p256::ecdsa::SigningKey, Point) {
    let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = Point::p256(key.verifying_key().to_encoded_point(true).as_bytes()).unwrap();
    (key, point)
}

#[test]
fn a_p256_signature_leaves_with_low_s_and_a_recovery_id_too() {
    let ((secret, point), (_, other)) = (p256_key(7), p256_key(8));
    for number in 0..32u8 {
        let digest = [number; 32];
        let input = SignInput::Digest(digest);
        let signed: p256::ecdsa::Signature = secret.sign_prehash(&digest).unwrap();
        let negated = p256::ecdsa::Signature::from_scalars(*signed.r(), -*signed.s()).unwrap();
        let [one, two] =
            [signed, negated].map(|claimed| Signature::of_token(&point, &input, &claimed.to_bytes().into()).unwrap());
        assert_eq!(one, two, "whichever S it gave");
        let low = signed.normalize_s().unwrap_or(signed);
        assert_eq!(one.to_bytes(), <[u8; 64]>::from(low.to_bytes()));
        one.verify(&point, &input).unwrap();

        let Signature::EcdsaP256 { r, s, recovery_id } = one else { panic!("{one:?}") };
        assert_eq!(one.recovery_id(), recovery_id);
        let verify = |r, s, recovery_id| Signature::EcdsaP256 { r, s, recovery_id }.verify(&point, &input);
        assert_eq!(verify(r, s, recovery_id ^ 1), Err(VerifyError::WrongRecoveryId));
        assert_eq!(verify(r, (-*low.s()).to_bytes().into(), recovery_id ^ 1), Err(VerifyError::HighS));
        for (r, s) in [([0; 32], s), (r, [0; 32]), ([0xff; 32], s), (r, [0xff; 32])] {
            assert_eq!(verify(r, s, recovery_id), Err(VerifyError::Invalid));
        }
        assert_eq!(one.verify(&other, &input), Err(VerifyError::Invalid));
        assert_eq!(Signature::Ecdsa { r, s, recovery_id }.verify(&point, &input), Err(VerifyError::SchemeMismatch));
    }
}

#[test]
fn a_tokens_p256_signature_is_believed_on_its_own_curve_only() {
    let ((secret, point), (secp256k1, _)) = (p256_key(7), key(7));
    let input = SignInput::Digest([1; 32]);
    let signed: p256::ecdsa::Signature = secret.sign_prehash(&[1; 32]).unwrap();
    let elsewhere: k256::ecdsa::Signature = secp256k1.sign_prehash(&[1; 32]).unwrap();
    let refused = |input: &SignInput, bytes: &[u8; 64]| Signature::of_token(&point, input, bytes).unwrap_err();
    assert_eq!(refused(&SignInput::Digest([2; 32]), &signed.to_bytes().into()), VerifyError::Invalid);
    assert_eq!(refused(&SignInput::Message(vec![1]), &signed.to_bytes().into()), VerifyError::SchemeMismatch);
    assert_eq!(refused(&input, &elsewhere.to_bytes().into()), VerifyError::Invalid);
    let [mut no_r, mut no_s]: [[u8; 64]; 2] = [signed.to_bytes().into(), signed.to_bytes().into()];
    no_r[..32].fill(0);
    no_s[32..].fill(0);
    for bytes in [[0; 64], [0xff; 64], no_r, no_s] {
        assert_eq!(refused(&input, &bytes), VerifyError::Invalid);
    }
}

#[test]
fn p256_signs_digests_only() {
    assert!(SignInput::Digest([1; 32]).fits(Scheme::EcdsaP256));
    assert!(SignInput::Preimage { hash: PreimageHash::Sha256, bytes: vec![1] }.fits(Scheme::EcdsaP256));
    assert!(!SignInput::Message(vec![1; 32]).fits(Scheme::EcdsaP256));
}

#[test]
fn what_is_no_signature_of_the_key_is_refused() {
    let ((secret, point), (_, other)) = (key(7), key(8));
    let input = SignInput::Digest([1; 32]);
    let signed: k256::ecdsa::Signature = secret.sign_prehash(&[1; 32]).unwrap();
    let bytes: [u8; 64] = signed.to_bytes().into();
    assert_eq!(Signature::of_token(&other, &input, &bytes), Err(VerifyError::Invalid));
    assert_eq!(Signature::of_token(&point, &SignInput::Digest([2; 32]), &bytes), Err(VerifyError::Invalid));
    assert_eq!(Signature::of_token(&point, &SignInput::Message(vec![1]), &bytes), Err(VerifyError::SchemeMismatch));
    for bytes in [[0; 64], [0xff; 64]] {
        assert_eq!(Signature::of_token(&point, &input, &bytes), Err(VerifyError::Invalid));
    }
    let secret = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let point = Point::Ed25519(secret.verifying_key().to_bytes());
    let signed = secret.sign(b"hello").to_bytes();
    let hello = SignInput::Message(b"hello".to_vec());
    assert_eq!(Signature::of_token(&point, &hello, &signed), Ok(Signature::Ed25519(signed)));
    assert_eq!(Signature::of_token(&point, &SignInput::Message(vec![2]), &signed), Err(VerifyError::Invalid));
    assert_eq!(Signature::of_token(&point, &input, &signed), Err(VerifyError::SchemeMismatch));
}
