//! `limen charter …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::approval::SignerArgs;

const EXAMPLES: &str = "Examples:
  limen charter lint charter.toml               formulas nobody can meet, people and places that reach too far
  limen charter diff charter.toml draft.toml    what widens and what narrows, in sentences
  limen charter trust charter.toml              what `limen verify receipt` pins, as a trust file
  limen charter sign draft.toml --parent charter.toml --key me.pem --out draft.signed
  limen charter sign draft.signed --parent charter.toml --ssh-agent --out draft.signed2
  limen charter submit draft.signed2
  limen charter status
  limen charter veto draft.signed2 --parent charter.toml --key me.pem --reason 'nobody asked for this'

A version that only tightens binds as soon as its quorum has signed. One that loosens waits out the delay of the version
before it, at each signer, and can be vetoed meanwhile. One that does both is written as two.";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum CharterCommand {
    /// Find what is wrong with a charter; exit code 1 if it has errors
    #[command(after_help = EXAMPLES)]
    Lint {
        /// The charter
        file: PathBuf,
    },
    /// Say what changes from one charter to another, and whether it loosens anything
    #[command(after_help = EXAMPLES)]
    Diff {
        /// The charter in force
        old: PathBuf,
        /// The draft
        new: PathBuf,
    },
    /// Print the trust file by which receipts of this charter's cluster are verified
    #[command(after_help = EXAMPLES)]
    Trust {
        /// Your own copy of the charter
        file: PathBuf,
    },
    /// Sign a version in sight of what it changes, offline; adds to what others have signed
    #[command(after_help = EXAMPLES)]
    Sign(SignCharterArgs),
    /// Hand a signed version to every signer
    #[command(after_help = EXAMPLES)]
    Submit {
        /// What `limen charter sign` wrote
        file: PathBuf,
    },
    /// Where versions stand at each signer
    #[command(after_help = EXAMPLES)]
    Status {
        /// Only versions with this number and above
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        from: u64,
    },
    /// Say no to a version that is not in force yet: for good, at every signer
    #[command(after_help = EXAMPLES)]
    Veto(VetoCharterArgs),
}

impl CharterCommand {
    /// Whether it speaks to the cluster.
    pub(crate) const fn needs_cluster(&self) -> bool {
        matches!(self, Self::Submit { .. } | Self::Status { .. } | Self::Veto(_))
    }
}

/// A version and what it follows.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// The version: its text, or what `limen charter sign` wrote
    pub(crate) version: PathBuf,
    /// Your own copy of the charter that it follows; twice for a version that joins two
    #[arg(long = "parent", value_name = "FILE", required = true)]
    pub(crate) parents: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Sign without asking: you have read changes and words elsewhere
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignCharterArgs {
    #[command(flatten)]
    pub(crate) version: VersionArgs,
    /// Where to write the version with all signatures: a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VetoCharterArgs {
    #[command(flatten)]
    pub(crate) version: VersionArgs,
    /// Why; everybody concerned reads it
    #[arg(long)]
    pub(crate) reason: String,
    /// A charter from before the parents, if a version has put you out since: your veto counts for as long as a loosening would
    /// have waited
    #[arg(long, value_name = "FILE")]
    pub(crate) earlier: Vec<PathBuf>,
}
