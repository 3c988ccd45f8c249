//! Tokens that nobody can buy here: each with one habit that real ones are known for.

use std::cell::Cell;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use cryptoki::context::Function;
use cryptoki::error::RvError;

use super::*;

#[derive(Default)]
struct Fake {
    drawn: Cell<u8>,
    /// Chooses the IV and writes it back.
    own_iv: bool,
    /// Chooses the IV and keeps it.
    secret_iv: bool,
    /// One IV for ever.
    one_iv: bool,
    no_gcm: bool,
    no_cbc: bool,
    /// Leaves associated data out.
    deaf: bool,
    /// Does not check tags.
    careless: bool,
    /// Pads with zeros first.
    pads: bool,
}

fn no(function: Function) -> Error {
    Error::Pkcs11(RvError::MechanismInvalid, function)
}

impl Fake {
    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&[3; 32]).unwrap()
    }

    fn next(&self) -> u8 {
        self.drawn.set(self.drawn.get().wrapping_add(1));
        self.drawn.get()
    }

    /// No cipher, but one that padding and lengths can be seen with.
    fn mask(iv: &[u8; 16], bytes: &[u8]) -> Vec<u8> {
        bytes.iter().zip(iv.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    }
}

impl Primitives for Fake {
    type Key = ();

    fn encrypt_gcm(&self, (): (), iv: &mut [u8; 12], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        if self.no_gcm {
            return Err(no(Function::EncryptInit));
        }
        let used = if self.own_iv || self.secret_iv { [self.next(); 12] } else { *iv };
        if self.own_iv {
            *iv = used;
        }
        let mut msg = plain.to_vec();
        if self.pads {
            msg.resize(msg.len().next_multiple_of(8), 0);
        }
        let aad = if self.deaf { &[] } else { aad };
        Ok(self.cipher().encrypt(&used.into(), Payload { msg: &msg, aad }).unwrap())
    }

    fn decrypt_gcm(&self, (): (), iv: &[u8; 12], aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Error> {
        let aad = if self.deaf { &[] } else { aad };
        let opened = self.cipher().decrypt(iv.into(), Payload { msg: body, aad });
        match opened {
            Err(_) if self.careless => Ok(vec![0; body.len() - 16]),
            other => other.map_err(|_| Error::Pkcs11(RvError::GeneralError, Function::Decrypt)),
        }
    }

    fn encrypt_cbc(&self, (): (), iv: &[u8; 16], plain: &[u8]) -> Result<Vec<u8>, Error> {
        if self.no_cbc {
            return Err(no(Function::EncryptInit));
        }
        let pad = 16 - plain.len() % 16;
        Ok(Self::mask(iv, &[plain, &vec![u8::try_from(pad).unwrap(); pad]].concat()))
    }

    fn decrypt_cbc(&self, (): (), iv: &[u8; 16], body: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Self::mask(iv, body);
        plain.truncate(plain.len() - usize::from(*plain.last().unwrap()));
        Ok(plain)
    }

    fn mac(&self, (): (), data: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(limen_wire::effects::sha256(data).to_vec())
    }

    fn random(&self, room: &mut [u8]) -> Result<(), Error> {
        room.fill(if self.one_iv { 7 } else { self.next() });
        Ok(())
    }
}

const GCM: Keys<()> = Keys::Gcm(());
const CBC: Keys<()> = Keys::CbcHmac((), ());

#[test]
fn what_a_token_should_do_is_taken() {
    for keys in [GCM, CBC] {
        examine(&Fake::default(), keys).unwrap();
    }
}

/// FIPS tokens draw the IV themselves: the record carries the one that was used.
#[test]
fn a_token_that_chooses_the_iv_is_taken_by_its_word() {
    let token = Fake { own_iv: true, ..Fake::default() };
    examine(&token, GCM).unwrap();
    let (iv, body) = seal(&token, GCM, &[1; 32], b"secret").unwrap();
    assert_eq!(iv, [token.drawn.get(); 12], "the token's, not ours");
    assert_eq!(open(&token, GCM, &[1; 32], &iv, &body).unwrap().unwrap().as_slice(), b"secret");
}

#[test]
fn tokens_with_a_habit_that_breaks_the_promise_are_found_out() {
    for (words, token, keys) in [
        ("MechanismInvalid", Fake { no_gcm: true, ..Fake::default() }, GCM),
        ("MechanismInvalid", Fake { no_cbc: true, ..Fake::default() }, CBC),
        ("GeneralError", Fake { secret_iv: true, ..Fake::default() }, GCM),
        ("one IV", Fake { one_iv: true, ..Fake::default() }, GCM),
        ("one IV", Fake { one_iv: true, ..Fake::default() }, CBC),
        ("associated data", Fake { deaf: true, ..Fake::default() }, GCM),
        ("associated data", Fake { careless: true, ..Fake::default() }, GCM),
        ("another length", Fake { pads: true, ..Fake::default() }, GCM),
    ] {
        let wrong = format!("{:?}", examine(&token, keys).unwrap_err());
        assert!(wrong.contains(words), "{words} is missing in {wrong}");
    }
}

/// Encrypt-then-MAC: nothing that was changed reaches the cipher, so its padding is no oracle.
#[test]
fn a_changed_record_never_reaches_the_cipher() {
    let token = Fake::default();
    let (iv, body) = seal(&token, CBC, &[1; 32], b"secret").unwrap();
    for at in 0..body.len() {
        let mut spoiled = body.clone();
        spoiled[at] ^= 0x80;
        assert!(open(&token, CBC, &[1; 32], &iv, &spoiled).unwrap().is_none(), "byte {at}");
    }
    for at in 0..16 {
        let mut spoiled = iv.clone();
        spoiled[at] ^= 1;
        assert!(open(&token, CBC, &[1; 32], &spoiled, &body).unwrap().is_none(), "IV byte {at}");
    }
    for length in 0..body.len() {
        assert!(open(&token, CBC, &[1; 32], &iv, &body[..length]).unwrap().is_none(), "cut to {length}");
    }
    assert!(open(&token, GCM, &[1; 32], &[0; 11], &body).unwrap().is_none(), "an IV of another length");
}
