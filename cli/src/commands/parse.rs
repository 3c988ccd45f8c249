//! From words on the command line to checked values, with errors that say how to write them.

use anyhow::Result;
use limen_client::ClientConfig;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::intent::check_path;

/// Words on the command line that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

pub(crate) fn wrong(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// `m/0/7`, or just `m`.
pub(crate) fn path(text: &str) -> Result<Vec<u32>> {
    let mut steps = text.split('/');
    if steps.next() != Some("m") {
        return Err(wrong(format!("the path {text:?} must be written m or m/0/7")));
    }
    let bad = |step| {
        format!(
            "step {step:?} of the path {text:?} is not a number below 2147483648; hardened steps do not exist for these keys"
        )
    };
    let steps = steps.map(|step| step.parse().map_err(|_| wrong(bad(step)))).collect::<Result<Vec<u32>>>()?;
    check_path(&steps).map_err(|error| wrong(format!("the path {text:?}: {error}")))?;
    Ok(steps)
}

pub(crate) fn chain(text: &str) -> Result<ChainId> {
    ChainId::new(text).ok_or_else(|| wrong(format!("the chain {text:?} must be a CAIP-2 name such as eip155:1")))
}

/// The named chain, or the only one that the configuration knows.
pub(crate) fn chain_or_only(text: Option<&str>, config: &ClientConfig) -> Result<ChainId> {
    match (text, config.chains.len()) {
        (Some(text), _) => chain(text),
        (None, 1) => chain(config.chains.keys().next().map(String::as_str).unwrap_or_default()),
        (None, 0) => Err(wrong("the configuration names no chain: name one by --chain")),
        (None, _) => Err(wrong("the configuration names several chains: choose one by --chain")),
    }
}

/// EIP-55 only: a typing error must not pass.
pub(crate) fn address(text: &str) -> Result<Address> {
    let address = limen_chain::parse_address(text).map_err(|error| wrong(error.to_string()))?;
    if address.as_str() != text {
        let what =
            format!("{text} carries no checksum (EIP-55): copy the address in mixed case from where it comes from");
        return Err(wrong(what));
    }
    Ok(address)
}

pub(crate) fn amount(text: &str, decimals: u8) -> Result<Amount> {
    let bad = || format!("{text:?} is not an amount: digits, and a point with up to {decimals} places");
    Amount::from_units(text, decimals).ok_or_else(|| wrong(bad()))
}
