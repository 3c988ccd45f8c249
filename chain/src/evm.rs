//! EVM chains: transactions, messages, typed data, addresses, signatures.

mod abi;
mod build;
mod calldata;
mod effects;
mod message;
mod sign;
mod transaction;
mod typed_data;

use alloy_primitives::{Address as EvmAddress, U256};
use limen_wire::effects::{Address, Amount, Asset, ChainId};

use crate::error::DecodeError;
use crate::tokens::TokenKinds;

/// The types inside of [`UnsignedTransaction`], for who builds one by hand.
pub use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
pub use build::{Eip1559Fees, TokenTransfer, Transfer, token_transfer, transfer};
pub use sign::{SignedTransaction, attach_message_signature, attach_signature};
pub use transaction::UnsignedTransaction;
pub use typed_data::MAX_BYTES as MAX_TYPED_DATA_BYTES;

/// For whom bytes are read: the account and chain of the intent, and what is known of tokens.
pub(crate) struct Context<'a> {
    chain: &'a ChainId,
    number: u64,
    account: &'a Address,
    evm_account: EvmAddress,
    kinds: &'a dyn TokenKinds,
}

impl<'a> Context<'a> {
    /// Checks that the chain is an EVM chain and that the account is spelled by EIP-55.
    pub(crate) fn new(
        kind: &'static str,
        chain: &'a ChainId,
        account: &'a Address,
        kinds: &'a dyn TokenKinds,
    ) -> Result<Self, DecodeError> {
        let number = chain
            .eip155_number()
            .filter(|number| *number != 0)
            .ok_or_else(|| DecodeError::WrongChainKind { kind, chain: chain.clone() })?;
        let evm_account = from_address(account)
            .ok_or_else(|| DecodeError::BadAccount { account: account.clone(), chain: chain.clone() })?;
        Ok(Self { chain, number, account, evm_account, kinds })
    }

    fn native(&self) -> Asset {
        Asset::Native(self.chain.clone())
    }

    fn check_chain(&self, number: u64) -> Result<(), DecodeError> {
        if number == self.number {
            return Ok(());
        }
        Err(DecodeError::OtherChain { expected: self.chain.clone(), found: ChainId::eip155(number) })
    }
}

/// EIP-55 spelling.
#[cfg_attr(
    not(test),
    expect(clippy::expect_used, reason = "0x and 40 hexadecimal digits are 42 graphic ASCII characters")
)]
pub(crate) fn to_address(address: EvmAddress) -> Address {
    Address::from_canonical(address.to_checksum(None)).expect("42 graphic characters")
}

/// From EIP-55 spelling, and from no other.
pub(crate) fn from_address(address: &Address) -> Option<EvmAddress> {
    EvmAddress::parse_checksummed(address.as_str(), None).ok()
}

pub(crate) const fn to_amount(value: U256) -> Amount {
    Amount::from_be_bytes(value.to_be_bytes())
}

pub(crate) const fn from_amount(amount: Amount) -> U256 {
    U256::from_be_bytes(amount.to_be_bytes())
}
