//! Every refusal of a passkey's assertion, met by an authenticator or browser that lies in that point alone.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::authenticator::{Authenticator, PRESENT, client_data};
use super::passkey;
use crate::approval::AssertionError;
use crate::approval::webauthn::verify;

const CHALLENGE: [u8; 32] = [8; 32];

fn with(change: impl FnOnce(&mut Authenticator)) -> Result<(), AssertionError> {
    let mut authenticator = Authenticator::default();
    let key = authenticator.public_key();
    change(&mut authenticator);
    verify(&authenticator.assert(&client_data(&CHALLENGE)), &passkey(), &key, &CHALLENGE).map(drop)
}

/// An honest authenticator signs what the browser made of the client data.
fn said(client_data: &str) -> Result<(), AssertionError> {
    let authenticator = Authenticator::default();
    verify(&authenticator.assert(client_data), &passkey(), &authenticator.public_key(), &CHALLENGE).map(drop)
}

fn replaced(from: &str, to: &str) -> Result<(), AssertionError> {
    let text = client_data(&CHALLENGE);
    assert!(text.contains(from), "{from} is not in {text}");
    said(&text.replace(from, to))
}

#[test]
fn an_honest_assertion_passes() {
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(replaced(r#","crossOrigin":false"#, ""), Ok(()));
    assert_eq!(replaced("}", r#","extraData":{"type":"webauthn.create"}}"#), Ok(()));
    // Reserved bits of the flags say nothing yet.
    assert_eq!(with(|a| a.flags = PRESENT | 0x22), Ok(()));
}

#[test]
fn every_lie_of_an_authenticator_is_refused() {
    use AssertionError as E;
    assert!(matches!(with(|a| a.relying_party = "example.com".to_owned()), Err(E::RelyingParty { .. })));
    assert_eq!(with(|a| a.flags = 0x04), Err(E::NotPresent));
    assert_eq!(with(|a| a.flags = 0x01), Err(E::NotVerified));
    assert_eq!(with(|a| a.flags = PRESENT | 0x10), Err(E::BackupState));
    assert_eq!(with(|a| a.flags = PRESENT | 0x40), Err(E::Unsolicited));
    assert_eq!(with(|a| a.flags = PRESENT | 0x80), Err(E::Unsolicited));
    assert_eq!(with(|a| a.tail = vec![0]), Err(E::AuthenticatorData { found: 38 }));
    // An extension map that nobody asked for.
    assert_eq!(with(|a| (a.flags, a.tail) = (PRESENT | 0x80, vec![0xa0])), Err(E::Unsolicited));
    assert_eq!(with(|a| a.key = p256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap()), Err(E::Signature));
}

#[test]
fn every_lie_of_a_browser_is_refused() {
    use AssertionError as E;
    assert!(matches!(replaced("webauthn.get", "webauthn.create"), Err(E::Type { .. })));
    assert_eq!(replaced("CAgI", "CAgJ"), Err(E::Challenge));
    assert_eq!(replaced(r#"","origin"#, r#"=","origin"#), Err(E::Challenge));
    assert!(matches!(replaced("https://example.org", "https://example.org.evil"), Err(E::Origin { .. })));
    assert!(matches!(replaced("https://example.org", "http://example.org"), Err(E::Origin { .. })));
    assert_eq!(replaced("false", "true"), Err(E::Framed));
    assert_eq!(replaced("}", r#","topOrigin":"https://example.org"}"#), Err(E::Framed));
    assert_eq!(replaced("}", r#","topOrigin":null}"#), Err(E::Framed));
}

#[test]
fn client_data_that_two_readers_could_read_differently_is_refused() {
    let challenge = &format!(r#""challenge":"{}","#, Base64UrlUnpadded::encode_string(&CHALLENGE));
    for (from, to) in [
        ("{", r#"{"type":"webauthn.create","#),
        ("{", r#"{"t\u0079pe":"webauthn.create","#),
        ("{", &format!("{{{challenge}")),
        ("{", r#"{"origin":"https://example.com","#),
        ("{", r#"{"crossOrigin":false,"#),
        ("}", r#","topOrigin":null,"topOrigin":null}"#),
        ("false", "null"),
        ("false", "0"),
        ("}", ""),
        ("}", "}}"),
        ("}", "} x"),
        (r#""webauthn.get""#, "7"),
        ("{", " {"),
        ("{", "\u{feff}{"),
        (r#""type":"webauthn.get","#, ""),
        (challenge, ""),
        (r#""origin":"https://example.org","#, ""),
    ] {
        let result = replaced(from, to);
        assert!(matches!(result, Err(AssertionError::ClientData(_))), "{from} → {to}: {result:?}");
    }
    let list = format!(r#"["webauthn.get",{},"https://example.org",false]"#, &challenge[12..challenge.len() - 1]);
    assert!(matches!(said(&list), Err(AssertionError::ClientData(_))));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    assert!(matches!(said(&deep), Err(AssertionError::ClientData(_))));
}

#[test]
fn any_byte_changed_is_refused() {
    let authenticator = Authenticator::default();
    let good = authenticator.assert(&client_data(&CHALLENGE));
    let lens = [good.authenticator_data.len(), good.client_data.len(), good.signature.len()];
    for (field, len) in lens.into_iter().enumerate() {
        for position in 0..len {
            let mut bad = good.clone();
            let bytes = match field {
                0 => &mut bad.authenticator_data,
                1 => &mut bad.client_data,
                _ => &mut bad.signature,
            };
            let mut changed = bytes.to_vec();
            changed[position] ^= 1;
            *bytes = changed.into();
            let result = verify(&bad, &passkey(), &authenticator.public_key(), &CHALLENGE);
            assert!(result.is_err(), "field {field}, byte {position}");
        }
    }
}

#[test]
fn anything_cut_short_is_refused() {
    let authenticator = Authenticator::default();
    let good = authenticator.assert(&client_data(&CHALLENGE));
    for length in 0..37 {
        let cut = good.authenticator_data.slice(..length);
        let bad = limen_wire::approval::Assertion { authenticator_data: cut, ..good.clone() };
        assert!(verify(&bad, &passkey(), &authenticator.public_key(), &CHALLENGE).is_err(), "{length}");
    }
}
