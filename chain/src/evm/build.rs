//! Building unsigned EIP-1559 transactions for the common transfers.

use alloy_consensus::TxEip1559;
use alloy_primitives::{Bytes, TxKind, U256};
use limen_wire::effects::{Address, Amount, ChainId};

use super::calldata::encode_erc20_transfer;
use super::{UnsignedTransaction, from_address, from_amount};
use crate::error::BuildError;

/// What the sender adds to a transfer: its sequence number and what it is ready to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eip1559Fees {
    /// The account's next sequence number.
    pub nonce: u64,
    /// Most gas that may be used.
    pub gas_limit: u64,
    /// Highest price, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Highest tip, in wei per gas; at most `max_fee_per_gas`.
    pub max_priority_fee_per_gas: u128,
}

/// A transfer of the chain's own coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The chain (`eip155:…`).
    pub chain: ChainId,
    /// Who gets it, in EIP-55 spelling.
    pub to: Address,
    /// How much, in wei.
    pub amount: Amount,
}

/// A transfer of an ERC-20 token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTransfer {
    /// The chain (`eip155:…`).
    pub chain: ChainId,
    /// The token contract, in EIP-55 spelling.
    pub token: Address,
    /// Who gets it, in EIP-55 spelling.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub amount: Amount,
}

/// Unsigned bytes of a transfer of the chain's own coin.
pub fn transfer(transfer: &Transfer, fees: &Eip1559Fees) -> Result<Vec<u8>, BuildError> {
    build(&transfer.chain, "destination", &transfer.to, from_amount(transfer.amount), Vec::new(), fees)
}

/// Unsigned bytes of a call of `transfer(address,uint256)` on the token.
pub fn token_transfer(transfer: &TokenTransfer, fees: &Eip1559Fees) -> Result<Vec<u8>, BuildError> {
    let to = from_address(&transfer.to)
        .ok_or_else(|| BuildError::BadAddress { what: "destination", address: transfer.to.clone() })?;
    let input = encode_erc20_transfer(to, from_amount(transfer.amount));
    build(&transfer.chain, "token contract", &transfer.token, U256::ZERO, input, fees)
}

fn build(
    chain: &ChainId,
    what: &'static str,
    to: &Address,
    value: U256,
    input: Vec<u8>,
    fees: &Eip1559Fees,
) -> Result<Vec<u8>, BuildError> {
    let chain_id = chain.eip155_number().ok_or_else(|| BuildError::NotEvm { chain: chain.clone() })?;
    let destination = from_address(to).ok_or_else(|| BuildError::BadAddress { what, address: to.clone() })?;
    let (priority, cap) = (fees.max_priority_fee_per_gas, fees.max_fee_per_gas);
    if priority > cap {
        return Err(BuildError::TipAboveCap { priority, cap });
    }
    let transaction = UnsignedTransaction::Eip1559(TxEip1559 {
        chain_id,
        nonce: fees.nonce,
        gas_limit: fees.gas_limit,
        max_fee_per_gas: cap,
        max_priority_fee_per_gas: priority,
        to: TxKind::Call(destination),
        value,
        access_list: Default::default(),
        input: Bytes::from(input),
    });
    Ok(transaction.to_signing_bytes())
}
