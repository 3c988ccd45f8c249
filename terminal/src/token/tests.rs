use cryptoki::context::Function;
use limen_wire::keys::SigningKey;

use super::error::{failed, login_refused};
use super::keys::{ED25519, P256, read_key};
use super::*;

fn keys() -> [(PublicKey, &'static [u8]); 2] {
    let ed25519 = SigningKey::ed25519_from_seed(&[7; 32].into()).public_key();
    let p256 = SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()).public_key();
    [(ed25519, ED25519[0]), (p256, P256)]
}

fn point(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Ed25519(key) => key.to_bytes().to_vec(),
        PublicKey::P256(key) => key.to_encoded_point(false).as_bytes().to_vec(),
    }
}

#[test]
fn points_are_read_with_their_head_and_without() {
    for (key, curve) in keys() {
        let bare = point(&key);
        let length = u8::try_from(bare.len()).unwrap();
        let der = [&[0x04, length], bare.as_slice()].concat();
        assert_eq!(read_key(curve, &bare), Some(key));
        assert_eq!(read_key(curve, &der), Some(key));
    }
    let [(ed25519, _), _] = keys();
    assert_eq!(read_key(ED25519[1], &point(&ed25519)), Some(ed25519));
}

#[test]
fn what_is_no_point_or_on_another_curve_is_no_key() {
    for (key, curve) in keys() {
        let bare = point(&key);
        let head = [0x04, u8::try_from(bare.len()).unwrap() + 1];
        for spoiled in [&bare[1..], &[&head, bare.as_slice()].concat(), &[bare.as_slice(), b"x"].concat(), b""] {
            assert_eq!(read_key(curve, spoiled), None);
        }
        assert_eq!(read_key(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], &bare), None, "secp256k1");
    }
}

#[test]
fn signatures_of_another_form_are_none() {
    for (key, _) in keys() {
        for length in [0, 63, 65, 72] {
            assert_eq!(low(&key, &vec![1; length]), None);
        }
    }
    let [_, (p256, _)] = keys();
    assert_eq!(low(&p256, &[0; 64]), None, "zero is no scalar");
    assert_eq!(low(&p256, &[0xff; 64]), None, "beyond the order");
}

#[test]
fn a_high_s_is_made_low() {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let signature = SigningKey::P256(key).sign(b"message");
    let (r, s) = p256::ecdsa::Signature::from_slice(&signature).unwrap().split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    assert_ne!(<[u8; 64]>::from(high.to_bytes()), signature);
    assert_eq!(low(&keys()[1].0, &high.to_bytes()), Some(signature));
}

#[test]
fn refused_logins_are_told_apart() {
    let refused = |refusal, tries| login_refused("desk".to_owned(), Error::Pkcs11(refusal, Function::Login), tries);
    for (refusal, tries, code, words) in [
        (RvError::PinIncorrect, Tries::Untold, "token_pin_wrong", "does not say how many"),
        (RvError::PinIncorrect, Tries::Fewer, "token_pin_wrong", "some are used up"),
        (RvError::PinIncorrect, Tries::Last, "token_pin_wrong", "ONE try is left"),
        (RvError::PinIncorrect, Tries::None, "token_pin_locked", "is locked"),
        (RvError::PinLenRange, Tries::Untold, "token_pin_wrong", "does not take this PIN"),
        (RvError::PinLocked, Tries::Untold, "token_pin_locked", "is locked"),
        (RvError::PinExpired, Tries::Untold, "token_pin", "has expired"),
        (RvError::UserPinNotInitialized, Tries::Untold, "token_pin", "has no PIN yet"),
        (RvError::FunctionCanceled, Tries::Untold, "token_pin", "nobody typed it"),
        (RvError::DeviceRemoved, Tries::Untold, "token_gone", "is gone"),
        (RvError::GeneralError, Tries::Untold, "token_failed", "could not log in to token"),
    ] {
        let error = refused(refusal, tries);
        assert_eq!(error.code(), code, "{refusal:?}");
        assert!(error.to_string().contains(words), "{words} is missing in {error}");
        assert!(!error.remedy().is_empty());
    }
}

#[test]
fn tries_are_read_from_the_worst_flag() {
    assert_eq!(Tries::from_flags(false, false, false), Tries::Untold);
    assert_eq!(Tries::from_flags(true, false, false), Tries::Fewer);
    assert_eq!(Tries::from_flags(true, true, false), Tries::Last);
    assert_eq!(Tries::from_flags(true, true, true), Tries::None);
}

#[test]
fn what_a_pulled_token_answers_is_known() {
    for refusal in [RvError::DeviceRemoved, RvError::TokenNotPresent, RvError::SessionHandleInvalid] {
        let error = failed("sign with", "desk")(Error::Pkcs11(refusal, Function::Sign));
        assert_eq!(error.code(), "token_gone", "{refusal:?}");
    }
    assert_eq!(failed("sign with", "desk")(Error::InvalidValue).code(), "token_failed");
}
