//! `limen dev …`: a development cluster on this machine, and the story it tells.
//!
//! Everything here is for development only: keys lie in plain files beside each other, and the charter is not signed.

mod acts;
mod ceremony;
mod chain;
mod charter;
mod child;
mod configs;
mod hsm;
mod identities;
mod keys;
mod layout;
mod nonces;
mod people;
mod processes;
mod report;
mod story;
mod token;
mod up;
mod withdrawals;

use clap::{Args, Subcommand};
use std::path::PathBuf;

use up::DEFAULT_DIR;

#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Start signers, witnesses, a coordinator and a development chain, and play a house's day: payments, approvals, a freeze
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Five people begin a house by a ceremony and make its keys, each as a process with credentials of their own; then the keys live on
    #[command(after_help = CEREMONY_EXAMPLES)]
    Ceremony(ceremony::CeremonyArgs),
    /// Runs a program that ends when its parent ends; used by `dev up` itself
    #[command(hide = true)]
    Child(child::ChildArgs),
    /// Initializes a token; used by `dev up --hsm` itself
    #[command(hide = true)]
    MakeToken(hsm::MakeTokenArgs),
}

const UP_EXAMPLES: &str = "Examples:
  limen dev up                         start, tell the story, stay up until Ctrl-C
  limen dev up --once --json           the same, then stop; results in .dev/up.json
  limen dev up --dir /tmp/five --signers 5 --required 3
  limen dev up --protocol cggmp24      the hot vault's key by CGGMP24 instead of DKLs23
  limen dev up --dir /tmp/t --hsm      shares sealed, and identity kept, by a SoftHSM2 token under each signer

State stays in the folder: a second `up` goes on where the first one ended. To begin anew, delete the folder.
For development only: all keys lie in plain files on this machine.";

const CEREMONY_EXAMPLES: &str = "Examples:
  limen dev ceremony                             plans, scripts and records stay in .ceremony-demo/ceremonies
  limen dev ceremony --json demo.json --keep     results in demo.json; keys, tokens, stores and logs stay too

The machines' memory is locked, as everywhere outside of development: run it as root, or with `ulimit -l unlimited`.";

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Stop after the story instead of staying up
    #[arg(long)]
    pub(crate) once: bool,
    /// Signer nodes to run, 2 to 32; as the folder was made with, else 3
    #[arg(long, value_name = "N")]
    pub(crate) signers: Option<u16>,
    /// How many of them must take part; as the folder was made with, else a majority
    #[arg(long, value_name = "M")]
    pub(crate) required: Option<u16>,
    /// A SoftHSM2 token under each signer, behind limen-hsm-bridge, seals its shares and is its identity; as the folder was made with, else
    /// software and files
    #[arg(long)]
    pub(crate) hsm: bool,
    /// Protocol of the hot vault's key: dkls23 or cggmp24; the cold vault's is made by dkls23
    #[arg(long, default_value = "dkls23")]
    pub(crate) protocol: limen_wire::ids::Protocol,
    /// Folder of the cluster
    #[arg(long, value_name = "PATH", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
    /// Write up.json into the folder
    #[arg(long)]
    pub(crate) json: bool,
    /// Only make identities, charter and configuration; start nothing
    #[arg(long)]
    pub(crate) prepare_only: bool,
    /// Folder of limen-node, limen-coordinator and limen-hsm-bridge; beside this program if not given
    #[arg(long, value_name = "PATH", overrides_with = "bin_dir")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Folder with the npm packages of the development chain
    #[arg(long, value_name = "PATH", default_value = "cli/dev-chain", overrides_with = "dev_chain")]
    pub(crate) dev_chain: PathBuf,
    /// Let each signer write every emitted last-round message to partials.jsonl, for tests that look for reused nonces
    #[arg(long, hide = true)]
    pub(crate) danger_trace_partials: bool,
}

pub(crate) async fn up(args: &UpArgs, output: crate::output::Output) -> anyhow::Result<()> {
    up::run(args, output).await
}

pub(crate) async fn ceremony(args: &ceremony::CeremonyArgs, output: crate::output::Output) -> anyhow::Result<()> {
    ceremony::run(args, output).await
}

/// Makes a token, for `dev up --hsm`.
pub(crate) fn make_token(args: &hsm::MakeTokenArgs) -> anyhow::Result<std::process::ExitCode> {
    hsm::make(args).map(|()| std::process::ExitCode::SUCCESS)
}

/// Returns only when the program could not be started.
pub(crate) fn become_child(args: &child::ChildArgs) -> anyhow::Result<std::process::ExitCode> {
    child::run(args).map(|()| std::process::ExitCode::SUCCESS)
}
