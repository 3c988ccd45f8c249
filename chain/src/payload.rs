//! The one door: payload bytes in, effects and what is signed out.

use std::borrow::Cow;

use limen_wire::effects::{Address, ChainId, Effect, Effects, sha256};
use limen_wire::ids::Scheme;

use crate::error::DecodeError;
use crate::tokens::TokenKinds;
use crate::{evm, text};

/// Most bytes of any payload: what EVM nodes take as one transaction (128 KiB).
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024;
/// Most bytes of a message for people.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024;

/// Exact bytes to be signed, with the kind that says how to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The bytes whose Keccak-256 an EVM transaction signs: `type ‖ rlp(fields without signature)` (EIP-2718), or for legacy
    /// `rlp(nonce, gasPrice, gasLimit, to, value, data, chainId, 0, 0)` (EIP-155).
    EvmTransaction(&'a [u8]),
    /// The text of an EIP-191 `personal_sign`, without its prefix.
    EvmMessage(&'a [u8]),
    /// EIP-712 data as JSON, in the form that `eth_signTypedData_v4` takes.
    EvmTypedData(&'a [u8]),
    /// A message for keys without a chain: Ed25519 and BIP-340 sign it as it is, P-256 signs its SHA-256 (FIPS 186-5).
    Message(&'a [u8]),
    /// A bare digest: the class that hides everything.
    RawDigest([u8; 32]),
}

impl<'a> From<&'a limen_wire::intent::Payload> for Payload<'a> {
    fn from(payload: &'a limen_wire::intent::Payload) -> Self {
        use limen_wire::intent::Payload as Wire;
        match payload {
            Wire::EvmTransaction(bytes) => Self::EvmTransaction(bytes),
            Wire::EvmMessage(bytes) => Self::EvmMessage(bytes),
            Wire::EvmTypedData(bytes) => Self::EvmTypedData(bytes),
            Wire::Message(bytes) => Self::Message(bytes),
            Wire::RawDigest(digest) => Self::RawDigest(*digest),
        }
    }
}

impl Payload<'_> {
    /// The kind as a fixed word, for errors and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EvmTransaction(_) => "EVM transaction",
            Self::EvmMessage(_) => "EVM message",
            Self::EvmTypedData(_) => "EVM typed data",
            Self::Message(_) => "message",
            Self::RawDigest(_) => "raw digest",
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::EvmTransaction(bytes)
            | Self::EvmMessage(bytes)
            | Self::EvmTypedData(bytes)
            | Self::Message(bytes) => bytes.len(),
            Self::RawDigest(digest) => digest.len(),
        }
    }

    const fn max_len(&self) -> usize {
        match self {
            Self::EvmTransaction(_) | Self::RawDigest(_) => MAX_PAYLOAD_BYTES,
            Self::EvmTypedData(_) => evm::MAX_TYPED_DATA_BYTES,
            Self::EvmMessage(_) | Self::Message(_) => MAX_MESSAGE_BYTES,
        }
    }
}

/// What the signature is made over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningInput {
    /// A 32-byte digest, already hashed: ECDSA signs it as it is; BIP-340 takes it as its 32-byte message.
    Digest([u8; 32]),
    /// A message that the scheme hashes itself (Ed25519, BIP-340, ECDSA over P-256 with SHA-256).
    Message(Vec<u8>),
}

impl SigningInput {
    /// The bytes that a key of this scheme signs, or `None` if the scheme cannot sign this input: ECDSA takes digests, over
    /// secp256k1 those alone and over P-256 also the SHA-256 of a message; Ed25519 takes a digest as a 32-byte message.
    pub fn for_scheme(&self, scheme: Scheme) -> Option<Cow<'_, [u8]>> {
        match (self, scheme) {
            (Self::Digest(digest), _) => Some(Cow::Borrowed(digest)),
            (Self::Message(message), Scheme::EddsaEd25519 | Scheme::SchnorrBip340) => Some(Cow::Borrowed(message)),
            (Self::Message(message), Scheme::EcdsaP256) => Some(Cow::Owned(sha256(message).to_vec())),
            // What a message's digest would be is each chain's own convention.
            (Self::Message(_), Scheme::EcdsaSecp256k1) => None,
        }
    }
}

/// What a payload does, and what is signed to make it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What the bytes do.
    pub effects: Effects,
    /// What the key signs.
    pub signing: SigningInput,
}

/// Reads a payload for an account on a chain.
///
/// `account` is who signs, in the chain's spelling ([`crate::address`]). `kinds` tells token standards apart. Total on any
/// bytes; at most [`MAX_PAYLOAD_BYTES`] of them, with tighter limits per kind.
pub fn decode(
    payload: &Payload<'_>,
    chain: &ChainId,
    account: &Address,
    kinds: &dyn TokenKinds,
) -> Result<Decoded, DecodeError> {
    let (kind, found, max) = (payload.kind(), payload.len(), payload.max_len());
    if found > max {
        return Err(DecodeError::TooLong { kind, found, max });
    }
    match payload {
        Payload::EvmTransaction(bytes) => evm::Context::new(kind, chain, account, kinds)?.transaction(bytes),
        Payload::EvmMessage(bytes) => Ok(evm::Context::new(kind, chain, account, kinds)?.message(bytes)),
        Payload::EvmTypedData(bytes) => evm::Context::new(kind, chain, account, kinds)?.typed_data(bytes),
        Payload::Message(bytes) if chain.is_offchain() => Ok(Decoded {
            effects: effects(chain, account, None, offchain_message(account, bytes)),
            signing: SigningInput::Message(bytes.to_vec()),
        }),
        Payload::Message(_) => Err(DecodeError::WrongChainKind { kind, chain: chain.clone() }),
        Payload::RawDigest(digest) => {
            let effect = Effect::Raw { digest: *digest };
            Ok(Decoded { effects: effects(chain, account, None, vec![effect]), signing: SigningInput::Digest(*digest) })
        }
    }
}

/// Ed25519 and BIP-340 keys sign a message as it is, and so they sign transactions of chains: what is as long as a digest is one,
/// and what nobody can read may be one. P-256 keys are held to the same, although they hash first.
fn offchain_message(account: &Address, bytes: &[u8]) -> Vec<Effect> {
    let mut list = vec![Effect::Message { signer: account.clone(), text: text::shown(bytes) }];
    if let Ok(digest) = bytes.try_into() {
        list.push(Effect::Raw { digest });
    } else if !text::is_text(bytes) {
        list.push(Effect::Unknown {
            what: "bytes that are no text: they may be a transaction of any chain".to_owned(),
            contract: None,
            hash: sha256(bytes),
        });
    }
    list
}

pub(crate) fn effects(chain: &ChainId, account: &Address, nonce: Option<u64>, list: Vec<Effect>) -> Effects {
    Effects { decoder_version: Effects::DECODER_VERSION, chain: chain.clone(), account: account.clone(), nonce, list }
}
