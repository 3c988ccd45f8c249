//! A key that is whole, out of the forms in which such keys are kept: what [`crate::export`] writes, and what other software does.

use std::fmt;

use limen_wire::ids::Scheme;
use zeroize::Zeroizing;

use crate::curve::{self, Secret};

/// A form of a whole key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeForm {
    /// The scalar in hexadecimal: big-endian for secp256k1, little-endian for Ed25519.
    Scalar,
    /// Wallet import format, main network, compressed. secp256k1.
    Wif,
    /// BIP-32 extended private key, main network, with its chain code. secp256k1.
    Xprv,
    /// PKCS#8 in PEM, not encrypted. secp256k1.
    Pkcs8,
}

/// A whole key: a scalar of its curve, not zero. Unprintable, wiped on drop.
pub struct WholeKey {
    scheme: Scheme,
    secret: Secret,
    chain_code: Option<[u8; 32]>,
    was_odd: bool,
}

/// Text that is no key of this form and scheme. Says nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWholeKey {
    /// The form is for keys of other schemes.
    #[error("reading a whole key: {scheme} keys come as a scalar alone")]
    NoForm {
        /// Which scheme.
        scheme: Scheme,
    },
    /// There are no shares of such keys.
    #[error("reading a whole key: there are no shares of {0} keys")]
    NoShares(Scheme),
    /// Not of this form.
    #[error("reading a whole key: the text is no key of this form: mistyped, of another network, or not compressed")]
    Text,
    /// Zero, or not below the group's order.
    #[error("reading a whole key: the number is zero or not below the order of the curve")]
    Number,
}

impl WholeKey {
    /// Reads a key. For `schnorr-bip340` the point with odd y and the one with even y are one key: the scalar of the even one is kept.
    pub fn read(form: WholeForm, scheme: Scheme, text: &str) -> Result<Self, BadWholeKey> {
        match scheme {
            Scheme::EcdsaP256 => return Err(BadWholeKey::NoShares(scheme)),
            Scheme::EddsaEd25519 if form != WholeForm::Scalar => return Err(BadWholeKey::NoForm { scheme }),
            Scheme::EddsaEd25519 | Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => {}
        }
        let text = text.trim_end_matches(['\r', '\n']);
        let (secret, chain_code) = match form {
            WholeForm::Scalar => {
                let mut secret = Zeroizing::new([0; 32]);
                hex::decode_to_slice(text, &mut secret[..]).map_err(|_| BadWholeKey::Text)?;
                (secret, None)
            }
            WholeForm::Wif => (wif(text).ok_or(BadWholeKey::Text)?, None),
            WholeForm::Xprv => {
                let (secret, chain_code) = xprv(text).ok_or(BadWholeKey::Text)?;
                (secret, Some(chain_code))
            }
            WholeForm::Pkcs8 => {
                use k256::pkcs8::DecodePrivateKey as _;
                let key = k256::SecretKey::from_pkcs8_pem(text).map_err(|_| BadWholeKey::Text)?;
                (Zeroizing::new(key.to_bytes().into()), None)
            }
        };
        let kept = match scheme {
            Scheme::SchnorrBip340 => curve::even(&secret),
            _ => Some(secret.clone()),
        };
        let kept = kept.filter(|kept| curve::public_point(scheme, kept).is_some()).ok_or(BadWholeKey::Number)?;
        let was_odd = kept != secret;
        Ok(Self { scheme, secret: kept, chain_code, was_odd })
    }
    /// What it signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// The chain code that came with it, if one did.
    pub fn chain_code(&self) -> Option<[u8; 32]> {
        self.chain_code
    }
    /// Whether the negative of what was read is kept: its point has odd y, and BIP-340 means the one with even y. BIP-32 derives children by the
    /// point as it was, so by the same chain code they are others now.
    pub fn was_odd(&self) -> bool {
        self.was_odd
    }
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for WholeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeKey({}, secret redacted)", self.scheme)
    }
}

fn base58check(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    bs58::decode(text).with_check(None).into_vec().ok().map(Zeroizing::new)
}

fn wif(text: &str) -> Option<Secret> {
    let bytes = base58check(text)?;
    match bytes.split_first()? {
        (0x80, rest) => rest.strip_suffix(&[1])?.try_into().ok().map(Zeroizing::new),
        _ => None,
    }
}

/// BIP-32, "Serialization format". Of any depth: the key with its chain code is what comes in.
fn xprv(text: &str) -> Option<(Secret, [u8; 32])> {
    let bytes = base58check(text)?;
    let rest = bytes.strip_prefix(&[0x04, 0x88, 0xad, 0xe4])?.get(9..)?;
    let (chain_code, rest) = rest.split_first_chunk::<32>()?;
    let secret = rest.strip_prefix(&[0])?.try_into().ok().map(Zeroizing::new)?;
    Some((secret, *chain_code))
}
