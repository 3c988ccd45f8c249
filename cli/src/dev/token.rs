//! The development token: a ready-compiled OpenZeppelin ERC-20 with a fixed supply.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use limen_client::evm::JsonRpc;
use limen_wire::effects::Address;
use serde_json::{Value, json};

use super::chain::{DEPLOYER, wait_mined};

/// Where the first contract of [`DEPLOYER`] comes to lie: Keccak-256 of account and nonce 0 (Yellow Paper, section 7). The
/// charter can name it before it exists.
pub(crate) const ADDRESS: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
/// Its ticker.
pub(crate) const SYMBOL: &str = "DEVUSD";
/// OpenZeppelin's default.
pub(crate) const DECIMALS: u8 = 18;
const NAME: &str = "Development Dollar";
/// One million whole tokens.
const SUPPLY: u128 = 1_000_000 * 10u128.pow(18);
/// Where the compiled contract lies inside the npm package.
const ARTIFACT: &str = "node_modules/@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json";

/// Whether the compiled contract is at hand.
pub(crate) fn is_available(dev_chain: &Path) -> bool {
    dev_chain.join(ARTIFACT).is_file()
}

/// Deploys the token where it is not there yet.
pub(crate) async fn deploy(chain: &JsonRpc, dev_chain: &Path) -> Result<()> {
    if code_len(chain).await? > 0 {
        return Ok(());
    }
    let path = dev_chain.join(ARTIFACT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let artifact: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let bytecode = artifact.get("bytecode").and_then(Value::as_str);
    let bytecode = bytecode.ok_or_else(|| anyhow!("{} holds no bytecode", path.display()))?;
    let data = format!("{bytecode}{}", constructor_arguments()?);
    let hash = chain.call("eth_sendTransaction", json!([{ "from": DEPLOYER, "data": data, "nonce": "0x0" }])).await?;
    wait_mined(chain, &hash).await.context("the development token could not be deployed")?;
    if code_len(chain).await? == 0 {
        bail!("the development token is not at {ADDRESS}: delete the chain folder to begin anew");
    }
    Ok(())
}

async fn code_len(chain: &JsonRpc) -> Result<usize> {
    let code = chain.call("eth_getCode", json!([ADDRESS, "latest"])).await?;
    Ok(code.as_str().map_or(0, |code| code.len().saturating_sub(2)))
}

/// `(string name, string symbol, uint256 supply, address owner)` in ABI encoding.
fn constructor_arguments() -> Result<String> {
    let text = |text: &str| format!("{}{:0<64}", word(text.len() as u128), hex::encode(text));
    Ok([word(0x80), word(0xc0), word(SUPPLY), address_word(DEPLOYER)?, text(NAME), text(SYMBOL)].concat())
}

/// An account's tokens, in the smallest unit.
pub(crate) async fn balance(chain: &JsonRpc, account: &Address) -> Result<u128> {
    let data = format!("0x70a08231{}", address_word(account.as_str())?);
    let value = chain.call("eth_call", json!([{ "to": ADDRESS, "data": data }, "latest"])).await?;
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    u128::from_str_radix(digits, 16).with_context(|| format!("the token answers {value} for a balance"))
}

/// Gives tokens out of the deployer's own.
pub(crate) async fn give(chain: &JsonRpc, to: &Address, amount: u128) -> Result<()> {
    let data = format!("0xa9059cbb{}{}", address_word(to.as_str())?, word(amount));
    let hash = chain.call("eth_sendTransaction", json!([{ "from": DEPLOYER, "to": ADDRESS, "data": data }])).await?;
    wait_mined(chain, &hash).await.context("the cluster's account could not be given tokens")
}

fn word(value: u128) -> String {
    format!("{value:064x}")
}

fn address_word(address: &str) -> Result<String> {
    let digits = address.strip_prefix("0x").filter(|digits| digits.len() == 40);
    Ok(format!("{:0>64}", digits.ok_or_else(|| anyhow!("{address} is not an address"))?.to_lowercase()))
}
