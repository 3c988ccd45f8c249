//! Keys that live wholly in one device: their kinds, their public parts, and the check of what they sign.
//!
//! Such a key is outside the cluster's promise: whoever commands its device signs alone. What a device says is believed as far
//! as it verifies here, with libraries that have no part in the device.

use std::fmt;

use ed25519_dalek::Signature as Ed25519Signature;
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use limen_wire::ids::{HeldId, tagged_hash};

use crate::error::{HsmError, Kind};
use crate::provider::MAX_MESSAGE;

/// What a held key signs, and on which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeldKind {
    /// ECDSA over P-256 (FIPS 186-5), of a digest.
    EcdsaP256,
    /// ECDSA over secp256k1 (SEC 1), of a digest.
    EcdsaSecp256k1,
    /// Ed25519 (RFC 8032), of a message.
    EddsaEd25519,
}

impl HeldKind {
    /// All there are, by name.
    pub const ALL: [Self; 3] = [Self::EcdsaP256, Self::EcdsaSecp256k1, Self::EddsaEd25519];

    /// Its name on the wire, in token objects and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaSecp256k1 => "ecdsa-secp256k1",
            Self::EddsaEd25519 => "eddsa-ed25519",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it signs a digest of 32 bytes; else it signs a message.
    pub const fn takes_digest(self) -> bool {
        !matches!(self, Self::EddsaEd25519)
    }
}

impl fmt::Display for HeldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The point of a held key, checked to be a usable one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HeldPublic {
    /// Of P-256.
    EcdsaP256(p256::ecdsa::VerifyingKey),
    /// Of secp256k1.
    EcdsaSecp256k1(k256::ecdsa::VerifyingKey),
    /// Of Ed25519, not of small order.
    EddsaEd25519(ed25519_dalek::VerifyingKey),
}

impl HeldPublic {
    /// From a SEC 1 point, compressed or not, or the 32 bytes of an Ed25519 point. `None` for every other thing.
    pub fn new(kind: HeldKind, point: &[u8]) -> Option<Self> {
        match kind {
            HeldKind::EcdsaP256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::EcdsaP256),
            HeldKind::EcdsaSecp256k1 => {
                k256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::EcdsaSecp256k1)
            }
            HeldKind::EddsaEd25519 => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(point.try_into().ok()?).ok()?;
                (!key.is_weak()).then_some(Self::EddsaEd25519(key))
            }
        }
    }

    /// Which kind of key it is.
    pub const fn kind(&self) -> HeldKind {
        match self {
            Self::EcdsaP256(_) => HeldKind::EcdsaP256,
            Self::EcdsaSecp256k1(_) => HeldKind::EcdsaSecp256k1,
            Self::EddsaEd25519(_) => HeldKind::EddsaEd25519,
        }
    }

    /// The point in its short form: 33 bytes (SEC 1, compressed), or 32 for Ed25519.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::EcdsaP256(key) => key.to_encoded_point(true).as_bytes().to_vec(),
            Self::EcdsaSecp256k1(key) => key.to_encoded_point(true).as_bytes().to_vec(),
            Self::EddsaEd25519(key) => key.to_bytes().to_vec(),
        }
    }

    /// Whether 64 bytes are this key's signature over the digest or message; ECDSA with either S.
    pub fn verify(&self, input: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EcdsaP256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| input.len() == 32 && key.verify_prehash(input, &signature).is_ok()),
            Self::EcdsaSecp256k1(key) => k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let low = signature.normalize_s().unwrap_or(signature);
                input.len() == 32 && key.verify_prehash(input, &low).is_ok()
            }),
            Self::EddsaEd25519(key) => Ed25519Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(input, &signature).is_ok()),
        }
    }

    /// What a device has answered to a request for a signature, if it is one.
    pub fn checked(&self, name: &HeldId, input: &[u8], answer: &[u8]) -> Result<[u8; 64], HsmError> {
        let signature = answer.try_into().ok().filter(|signature: &[u8; 64]| self.verify(input, signature));
        signature.ok_or_else(|| {
            let detail = format!("what the device answers is no signature of key {name} over what it was given");
            HsmError::new(Kind::WrongSignature, "sign with a held key", detail)
        })
    }
}

impl fmt::Debug for HeldPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Before a held key signs: exactly the 32 bytes of a digest for ECDSA, a message of at most [`MAX_MESSAGE`] bytes for EdDSA.
pub fn check_input(kind: HeldKind, input: &[u8]) -> Result<(), HsmError> {
    let fits = if kind.takes_digest() { input.len() == 32 } else { input.len() <= MAX_MESSAGE };
    if fits {
        return Ok(());
    }
    let takes =
        if kind.takes_digest() { "a digest of 32".to_owned() } else { format!("a message of up to {MAX_MESSAGE}") };
    let detail = format!("{kind} takes {takes} bytes, and there are {}", input.len());
    Err(HsmError::new(Kind::Input, "sign with a held key", detail))
}

/// What a held key signs to show that it does, made of its name and of bytes that nobody chose: the digest or message of no transaction.
pub fn proof_input(name: &HeldId, random: &[u8; 32]) -> [u8; 32] {
    tagged_hash("limen/held-key-proof/v1", [name.as_str().as_bytes(), random])
}

/// The refusal of a key of another kind than the caller takes it for.
pub fn check_kind(name: &HeldId, wanted: HeldKind, found: HeldKind) -> Result<(), HsmError> {
    if wanted == found {
        return Ok(());
    }
    let detail = format!("key {name} is for {found} and was asked for {wanted}");
    Err(HsmError::new(Kind::OtherKey, "use a held key", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_bounds_are_as_they_are_told() {
        assert!(HeldKind::ALL.map(HeldKind::name).is_sorted());
        for kind in HeldKind::ALL {
            assert_eq!(HeldKind::from_name(kind.name()), Some(kind));
            check_input(kind, &[0; 32]).unwrap();
            assert_eq!(check_input(kind, &[0; 31]).is_ok(), !kind.takes_digest());
            assert_eq!(check_input(kind, &[0; MAX_MESSAGE + 1]).unwrap_err().kind(), Kind::Input);
            for bytes in [&[][..], &[0; 32], &[2; 33], &[4; 65]] {
                // All-zero bytes are a point of small order of Ed25519.
                assert!(HeldPublic::new(kind, bytes).is_none_or(|key| key.to_bytes() == bytes), "{kind} {bytes:?}");
            }
            check_kind(&HeldId::new("k").unwrap(), kind, kind).unwrap();
        }
        assert_eq!(HeldPublic::new(HeldKind::EddsaEd25519, &[0; 32]), None);
        assert_eq!(HeldKind::from_name("rsa"), None);
        let other = check_kind(&HeldId::new("k").unwrap(), HeldKind::EcdsaP256, HeldKind::EddsaEd25519).unwrap_err();
        assert_eq!(other.kind(), Kind::OtherKey);
    }
}
