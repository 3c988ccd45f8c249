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
