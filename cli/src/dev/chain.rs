//! The development chain: anvil out of npm, with its state kept in the cluster's folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use limen_client::evm::{JsonRpc, Provider as _};
use limen_wire::effects::{Address, Amount};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::charter::CHAIN_NUMBER;
use super::layout::{Layout, State};
use super::processes::{Process, Program};
use super::token;
use crate::output::Output;

/// Anvil's first account, unlocked: deploys the token and owns its supply.
pub(crate) const DEPLOYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Anvil's second account, unlocked: gives coins.
const FUNDER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// Anvil's third account: somebody whom the address book does not know.
pub(crate) const RECIPIENT: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

const READY_WITHIN: Duration = Duration::from_secs(30);
const MINED_WITHIN: Duration = Duration::from_secs(30);
/// An account is topped up when it holds less than this.
const LOW_COINS: u128 = 40 * 10u128.pow(18);
const COINS: u128 = 100 * 10u128.pow(18);
const LOW_TOKENS: u128 = 1_000 * 10u128.pow(18);
const TOKENS: u128 = 10_000 * 10u128.pow(18);

/// What of the npm packages is missing, in words; empty when all is there.
pub(crate) fn missing(dev_chain: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if binary(dev_chain).is_none() {
        missing.push("anvil, a development chain (npm package @foundry-rs/anvil)".to_owned());
    }
    if !token::is_available(dev_chain) {
        missing.push("a compiled ERC-20 token (npm package @openzeppelin/contracts)".to_owned());
    }
    missing
}

/// The program itself: the package's own entry is a Node.js wrapper around it.
fn binary(dev_chain: &Path) -> Option<PathBuf> {
    let scope = dev_chain.join("node_modules/@foundry-rs");
    let platforms = ["anvil-linux-amd64", "anvil-linux-arm64", "anvil-darwin-arm64", "anvil-darwin-amd64"];
    platforms.iter().map(|platform| scope.join(platform).join("bin/anvil")).find(|path| path.is_file())
}

/// A running development chain.
pub(crate) struct Chain {
    pub(crate) rpc: JsonRpc,
    pub(crate) port: u16,
    process: Process,
}

impl Chain {
    /// Starts anvil, with the state of last time, and waits until it answers.
    pub(crate) async fn start(layout: &Layout, state: &State, dev_chain: &Path, output: Output) -> Result<Self> {
        let program = binary(dev_chain).ok_or_else(|| anyhow!("anvil is not installed"))?;
        std::fs::create_dir_all(layout.path("chain"))?;
        let args = [
            "--host",
            "127.0.0.1",
            "--port",
            &state.ports.chain.to_string(),
            "--chain-id",
            &CHAIN_NUMBER.to_string(),
            "--state",
            &layout.path("chain/state.json").display().to_string(),
            "--state-interval",
            "2",
        ];
        let program = Program {
            name: "anvil".to_owned(),
            program,
            args: args.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            log: layout.log_of("anvil"),
            pid_file: layout.path("run/anvil.pid"),
            // Anvil writes its state on an interrupt.
            stop: Signal::INT,
        };
        let process = Process::start(program, output)?;
        let rpc = JsonRpc::new(format!("http://127.0.0.1:{}", state.ports.chain));
        let chain = Self { rpc, port: state.ports.chain, process };
        match chain.ready().await {
            Ok(()) => Ok(chain),
            Err(error) => {
                chain.process.stop().await;
                Err(error
                    .context(format!("the development chain did not start; see {}", layout.log_of("anvil").display())))
            }
        }
    }

    async fn ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.rpc.chain_id().await {
                Ok(CHAIN_NUMBER) => return Ok(()),
                Ok(other) => bail!("a chain with number {other} answers on our port"),
                Err(error) if started.elapsed() > READY_WITHIN => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Makes sure that the account can pay coins.
    pub(crate) async fn fund(&self, account: &Address) -> Result<()> {
        if self.rpc.balance(account).await? < Amount::from_u128(LOW_COINS) {
            let gift = json!([{ "from": FUNDER, "to": account.as_str(), "value": format!("{COINS:#x}") }]);
            let hash = self.rpc.call("eth_sendTransaction", gift).await?;
            wait_mined(&self.rpc, &hash).await.context("the cluster's account could not be given coins")?;
        }
        Ok(())
    }

    /// Makes sure that there is a token, and that the account can pay it.
    pub(crate) async fn fund_tokens(&self, account: &Address, dev_chain: &Path) -> Result<()> {
        token::deploy(&self.rpc, dev_chain).await?;
        if token::balance(&self.rpc, account).await? < LOW_TOKENS {
            token::give(&self.rpc, account, TOKENS).await?;
        }
        Ok(())
    }

    /// The signers remember which nonces they have signed; a chain that was killed may have forgotten its last blocks. On a
    /// development chain the account is moved on, so that the two agree again.
    pub(crate) async fn catch_up(&self, account: &Address, nonce: u64) -> Result<bool> {
        if self.rpc.next_nonce(account).await? >= nonce {
            return Ok(false);
        }
        self.rpc.call("anvil_setNonce", json!([account.as_str(), format!("{nonce:#x}")])).await?;
        Ok(true)
    }

    pub(crate) async fn stop(self) {
        self.process.stop().await;
    }
}

/// Waits for a transaction of a development account.
pub(crate) async fn wait_mined(chain: &JsonRpc, hash: &Value) -> Result<()> {
    let hash = hash.as_str().ok_or_else(|| anyhow!("the chain answers {hash} for a transaction hash"))?;
    let receipt = chain.wait_for_receipt(hash, MINED_WITHIN).await?;
    if receipt.success { Ok(()) } else { bail!("transaction {hash} failed on the chain") }
}
