//! The trait that a signer sees of whatever keeps its keys.

use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use crate::error::{HsmError, Kind};
use crate::held::{HeldKind, HeldPublic};

/// Longest secret that is sealed: data keys and seeds, not documents.
pub const MAX_SECRET: usize = 4096;
/// Longest context.
pub const MAX_CONTEXT: usize = 4096;
/// Longest message that the identity signs: an envelope's payload with what its signature covers beside it.
pub const MAX_MESSAGE: usize = limen_wire::limits::ENVELOPE_PAYLOAD_BYTES + 1024;
/// Most random bytes in one call.
pub const MAX_RANDOM: usize = 4096;

/// How a record is sealed. Always encrypted and authenticated, context included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// AES-256-GCM, 96-bit IV, 128-bit tag (NIST SP 800-38D).
    Aes256Gcm,
    /// AES-256-CBC with PKCS#7 padding, then HMAC-SHA-256 under a second key over context, IV and ciphertext.
    Aes256CbcHmacSha256,
}

impl Mechanism {
    /// In the order in which they are preferred.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::Aes256CbcHmacSha256];

    /// Its number in a sealed record.
    pub const fn id(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::Aes256CbcHmacSha256 => 2,
        }
    }

    /// Its name in configuration, status and token objects.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Aes256CbcHmacSha256 => "aes-256-cbc-hmac-sha256",
        }
    }

    /// By its number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.id() == id)
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Bytes of its IV.
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Aes256Gcm => 12,
            Self::Aes256CbcHmacSha256 => 16,
        }
    }

    /// Bytes of its tag.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Aes256Gcm => 16,
            Self::Aes256CbcHmacSha256 => 32,
        }
    }
}

/// What a provider is, for logs, status and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `danger_software` or `pkcs11`.
    pub kind: String,
    /// The token's label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Maker, model, versions.
    pub firmware: String,
    /// What seals.
    pub mechanism: Mechanism,
    /// The token says that it is hardware: nothing proves it.
    pub hardware: bool,
    /// How often sessions were opened anew since the process began.
    pub generation: u64,
}

/// A place in a journal from which nobody goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Counts up, from 1.
    pub sequence: u64,
    /// The journal's head there.
    pub head: [u8; 32],
}

impl Anchor {
    /// Whether `to` may come after `from`: further on, or the very same.
    pub fn follows(to: &Self, from: Option<&Self>) -> Result<(), HsmError> {
        let Some(from) = from else {
            return if to.sequence > 0 {
                Ok(())
            } else {
                Err(HsmError::new(Kind::Input, "advance the anchor", "sequence numbers begin at 1"))
            };
        };
        if to.sequence > from.sequence || to == from {
            return Ok(());
        }
        let other = if to.sequence == from.sequence { " of another journal" } else { "" };
        let detail = format!("it stands at {} and was asked to go to {}{other}", from.sequence, to.sequence);
        Err(HsmError::new(Kind::AnchorBack, "advance the anchor", detail))
    }
}

/// Keeps keys and never hands them out. Every call ends within a deadline that the implementation was made with, in success or
/// in a typed error; none panics, whatever it is given. The crate's `conformance` suite is the exact promise.
pub trait Provider: Send + Sync {
    /// What it is, after seeing that it works.
    fn describe(&self) -> Result<Description, HsmError>;

    /// Makes a wrapping key inside the device. [`Kind::Exists`] if the name is taken.
    fn create_kek(&self, kek: &KekId) -> Result<(), HsmError>;

    /// Destroys one: nothing that was sealed under it opens again, under any key of the same name neither.
    fn destroy_kek(&self, kek: &KekId) -> Result<(), HsmError>;

    /// All names, sorted.
    fn keks(&self) -> Result<Vec<KekId>, HsmError>;

    /// Encrypts and authenticates 1 to [`MAX_SECRET`] bytes; `context` is associated data, up to [`MAX_CONTEXT`]. The result is
    /// self-describing ([`crate::sealed`]) and differs each time.
    fn seal(&self, kek: &KekId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, HsmError>;

    /// The reverse. [`Kind::DoesNotOpen`] for every other context, key, mechanism or byte.
    fn unseal(&self, kek: &KekId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError>;

    /// The public key of the machine's identity: P-256. One for the life of the device.
    fn identity(&self) -> Result<PublicKey, HsmError>;

    /// ECDSA with SHA-256 by the identity over up to [`MAX_MESSAGE`] bytes: fixed form `r ‖ s`, big-endian, low S.
    fn sign_identity(&self, message: &[u8]) -> Result<[u8; 64], HsmError>;

    /// 1 to [`MAX_RANDOM`] bytes of the device's generator.
    fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError>;

    /// Where the anchor stands; `None` before the first [`Self::anchor_advance`].
    fn anchor_read(&self) -> Result<Option<Anchor>, HsmError>;

    /// Moves it forward, durably before this returns. The same place again is fine; [`Kind::AnchorBack`] for an earlier place,
    /// and for another head at the same place.
    fn anchor_advance(&self, to: &Anchor) -> Result<(), HsmError>;

    /// The kinds of key that the device can hold and use, increasing: each was tried with a key that ended at once.
    fn held_kinds(&self) -> Result<Vec<HeldKind>, HsmError>;

    /// Makes a key that signs and never leaves the device, and proves it by a signature before its name counts. [`Kind::Exists`]
    /// if the name is taken, whoever took it and whenever: nobody makes a second key by asking twice.
    /// [`Kind::HeldUnsupported`] if the device cannot.
    fn create_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError>;

    /// The public part of one, after the device has shown that it signs. [`Kind::Missing`] if there is none.
    fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError>;

    /// All names, sorted.
    fn held_names(&self) -> Result<Vec<HeldId>, HsmError>;

    /// Signs [`crate::held::check_input`]'s digest or message by a held key, which must be of the kind. 64 bytes as the device
    /// gave them: they verify under [`Self::held`], and an ECDSA signature may have either S. Nobody should believe that
    /// without looking.
    fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError>;
}

fn bounded(tried: &str, what: &str, least: usize, most: usize, found: usize) -> Result<(), HsmError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(HsmError::new(Kind::Input, tried, format!("{what} has {found} bytes; {least} to {most} are taken")))
}

/// What every implementation checks before it seals.
pub fn check_seal(context: &[u8], secret: &[u8]) -> Result<(), HsmError> {
    bounded("seal", "the context", 0, MAX_CONTEXT, context.len())?;
    bounded("seal", "the secret", 1, MAX_SECRET, secret.len())
}

/// Before it opens; the sealed bytes are looked at by [`crate::sealed`].
pub fn check_unseal(context: &[u8]) -> Result<(), HsmError> {
    bounded("unseal", "the context", 0, MAX_CONTEXT, context.len())
}

/// Before it signs.
pub fn check_sign(message: &[u8]) -> Result<(), HsmError> {
    bounded("sign", "the message", 0, MAX_MESSAGE, message.len())
}

/// Before it draws.
pub fn check_random(count: usize) -> Result<(), HsmError> {
    bounded("draw random bytes", "the answer", 1, MAX_RANDOM, count)
}
