//! Transfers on EVM chains: exact EIP-1559 bytes from an injected provider, with nonces in order.

#[cfg(feature = "json-rpc")]
mod json_rpc;
mod nonces;
mod transfers;

use std::future::Future;

use limen_wire::effects::{Address, Amount};

#[cfg(feature = "json-rpc")]
pub use json_rpc::{JsonRpc, Receipt};
pub use nonces::{Lease, Nonces};
pub use transfers::{Paid, Sent, Transfer, TransferError, Transfers};

/// What a transfer must know of its chain. Nothing that a provider says can move more than the transfer: it may waste fees
/// within `max_fee_per_gas × gas_limit`, which policies can bound, or name a nonce that gets stuck.
pub trait Provider: Send + Sync {
    /// The account's next sequence number, transactions in the pool counted.
    fn next_nonce(&self, account: &Address) -> impl Future<Output = Result<u64, ProviderError>> + Send;
    /// What to pay for gas now.
    fn fees(&self) -> impl Future<Output = Result<Fees, ProviderError>> + Send;
    /// How much gas a call takes.
    fn estimate_gas(&self, call: &Call) -> impl Future<Output = Result<u64, ProviderError>> + Send;
}

/// Prices of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Highest price, in wei per gas.
    pub max_fee_per_gas: u128,
    /// Highest tip, in wei per gas; at most `max_fee_per_gas`.
    pub max_priority_fee_per_gas: u128,
}

/// A call whose gas is to be estimated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who pays.
    pub from: Address,
    /// Who is called.
    pub to: Address,
    /// How much is sent along, in wei.
    pub value: Amount,
    /// Call data.
    pub data: Vec<u8>,
}

/// Why a provider gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chain's node did not answer {what}: {reason}")]
pub struct ProviderError {
    /// What was asked.
    pub what: String,
    /// What went wrong.
    pub reason: String,
}

impl ProviderError {
    /// With what was asked and what went wrong.
    pub fn new(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { what: what.into(), reason: reason.to_string() }
    }
}
