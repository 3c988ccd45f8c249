//! What a transaction does.
//!
//! Order: value, call or creation, blobs, authorisations, fee.

use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address as EvmAddress, B256, FixedBytesSliceExt as _, TxKind, U256, keccak256};
use limen_wire::effects::{Effect, sha256};

use super::{Context, UnsignedTransaction, to_address, to_amount};
use crate::error::DecodeError;
use crate::payload::{Decoded, SigningInput, effects};

/// Gas of one blob (EIP-4844, `GAS_PER_BLOB`).
const GAS_PER_BLOB: u64 = 1 << 17;

impl Context<'_> {
    /// Reads an unsigned transaction.
    pub(crate) fn transaction(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let transaction = UnsignedTransaction::from_signing_bytes(bytes)?;
        let fields = transaction.fields();
        self.check_chain(fields.chain_id().ok_or(DecodeError::NoChainId)?)?;
        let mut list = Vec::new();
        match fields.kind() {
            TxKind::Call(to) => self.call(to, fields.value(), fields.input(), &mut list),
            TxKind::Create => self.create(fields.nonce(), fields.value(), fields.input(), &mut list),
        }
        if let Some(hashes) = fields.blob_versioned_hashes() {
            list.push(blobs(hashes));
        }
        if let Some(authorizations) = fields.authorization_list() {
            list.extend(authorizations.iter().map(|authorization| self.authorization(authorization)));
        }
        list.push(self.fee(&transaction)?);
        Ok(Decoded {
            effects: effects(self.chain, self.account, Some(fields.nonce()), list),
            signing: SigningInput::Digest(keccak256(bytes).0),
        })
    }

    /// Value is shown apart from data. A call with neither still runs the code of the destination, so it is shown as a
    /// transfer of nothing.
    fn call(&self, to: EvmAddress, value: U256, input: &[u8], list: &mut Vec<Effect>) {
        if !value.is_zero() || input.is_empty() {
            list.push(self.native_transfer(to, value));
        }
        if !input.is_empty() {
            self.calldata(to, input, list);
        }
    }

    fn create(&self, nonce: u64, value: U256, code: &[u8], list: &mut Vec<Effect>) {
        let contract = self.evm_account.create(nonce);
        if !value.is_zero() {
            list.push(self.native_transfer(contract, value));
        }
        list.push(Effect::Deploy {
            from: self.account.clone(),
            contract: to_address(contract),
            code_hash: sha256(code),
        });
    }

    fn native_transfer(&self, to: EvmAddress, value: U256) -> Effect {
        Effect::Transfer {
            asset: self.native(),
            amount: to_amount(value),
            from: self.account.clone(),
            to: to_address(to),
        }
    }

    /// An entry counts on this chain if it names this chain or none. One that names another chain, or whose signature
    /// recovers to nobody, is skipped by the chain (EIP-7702) and has no meaning that we would vouch for.
    fn authorization(&self, authorization: &SignedAuthorization) -> Effect {
        let everywhere = authorization.chain_id.is_zero();
        let counts_here = everywhere || authorization.chain_id == U256::from(self.number);
        match authority(authorization) {
            Some(authority) if counts_here => Effect::AuthorityChange {
                subject: to_address(authority),
                to: to_address(authorization.address),
                kind: if everywhere { "eip7702-delegation-all-chains" } else { "eip7702-delegation" }.to_owned(),
            },
            _ => Effect::Unknown {
                what: "an authorisation for another chain or without a valid signature (EIP-7702)".to_owned(),
                contract: Some(to_address(authorization.address)),
                hash: sha256(&alloy_rlp::encode(authorization)),
            },
        }
    }

    fn fee(&self, transaction: &UnsignedTransaction) -> Result<Effect, DecodeError> {
        let fields = transaction.fields();
        let gas = U256::from(fields.gas_limit()).checked_mul(U256::from(fields.max_fee_per_gas()));
        let blob_gas = fields.blob_versioned_hashes().map_or(Some(U256::ZERO), |hashes| {
            let used = U256::from(hashes.len()).checked_mul(U256::from(GAS_PER_BLOB))?;
            used.checked_mul(U256::from(fields.max_fee_per_blob_gas().unwrap_or_default()))
        });
        let max =
            gas.zip(blob_gas).and_then(|(gas, blob_gas)| gas.checked_add(blob_gas)).ok_or(DecodeError::FeeOverflow)?;
        Ok(Effect::Fee { asset: self.native(), max_amount: to_amount(max), payer: self.account.clone() })
    }
}

/// Who signed the authorisation, if anybody did with s in the lower half (EIP-7702 refuses the upper).
fn authority(authorization: &SignedAuthorization) -> Option<EvmAddress> {
    let signature = authorization.signature().ok()?;
    let low = signature.normalize_s().is_none();
    low.then(|| signature.recover_address_from_prehash(&authorization.signature_hash()).ok()).flatten()
}

/// Blobs are known by hash only, so what they say cannot be shown.
fn blobs(hashes: &[B256]) -> Effect {
    Effect::Unknown {
        what: format!("the content of {} blobs (EIP-4844)", hashes.len()),
        contract: None,
        hash: sha256(hashes.as_flattened()),
    }
}
