//! Payments out of an account of the cluster, on a chain or without one, and the signed message.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::evm::{Paid, Transfer, Transfers};
use limen_client::{Client, NewIntent, Signed};
use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::ids::KeyId;

use super::chain::Chain;
use super::charter::CHAIN_NUMBER;
use super::nonces::Remembering;
use super::report::{Message, Withdrawal};
use super::token;

const SIGNED_WITHIN: Duration = Duration::from_secs(120);
const MINED_WITHIN: Duration = Duration::from_secs(60);
/// Decimal places of the chain's own coin.
pub(crate) const COIN_DECIMALS: u8 = 18;

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Coins,
    Tokens,
}

/// So much of it, in whole units, to somebody.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) what: What,
    pub(crate) amount: &'static str,
    pub(crate) to: Address,
}

impl Payment {
    pub(crate) const fn coins(amount: &'static str, to: Address) -> Self {
        Self { what: What::Coins, amount, to }
    }

    pub(crate) const fn tokens(amount: &'static str, to: Address) -> Self {
        Self { what: What::Tokens, amount, to }
    }

    /// Amount and ticker, for people.
    pub(crate) fn words(&self) -> String {
        let symbol = if self.what == What::Coins { "ETH" } else { token::SYMBOL };
        format!("{} {symbol}", self.amount)
    }

    fn smallest(&self) -> Result<Amount> {
        let decimals = if self.what == What::Coins { COIN_DECIMALS } else { token::DECIMALS };
        Amount::from_units(self.amount, decimals).context("a built-in amount is malformed")
    }

    fn asset(&self) -> Result<Asset> {
        let chain = ChainId::eip155(CHAIN_NUMBER);
        Ok(match self.what {
            What::Coins => Asset::Native(chain),
            What::Tokens => Asset::Erc20(chain, address(token::ADDRESS)?),
        })
    }

    pub(crate) fn transfer(&self) -> Result<Transfer> {
        let (to, amount) = (self.to.clone(), self.smallest()?);
        Ok(match self.what {
            What::Coins => Transfer::Native { to, amount },
            What::Tokens => Transfer::Erc20 { token: address(token::ADDRESS)?, to, amount },
        })
    }
}

/// An address that is part of this program.
pub(crate) fn address(text: &str) -> Result<Address> {
    Address::from_canonical(text).context("a built-in address is malformed")
}

/// An account of the cluster, and the chain if there is one.
pub(crate) struct Account<'a> {
    pub(crate) transfers: Transfers<Remembering>,
    chain: Option<&'a Chain>,
}

impl<'a> Account<'a> {
    /// The key's own account.
    pub(crate) async fn open(client: &Client, key_id: &KeyId, chain: Option<&'a Chain>) -> Result<Self> {
        let number = ChainId::eip155(CHAIN_NUMBER);
        let rpc = chain.map(|chain| chain.rpc.clone());
        let provider = Remembering::ask(client, rpc, key_id, &number).await?;
        let transfers = Transfers::open(client.clone(), provider, key_id.clone(), Vec::new(), number).await?;
        Ok(Self { transfers, chain })
    }

    pub(crate) const fn address(&self) -> &Address {
        self.transfers.account()
    }

    /// Signs a payment that waits for nobody, and with a chain broadcasts it and waits until it is mined.
    pub(crate) async fn pay(&self, payment: &Payment, note: &str) -> Result<Withdrawal> {
        let started = Instant::now();
        let Paid { nonce, signed } = self.transfers.send(&payment.transfer()?, note, SIGNED_WITHIN).await?;
        self.settle(payment, nonce, &signed, started).await
    }

    /// What remains once it is signed, for a payment that was handed in at that moment.
    pub(crate) async fn settle(
        &self,
        payment: &Payment,
        nonce: u64,
        signed: &Signed,
        started: Instant,
    ) -> Result<Withdrawal> {
        let signing_seconds = started.elapsed().as_secs_f64();
        let transaction = signed.transaction.as_ref().context("the cluster signed something that is no transaction")?;
        let tx_hash = format!("0x{}", hex::encode(transaction.hash));
        let block_number = match self.chain {
            None => None,
            Some(chain) => {
                chain.catch_up(self.address(), nonce).await?;
                chain.rpc.broadcast(&transaction.raw).await?;
                let receipt = chain.rpc.wait_for_receipt(&tx_hash, MINED_WITHIN).await?;
                if !receipt.success {
                    bail!("transaction {tx_hash} was mined but failed");
                }
                Some(receipt.block_number)
            }
        };
        Ok(Withdrawal {
            chain: ChainId::eip155(CHAIN_NUMBER).to_string(),
            asset: payment.asset()?.to_string(),
            amount: payment.smallest()?.to_string(),
            from: self.address().to_string(),
            to: payment.to.to_string(),
            raw_transaction: format!("0x{}", hex::encode(&transaction.raw)),
            tx_hash,
            nonce,
            block_number,
            seconds: started.elapsed().as_secs_f64(),
            signing_seconds,
            intent_id: signed.intent_id.to_string(),
        })
    }
}

/// Signs a plain message.
pub(crate) async fn message(client: &Client, key: &KeyId) -> Result<(Message, Signed)> {
    let started = Instant::now();
    let text = "Limen: no machine ever holds this key";
    let intent = client.sign_intent(NewIntent::message(key.clone(), text))?;
    let signed = client.sign(&intent, SIGNED_WITHIN).await?;
    let message = Message {
        key_id: key.to_string(),
        text: text.to_owned(),
        signature: hex::encode(signed.signature),
        public_key: hex::encode(&signed.public_key),
        seconds: started.elapsed().as_secs_f64(),
    };
    Ok((message, signed))
}
