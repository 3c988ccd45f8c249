//! A provider over Ethereum JSON-RPC, as small as can be: plain HTTP towards a node of one's own.

use std::time::Duration;

use limen_wire::effects::{Address, Amount};
use serde_json::{Value, json};

use super::{Call, Fees, Provider, ProviderError};

/// Gas is estimated for the present state; a quarter more lets the state move a little.
const GAS_MARGIN_DIVISOR: u64 = 4;
/// Answers larger than this are refused.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// An Ethereum node.
#[derive(Debug, Clone)]
pub struct JsonRpc {
    url: String,
    agent: ureq::Agent,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The block that holds it.
    pub block_number: u64,
    /// It ran to its end.
    pub success: bool,
    /// The contract that it made, if it made one.
    pub contract: Option<String>,
}

impl JsonRpc {
    /// A node at `http://host:port`.
    pub fn new(url: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Self { url: url.into(), agent: config.into() }
    }

    /// Any call: the result, or the node's error.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, ProviderError> {
        let (this, method) = (self.clone(), method.to_owned());
        let what = method.clone();
        tokio::task::spawn_blocking(move || this.call_blocking(&method, &params))
            .await
            .map_err(|error| ProviderError::new(what, error))?
    }

    fn call_blocking(&self, method: &str, params: &Value) -> Result<Value, ProviderError> {
        let fail = |reason: String| ProviderError::new(method, reason);
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(question)
            .map_err(|error| fail(error.to_string()))?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| fail(error.to_string()))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| fail(format!("no JSON: {error}")))?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(fail(
                error.get("message").and_then(Value::as_str).unwrap_or("an error without words").to_owned(),
            ));
        }
        answer.get_mut("result").map(Value::take).ok_or_else(|| fail("neither result nor error".to_owned()))
    }

    /// The chain's EIP-155 number.
    pub async fn chain_id(&self) -> Result<u64, ProviderError> {
        self.quantity("eth_chainId", json!([])).await.and_then(|value| small(value, "eth_chainId"))
    }

    /// An account's coins, in wei.
    pub async fn balance(&self, account: &Address) -> Result<Amount, ProviderError> {
        self.call("eth_getBalance", json!([account.as_str(), "latest"]))
            .await
            .and_then(|value| amount(&value, "eth_getBalance"))
    }

    /// Hands a signed transaction to the network and gives its hash. One that the node knows already is no error.
    pub async fn broadcast(&self, raw: &[u8]) -> Result<(), ProviderError> {
        let sent = self.call("eth_sendRawTransaction", json!([format!("0x{}", hex::encode(raw))])).await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.reason.contains("already known") || error.reason.contains("already imported") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What became of a transaction; `None` while it is not in a block.
    pub async fn receipt(&self, hash: &str) -> Result<Option<Receipt>, ProviderError> {
        const WHAT: &str = "eth_getTransactionReceipt";
        let value = self.call(WHAT, json!([hash])).await?;
        if value.is_null() || value.get("blockNumber").is_none_or(Value::is_null) {
            return Ok(None);
        }
        let field = |name: &str| quantity(value.get(name).unwrap_or(&Value::Null), WHAT);
        Ok(Some(Receipt {
            block_number: small(field("blockNumber")?, WHAT)?,
            success: field("status")? == 1,
            contract: value.get("contractAddress").and_then(Value::as_str).map(str::to_owned),
        }))
    }

    /// Asks every 50 ms until the transaction is in a block.
    pub async fn wait_for_receipt(&self, hash: &str, at_most: Duration) -> Result<Receipt, ProviderError> {
        let waiting = async {
            loop {
                if let Some(receipt) = self.receipt(hash).await? {
                    return Ok(receipt);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(at_most, waiting).await.unwrap_or_else(|_| {
            let reason = format!("transaction {hash} is in no block after {:.0} s", at_most.as_secs_f64());
            Err(ProviderError::new("eth_getTransactionReceipt", reason))
        })
    }

    async fn quantity(&self, method: &str, params: Value) -> Result<u128, ProviderError> {
        quantity(&self.call(method, params).await?, method)
    }
}

impl Provider for JsonRpc {
    async fn next_nonce(&self, account: &Address) -> Result<u64, ProviderError> {
        const WHAT: &str = "eth_getTransactionCount";
        small(self.quantity(WHAT, json!([account.as_str(), "pending"])).await?, WHAT)
    }

    /// Twice the base fee of the newest block and the node's advice for the tip: enough for six full blocks in a row.
    async fn fees(&self) -> Result<Fees, ProviderError> {
        const WHAT: &str = "eth_getBlockByNumber";
        let block = self.call(WHAT, json!(["latest", false])).await?;
        let base = quantity(block.get("baseFeePerGas").unwrap_or(&json!("0x0")), WHAT)?;
        let tip = self.quantity("eth_maxPriorityFeePerGas", json!([])).await?;
        let max_fee_per_gas = base.saturating_mul(2).saturating_add(tip);
        Ok(Fees { max_fee_per_gas, max_priority_fee_per_gas: tip })
    }

    async fn estimate_gas(&self, call: &Call) -> Result<u64, ProviderError> {
        const WHAT: &str = "eth_estimateGas";
        let question = json!([{
            "from": call.from.as_str(),
            "to": call.to.as_str(),
            "value": hex_quantity(call.value),
            "data": format!("0x{}", hex::encode(&call.data)),
        }]);
        let gas = small(self.quantity(WHAT, question).await?, WHAT)?;
        // A bare transfer of coins takes exactly this much, always.
        if gas == 21_000 { Ok(gas) } else { Ok(gas.saturating_add(gas / GAS_MARGIN_DIVISOR)) }
    }
}

/// `0x`, then hexadecimal digits without leading zeros.
fn hex_quantity(value: Amount) -> String {
    let digits = hex::encode(value.to_be_bytes());
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0x0".to_owned() } else { format!("0x{digits}") }
}

fn quantity(value: &Value, what: &str) -> Result<u128, ProviderError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits
        .and_then(|digits| u128::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ProviderError::new(what, format!("{value} is not a quantity of up to 128 bits")))
}

fn small(value: u128, what: &str) -> Result<u64, ProviderError> {
    u64::try_from(value).map_err(|_| ProviderError::new(what, format!("{value} does not fit 64 bits")))
}

fn amount(value: &Value, what: &str) -> Result<Amount, ProviderError> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).filter(|digits| digits.len() <= 64);
    let padded = digits.map(|digits| format!("{digits:0>64}"));
    let mut bytes = [0; 32];
    match padded.is_some_and(|padded| hex::decode_to_slice(padded, &mut bytes).is_ok()) {
        true => Ok(Amount::from_be_bytes(bytes)),
        false => Err(ProviderError::new(what, format!("{value} is not a quantity"))),
    }
}
