//! From a wish to signed bytes: nonce, fees, intent, signature.

use limen_chain::BuildError;
use limen_chain::evm::{self, Eip1559Fees, UnsignedTransaction};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::KeyId;
use limen_wire::request::RequestState;

use super::{Call, Nonces, Provider, ProviderError};
use crate::client::Client;
use crate::error::Error;
use crate::intent::{NewIntent, SignedIntent};
use crate::patience::Patience;
use crate::request::{Request, Submitted};
use crate::verify::Signed;

/// Numbers that may be somebody else's in a row before a transfer gives up.
const CONFLICTS: u32 = 256;

/// What moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transfer {
    /// The chain's own coin, in wei.
    Native {
        /// Who gets it, in EIP-55 spelling.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// An ERC-20 token, in its smallest unit.
    Erc20 {
        /// The token contract, in EIP-55 spelling.
        token: Address,
        /// Who gets it, in EIP-55 spelling.
        to: Address,
        /// How much.
        amount: Amount,
    },
}

/// Why a transfer was not made.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// The chain's node.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The wish itself.
    #[error("the transfer cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The account's next numbers all belong to other requests.
    #[error("the next {CONFLICTS} nonces of {account} belong to other requests; broadcast or replace those first")]
    NoFreeNonce {
        /// The account.
        account: Address,
    },
}

/// A transfer in the cluster's hands.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The exact bytes that were handed in.
    pub intent: SignedIntent,
    /// The number that they burn.
    pub nonce: u64,
    /// The request as it stood then.
    pub request: Request,
}

/// A transfer that is signed and verified.
#[derive(Debug, Clone)]
pub struct Paid {
    /// The number that it burns.
    pub nonce: u64,
    /// The signed transaction.
    pub signed: Signed,
}

/// Transfers out of one account: serialises its nonces, also under concurrent calls. Use one per account and process.
#[derive(Debug)]
pub struct Transfers<P> {
    client: Client,
    provider: P,
    key_id: KeyId,
    path: Vec<u32>,
    chain: ChainId,
    account: Address,
    nonces: Nonces,
}

impl<P: Provider> Transfers<P> {
    /// For the account of a key below a path; its address is derived from what the signers attest.
    pub async fn open(
        client: Client,
        provider: P,
        key_id: KeyId,
        path: Vec<u32>,
        chain: ChainId,
    ) -> Result<Self, Error> {
        let account = client.address(&key_id, &path, &chain).await?;
        Ok(Self { client, provider, key_id, path, chain, account, nonces: Nonces::default() })
    }

    /// The account's address.
    pub const fn account(&self) -> &Address {
        &self.account
    }

    /// The chain's node.
    pub const fn provider(&self) -> &P {
        &self.provider
    }

    /// Hands a transfer in, under the next free nonce. What is left over from calls without a definite answer is handed in
    /// again first, byte for byte: their nonces would block every later one.
    pub async fn submit(&self, transfer: &Transfer, note: &str) -> Result<Sent, TransferError> {
        self.settle().await;
        for _ in 0..CONFLICTS {
            let lease = self.nonces.lease(self.provider.next_nonce(&self.account).await?);
            let nonce = lease.nonce();
            let mut intent = self.intent(transfer, nonce, note).await?;
            if let Some(dead) = lease.replaces() {
                intent = intent.replaces(dead);
            }
            let intent = self.client.sign_intent(intent)?;
            lease.bind(intent.clone());
            match self.hand_in(&intent).await {
                Ok(submitted) => return Ok(Sent { intent, nonce, request: submitted.request }),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TransferError::NoFreeNonce { account: self.account.clone() })
    }

    /// A signed intent for a transfer under a given nonce; nothing is handed in and no nonce is taken. For simulation.
    pub async fn prepare(&self, transfer: &Transfer, nonce: u64, note: &str) -> Result<SignedIntent, TransferError> {
        Ok(self.client.sign_intent(self.intent(transfer, nonce, note).await?)?)
    }

    async fn intent(&self, transfer: &Transfer, nonce: u64, note: &str) -> Result<NewIntent, TransferError> {
        let unsigned = self.build(transfer, nonce).await?;
        let intent = NewIntent::evm_transaction(self.key_id.clone(), self.chain.clone(), unsigned);
        Ok(intent.path(self.path.clone()).note(note))
    }

    /// Submits, waits for the end and verifies the signed transaction. Broadcasting it is the caller's. Where the signers
    /// know that the nonce belongs to another request, the next one is tried.
    pub async fn send(
        &self,
        transfer: &Transfer,
        note: &str,
        patience: impl Into<Patience>,
    ) -> Result<Paid, TransferError> {
        self.send_telling(transfer, note, patience, |_| {}).await
    }

    /// As [`Transfers::send`]; tells of every change of the request.
    pub async fn send_telling(
        &self,
        transfer: &Transfer,
        note: &str,
        patience: impl Into<Patience>,
        mut told: impl FnMut(&Request),
    ) -> Result<Paid, TransferError> {
        let patience = patience.into();
        for _ in 0..CONFLICTS {
            let sent = self.submit(transfer, note).await?;
            let request = match sent.request.state {
                state if state.is_end() => sent.request,
                _ => self.client.follow(sent.intent.id(), patience, &mut told).await?,
            };
            self.ended(&request);
            match self.client.verify(&request).await {
                Ok(signed) => return Ok(Paid { nonce: sent.nonce, signed }),
                Err(error) if request.state == RequestState::Failed && is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TransferError::NoFreeNonce { account: self.account.clone() })
    }

    /// Tells that a request of this account has ended. If surely without a signature, its nonce is used again by the next
    /// transfer, which names it as replaced; the nonce of a signed or possibly signed one never is.
    pub fn ended(&self, request: &Request) {
        let conflict = request.error.as_ref().is_some_and(|error| error.code == Code::NonceConflict);
        match request.state {
            RequestState::Failed if conflict => self.nonces.taken(request.id()),
            RequestState::Denied
            | RequestState::Rejected
            | RequestState::Expired
            | RequestState::Cancelled
            | RequestState::Failed => self.nonces.ended(request.id()),
            _ => {}
        }
    }

    /// Hands in again what has no definite answer yet.
    pub async fn settle(&self) {
        for intent in self.nonces.unsettled() {
            if let Err(error) = self.hand_in(&intent).await {
                tracing::debug!(intent = %intent.id(), %error, "an earlier transfer is still without a definite answer");
            }
        }
    }

    async fn hand_in(&self, intent: &SignedIntent) -> Result<Submitted, Error> {
        let result = self.client.submit(intent).await;
        match &result {
            Ok(submitted) if submitted.request.state == RequestState::Denied => self.nonces.refused(intent),
            Ok(_) => self.nonces.accepted(intent),
            Err(error) if is_conflict(error) => self.nonces.taken(intent.id()),
            Err(Error::Api(error)) if !error.code.retryable() && error.code != Code::PossiblySigned => {
                self.nonces.refused(intent);
            }
            // No definite answer: the bytes keep their number.
            Err(_) => {}
        }
        result
    }

    async fn build(&self, transfer: &Transfer, nonce: u64) -> Result<Vec<u8>, TransferError> {
        let fees = self.provider.fees().await?;
        let mut fees = Eip1559Fees {
            nonce,
            gas_limit: 0,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        };
        let call = self.call(transfer, &self.encode(transfer, &fees)?);
        fees.gas_limit = self.provider.estimate_gas(&call).await?;
        Ok(self.encode(transfer, &fees)?)
    }

    fn encode(&self, transfer: &Transfer, fees: &Eip1559Fees) -> Result<Vec<u8>, BuildError> {
        let chain = self.chain.clone();
        match transfer.clone() {
            Transfer::Native { to, amount } => evm::transfer(&evm::Transfer { chain, to, amount }, fees),
            Transfer::Erc20 { token, to, amount } => {
                evm::token_transfer(&evm::TokenTransfer { chain, token, to, amount }, fees)
            }
        }
    }

    fn call(&self, transfer: &Transfer, unsigned: &[u8]) -> Call {
        let data = match UnsignedTransaction::from_signing_bytes(unsigned) {
            Ok(UnsignedTransaction::Eip1559(transaction)) => transaction.input.to_vec(),
            // We built an EIP-1559 transaction one line above.
            Ok(_) | Err(_) => Vec::new(),
        };
        let (to, value) = match transfer {
            Transfer::Native { to, amount } => (to.clone(), *amount),
            Transfer::Erc20 { token, .. } => (token.clone(), Amount::ZERO),
        };
        Call { from: self.account.clone(), to, value, data }
    }
}

fn is_conflict(error: &Error) -> bool {
    error.api().is_some_and(|error| error.code == Code::NonceConflict)
}
