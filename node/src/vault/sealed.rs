//! The sealed record: `"LMN2" ‖ generation (8) ‖ length (1) and name of the wrapping key ‖ length (2) and wrapped data key ‖
//! nonce (12) ‖ AES-256-GCM ciphertext and tag`; numbers are big-endian.
//!
//! A data key seals one record and is drawn anew for it, so no nonce can meet another one under its key. Where the record
//! belongs is authenticated twice: by the device when it opens the data key, and by the cipher.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use limen_hsm::{HsmError, Kind, Provider};
use limen_wire::ids::{ClusterId, Epoch, KekId, KeyId, NodeId, tagged_hash};
use zeroize::Zeroizing;

use crate::entropy;

const MAGIC: [u8; 4] = *b"LMN2";

/// Where a record belongs: all of it is authenticated.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a ClusterId,
    pub(super) node: &'a NodeId,
    pub(super) key: &'a KeyId,
    pub(super) epoch: Epoch,
    pub(super) purpose: &'static str,
    pub(super) generation: u64,
}

impl Place<'_> {
    fn bound(&self, domain: &'static str) -> [u8; 32] {
        let record = crate::store::rows::share_name(self.key, self.epoch, self.purpose);
        let parts: [&[u8]; 7] = [
            self.cluster.as_str().as_bytes(),
            self.node.as_str().as_bytes(),
            self.key.as_str().as_bytes(),
            &self.epoch.0.to_be_bytes(),
            record.as_bytes(),
            self.purpose.as_bytes(),
            &self.generation.to_be_bytes(),
        ];
        tagged_hash(domain, parts)
    }

    fn record(&self) -> [u8; 32] {
        self.bound("limen node sealed record v2")
    }

    fn data_key(&self) -> [u8; 32] {
        self.bound("limen node data key v2")
    }
}

/// A record taken apart; nothing of it is believed yet.
pub(super) struct Record<'a> {
    generation: u64,
    pub(super) kek: KekId,
    wrapped: &'a [u8],
    nonce: [u8; 12],
    sealed: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked((*length).into())?;
        let kek = KekId::new(std::str::from_utf8(name).ok()?).ok()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (wrapped, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        Some(Self { generation: u64::from_be_bytes(*generation), kek, wrapped, nonce: *nonce, sealed })
    }

    fn unwrap_key(&self, provider: &dyn Provider, place: &Place<'_>) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if self.generation != place.generation {
            return Err(refused("it is of another generation"));
        }
        provider.unseal(&self.kek, &place.data_key(), self.wrapped)
    }

    fn decrypt(&self, place: &Place<'_>, data_key: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let payload = Payload { msg: self.sealed, aad: &place.record() };
        let opened = cipher(data_key)?.decrypt(&self.nonce.into(), payload);
        opened.map(Zeroizing::new).map_err(|_| refused("it is damaged, or belongs elsewhere"))
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let name = self.kek.as_str().as_bytes();
        let (length, wrapped) = (u8::try_from(name.len()).ok()?, u16::try_from(self.wrapped.len()).ok()?);
        let head = [&MAGIC[..], &self.generation.to_be_bytes(), &[length], name, &wrapped.to_be_bytes()].concat();
        Some([&head, self.wrapped, &self.nonce, self.sealed].concat())
    }
}

fn refused(detail: &str) -> HsmError {
    HsmError::new(Kind::DoesNotOpen, "open a sealed record", detail)
}

/// Boxed: its key schedule is wiped where it lies, and nowhere else by a move.
fn cipher(data_key: &[u8]) -> Result<Box<Aes256Gcm>, HsmError> {
    Aes256Gcm::new_from_slice(data_key).map(Box::new).map_err(|_| refused("its data key has not 32 bytes"))
}

/// Seals a secret under a data key of its own, and that under the wrapping key.
pub(super) fn seal(
    provider: &dyn Provider,
    kek: &KekId,
    place: &Place<'_>,
    secret: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let (data_key, nonce) = (entropy::random::<32>(), *entropy::random::<12>());
    let wrapped = provider.seal(kek, &place.data_key(), data_key.as_ref())?;
    let payload = Payload { msg: secret, aad: &place.record() };
    let sealed = cipher(data_key.as_ref())?.encrypt(&nonce.into(), payload);
    let sealed = sealed.map_err(|_| HsmError::new(Kind::Input, "seal a record", "it is too long for the cipher"))?;
    let record = Record { generation: place.generation, kek: kek.clone(), wrapped: &wrapped, nonce, sealed: &sealed };
    record
        .encode()
        .ok_or_else(|| HsmError::new(Kind::Protocol, "seal a record", "the wrapped key has no bounded length"))
}

/// The reverse. [`Kind::DoesNotOpen`] for every other place or byte.
pub(super) fn open(provider: &dyn Provider, place: &Place<'_>, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let record = Record::parse(bytes).ok_or_else(|| refused("the bytes are no sealed record"))?;
    let data_key = record.unwrap_key(provider, place)?;
    record.decrypt(place, &data_key)
}

/// The same record with its data key under another wrapping key; what it seals is not touched. A device is believed nothing:
/// what it opens must open the record, and what it wraps must open again.
pub(super) fn rewrap(
    provider: &dyn Provider,
    place: &Place<'_>,
    bytes: &[u8],
    kek: &KekId,
) -> Result<Vec<u8>, HsmError> {
    let record = Record::parse(bytes).ok_or_else(|| refused("the bytes are no sealed record"))?;
    let data_key = record.unwrap_key(provider, place)?;
    record.decrypt(place, &data_key)?;
    let wrapped = provider.seal(kek, &place.data_key(), &data_key)?;
    let anew = Record { kek: kek.clone(), wrapped: &wrapped, ..record };
    if *anew.unwrap_key(provider, place)? != *data_key {
        return Err(refused("what the device has wrapped anew opens as something else"));
    }
    anew.encode().ok_or_else(|| HsmError::new(Kind::Protocol, "wrap a key", "the wrapped key has no bounded length"))
}
