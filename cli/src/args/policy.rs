//! `limen policy`

use std::path::PathBuf;

use clap::Subcommand;

pub(super) const EXAMPLES: &str = "Examples:
  limen policy pack list                        stock vaults with their rules, limits and tests
  limen policy pack show cold > cold.toml       to be written below the rest of a charter
  limen policy pack show cold --tests           how it is tested
  limen policy test rules.tests.toml            exit code 1 if a test fails, 2 if the file cannot be run";

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Run tests of rules: this request, with these approvals, after this time; docs/rules.md shows the form
    #[command(after_help = EXAMPLES)]
    Test {
        /// Files with tests; parts of charters are looked for beside them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Stock packs: parts of a charter for common vaults
    #[command(subcommand, after_help = EXAMPLES)]
    Pack(PackCommand),
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
