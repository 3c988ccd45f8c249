//! The story's acts: a withdrawal of coins, one of tokens, and a signed message.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::evm::{Call, Fees, Paid, Provider, ProviderError, Transfer, Transfers};
use limen_client::{Client, NewIntent, Signed};
use limen_wire::effects::{Address, Amount, Asset, ChainId};
use limen_wire::ids::KeyId;

use super::chain::{Chain, RECIPIENT};
use super::charter::CHAIN_NUMBER;
use super::report::{Message, Withdrawal};
use super::token;

const SIGNED_WITHIN: Duration = Duration::from_secs(120);
const MINED_WITHIN: Duration = Duration::from_secs(60);

/// What moves in the story.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Coins,
    Tokens,
}

impl Act {
    fn amount(self) -> (&'static str, Option<Amount>) {
        let (text, decimals) = match self {
            Self::Coins => ("0.5", 18),
            Self::Tokens => ("250", token::DECIMALS),
        };
        (text, Amount::from_units(text, decimals))
    }
    fn symbol(self) -> &'static str {
        match self {
            Self::Coins => "ETH",
            Self::Tokens => token::SYMBOL,
        }
    }
}

/// A withdrawal done.
pub(crate) struct Done {
    pub(crate) report: Withdrawal,
    /// Amount and ticker, for people.
    pub(crate) words: String,
}

/// Without a chain, everything that a transfer must know is made up: the result is signed and never broadcast.
pub(crate) struct NoChain;

impl Provider for NoChain {
    async fn next_nonce(&self, _: &Address) -> Result<u64, ProviderError> {
        Ok(0)
    }
    async fn fees(&self) -> Result<Fees, ProviderError> {
        Ok(Fees { max_fee_per_gas: 30_000_000_000, max_priority_fee_per_gas: 1_000_000_000 })
    }
    async fn estimate_gas(&self, call: &Call) -> Result<u64, ProviderError> {
        Ok(if call.data.is_empty() { 21_000 } else { 65_000 })
    }
}

/// Signs a withdrawal, and with a chain broadcasts it and waits until it is mined.
pub(crate) async fn withdraw<P: Provider>(transfers: &Transfers<P>, chain: Option<&Chain>, act: Act) -> Result<Done> {
    let started = Instant::now();
    let (transfer, asset) = transfer(act)?;
    let Paid { nonce, signed } =
        transfers.send(&transfer, "a withdrawal of the development story", SIGNED_WITHIN).await?;
    let signing_seconds = started.elapsed().as_secs_f64();
    let transaction = signed.transaction.as_ref().context("the cluster signed something that is no transaction")?;
    let tx_hash = format!("0x{}", hex::encode(transaction.hash));
    let block_number = match chain {
        None => None,
        Some(chain) => {
            chain.catch_up(transfers.account(), nonce).await?;
            chain.rpc.broadcast(&transaction.raw).await?;
            let receipt = chain.rpc.wait_for_receipt(&tx_hash, MINED_WITHIN).await?;
            if !receipt.success {
                bail!("transaction {tx_hash} was mined but failed");
            }
            Some(receipt.block_number)
        }
    };
    let (text, amount) = act.amount();
    let report = Withdrawal {
        chain: ChainId::eip155(CHAIN_NUMBER).to_string(),
        asset: asset.to_string(),
        amount: amount.unwrap_or_default().to_string(),
        from: transfers.account().to_string(),
        to: RECIPIENT.to_owned(),
        raw_transaction: format!("0x{}", hex::encode(&transaction.raw)),
        tx_hash,
        nonce,
        block_number,
        seconds: started.elapsed().as_secs_f64(),
        signing_seconds,
        intent_id: signed.intent_id.to_string(),
    };
    Ok(Done { report, words: format!("{text} {}", act.symbol()) })
}

fn transfer(act: Act) -> Result<(Transfer, Asset)> {
    let chain = ChainId::eip155(CHAIN_NUMBER);
    let address = |text: &str| Address::from_canonical(text).context("a built-in address is malformed");
    let to = address(RECIPIENT)?;
    let amount = act.amount().1.context("a built-in amount is malformed")?;
    Ok(match act {
        Act::Coins => (Transfer::Native { to, amount }, Asset::Native(chain)),
        Act::Tokens => {
            let token = address(token::ADDRESS)?;
            (Transfer::Erc20 { token: token.clone(), to, amount }, Asset::Erc20(chain, token))
        }
    })
}

/// Signs a plain message.
pub(crate) async fn message(client: &Client, key: &KeyId) -> Result<(Message, Signed)> {
    let started = Instant::now();
    let text = "Limen: no machine holds this key";
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
