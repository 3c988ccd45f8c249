//! From words on the command line to checked values, with errors that say how to write them.

use anyhow::{Context, Result, anyhow, bail};
use limen_client::ClientConfig;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::intent::check_path;

/// `m/0/7`, or just `m`.
pub(crate) fn path(text: &str) -> Result<Vec<u32>> {
    let mut steps = text.split('/');
    if steps.next() != Some("m") {
        bail!("the path {text:?} must be written m or m/0/7");
    }
    let steps: Vec<u32> = steps
        .map(|step| step.parse().map_err(|_| anyhow!("step {step:?} of the path is not a number below 2147483648; hardened steps do not exist for these keys")))
        .collect::<Result<_>>()?;
    check_path(&steps)?;
    Ok(steps)
}

pub(crate) fn chain(text: &str) -> Result<ChainId> {
    ChainId::new(text).ok_or_else(|| anyhow!("the chain {text:?} must be a CAIP-2 name such as eip155:1"))
}

/// The named chain, or the only one that the configuration knows.
pub(crate) fn chain_or_only(text: Option<&str>, config: &ClientConfig) -> Result<ChainId> {
    match (text, config.chains.len()) {
        (Some(text), _) => chain(text),
        (None, 1) => chain(config.chains.keys().next().map(String::as_str).unwrap_or_default()),
        (None, 0) => bail!("the configuration names no chain: name one by --chain"),
        (None, _) => bail!("the configuration names several chains: choose one by --chain"),
    }
}

/// EIP-55 only: a typing error must not pass.
pub(crate) fn address(text: &str) -> Result<Address> {
    limen_chain::parse_address(text).with_context(|| format!("{text:?} is not an address"))
}

pub(crate) fn amount(text: &str, decimals: u8) -> Result<Amount> {
    Amount::from_units(text, decimals)
        .with_context(|| format!("{text:?} is not an amount: digits, and a point with up to {decimals} places"))
}
