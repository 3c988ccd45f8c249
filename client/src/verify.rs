//! The check of what comes back: signature and signed transaction are computed and compared here, not believed.

use limen_chain::evm::attach_signature;
use limen_chain::{Decoded, NoTokenKinds, TokenKinds, decode};
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

/// What an intent's bytes do, decoded here for the account below a verified key. `kinds` tells token standards apart.
pub fn decode_intent(intent: &Intent, key: &KeyStatement, kinds: &dyn TokenKinds) -> Result<Decoded, Untrue> {
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let account = keys::receive_address(key, &intent.path, &chain)?;
    Ok(decode(&(&intent.payload).into(), &chain, &account, kinds)?)
}

/// Verifies a result for an intent under the verified key.
pub(crate) fn verify(intent: &Intent, key: &KeyStatement, result: &pb::SignatureResult) -> Result<Signed, Untrue> {
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let public_key = keys::child_public_key(key, &intent.path)?;
    let account = limen_chain::address(&chain, key.scheme, &public_key)?;
    let decoded = decode(&(&intent.payload).into(), &chain, &account, &NoTokenKinds)?;
    let bytes = <[u8; 64]>::try_from(result.signature.as_ref())
        .map_err(|_| Untrue::malformed("signature", format_args!("{} bytes, not 64", result.signature.len())))?;
    let recovery_id = u8::try_from(result.recovery_id).map_err(|error| Untrue::malformed("recovery_id", error))?;
    let message = decoded.signing.for_scheme(key.scheme).ok_or(Untrue::Signature)?;
    check(key.scheme, &public_key, &message, &bytes, recovery_id)?;
    let transaction = match &intent.payload {
        Payload::EvmTransaction(unsigned) => Some(transaction(unsigned, &account, &bytes, recovery_id, result)?),
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

/// The submitted bytes with the signature attached, which must be what the coordinator handed out.
fn transaction(
    unsigned: &[u8],
    account: &Address,
    signature: &[u8; 64],
    recovery_id: u8,
    result: &pb::SignatureResult,
) -> Result<SignedTransaction, Untrue> {
    let (r, s) = halves(signature);
    let signed = attach_signature(unsigned, account, &r, &s, recovery_id)?;
    if signed.raw != result.signed_transaction || signed.hash != *result.transaction_hash {
        return Err(Untrue::OtherTransaction);
    }
    Ok(SignedTransaction { raw: signed.raw, hash: signed.hash })
}

fn halves(bytes: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.iter_mut().chain(&mut right).zip(bytes).for_each(|(to, from)| *to = *from);
    (left, right)
}

/// Verifies by the scheme's own rules; ECDSA must be low-S and its recovery id right, Ed25519 is verified strictly.
fn check(
    scheme: Scheme,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8; 64],
    recovery_id: u8,
) -> Result<(), Untrue> {
    let good = match scheme {
        Scheme::EcdsaSecp256k1 => ecdsa(public_key, message, signature, recovery_id),
        Scheme::EddsaEd25519 => ed25519(public_key, message, signature),
        Scheme::SchnorrBip340 => bip340(public_key, message, signature),
        Scheme::EcdsaP256 => p256(public_key, message, signature, recovery_id),
    };
    good.filter(|good| *good).map(drop).ok_or(Untrue::Signature)
}

fn ecdsa(public_key: &[u8], digest: &[u8], signature: &[u8; 64], recovery_id: u8) -> Option<bool> {
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(public_key).ok()?;
    let signature = Signature::from_slice(signature).ok()?;
    let low = signature.normalize_s().is_none();
    let recovered = VerifyingKey::recover_from_prehash(digest, &signature, RecoveryId::from_byte(recovery_id)?).ok()?;
    Some(low && recovered == key)
}

fn p256(public_key: &[u8], digest: &[u8], signature: &[u8; 64], recovery_id: u8) -> Option<bool> {
    use p256::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(public_key).ok()?;
    let signature = Signature::from_slice(signature).ok()?;
    let low = signature.normalize_s().is_none();
    let recovery_id = k256::ecdsa::RecoveryId::from_byte(recovery_id)?;
    let recovered = VerifyingKey::recover_from_prehash(digest, &signature, recovery_id).ok()?;
    Some(low && recovered == key)
}

fn ed25519(public_key: &[u8], message: &[u8], signature: &[u8; 64]) -> Option<bool> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public_key.try_into().ok()?).ok()?;
    Some(key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

fn bip340(public_key: &[u8], message: &[u8], signature: &[u8; 64]) -> Option<bool> {
    use k256::schnorr::{Signature, VerifyingKey};
    // The library panics on any other length.
    let key: [u8; 32] = public_key.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&key).ok()?;
    Some(key.verify_raw(message, &Signature::try_from(&signature[..]).ok()?).is_ok())
}

#[cfg(test)]
mod tests;
