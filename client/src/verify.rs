//! The check of what comes back: signature and signed transaction are computed and compared here, not believed.

use limen_chain::evm::attach_signature;
use limen_chain::{NoTokenKinds, Payload as ChainPayload, SigningInput, decode};
use limen_mpc::{SignInput, Signature};
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::{IntentId, Scheme};
use limen_wire::intent::{Intent, Payload};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::error::Untrue;
use crate::keys;

/// A signature that verifies under the key that the signers attested, over the bytes that were submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The request.
    pub intent_id: IntentId,
    /// ECDSA `r ‖ s` (low-S), Ed25519 `R ‖ S` or BIP-340, 64 bytes.
    pub signature: [u8; 64],
    /// ECDSA only: 0 or 1.
    pub recovery_id: u8,
    /// The derived public key under which it verifies.
    pub public_key: Vec<u8>,
    /// The account's address on the intent's chain.
    pub address: Address,
    /// For transactions: the bytes to broadcast, put together here.
    pub transaction: Option<SignedTransaction>,
    /// Indices of the signers that made it, as the coordinator says.
    pub signers: Vec<u32>,
}

/// A transaction ready for broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    /// EIP-2718 bytes.
    pub raw: Vec<u8>,
    /// Keccak-256 of them.
    pub hash: [u8; 32],
}

/// How `chain` names the payload.
pub(crate) fn chain_payload(payload: &Payload) -> ChainPayload<'_> {
    match payload {
        Payload::EvmTransaction(bytes) => ChainPayload::EvmTransaction(bytes),
        Payload::EvmMessage(bytes) => ChainPayload::EvmMessage(bytes),
        Payload::EvmTypedData(bytes) => ChainPayload::EvmTypedData(bytes),
        Payload::Message(bytes) => ChainPayload::Message(bytes),
        Payload::RawDigest(digest) => ChainPayload::RawDigest(*digest),
    }
}

/// Verifies a result for an intent under the verified key.
pub(crate) fn verify(intent: &Intent, key: &KeyStatement, result: &pb::SignatureResult) -> Result<Signed, Untrue> {
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let public_key = keys::child_public_key(key, &intent.path)?;
    let account = limen_chain::address(&chain, key.scheme, &public_key)?;
    let decoded = decode(&chain_payload(&intent.payload), &chain, &account, &NoTokenKinds)?;
    let bytes = <[u8; 64]>::try_from(result.signature.as_ref())
        .map_err(|_| Untrue::malformed("signature", format_args!("{} bytes, not 64", result.signature.len())))?;
    let recovery_id = u8::try_from(result.recovery_id).map_err(|error| Untrue::malformed("recovery_id", error))?;
    let signature = to_signature(key.scheme, bytes, recovery_id);
    signature.verify(&keys::to_point(key.scheme, &public_key)?, &input(key.scheme, decoded.signing))?;
    let transaction = match (&intent.payload, &signature) {
        (Payload::EvmTransaction(unsigned), Signature::Ecdsa { r, s, recovery_id }) => {
            let signed = attach_signature(unsigned, &account, r, s, *recovery_id)?;
            if signed.raw != result.signed_transaction || signed.hash != *result.transaction_hash {
                return Err(Untrue::OtherTransaction);
            }
            Some(SignedTransaction { raw: signed.raw, hash: signed.hash })
        }
        _ => None,
    };
    Ok(Signed {
        intent_id: intent.id,
        signature: bytes,
        recovery_id,
        public_key,
        address: account,
        transaction,
        signers: result.signers.clone(),
    })
}

fn to_signature(scheme: Scheme, bytes: [u8; 64], recovery_id: u8) -> Signature {
    match scheme {
        Scheme::EcdsaSecp256k1 => {
            let (mut r, mut s) = ([0; 32], [0; 32]);
            r.copy_from_slice(&bytes[..32]);
            s.copy_from_slice(&bytes[32..]);
            Signature::Ecdsa { r, s, recovery_id }
        }
        Scheme::EddsaEd25519 => Signature::Ed25519(bytes),
        Scheme::SchnorrBip340 => Signature::Bip340(bytes),
    }
}

/// What the key signed: Schnorr keys take a digest as a 32-byte message.
fn input(scheme: Scheme, signing: SigningInput) -> SignInput {
    match (signing, scheme) {
        (SigningInput::Digest(digest), Scheme::EcdsaSecp256k1) => SignInput::Digest(digest),
        (SigningInput::Digest(digest), Scheme::EddsaEd25519 | Scheme::SchnorrBip340) => {
            SignInput::Message(digest.to_vec())
        }
        (SigningInput::Message(message), _) => SignInput::Message(message),
    }
}
