//! The sealed record: `"LMN1" ‖ generation (8, big-endian) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag`.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use limen_wire::ids::{ClusterId, Epoch, KeyId, NodeId, tagged_hash};
use zeroize::Zeroizing;

use crate::entropy;

const MAGIC: [u8; 4] = *b"LMN1";

/// Where a record belongs: all of it is associated data.
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
    fn associated_data(&self) -> [u8; 32] {
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
        tagged_hash("limen node sealed record v1", parts)
    }
}

/// The key that seals records. A random nonce per record: a vault writes a few records per key and epoch, far below the
/// 2³² at which random 96-bit nonces under one key become a concern (NIST SP 800-38D, section 8.3).
pub(super) struct DataKey(Box<Aes256Gcm>);

impl DataKey {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        Aes256Gcm::new_from_slice(bytes).ok().map(|cipher| Self(Box::new(cipher)))
    }

    pub(super) fn seal(&self, place: &Place<'_>, secret: &[u8]) -> Option<Vec<u8>> {
        let nonce = *entropy::random::<12>();
        let aad = place.associated_data();
        let sealed = self.0.encrypt(&nonce.into(), Payload { msg: secret, aad: &aad }).ok()?;
        Some([&MAGIC[..], &place.generation.to_be_bytes(), &nonce, &sealed].concat())
    }

    pub(super) fn open(&self, place: &Place<'_>, record: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (magic, rest) = record.split_first_chunk::<4>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        if *magic != MAGIC || u64::from_be_bytes(*generation) != place.generation {
            return None;
        }
        let aad = place.associated_data();
        self.0.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: &aad }).ok().map(Zeroizing::new)
    }
}
