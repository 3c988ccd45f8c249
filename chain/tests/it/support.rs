//! What the tests share: fixed test keys and short names.

use alloy_primitives::B256;
use k256::ecdsa::SigningKey;
use limen_chain::{DecodeError, Decoded, NoTokenKinds, Payload, SigningInput, TokenKinds, address, decode};
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::Scheme;

/// A key that signs in tests. Its secret is public.
pub(crate) struct TestKey(SigningKey);

impl TestKey {
    pub(crate) fn from_secret(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_slice(&secret).unwrap())
    }

    /// In SEC 1 form.
    pub(crate) fn public(&self, compressed: bool) -> Vec<u8> {
        self.0.verifying_key().to_encoded_point(compressed).as_bytes().to_vec()
    }

    pub(crate) fn address(&self) -> Address {
        address(&ChainId::eip155(1), Scheme::EcdsaSecp256k1, &self.public(true)).unwrap()
    }

    /// Low-S signature as `(r, s, recovery id)`.
    pub(crate) fn sign(&self, digest: &[u8; 32]) -> ([u8; 32], [u8; 32], u8) {
        let (signature, id) = self.0.sign_prehash_recoverable(digest).unwrap();
        let (r, s) = signature.split_bytes();
        (r.into(), s.into(), id.to_byte())
    }
}

pub(crate) fn hex32(text: &str) -> [u8; 32] {
    text.parse::<B256>().unwrap().0
}

pub(crate) fn at(text: &str) -> Address {
    let address: alloy_primitives::Address = text.parse().unwrap();
    Address::from_canonical(address.to_checksum(None)).unwrap()
}

pub(crate) fn read(payload: &Payload<'_>, chain: u64, account: &Address) -> Result<Decoded, DecodeError> {
    read_with(payload, chain, account, &NoTokenKinds)
}

pub(crate) fn read_with(
    payload: &Payload<'_>,
    chain: u64,
    account: &Address,
    kinds: &dyn TokenKinds,
) -> Result<Decoded, DecodeError> {
    decode(payload, &ChainId::eip155(chain), account, kinds)
}

pub(crate) fn digest(decoded: &Decoded) -> [u8; 32] {
    match decoded.signing {
        SigningInput::Digest(digest) => digest,
        SigningInput::Message(_) => panic!("EVM payloads sign a digest"),
    }
}
