//! What the token shows: a public and a private key object for each key, and their attributes.

use cryptoki_sys::*;
use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use limen_client::keys::child_public_key;
use limen_wire::ids::{KeyId, Scheme};
use limen_wire::statement::KeyStatement;
use sha2::{Digest as _, Sha256};

use crate::config::Shown;
use crate::mechanism::Mechanism;

/// DER of the curves' object identifiers: 1.3.132.0.10, 1.2.840.10045.3.1.7 and 1.3.101.112.
const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// Bytes of a `CKA_ID` that is made from the public key.
const ID_BYTES: usize = 20;

/// A key whose signers attest it, ready to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The cluster's key.
    pub(crate) key_id: KeyId,
    /// Steps to the account below it.
    pub(crate) path: Vec<u32>,
    /// Which signature.
    pub(crate) scheme: Scheme,
    /// The account's public key as the API writes it: 33 bytes SEC 1, or 32.
    pub(crate) public_key: Vec<u8>,
    /// How it is shown, and what is asked for it.
    pub(crate) shown: Shown,
    id: Vec<u8>,
    /// What PKCS#11 has in `CKA_EC_POINT`: DER of an octet string.
    point: Vec<u8>,
}

impl Key {
    /// From a verified statement; says why such a key cannot be shown.
    pub(crate) fn new(shown: &Shown, statement: &KeyStatement) -> Result<Self, String> {
        let scheme = statement.scheme;
        if Mechanism::of_scheme(scheme).next().is_none() {
            return Err(format!("PKCS#11 has no mechanism for {scheme}"));
        }
        let path = shown.path.steps().to_vec();
        let public_key = child_public_key(statement, &path).map_err(|error| error.to_string())?;
        let point = point(scheme, &public_key).ok_or("its public key is not on the curve")?;
        let hash = || Sha256::digest(&public_key).iter().copied().take(ID_BYTES).collect();
        let id = shown.id_bytes().unwrap_or_else(hash);
        Ok(Self { key_id: shown.key.clone(), path, scheme, public_key, shown: shown.clone(), id, point })
    }
}

/// The octet string around the uncompressed point, or around the 32 bytes of Ed25519: neither is longer than 127 bytes.
fn point(scheme: Scheme, public_key: &[u8]) -> Option<Vec<u8>> {
    let bytes = match scheme {
        Scheme::EcdsaSecp256k1 => {
            let key = k256::PublicKey::from_sec1_bytes(public_key).ok()?;
            key.to_encoded_point(false).as_bytes().to_vec()
        }
        Scheme::EcdsaP256 => {
            let key = p256::PublicKey::from_sec1_bytes(public_key).ok()?;
            key.to_encoded_point(false).as_bytes().to_vec()
        }
        Scheme::EddsaEd25519 | Scheme::SchnorrBip340 => public_key.to_vec(),
    };
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 128)?;
    Some([&[0x04, length], bytes.as_slice()].concat())
}

/// Which half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// `CKO_PUBLIC_KEY`
    Public,
    /// `CKO_PRIVATE_KEY`
    Private,
}

/// The answer to a question for an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Its bytes.
    Value(Vec<u8>),
    /// It never leaves.
    Sensitive,
    /// The object has none such.
    Unknown,
}

/// An object of the token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) class: Class,
    pub(crate) key: &'a Key,
}

/// The handle of one half of the key that stands at this place in the configuration. Handles never change.
pub(crate) fn handle(place: usize, class: Class) -> CK_OBJECT_HANDLE {
    let half = match class {
        Class::Public => 1,
        Class::Private => 2,
    };
    CK_OBJECT_HANDLE::try_from(place).unwrap_or(CK_OBJECT_HANDLE::MAX / 2).saturating_mul(2).saturating_add(half)
}

/// Place and half of a handle; `None` for what cannot be one.
pub(crate) fn place(handle: CK_OBJECT_HANDLE) -> Option<(usize, Class)> {
    let number = usize::try_from(handle.checked_sub(1)?).ok()?;
    Some((number / 2, if number % 2 == 0 { Class::Public } else { Class::Private }))
}

fn number(value: CK_ULONG) -> Attribute {
    Attribute::Value(value.to_ne_bytes().to_vec())
}

fn flag(value: bool) -> Attribute {
    Attribute::Value(vec![if value { CK_TRUE } else { CK_FALSE }])
}

impl Object<'_> {
    /// One attribute.
    pub(crate) fn attribute(&self, kind: CK_ATTRIBUTE_TYPE) -> Attribute {
        match self.common(kind) {
            Attribute::Unknown if self.class == Class::Private => self.private(kind),
            Attribute::Unknown => public(kind),
            known => known,
        }
    }

    /// Whether an attribute has exactly this value. What never leaves matches nothing.
    pub(crate) fn has(&self, kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> bool {
        matches!(self.attribute(kind), Attribute::Value(own) if own == value)
    }

    fn common(&self, kind: CK_ATTRIBUTE_TYPE) -> Attribute {
        let key = self.key;
        let (key_type, curve) = match key.scheme {
            Scheme::EddsaEd25519 => (CKK_EC_EDWARDS, ED25519),
            Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => (CKK_EC, SECP256K1),
            Scheme::EcdsaP256 => (CKK_EC, P256),
        };
        match kind {
            CKA_CLASS if self.class == Class::Public => number(CKO_PUBLIC_KEY),
            CKA_CLASS => number(CKO_PRIVATE_KEY),
            CKA_KEY_TYPE => number(key_type),
            CKA_ID => Attribute::Value(key.id.clone()),
            CKA_LABEL => Attribute::Value(key.shown.label().as_bytes().to_vec()),
            CKA_EC_PARAMS => Attribute::Value(curve.to_vec()),
            CKA_EC_POINT => Attribute::Value(key.point.clone()),
            CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE => Attribute::Value(Vec::new()),
            CKA_KEY_GEN_MECHANISM => number(CK_UNAVAILABLE_INFORMATION),
            CKA_ALLOWED_MECHANISMS => {
                let list = Mechanism::of_scheme(key.scheme).flat_map(|one| one.number().to_ne_bytes());
                Attribute::Value(list.collect())
            }
            // Made by the signers, of whom each holds its own share.
            CKA_TOKEN | CKA_LOCAL => flag(true),
            // Whoever loaded the library may see it: there is no login to wait for.
            CKA_PRIVATE | CKA_MODIFIABLE | CKA_COPYABLE | CKA_DESTROYABLE | CKA_DERIVE => flag(false),
            _ => Attribute::Unknown,
        }
    }

    fn private(&self, kind: CK_ATTRIBUTE_TYPE) -> Attribute {
        match kind {
            CKA_VALUE => Attribute::Sensitive,
            CKA_SENSITIVE | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE | CKA_SIGN => flag(true),
            CKA_EXTRACTABLE | CKA_ALWAYS_AUTHENTICATE | CKA_WRAP_WITH_TRUSTED => flag(false),
            CKA_DECRYPT | CKA_UNWRAP | CKA_SIGN_RECOVER => flag(false),
            _ => Attribute::Unknown,
        }
    }
}

fn public(kind: CK_ATTRIBUTE_TYPE) -> Attribute {
    match kind {
        CKA_VERIFY => flag(true),
        CKA_ENCRYPT | CKA_WRAP | CKA_VERIFY_RECOVER | CKA_TRUSTED => flag(false),
        _ => Attribute::Unknown,
    }
}

#[cfg(test)]
mod tests;
