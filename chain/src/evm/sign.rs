//! Putting a signature onto what was signed.

use alloy_primitives::{B256, Signature, U256, keccak256};
use k256::elliptic_curve::scalar::IsHigh;
use limen_wire::effects::Address;

use super::{UnsignedTransaction, from_address, to_address};
use crate::error::AttachError;

/// A transaction ready for broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The EIP-2718 envelope, as `eth_sendRawTransaction` takes it. A blob transaction still needs its blobs beside it.
    pub raw: Vec<u8>,
    /// Keccak-256 of `raw`: the transaction's hash.
    pub hash: [u8; 32],
}

/// Puts a signature (big-endian r and s, recovery id 0 or 1) onto unsigned bytes, once it recovers to the account.
pub fn attach_signature(
    unsigned: &[u8],
    account: &Address,
    r: &[u8; 32],
    s: &[u8; 32],
    recovery_id: u8,
) -> Result<SignedTransaction, AttachError> {
    let transaction = UnsignedTransaction::from_signing_bytes(unsigned)?;
    let signature = checked(&keccak256(unsigned), account, r, s, recovery_id)?;
    let (raw, hash) = transaction.signed(signature);
    Ok(SignedTransaction { raw, hash })
}

/// The 65 bytes `r ‖ s ‖ 27 + recovery id` that wallets answer for EIP-191 and EIP-712 digests.
pub fn attach_message_signature(
    digest: &[u8; 32],
    account: &Address,
    r: &[u8; 32],
    s: &[u8; 32],
    recovery_id: u8,
) -> Result<[u8; 65], AttachError> {
    checked(&B256::new(*digest), account, r, s, recovery_id).map(|signature| signature.as_bytes())
}

fn checked(
    digest: &B256,
    account: &Address,
    r: &[u8; 32],
    s: &[u8; 32],
    recovery_id: u8,
) -> Result<Signature, AttachError> {
    let expected = from_address(account).ok_or_else(|| AttachError::BadAccount { account: account.clone() })?;
    let y_is_odd = match recovery_id {
        0 => false,
        1 => true,
        found => return Err(AttachError::RecoveryId { found }),
    };
    let other = |found: String| AttachError::OtherSigner { expected: account.clone(), found };
    // r and s outside 1..n are nobody's signature
    let parsed = k256::ecdsa::Signature::from_scalars(*r, *s).map_err(|_| other("nobody".to_owned()))?;
    if bool::from(parsed.s().is_high()) {
        return Err(AttachError::HighS);
    }
    let signature = Signature::new(U256::from_be_bytes(*r), U256::from_be_bytes(*s), y_is_odd);
    match signature.recover_address_from_prehash(digest) {
        Ok(found) if found == expected => Ok(signature),
        Ok(found) => Err(other(to_address(found).to_string())),
        Err(_) => Err(other("nobody".to_owned())),
    }
}
