//! `limen freeze`, `limen unfreeze`, `limen freezes`, and the way to signers without a coordinator.

use std::path::PathBuf;

use clap::Args;
use limen_wire::ids::IntentId;

use super::SignerArgs;

pub(super) const EXAMPLES: &str = "Examples:
  limen freeze cluster --reason 'somebody is in our network' --charter charter.toml --key me.pem
  limen freeze vault:reserve --reason 'odd requests' --charter charter.toml --ssh-agent
  limen freeze asset:usdt --reason 'the token was upgraded' --charter charter.toml --key me.pem --signer signer-1=10.0.0.7:7001
  limen freezes
  limen unfreeze 1f0c… --charter charter.toml --key me.pem

A freeze holds at every signer that it reaches, at once, with no coordinator; signers pass it on to each other.";

/// Which signers are asked directly.
#[derive(Debug, Args)]
pub(crate) struct ToSigners {
    /// A signer to talk to directly, with the address if the configuration has none or another one; may be given more than
    /// once
    #[arg(long = "signer", value_name = "NAME[=HOST:PORT]")]
    pub(crate) signers: Vec<String>,
}

/// Whose word it is.
#[derive(Debug, Args)]
pub(crate) struct WordArgs {
    /// Your own copy of the charter
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: PathBuf,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) to: ToSigners,
    /// Sign without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// What to stop: cluster, vault:NAME, key:NAME, asset:NAME, chain:CAIP-2, requester:NAME or destination:ADDRESS
    pub(crate) scope: String,
    /// Why; everybody who is refused reads it
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) word: WordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnfreezeArgs {
    /// Ids of the freezes, as `limen freezes` shows them
    #[arg(required = true, value_name = "ID")]
    pub(crate) freezes: Vec<IntentId>,
    /// Why
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) word: WordArgs,
}
