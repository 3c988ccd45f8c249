//! How records are sealed by a token, and which mechanism it is trusted with.
//!
//! Always `C_Encrypt` and `C_Decrypt`, never `C_WrapKey`: tokens disagree about what its mechanisms mean, and some pad with
//! zeros. A mechanism counts only after it has shown that it opens what it seals and nothing else.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism as Cryptoki;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use limen_hsm::Mechanism;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const TAG_BITS: u64 = 128;

/// What sealing asks of a session; a seam, so that tests can put tokens here that nobody can buy.
pub trait Primitives {
    /// Names a key.
    type Key: Copy;
    /// AES-256-GCM with a 128-bit tag. A token that chooses the IV itself writes it back.
    fn encrypt_gcm(&self, key: Self::Key, iv: &mut [u8; 12], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error>;
    /// The reverse.
    fn decrypt_gcm(&self, key: Self::Key, iv: &[u8; 12], aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Error>;
    /// AES-256-CBC with PKCS#7 padding.
    fn encrypt_cbc(&self, key: Self::Key, iv: &[u8; 16], plain: &[u8]) -> Result<Vec<u8>, Error>;
    /// The reverse.
    fn decrypt_cbc(&self, key: Self::Key, iv: &[u8; 16], body: &[u8]) -> Result<Vec<u8>, Error>;
    /// HMAC-SHA-256.
    fn mac(&self, key: Self::Key, data: &[u8]) -> Result<Vec<u8>, Error>;
    /// Random bytes.
    fn random(&self, room: &mut [u8]) -> Result<(), Error>;
}

impl Primitives for Session {
    type Key = ObjectHandle;

    fn encrypt_gcm(&self, key: ObjectHandle, iv: &mut [u8; 12], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.encrypt(&Cryptoki::AesGcm(GcmParams::new(iv, aad, TAG_BITS.into())?), key, plain)
    }

    fn decrypt_gcm(&self, key: ObjectHandle, iv: &[u8; 12], aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Error> {
        let mut iv = *iv;
        self.decrypt(&Cryptoki::AesGcm(GcmParams::new(&mut iv, aad, TAG_BITS.into())?), key, body)
    }

    fn encrypt_cbc(&self, key: ObjectHandle, iv: &[u8; 16], plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.encrypt(&Cryptoki::AesCbcPad(*iv), key, plain)
    }

    fn decrypt_cbc(&self, key: ObjectHandle, iv: &[u8; 16], body: &[u8]) -> Result<Vec<u8>, Error> {
        self.decrypt(&Cryptoki::AesCbcPad(*iv), key, body)
    }

    fn mac(&self, key: ObjectHandle, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&Cryptoki::Sha256Hmac, key, data)
    }

    fn random(&self, room: &mut [u8]) -> Result<(), Error> {
        self.generate_random_slice(room)
    }
}

/// A wrapping key on a token: one object or two.
#[derive(Debug, Clone, Copy)]
pub enum Keys<K> {
    /// For AES-256-GCM.
    Gcm(K),
    /// For AES-256-CBC, and for HMAC-SHA-256.
    CbcHmac(K, K),
}

impl<K> Keys<K> {
    /// What they are for.
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Gcm(_) => Mechanism::Aes256Gcm,
            Self::CbcHmac(..) => Mechanism::Aes256CbcHmacSha256,
        }
    }
}

/// Why a token's sealing is not taken.
#[derive(Debug)]
pub enum Wrong {
    /// The library refused.
    Token(Error),
    /// What came back is not what the mechanism makes.
    Shape(&'static str),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(error) => error.fmt(f),
            Self::Shape(what) => f.write_str(what),
        }
    }
}

fn draw<P: Primitives, const N: usize>(token: &P) -> Result<[u8; N], Error> {
    let mut iv = [0; N];
    token.random(&mut iv)?;
    Ok(iv)
}

/// IV, and ciphertext with tag.
pub fn seal<P: Primitives>(
    token: &P,
    keys: Keys<P::Key>,
    aad: &[u8; 32],
    secret: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Wrong> {
    match keys {
        Keys::Gcm(key) => {
            let mut iv = draw::<P, 12>(token)?;
            let body = token.encrypt_gcm(key, &mut iv, aad, secret)?;
            if body.len() != secret.len() + Mechanism::Aes256Gcm.tag_len() {
                return Err(Wrong::Shape("AES-GCM gave another length than ciphertext and tag have"));
            }
            // Read after the call: a token that chooses the IV itself has put it there.
            Ok((iv.to_vec(), body))
        }
        Keys::CbcHmac(key, mac) => {
            let iv = draw::<P, 16>(token)?;
            let mut body = token.encrypt_cbc(key, &iv, secret)?;
            if body.len() != (secret.len() / 16 + 1) * 16 {
                return Err(Wrong::Shape("AES-CBC gave another length than padding makes"));
            }
            let tag = token.mac(mac, &[aad, iv.as_slice(), &body].concat())?;
            if tag.len() != Mechanism::Aes256CbcHmacSha256.tag_len() {
                return Err(Wrong::Shape("HMAC-SHA-256 gave another length than 32 bytes"));
            }
            body.extend(tag);
            Ok((iv.to_vec(), body))
        }
    }
}

/// The secret; `None` if its tag is wrong by our own comparison. A wrong tag of AES-GCM is the library's error, whichever it has.
pub fn open<P: Primitives>(
    token: &P,
    keys: Keys<P::Key>,
    aad: &[u8; 32],
    iv: &[u8],
    body: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    match keys {
        Keys::Gcm(key) => {
            let Ok(iv) = iv.try_into() else { return Ok(None) };
            token.decrypt_gcm(key, iv, aad, body).map(|secret| Some(Zeroizing::new(secret)))
        }
        Keys::CbcHmac(key, mac) => {
            let (Ok(iv), Some((cipher, tag))) = (iv.try_into(), body.split_last_chunk::<32>()) else { return Ok(None) };
            let iv: &[u8; 16] = iv;
            let right = token.mac(mac, &[aad, iv.as_slice(), cipher].concat())?;
            if !bool::from(right.as_slice().ct_eq(tag)) {
                return Ok(None);
            }
            token.decrypt_cbc(key, iv, cipher).map(|secret| Some(Zeroizing::new(secret)))
        }
    }
}

/// Shows that a mechanism opens what it seals, and nothing that was changed. `Err` says what it does instead.
pub fn examine<P: Primitives>(token: &P, keys: Keys<P::Key>) -> Result<(), Wrong> {
    let (aad, other, secret) = ([1; 32], [2; 32], [0x5a; 37]);
    let (iv, body) = seal(token, keys, &aad, &secret)?;
    let (iv2, body2) = seal(token, keys, &aad, &secret)?;
    if iv == iv2 || body == body2 {
        return Err(Wrong::Shape("two records have one IV"));
    }
    for (iv, body) in [(&iv, &body), (&iv2, &body2)] {
        if open(token, keys, &aad, iv, body)?.is_none_or(|opened| *opened != secret) {
            return Err(Wrong::Shape("it does not open what it sealed"));
        }
    }
    let opens = |aad: &[u8; 32], iv: &[u8], body: &[u8]| matches!(open(token, keys, aad, iv, body), Ok(Some(_)));
    if opens(&other, &iv, &body) {
        return Err(Wrong::Shape("it does not look at associated data"));
    }
    for at in [0, body.len() - 1] {
        let mut spoiled = body.clone();
        spoiled[at] ^= 1;
        if opens(&aad, &iv, &spoiled) {
            return Err(Wrong::Shape("it opens what was changed"));
        }
    }
    if opens(&aad, &iv2, &body) {
        return Err(Wrong::Shape("it does not look at the IV"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
