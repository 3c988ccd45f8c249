//! Unsigned transactions and their one canonical encoding.

use alloy_consensus::transaction::{RlpEcdsaDecodableTx, RlpEcdsaEncodableTx};
use alloy_consensus::{SignableTransaction, Signed, Transaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_primitives::Signature;
use alloy_rlp::{Decodable, Header};

use crate::error::DecodeError;

const KIND: &str = "EVM transaction";
/// Most addresses in an access list; more would cost above 2.4 million gas before anything happens.
const MAX_ACCESS_LIST_ADDRESSES: usize = 1024;
/// Most storage keys in an access list, over all addresses.
const MAX_ACCESS_LIST_KEYS: usize = 4096;
/// Most EIP-7702 authorisations: each costs an ECDSA recovery here.
const MAX_AUTHORIZATIONS: usize = 64;
/// Most blobs; the protocol's own limit per transaction is lower and moves with forks.
const MAX_BLOBS: usize = 16;
/// First byte of every blob's versioned hash (EIP-4844, `VERSIONED_HASH_VERSION_KZG`).
const BLOB_HASH_VERSION: u8 = 1;

/// An unsigned transaction of any known type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsignedTransaction {
    /// The first kind, with EIP-155 replay protection.
    Legacy(TxLegacy),
    /// With an access list (EIP-2930).
    Eip2930(TxEip2930),
    /// With a fee market (EIP-1559).
    Eip1559(TxEip1559),
    /// With blobs (EIP-4844), named by their hashes; the blobs themselves travel apart.
    Eip4844(TxEip4844),
    /// With delegations of accounts to code (EIP-7702).
    Eip7702(TxEip7702),
}

impl UnsignedTransaction {
    /// Reads the bytes that a signature is made over. Refuses every encoding but the canonical one.
    pub fn from_signing_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (first, rest) = bytes.split_first().ok_or_else(|| malformed("there are no bytes"))?;
        let transaction = match first {
            // the first byte of an RLP list
            0xc0..=0xff => Self::Legacy(legacy(bytes)?),
            0x01 => Self::Eip2930(typed(rest)?),
            0x02 => Self::Eip1559(typed(rest)?),
            0x03 => Self::Eip4844(typed(rest)?),
            0x04 => Self::Eip7702(typed(rest)?),
            found => return Err(DecodeError::UnknownType { found: *found }),
        };
        if transaction.to_signing_bytes() != bytes {
            return Err(DecodeError::NotCanonical { kind: KIND, why: "encoding what was read gives other bytes" });
        }
        transaction.check_counts()?;
        Ok(transaction)
    }

    /// The bytes that a signature is made over.
    pub fn to_signing_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Legacy(tx) => tx.encode_for_signing(&mut bytes),
            Self::Eip2930(tx) => tx.encode_for_signing(&mut bytes),
            Self::Eip1559(tx) => tx.encode_for_signing(&mut bytes),
            Self::Eip4844(tx) => tx.encode_for_signing(&mut bytes),
            Self::Eip7702(tx) => tx.encode_for_signing(&mut bytes),
        }
        bytes
    }

    /// The EIP-2718 envelope with this signature, and its hash. Blob transactions come without their blobs.
    pub(crate) fn signed(self, signature: Signature) -> (Vec<u8>, [u8; 32]) {
        match self {
            Self::Legacy(tx) => envelope(&tx.into_signed(signature)),
            Self::Eip2930(tx) => envelope(&tx.into_signed(signature)),
            Self::Eip1559(tx) => envelope(&tx.into_signed(signature)),
            Self::Eip4844(tx) => envelope(&tx.into_signed(signature)),
            Self::Eip7702(tx) => envelope(&tx.into_signed(signature)),
        }
    }

    /// What all types have in common.
    pub(crate) fn fields(&self) -> &dyn Transaction {
        match self {
            Self::Legacy(tx) => tx,
            Self::Eip2930(tx) => tx,
            Self::Eip1559(tx) => tx,
            Self::Eip4844(tx) => tx,
            Self::Eip7702(tx) => tx,
        }
    }

    fn check_counts(&self) -> Result<(), DecodeError> {
        let fields = self.fields();
        if let Some(list) = fields.access_list() {
            count("access list addresses", list.len(), 0, MAX_ACCESS_LIST_ADDRESSES)?;
            let keys = list.iter().fold(0_usize, |sum, item| sum.saturating_add(item.storage_keys.len()));
            count("access list storage keys", keys, 0, MAX_ACCESS_LIST_KEYS)?;
        }
        if let Some(list) = fields.authorization_list() {
            count("authorisations", list.len(), 1, MAX_AUTHORIZATIONS)?;
        }
        if let Some(hashes) = fields.blob_versioned_hashes() {
            count("blobs", hashes.len(), 1, MAX_BLOBS)?;
            if hashes.iter().any(|hash| hash.first() != Some(&BLOB_HASH_VERSION)) {
                return Err(malformed("a blob hash does not begin with version 0x01"));
            }
        }
        Ok(())
    }
}

fn envelope<T: RlpEcdsaEncodableTx + SignableTransaction<Signature>>(signed: &Signed<T>) -> (Vec<u8>, [u8; 32]) {
    let mut raw = Vec::new();
    signed.eip2718_encode(&mut raw);
    let hash = alloy_primitives::keccak256(&raw);
    (raw, hash.0)
}

/// `rlp(fields)` after the type byte, with nothing behind it.
fn typed<T: RlpEcdsaDecodableTx>(mut rest: &[u8]) -> Result<T, DecodeError> {
    let transaction = T::rlp_decode(&mut rest).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(malformed("bytes are left over behind the last field"));
    }
    Ok(transaction)
}

/// `rlp(nonce, gasPrice, gasLimit, to, value, data, chainId, 0, 0)`.
fn legacy(mut bytes: &[u8]) -> Result<TxLegacy, DecodeError> {
    let mut fields = Header::decode_bytes(&mut bytes, true).map_err(malformed)?;
    if !bytes.is_empty() {
        return Err(malformed("bytes are left over behind the last field"));
    }
    let mut transaction = TxLegacy::rlp_decode_fields(&mut fields).map_err(malformed)?;
    if fields.is_empty() {
        return Err(DecodeError::NoChainId);
    }
    let chain_id = u64::decode(&mut fields).map_err(malformed)?;
    if chain_id == 0 {
        return Err(DecodeError::NoChainId);
    }
    if fields != [0x80, 0x80] {
        return Err(malformed(
            "the chain id is not followed by two zeros (EIP-155); signed transactions are not accepted",
        ));
    }
    transaction.chain_id = Some(chain_id);
    Ok(transaction)
}

fn malformed(why: impl ToString) -> DecodeError {
    DecodeError::Malformed { kind: KIND, why: why.to_string() }
}

fn count(what: &'static str, found: usize, min: usize, max: usize) -> Result<(), DecodeError> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(DecodeError::BadCount { kind: KIND, what, found, min, max }) }
}
