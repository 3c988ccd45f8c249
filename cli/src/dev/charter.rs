//! The development charter: unsigned, and it says so.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use limen_policy::charter::Charter;

use super::identities::Identities;
use super::layout::{CLUSTER, COORDINATOR, Layout, REQUESTER, State};
use super::token;

/// The chain's EIP-155 number, anvil's own default.
pub(crate) const CHAIN_NUMBER: u64 = 31337;

/// Writes the charter where there is none yet, and checks what is there: signers pin it by its hash.
pub(crate) fn prepare(layout: &Layout, state: &State, identities: &Identities) -> Result<Charter> {
    let path = layout.path("charter.toml");
    if !path.exists() {
        layout.write_private("charter.toml", text(state, identities)?.as_bytes())?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    Charter::from_toml(&text).with_context(|| format!("{} is refused", path.display()))
}

fn text(state: &State, identities: &Identities) -> Result<String> {
    let mut out = format!(
        "# A development charter: not signed, for this machine only. Never use it where value is real.\n\
         version = 1\ncluster = \"{CLUSTER}\"\ndanger_development = true\n\n\
         [bounds]\nmax_sessions = 64\nmax_expiry_secs = 86400\n"
    );
    for (signer, key) in state.signers().zip(&identities.signers) {
        write!(
            out,
            "\n[[nodes]]\nid = \"{}\"\naddress = \"127.0.0.1:{}\"\npublic_key = \"{key}\"\n",
            signer.name, signer.port
        )?;
    }
    write!(out, "\n[[coordinators]]\nid = \"{COORDINATOR}\"\npublic_key = \"{}\"\n", identities.coordinator)?;
    write!(
        out,
        "\n[[requesters]]\nid = \"{REQUESTER}\"\npublic_key = \"{}\"\nduties = [\"request\", \"keys\"]\n",
        identities.requester
    )?;
    write!(
        out,
        "\n[assets.eth]\nchain = \"eip155:{CHAIN_NUMBER}\"\nsymbol = \"ETH\"\ndecimals = 18\n\
         \n[assets.token]\nchain = \"eip155:{CHAIN_NUMBER}\"\ncontract = \"{}\"\nsymbol = \"{}\"\ndecimals = {}\n",
        token::ADDRESS,
        token::SYMBOL,
        token::DECIMALS
    )?;
    out.push_str(RULES);
    Ok(out)
}

const RULES: &str = r#"
# What no rule allows is denied.
[[rules]]
name = "coins, up to 10 a request"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "0.05"

[[rules]]
name = "tokens, up to 1000 a request"
allow = "transfer"
asset = "token"
max_amount = "1000"
destinations = "anywhere"

[[rules]]
name = "messages"
allow = "message"
"#;
