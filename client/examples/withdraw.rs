//! A withdrawal with the SDK, from a wish to a mined transaction.
//!
//! Start a development cluster (`cargo xtask up`), then in another terminal:
//! `cargo run -p limen-client --features json-rpc --example withdraw -- .dev/client.toml 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC 0.25`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use limen_client::evm::{JsonRpc, Transfer, Transfers};
use limen_client::{Client, ClientConfig};
use limen_wire::effects::{Amount, ChainId};
use limen_wire::ids::KeyId;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, to, amount] = arguments.as_slice() else { bail!("usage: withdraw CLIENT.TOML ADDRESS AMOUNT") };
    let to = limen_chain::parse_address(to)?;
    let amount = Amount::from_units(amount, 18).context("the amount is not a decimal number")?;

    // The configuration holds the pinned public keys of the signers: everything about keys is checked against them.
    let config = ClientConfig::from_file(Path::new(config))?;
    let (name, access) = config.chains.first_key_value().context("the configuration names no chain")?;
    let chain = ChainId::new(name.as_str()).context("the chain's name is malformed")?;
    let node = JsonRpc::new(access.rpc.clone());
    let client = Client::connect(&config)?;

    // One `Transfers` per account: it keeps the nonces in order, also when many tasks use it at once.
    let key = KeyId::new("treasury")?;
    let transfers = Transfers::open(client, node.clone(), key, Vec::new(), chain).await?;
    println!("paying from {}", transfers.account());

    // Submits, waits, and verifies the signature under the key that the signers attest.
    let paid = transfers.send(&Transfer::Native { to, amount }, "example withdrawal", PATIENCE).await?;
    let transaction = paid.signed.transaction.context("no transaction came back")?;
    println!("signed by signers {:?}", paid.signed.signers);

    // The cluster signs; broadcasting is the caller's.
    node.broadcast(&transaction.raw).await?;
    let hash = format!("0x{}", hex::encode(transaction.hash));
    let receipt = node.wait_for_receipt(&hash, PATIENCE).await?;
    println!("{hash} mined in block {}", receipt.block_number);
    Ok(())
}
