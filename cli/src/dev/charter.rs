//! The development charter: unsigned, and it says so. Machines and people of this cluster, then the rules of the house.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use anyhow::{Context, Result};
use limen_policy::charter::Charter;

use super::identities::Identities;
use super::layout::{CLUSTER, COORDINATOR, Keepers, Layout, Machine, REQUESTER, State};
use super::people::{self, PEOPLE};
use super::token;

/// The chain's EIP-155 number, anvil's own default.
pub(crate) const CHAIN_NUMBER: u64 = 31337;
/// The ledger that certifies limits and what counts once.
const LEDGER: &str = "main";
/// Groups, vaults, limits and rules.
const HOUSE: &str = include_str!("charter/house.toml");

/// Where it lies in the cluster's folder.
pub(crate) const FILE: &str = "charter.toml";

/// Writes the charter where there is none yet, and checks what is there: signers pin it by its hash.
pub(crate) fn prepare(layout: &Layout, state: &State, identities: &Identities) -> Result<Charter> {
    let path = layout.path(FILE);
    if !path.exists() {
        layout.write_private(FILE, text(state, identities)?.as_bytes())?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    Charter::from_toml(&text).with_context(|| format!("{} is refused", path.display()))
}

fn text(state: &State, identities: &Identities) -> Result<String> {
    let mut out = format!(
        "# A development charter: not signed, for this machine only. Never use it where value is real.\n\
         version = 1\ncluster = \"{CLUSTER}\"\ndanger_development = true\n\
         # Every request claims there what counts once: its idempotency key, and the account's number that it burns.\n\
         claims = \"{LEDGER}\"\n\n\
         [bounds]\nmax_sessions = 64\nmax_expiry_secs = 86400\n"
    );
    for (signer, key) in state.signers().zip(&identities.signers) {
        out.push_str(&node("nodes", &signer, key));
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
    out.push_str(&ledger(state)?);
    for (witness, key) in state.witnesses().zip(&identities.witnesses) {
        out.push_str(&node("witnesses", &witness, key));
    }
    for (person, key) in PEOPLE.iter().zip(&identities.people) {
        let credential = people::credential(person);
        write!(
            out,
            "\n[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{credential}\"\nclass = \"terminal\"\n\
             public_key = \"{key}\"\n"
        )?;
    }
    out.push_str(HOUSE);
    Ok(out)
}

fn node(table: &str, Machine { name, port, .. }: &Machine, key: impl std::fmt::Display) -> String {
    format!("\n[[{table}]]\nid = \"{name}\"\naddress = \"127.0.0.1:{port}\"\npublic_key = \"{key}\"\n")
}

fn ledger(state: &State) -> Result<String> {
    let Keepers { signers, corrupt, quorum, .. } = Keepers::of(state.size()?);
    let members = state.signers().take(signers.into()).chain(state.witnesses());
    let members: Vec<String> = members.map(|machine| format!("\"{}\"", machine.name)).collect();
    Ok(format!(
        "\n# Who certifies limits and what counts once: signers, and so many witnesses without a share that it goes on while {corrupt} of its \
         members are down.\n[[ledgers]]\nid = \"{LEDGER}\"\nmembers = [{}]\nquorum = {quorum}\ncorrupt = {corrupt}\n\
         reservation_secs = 60\n",
        members.join(", ")
    ))
}
