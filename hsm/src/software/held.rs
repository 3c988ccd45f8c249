//! Keys that sign, in files of the folder: for development, as everything of this provider.

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use limen_wire::ids::HeldId;
use zeroize::Zeroizing;

use super::{DangerSoftware, draw};
use crate::error::{HsmError, Kind};
use crate::files::{self, Replace};
use crate::held::{HeldKind, HeldPublic, check_input, check_kind};

const HELD: &str = "held-";

/// A held key, opened.
enum Secret {
    P256(p256::ecdsa::SigningKey),
    Secp256k1(k256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

fn file(name: &HeldId) -> String {
    format!("{HELD}{name}")
}

fn missing(tried: &str, name: &HeldId) -> HsmError {
    HsmError::new(Kind::Missing, tried, format!("there is no held key {name}"))
}

impl Secret {
    /// `None` for bytes that are no scalar of the curve.
    fn new(kind: HeldKind, bytes: &[u8]) -> Option<Self> {
        match kind {
            HeldKind::EcdsaP256 => p256::ecdsa::SigningKey::from_slice(bytes).ok().map(Self::P256),
            HeldKind::EcdsaSecp256k1 => k256::ecdsa::SigningKey::from_slice(bytes).ok().map(Self::Secp256k1),
            HeldKind::EddsaEd25519 => bytes.try_into().ok().map(Self::Ed25519),
        }
    }

    fn public(&self) -> HeldPublic {
        match self {
            Self::P256(key) => HeldPublic::EcdsaP256(*key.verifying_key()),
            Self::Secp256k1(key) => HeldPublic::EcdsaSecp256k1(*key.verifying_key()),
            Self::Ed25519(key) => HeldPublic::EddsaEd25519(key.verifying_key()),
        }
    }

    fn sign(&self, input: &[u8]) -> Option<[u8; 64]> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(input).ok()?;
                Some(signature.to_bytes().into())
            }
            Self::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign_prehash(input).ok()?;
                Some(signature.to_bytes().into())
            }
            Self::Ed25519(key) => Some(key.sign(input).to_bytes()),
        }
    }
}

impl DangerSoftware {
    fn held_secret(&self, tried: &str, name: &HeldId) -> Result<Secret, HsmError> {
        let bytes = self.load(&file(name))?.ok_or_else(|| missing(tried, name))?;
        let kind = |id: u8| HeldKind::ALL.get(usize::from(id)).copied();
        let secret = bytes.split_first().and_then(|(id, bytes)| Secret::new(kind(*id)?, bytes));
        secret.ok_or_else(|| HsmError::new(Kind::DoesNotOpen, tried, format!("the file of held key {name} is damaged")))
    }

    pub(super) fn make_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError> {
        let tried = "make a held key";
        let id = HeldKind::ALL.iter().position(|known| *known == kind).and_then(|at| u8::try_from(at).ok());
        loop {
            let drawn = draw(32)?;
            // All but 2⁻³² of what is drawn is a scalar of each curve.
            let Some(secret) = Secret::new(kind, &drawn) else { continue };
            let bytes = Zeroizing::new([&[id.unwrap_or(u8::MAX)], drawn.as_slice()].concat());
            return match self.store(&file(name), &bytes, Replace::No) {
                Ok(()) => Ok(secret.public()),
                Err(error) if error.kind() == Kind::Exists => {
                    Err(HsmError::new(Kind::Exists, tried, format!("there is a held key named {name}")))
                }
                Err(error) => Err(error),
            };
        }
    }

    pub(super) fn held_public(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        Ok(self.held_secret("read a held key", name)?.public())
    }

    pub(super) fn sign_by_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        check_input(kind, input)?;
        let tried = "sign with a held key";
        let secret = self.held_secret(tried, name)?;
        check_kind(name, kind, secret.public().kind())?;
        secret.sign(input).ok_or_else(|| HsmError::new(Kind::Device, tried, "the library refused"))
    }

    /// Destroys a held key: nothing is signed by it again. For whoever has the device; no signer asks for it. [`Kind::Missing`] if
    /// there is none.
    pub fn destroy_held(&self, name: &HeldId) -> Result<(), HsmError> {
        files::remove(&self.path(&file(name))).map_err(|error| match error.kind() {
            Kind::Missing => missing("destroy a held key", name),
            _ => error,
        })
    }

    pub(super) fn all_held(&self) -> Result<Vec<HeldId>, HsmError> {
        self.names(HELD, |name| HeldId::new(name).ok())
    }
}
