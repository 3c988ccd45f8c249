//! `limen policy`

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "Examples:
  limen policy pack list                        stock vaults with their rules, limits and tests
  limen policy pack show cold > cold.toml       to be written below the rest of a charter
  limen policy pack show cold --tests           how it is tested
  limen policy test rules.tests.toml            exit code 1 if a test fails, 2 if the file cannot be run
  limen policy replay draft.toml --charter charter.toml     what a draft would have decided otherwise
  limen policy shadow                           the same, by the draft that the coordinator has beside the charter";

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Run tests of rules: this request, with these approvals, after this time; docs/rules.md shows the form
    #[command(after_help = EXAMPLES)]
    Test {
        /// Files with tests; parts of charters are looked for beside them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Judge past requests by a draft of the charter: what it would have decided otherwise, in sentences
    #[command(after_help = EXAMPLES)]
    Replay(ReplayArgs),
    /// What the coordinator's draft (`shadow_charter`) would have decided otherwise since it started
    #[command(after_help = EXAMPLES)]
    Shadow,
    /// Stock packs: parts of a charter for common vaults
    #[command(subcommand, after_help = EXAMPLES)]
    Pack(PackCommand),
}

impl PolicyCommand {
    /// Whether it speaks to the cluster.
    pub(crate) const fn needs_cluster(&self) -> bool {
        matches!(self, Self::Shadow | Self::Replay(ReplayArgs { from: None, .. }))
    }
}

/// A draft, and what it is held against.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The draft
    pub(crate) draft: PathBuf,
    /// Your own copy of the charter in force
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: PathBuf,
    /// Without the cluster: requests that `--save` has written
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub(crate) from: Option<PathBuf>,
    /// Keep the cluster's requests in a new file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// At most so many of the newest requests
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackCommand {
    /// What packs there are
    List,
    /// Print a pack
    Show {
        /// Its name
        name: String,
        /// Its tests instead
        #[arg(long)]
        tests: bool,
    },
}
